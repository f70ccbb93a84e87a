"""Checks of plain arguments. Every message reads "[operation] argument: found value, allowed values"."""

from collections.abc import Collection
from operator import index
from typing import Any

# What the engine's integers hold.
LARGEST = 2**63 - 1


def message(operation: str, name: str, found: object, allowed: str) -> str:
    """Word an error about one argument."""
    return f"[{operation}] {name}: found {found}, allowed {allowed}"


def integer(operation: str, name: str, value: Any, low: int, allowed: str, high: int = LARGEST) -> int:
    """`value` as an int between `low` and `high`, both included.

    Raises
    ------
    TypeError
        When it is not an integer; `True` and `False` are not.
    ValueError
        When it is out of range.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(message(operation, name, repr(value), allowed))
    number = index(value)
    if not low <= number <= high:
        raise ValueError(message(operation, name, number, allowed))
    return number


def boolean(operation: str, name: str, value: Any) -> bool:
    """`value` as a bool; NumPy's counts too. Raises TypeError for anything else."""
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return bool(value)
    raise TypeError(message(operation, name, repr(value), "True, False"))


def choice(operation: str, name: str, value: Any, options: Collection[str]) -> str:
    """`value`, one of `options`. Raises TypeError unless it is text, ValueError unless it is one of them."""
    allowed = ", ".join(repr(option) for option in options)
    if not isinstance(value, str):
        raise TypeError(message(operation, name, repr(value), allowed))
    if value not in options:
        raise ValueError(message(operation, name, repr(value), allowed))
    return value


def threads(operation: str, value: Any) -> int:
    """`num_threads` as the engine takes it: None is 0, one thread for each core."""
    if value is None:
        return 0
    return integer(operation, "num_threads", value, 1, "None, or a whole number of 1 or more", 2**31 - 1)


def seed(operation: str, value: Any) -> int:
    """`seed`, 0 to 2^64 - 1."""
    return integer(operation, "seed", value, 0, "a whole number from 0 to 2**64 - 1", 2**64 - 1)


def target(operation: str, value: Any) -> str | None:
    """`minimum_deployment_target` as the engine takes it: None, or a name such as "iOS18"; coremltools' targets have one."""
    if value is None or isinstance(value, str):
        return value
    name = getattr(value, "name", None)
    if isinstance(name, str):
        return name
    raise TypeError(message(operation, "minimum_deployment_target", repr(value), "None, or a target such as 'iOS18'"))
