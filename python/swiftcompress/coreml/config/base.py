"""What all configurations of one weight have in common: checks, dictionaries, assignment."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from enum import Enum
from typing import Any, ClassVar, Self, cast

from swiftcompress._config_values import whole_number
from swiftcompress.arrays.lut_function import CheckedLUTFunction


class CompressionGranularity(Enum):
    """Which elements share one lookup table or scale."""

    PER_TENSOR = 1
    PER_GROUPED_CHANNEL = 2
    PER_CHANNEL = 3
    PER_BLOCK = 4


class OpCompressorConfig:
    """What all configurations of one weight have in common.

    A field may be assigned; the new value is checked and normalised as in the constructor, and nothing changes where
    that fails.
    """

    # Not among the fields, nor in vars().
    __slots__ = ("_is_made",)

    # How values of dictionaries and YAML files become those of the constructor, by field.
    _FROM_TEXT: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "_is_made" and getattr(self, "_is_made", False):
            if name not in self._field_names():
                raise AttributeError(f"{type(self).__name__} has no field {name!r}.")
            value = getattr(replace(cast(Any, self), **{name: value}), name)
        object.__setattr__(self, name, value)

    @classmethod
    def _field_names(cls) -> tuple[str, ...]:
        return tuple(entry.name for entry in fields(cast(Any, cls)))

    def _finish(self) -> None:
        """End of the constructor: from now on, assignments are checked."""
        self._is_made = True

    def _validate_op_type(self, op_type: str) -> None:
        """Raise ValueError when operations of this type cannot be compressed like this."""

    @classmethod
    def _from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make a configuration of its fields. Numbers may be text: to PyYAML, ``1e-3`` is no number."""
        known = cls._field_names()
        for key in values:
            if key not in known:
                raise ValueError(f'Invalid key "{key}" for {cls.__name__}. Supported keys are {known}.')
        return cls(
            **{key: cls._FROM_TEXT[key](value) if key in cls._FROM_TEXT else value for key, value in values.items()}
        )

    def to_coremltools(self) -> Any:
        """Make coremltools' configuration of the same name and with the same fields.

        Raises
        ------
        ImportError
            When coremltools is not installed; it is imported here only.
        """
        package = coremltools_optimize(type(self).__name__)
        kind = next(getattr(package, base.__name__) for base in type(self).__mro__ if hasattr(package, base.__name__))
        return kind(**{name: _plain(getattr(self, name)) for name in self._field_names()})

    def _to_options(self, functions: list[CheckedLUTFunction]) -> dict[str, Any]:
        """Make the engine's JSON; functions are put into `functions` and referred to by their number."""
        raise NotImplementedError


def coremltools_optimize(name: str) -> Any:
    """``coremltools.optimize.coreml``, for the configuration `name` that is to become coremltools'."""
    try:
        return importlib.import_module("coremltools.optimize.coreml")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "coremltools":
            raise
        raise ImportError(f"{name}.to_coremltools needs coremltools: pip install coremltools") from error


def _plain(value: Any) -> Any:
    """`value` as coremltools takes it: members of enumerations by name, NumPy's numbers as Python's."""
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, list | tuple):
        entries = [_plain(entry) for entry in value]
        return entries if isinstance(value, list) else tuple(entries)
    if isinstance(value, str | bool) or value is None:
        return value
    if is_integer(value):
        return int(value)
    return float(value) if hasattr(value, "__float__") else value


# Conversions. What is no number is left to the constructor, which says so.


def number(value: Any) -> Any:
    """``1`` and ``"1e-3"`` as a float."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def whole_numbers(value: Any) -> Any:
    """As above, for each entry of a list."""
    return [whole_number(entry) for entry in value] if isinstance(value, list | tuple) else value


# Checks


def is_integer(value: Any) -> bool:
    """Whether this is an integer, NumPy's included; `True` and `False` are not."""
    return not isinstance(value, bool) and hasattr(value, "__index__")


def check_integer(name: str, value: Any, low: int | None, *, optional: bool = False) -> None:
    """Raise TypeError unless `value` is an integer, ValueError when it is less than `low`."""
    if optional and value is None:
        return
    if not is_integer(value):
        raise TypeError(f'"{name}" must be an integer. Got {value!r}.')
    if low is not None and value.__index__() < low:
        kind = "non-negative" if low == 0 else "positive"
        raise ValueError(f'"{name}" must be a {kind} integer. Got {value}.')


def check_float(name: str, value: Any) -> None:
    """Raise TypeError unless `value` is a floating-point number: 1 may be a mistake for 1 %, 1.0 is not."""
    if is_integer(value) or isinstance(value, bool | str | bytes) or not hasattr(value, "__float__"):
        raise TypeError(f'"{name}" must be a float. Got {value!r}.')


def check_mode(value: Any) -> str:
    """`value` in upper case. Raises TypeError unless it is text."""
    if not isinstance(value, str):
        raise TypeError(f'"mode" must be a str. Got {value!r}.')
    return value.upper()


def granularity_from(value: Any, allowed: tuple[CompressionGranularity, ...]) -> CompressionGranularity:
    """One of `allowed`, given as such, by name, or as coremltools' own of that name."""
    names = {member.name.lower(): member for member in CompressionGranularity}
    text = value.name.lower() if isinstance(value, Enum) and type(value).__name__ == "CompressionGranularity" else value
    if not isinstance(text, str) or text not in names:
        options = ", ".join(f'"{member.name.lower()}"' for member in allowed)
        raise ValueError(f"Invalid granularity={value}: must be one of {options}")
    if names[text] not in allowed:
        raise ValueError(f'"granularity" must be one of {allowed}, but got {names[text]}')
    return names[text]


def threshold_option(value: Any) -> int:
    """`weight_threshold` for the engine, which needs one."""
    if value is None:
        raise ValueError("weight_threshold cannot be None")
    return int(value)


def optional_int(value: Any) -> int | None:
    """`value` as Python's int, or None."""
    return None if value is None else int(value)
