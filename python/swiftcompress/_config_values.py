"""Configurations in YAML files, and the numbers in them."""

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any


def read_yaml(owner: str, yml: str | Path | IO[Any], *, empty: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """The mapping in a YAML file.

    Parameters
    ----------
    owner
        The class that reads it, for messages.
    yml
        Its path, or the opened file.
    empty
        What an empty file means; None: nothing, which is an error.

    Raises
    ------
    ImportError
        When PyYAML is not installed.
    ValueError
        When it is not YAML, or no mapping.
    OSError
        When it cannot be read.
    """
    try:
        import yaml
    except ImportError as error:
        raise ImportError(f"{owner}.from_yaml needs PyYAML: pip install PyYAML") from error
    try:
        if isinstance(yml, str | Path):
            with open(yml, encoding="utf-8") as file:
                values = yaml.safe_load(file)
        else:
            values = yaml.safe_load(yml)
    except yaml.YAMLError as error:
        raise ValueError(f"the configuration is not valid YAML: {error}") from error
    if values is None:
        values = empty
    if not isinstance(values, Mapping):
        raise ValueError(f"the configuration must be a mapping. Got {type(values).__name__}.")
    return values


def whole_number(value: Any) -> Any:
    """``"4"`` and ``4.0`` as 4; what is no number is left to the checks."""
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            return value
    return int(value) if isinstance(value, float) and value.is_integer() else value
