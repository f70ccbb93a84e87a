"""Checks and conversions of the fields of torch configurations."""

from enum import Enum
from typing import Any

import torch

from swiftcompress._checks import boolean, integer, message

# Names that coremltools knows; torch has no types of 3 and 4 bits.
_DTYPES = {
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int4": torch.int8,
    "uint4": torch.uint8,
    "float16": torch.float16,
    "float32": torch.float32,
}


def whole(operation: str, name: str, value: Any, allowed: str, low: int, high: int) -> int:
    """An integer of a range; NumPy's count too."""
    return integer(operation, name, value, low, allowed, high)


def optional_whole(operation: str, name: str, value: Any, low: int, high: int) -> int | None:
    """The same, or None."""
    if value is None:
        return None
    return integer(operation, name, value, low, f"None, or a whole number from {low} to {high}", high)


def flag(operation: str, name: str, value: Any) -> bool:
    """A bool; None, which coremltools allows, is False."""
    return False if value is None else boolean(operation, name, value)


def member(operation: str, name: str, value: Any, kind: type[Enum]) -> Any:
    """A member of an enumeration, given as such or by its value; of coremltools' enumeration of that name too."""
    if isinstance(value, Enum) and type(value).__name__ == kind.__name__:
        value = value.value
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(repr(each.value) for each in kind)
        raise ValueError(message(operation, name, repr(value), allowed)) from None


def torch_dtype(operation: str, name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    """A torch dtype, given as such or by name, one of `allowed`; 4 bits are kept in types of 8."""
    text = str(value).removeprefix("torch.") if isinstance(value, torch.dtype) else value
    if isinstance(text, str):
        text = text.lower()
    if text not in allowed or text not in _DTYPES:
        raise ValueError(message(operation, name, repr(value), ", ".join(allowed)))
    return _DTYPES[text]
