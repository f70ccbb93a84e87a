"""Codes of a few bits, packed without gaps."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from swiftcompress import _native
from swiftcompress._checks import boolean, integer, message
from swiftcompress.arrays.inputs import Array, as_array

NBITS = (1, 2, 3, 4, 6, 8)


def check_nbits(operation: str, nbits: Any, name: str = "nbits") -> int:
    """`nbits`, one of the widths that Core ML has codes of; `name` is what the caller calls it."""
    allowed = ", ".join(map(str, NBITS))
    number = integer(operation, name, nbits, 1, allowed, 8)
    if number not in NBITS:
        raise ValueError(message(operation, name, number, allowed))
    return number


def pack_bits(codes: Any, nbits: int) -> NDArray[np.uint8]:
    """Pack codes of `nbits` bits, least significant bit first, without gaps, in C order.

    Parameters
    ----------
    codes
        Integers of any type and shape, from 0 to ``2**nbits - 1``. Where some are negative, and always for int8, from
        ``-2**(nbits-1)`` to ``2**(nbits-1) - 1``, stored as two's complement.
    nbits
        1, 2, 3, 4, 6 or 8.

    Returns
    -------
    uint8 array of ``ceil(codes.size * nbits / 8)`` elements. The spare bits of the last one are zero.

    Raises
    ------
    TypeError
        When the codes are not integers.
    ValueError
        When a code does not fit, or `nbits` is none of the above.

    Examples
    --------
    >>> import numpy as np
    >>> import swiftcompress as sc
    >>> sc.pack_bits(np.array([1, 2, 3], np.uint8), 4)
    array([33,  3], dtype=uint8)
    """
    width = check_nbits("pack_bits", nbits)
    array = as_array("pack_bits", "codes", codes)
    if array.size == 0 and isinstance(codes, list | tuple):
        array = array.astype(np.uint8)
    if array.dtype.kind not in "iu":
        raise TypeError(message("pack_bits", "codes", f"an array of {array.dtype}", "an array of integers"))
    return _native.pack_bits(_as_bytes(array, width), width)


def _as_bytes(array: Array, nbits: int) -> Array:
    """Narrow the codes to int8 or uint8, which tells the engine what range they have."""
    if array.dtype in (np.int8, np.uint8) or array.size == 0:
        return array if array.dtype == np.int8 else array.astype(np.uint8, copy=False)
    lowest, highest = int(array.min()), int(array.max())
    signed = lowest < 0
    low, high = (-(1 << nbits - 1), (1 << nbits - 1) - 1) if signed else (0, (1 << nbits) - 1)
    if lowest < low or highest > high:
        found = lowest if lowest < low else highest
        raise ValueError(message("pack_bits", "codes", found, f"{low} to {high} for nbits {nbits}"))
    return array.astype(np.int8 if signed else np.uint8)


def unpack_bits(packed: Any, nbits: int, count: int, signed: bool = False) -> Array:
    """Unpack what `pack_bits` packed.

    Parameters
    ----------
    packed
        int8 or uint8, of any shape; at least ``ceil(count * nbits / 8)`` elements.
    nbits
        1, 2, 3, 4, 6 or 8.
    count
        Codes to unpack, 0 or more.
    signed
        Whether the codes are two's complement.

    Returns
    -------
    Flat array of `count` codes: uint8, or int8 when `signed`.

    Raises
    ------
    TypeError
        When `packed` holds no bytes.
    ValueError
        When it has too few, or an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import swiftcompress as sc
    >>> sc.unpack_bits(np.array([33, 3], np.uint8), 4, 3)
    array([1, 2, 3], dtype=uint8)
    """
    width = check_nbits("unpack_bits", nbits)
    number = integer("unpack_bits", "count", count, 0, "a whole number of 0 or more")
    is_signed = boolean("unpack_bits", "signed", signed)
    array = as_array("unpack_bits", "packed", packed)
    if array.dtype.kind not in "iu" or array.dtype.itemsize != 1:
        raise TypeError(message("unpack_bits", "packed", f"an array of {array.dtype}", "an array of uint8 or int8"))
    room = array.size * 8 // width
    if number > room:
        raise ValueError(message("unpack_bits", "count", number, f"0 to {room}: packed has {array.size} bytes"))
    return _native.unpack_bits(array.view(np.uint8), width, number, is_signed)
