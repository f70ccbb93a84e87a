"""The caller's own lookup tables: mode "custom"."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swiftcompress._checks import message
from swiftcompress.arrays.inputs import Array

LUTFunction = Callable[[Array], tuple[Any, Any]]
"""Takes one group of a weight, with its channel axis swapped to the front; returns the entries of its lookup table and
one index for each element (or, with cluster_dim > 1, for each vector), both as arrays or lists."""


CheckedLUTFunction = Callable[[int, Array], tuple[Array, NDArray[np.uint8]]]
"""As the engine calls it: with the number of the group or of the function, and the group."""

# Entries of a lookup table with 1, 2, 3, 4, 6 and 8 bits.
ENTRIES = (2, 4, 8, 16, 64, 256)


def checked(operation: str, lut_function: LUTFunction, cluster_dim: int) -> CheckedLUTFunction:
    """Wrap the function as the engine calls it.

    Its answer is converted, and refused with the reason where it makes no sense.
    """

    def call(_number: int, group: Array) -> tuple[Array, NDArray[np.uint8]]:
        vectors = group.size // cluster_dim
        dtype = group.dtype
        answer = lut_function(group)
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            found = f"{type(answer).__name__} returned by it"
            raise TypeError(message(operation, "lut_function", found, "a tuple (lut, indices)"))
        table = _table(operation, answer[0], dtype, cluster_dim)
        return table, _codes(operation, answer[1], vectors, len(table))

    return call


def _table(operation: str, lut: Any, dtype: np.dtype[Any], cluster_dim: int) -> Array:
    table = np.asarray(lut)
    if table.dtype.kind not in "fiu":
        raise TypeError(message(operation, "lut", f"an array of {table.dtype}", "real numbers"))
    shapes = "(n,)" if cluster_dim == 1 else f"(n, {cluster_dim})"
    if table.ndim == 1 and cluster_dim == 1:
        table = table.reshape(-1, 1)
    if table.ndim != 2 or table.shape[1] != cluster_dim or len(table) not in ENTRIES:
        found = f"an array of shape {np.shape(lut)}"
        raise ValueError(message(operation, "lut", found, f"shape {shapes} where n is 2, 4, 8, 16, 64 or 256"))
    return np.ascontiguousarray(table, dtype)


def _codes(operation: str, indices: Any, vectors: int, entries: int) -> NDArray[np.uint8]:
    codes = np.asarray(indices)
    if codes.dtype.kind not in "iu":
        raise TypeError(message(operation, "indices", f"an array of {codes.dtype}", "integers"))
    if codes.size != vectors:
        raise ValueError(message(operation, "indices", f"{codes.size} codes", f"{vectors}"))
    if codes.size and not 0 <= int(codes.min()) <= int(codes.max()) < entries:
        found = f"{codes.min()} to {codes.max()}"
        raise ValueError(message(operation, "indices", found, f"0 to {entries - 1}: lut has {entries} entries"))
    return np.ascontiguousarray(codes, np.uint8).reshape(-1)
