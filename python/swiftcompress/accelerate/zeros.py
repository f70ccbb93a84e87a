"""Pruning, sparse weights, and what a weight consists of."""

import operator
from typing import Any

import numpy as np

from swiftcompress import _native
from swiftcompress.accelerate.patching import Call, require
from swiftcompress.accelerate.values import floats, plain
from swiftcompress.arrays.inputs import Array
from swiftcompress.arrays.pruning import METHODS


def needs_numpy_2() -> str:
    """The percentiles are those of NumPy 2, in the weight's type."""
    major = int(np.__version__.split(".")[0])
    return "" if major >= 2 else f"NumPy {np.__version__} computes percentiles in another type"


def compress_by_threshold(call: Call, val: Any, threshold: Any, minimum_sparsity_percentile: Any) -> Any:
    """Zero everything up to a magnitude."""
    limit, least = _number(threshold), _number(minimum_sparsity_percentile)
    require(limit >= 0, "threshold is negative")
    return _prune(call, val, "threshold", 0.0, limit, least, 0, 0, 1, 0)


def compress_by_magnitude(call: Call, val: Any, target_sparsity: Any, block_size: Any = None, dim: Any = None) -> Any:
    """Zero what is at most a percentile."""
    share = _number(target_sparsity)
    if block_size is None:
        return _prune(call, val, "magnitude", share, 0.0, 0.0, 0, 0, 1, 0)
    return _prune(call, val, "blocks", share, 0.0, 0.0, operator.index(block_size), 0, 1, _dim(val, dim))


def compress_by_nm_sparsity(call: Call, val: Any, n_m_ratio: Any, dim: Any) -> Any:
    """Zero the n least of every m."""
    n, m = (operator.index(number) for number in n_m_ratio)
    return _prune(call, val, "n_of_m", 0.0, 0.0, 0.0, 0, n, m, _dim(val, dim))


def _number(value: Any) -> float:
    require(isinstance(value, int | float | np.floating) and not isinstance(value, bool), "a number is wanted")
    return float(value)


def _dim(val: Any, dim: Any) -> int:
    require(2 <= np.ndim(val) <= 5 and dim in (0, 1), "the axis is not one of the first two")
    return int(dim)


def _prune(
    call: Call,
    val: Any,
    method: str,
    share: float,
    limit: float,
    least: float,
    block: int,
    n: int,
    m: int,
    dim: int,
) -> Any:
    array, number = floats(val, "val"), METHODS.index(method)
    mask, nonzero = _native.prune(array, number, share, limit, least, block, n, m, dim, call.threads)
    return call.module.optimize_utils.SparseParamsIos16(
        nonzero_data=nonzero, mask=_native.pack_bits(mask, 1), shape=array.shape
    )


def sparse_to_dense(call: Call, nonzero_data: Any, mask: Any) -> Array:
    """Put the values where the mask is not 0."""
    values, places = floats(nonzero_data, "nonzero_data"), plain(mask, "mask")
    require(values.ndim == 1 and places.ndim >= 1, "nonzero_data is no row")
    require(places.dtype in (np.uint8, np.int8, np.bool_), f"mask is of {places.dtype}")
    return _native.scatter_nonzero(values, (places != 0).view(np.uint8), call.threads)


def weight_metadata(
    call: Call, self: Any, val: Any, sparsity: Any = None, unique_values: Any = None, child_ops: Any = None
) -> None:
    """Count zeros and distinct values in one pass, where neither was given."""
    from swiftcompress.coreml.metadata import _statistics

    require(sparsity is None and unique_values is None, "they are given")
    array = plain(val, "val")
    require(array.dtype.name in ("float16", "float32", "float64"), f"val is of {array.dtype}")
    near_zero, distinct = _statistics(array)
    call.original(self, val, np.int64(near_zero) / array.size, distinct, child_ops)
