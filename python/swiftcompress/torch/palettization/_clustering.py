"""From one weight to its palettized form: scale, rounding, k-means, lookup table, new values.

What the numbers are is that of ``coremltools/optimize/torch/_utils/k_means.py`` (coremltools 9.0, BSD-3-Clause): scalar k-means is
solved exactly there too, so that tables and codes are equal bit for bit.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from swiftcompress import _native
from swiftcompress.arrays.inputs import Array
from swiftcompress.arrays.palettization import MODES
from swiftcompress.arrays.quantization import MODES as QUANTIZATION_MODES
from swiftcompress.torch._metadata import CompressionMetadata, CompressionType, requires_plain
from swiftcompress.torch._optimizer import Compressed, to_array, to_tensor
from swiftcompress.torch._selection import Declined, Weight
from swiftcompress.torch.optimization_config import PalettizationGranularity
from swiftcompress.torch.palettization import _halves

_LARGEST_HALF = 65504.0
_LUT_BITS = 8
# Runs of vector k-means, of which the best counts; coremltools makes 5.
_STARTS = 10
# Elements rounded at a time, so that they stay in the cache.
_CHUNK = 1 << 15


@dataclass(frozen=True, eq=False)
class _Table:
    """A quantized lookup table: its decoded values, and what they were decoded from."""

    lut: Any
    scale: Any
    zero_point: Any


def palettize(weight: Weight, config: Any, importance: Any, threads: int) -> Compressed:
    """Palettize one weight.

    Parameters
    ----------
    weight
        The parameter; it is not changed.
    config
        A module's configuration of `PostTrainingPalettizer` or of `SKMPalettizer`.
    importance
        How much each element counts: a tensor in the parameter's shape, or None.
    threads
        For the engine; 0: one for each core.

    Raises
    ------
    Declined
        When the weight does not suit the configuration, or has a NaN or an infinity.
    """
    group_size, vector = _check(weight, config)
    values = weight.parameter.detach().cpu()
    dtype = values.dtype
    scale = None
    if config.enable_per_channel_scale:
        scale = _channel_scale(values, weight.output_axis)
        values = values / scale
    try:
        lut, indices = _clusters(values, config, group_size, vector, importance, threads)
    except ValueError as error:
        raise Declined(str(error)) from error
    table = _Table(to_tensor(lut, dtype), None, None)
    if config.lut_dtype is not None:
        table = _quantized(lut, config, dtype)
    axis = config.channel_axis if vector > 1 else -1
    dense = _expand(table.lut, indices, axis, threads)
    if scale is not None:
        dense = dense * scale
    metadata = CompressionMetadata(
        weight.parameter_name,
        quantization_n_bits=None if table.scale is None else _LUT_BITS,
        quantization_scale=table.scale,
        zero_point=table.zero_point,
        lut=table.lut,
        palettization_scale=scale,
        vector_axis=config.channel_axis if vector > 1 else None,
        compression_type=(CompressionType.palettization,)
        + (() if table.scale is None else (CompressionType.quantization,)),
    )
    return Compressed(
        dense,
        metadata,
        _scheme(config, group_size, vector),
        config.n_bits,
        _nbytes(indices.size, config.n_bits, table, scale),
        _form(config, vector),
    )


def _check(weight: Weight, config: Any) -> tuple[int, int]:
    """The group size (0: the whole tensor) and the length of an entry."""
    requires_plain(weight.module, weight.parameter_name)
    channels = weight.parameter.shape[config.channel_axis]
    vector = config.cluster_dim or 1
    group_size = 0
    where = f"its {channels} channels along axis {config.channel_axis} are no multiple of"
    if config.granularity is PalettizationGranularity.per_grouped_channel:
        group_size = config.group_size
        if channels % group_size:
            raise Declined(f"{where} group_size {group_size}")
    if channels % vector:
        raise Declined(f"{where} cluster_dim {vector}")
    if group_size % vector:
        raise Declined(f"group_size {group_size} is no multiple of cluster_dim {vector}")
    return group_size, vector


def _channel_scale(values: Any, axis: int) -> Any:
    """The greatest magnitude of each channel, 1 where that is 0, in the rank of the weight."""
    others = tuple(each for each in range(values.ndim) if each != axis)
    scale = values.abs().amax(others, keepdim=True)
    scale[scale == 0] = 1
    return scale


def _clusters(
    values: Any, config: Any, group_size: int, vector: int, importance: Any, threads: int
) -> tuple[Array, Array]:
    """The lookup tables, in float32 or float64, and a code for each element or vector."""
    array = to_array(values)
    # `SKMPalettizer` has no such settings; without a sensitivity it does what the other one does by default.
    is_fast, decimals = getattr(config, "enable_fast_kmeans_mode", True), getattr(config, "rounding_precision", 4)
    counts = None if importance is None else to_array(importance)
    if vector == 1 and counts is None:
        fits = _fits_half(array, config.channel_axis, group_size)
        is_fast = is_fast and bool(fits.any())
        is_half = values.dtype == torch.float16 or (is_fast and bool(fits.all()))
        if group_size == 0 and is_half and array.size >= _halves.WORTH_IT:
            found = _halves.cluster(array, decimals if is_fast else None, config.n_bits, threads)
            if found is not None:
                lut, indices = found
                return lut.reshape((1,) * array.ndim + (lut.size, 1)), indices
        if is_fast:
            array = _rounded(array, decimals, fits)
    # The table must be exact beyond float32 where the weight is, and where it is quantized.
    wide: Any = np.float64 if values.dtype == torch.float64 or config.lut_dtype is not None else np.float32
    lut, indices, _, _, _ = _native.palettize(
        array.astype(wide, copy=False),
        MODES.index("kmeans"),
        config.n_bits,
        group_size,
        config.channel_axis,
        *(vector, 0, 0),
        *(counts, None, None),
        threads,
        counts is not None,
        _STARTS,
    )
    return lut, indices


def _rounded(array: Array, decimals: int, fits: Array) -> Array:
    """Elements of groups in the range of float16 rounded, the others as they are."""
    result = np.empty(array.shape, np.float64 if array.dtype == np.float64 else np.float32)
    source, target = array.reshape(-1), result.reshape(-1)
    for start in range(0, source.size, _CHUNK):
        target[start : start + _CHUNK] = _halves.rounded(source[start : start + _CHUNK], decimals)
    return result if fits.all() else np.where(fits, result, array)


def _fits_half(array: Array, axis: int, group_size: int) -> Array:
    """For each group of channels, whether all its elements are in the range of float16; of a shape that broadcasts."""
    if array.dtype == np.float16:
        return np.ones((1,) * array.ndim, np.bool_)
    shape = list(array.shape)
    shape[axis : axis + 1] = [array.shape[axis] // (group_size or array.shape[axis]), group_size or array.shape[axis]]
    others = tuple(each for each in range(len(shape)) if each != axis)
    grouped = array.reshape(shape)
    fits = (grouped.max(others) <= _LARGEST_HALF) & (grouped.min(others) >= -_LARGEST_HALF)
    if fits.all():
        return np.ones((1,) * array.ndim, np.bool_)
    place = [1] * array.ndim
    place[axis] = array.shape[axis]
    return np.repeat(fits, shape[axis + 1]).reshape(place)


def _quantized(lut: Array, config: Any, dtype: Any) -> _Table:
    """Quantize each lookup table to 8 bits by itself, symmetrically."""
    sizes = list(lut.shape[:-2])
    sizes = [1] * len(sizes) + [0, 0]
    if lut.shape[-1] > 1:  # vectors are clustered in the weight's type
        lut = to_array(to_tensor(lut, dtype))
    is_signed = config.lut_dtype == torch.int8
    mode = QUANTIZATION_MODES.index("linear_symmetric")
    data, scale, zero = _native.quantize(lut, mode, _LUT_BITS, is_signed, True, tuple(sizes), 0)
    decoded = _native.dequantize(data, scale.astype(np.float64), zero, 0).astype(np.float32)
    return _Table(
        to_tensor(decoded.astype(lut.dtype), dtype),
        torch.from_numpy(scale),
        None if zero is None else torch.from_numpy(zero),
    )


def _expand(lut: Any, indices: Array, axis: int, threads: int) -> Any:
    """Look the codes up; bits of bfloat16 travel as those of float16."""
    is_narrow = lut.dtype == torch.bfloat16
    array = (lut.view(torch.float16) if is_narrow else lut).numpy()
    dense = torch.from_numpy(_native.unpalettize(array, indices, axis, None, None, None, threads))
    return dense.view(torch.bfloat16) if is_narrow else dense


def _nbytes(codes: int, nbits: int, table: _Table, scale: Any) -> int:
    size: int = -(-codes * nbits // 8)
    if table.scale is None:
        size += table.lut.numel() * table.lut.element_size()
    else:
        size += table.lut.numel() + table.scale.numel() * table.lut.element_size()
        size += 0 if table.zero_point is None else table.zero_point.numel()
    if scale is not None:
        size += scale.numel() * scale.element_size()
    return size


def _scheme(config: Any, group_size: int, vector: int) -> str:
    parts = [f"{config.n_bits} bits"]
    parts.append(f"groups of {group_size} along axis {config.channel_axis}" if group_size else "per tensor")
    if vector > 1:
        parts.append(f"vectors of {vector} along axis {config.channel_axis}")
    if config.enable_per_channel_scale:
        parts.append("per-channel scale")
    if config.lut_dtype is not None:
        parts.append(f"table in {str(config.lut_dtype).removeprefix('torch.')}")
    return ", ".join(parts)


def _form(config: Any, vector: int) -> dict[str, Any]:
    form: dict[str, Any] = {"palettization_mode": f"num_clusters={1 << config.n_bits}, cluster_dim={vector}"}
    if config.lut_dtype is not None:
        form = {"dtype": f"dtype=int{_LUT_BITS}", **form}
    return form
