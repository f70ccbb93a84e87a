"""The reference for single arrays: coremltools 9.0's linear quantization and pruning, quietly."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np

from . import reference

utils = reference.cto._utils
PRUNE = reference.passes.prune_weights
QUANTIZE = reference.passes.linear_quantize_weights

# dtype -> bits, signed
INTEGERS = {f"{sign}int{bits}": (bits, not sign) for bits in (2, 3, 4, 6, 8) for sign in ("", "u")}


def quantize(
    weight: np.ndarray, dtype: str, mode: str, block_sizes: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None] | None:
    """What `compute_qparams` returns. It has no int2, int3 and int6: for those, int8 with their range."""
    bits, signed = INTEGERS[dtype]
    known = not signed or bits in (4, 8)
    limits = utils.get_quant_range(bits, signed, mode.upper())
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if known:
            return utils.compute_qparams(weight, bits, signed, mode.upper(), np.int8, list(block_sizes))
        with mock.patch.object(utils, "get_quant_range_by_dtype", lambda *_: limits):
            return utils.compute_qparams(weight, 8, signed, mode.upper(), np.int8, list(block_sizes))


def dequantize(data: np.ndarray, scale: np.ndarray, zero_point: np.ndarray | None) -> np.ndarray:
    with np.errstate(all="ignore"):
        return utils.dequantize_by_scale_and_zp(data, scale, zero_point)


def expand(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Repeats a value for each block to one for each element."""
    for axis, (whole, parts) in enumerate(zip(shape, values.shape, strict=True)):
        values = np.repeat(values, whole // parts if parts else 1, axis=axis)
    return values


def _sparse(params: Any) -> tuple[np.ndarray, np.ndarray] | None:
    if params is None:
        return None
    params = utils.ios16_sparse_params_to_ios18(params)
    return params.nonzero_data, params.mask.astype(np.uint8)


def prune(weight: np.ndarray, **arguments: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """(nonzero data, mask) for the arguments of `sc.prune`; None where the reference declines."""
    block_size, dim = arguments.get("block_size"), arguments.get("dim")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if "threshold" in arguments:
            least = arguments.get("minimum_sparsity_percentile", 0.0)
            return _sparse(PRUNE.compress_by_threshold(weight, arguments["threshold"], least))
        if "n_m_ratio" in arguments:
            return _sparse(PRUNE.compress_by_nm_sparsity(weight, arguments["n_m_ratio"], 1 if dim is None else dim))
        dim = 0 if dim is None and block_size is not None else dim
        return _sparse(PRUNE.compress_by_magnitude(weight, arguments["target_sparsity"], block_size, dim))
