"""Linear quantization, and codes of a few bits."""

import operator
from typing import Any

import numpy as np

from swiftcompress import _native
from swiftcompress.accelerate.patching import Call, require
from swiftcompress.accelerate.values import floats, plain, typed
from swiftcompress.arrays.inputs import Array
from swiftcompress.arrays.packing import NBITS as PACKED
from swiftcompress.arrays.quantization import MODES
from swiftcompress.arrays.quantization import NBITS as QUANTIZED


def compute_qparams_by_dtype(
    call: Call, weight: Any, dtype: Any, quantization_mode: Any, block_sizes: Any
) -> tuple[Array, Array, Array | None]:
    """Quantize by blocks, with coremltools' bits also where its arithmetic breaks down."""
    array = floats(weight, "weight")
    types = call.module.types
    require(types.is_int(dtype), "the type is no integer")
    nbits, signed = int(dtype.get_bitwidth()), not dtype.is_unsigned()
    require(nbits in QUANTIZED.values(), f"{nbits} bits")
    require(isinstance(quantization_mode, str) and quantization_mode.lower() in MODES, "the mode is unknown")
    require(quantization_mode.isupper(), "the mode is unknown")
    require(array.ndim >= 1 and len(block_sizes) == array.ndim, "the block sizes do not fit the weight")
    sizes = tuple(max(operator.index(size), 0) for size in block_sizes)
    require(all(size == 0 or length % size == 0 for size, length in zip(sizes, array.shape, strict=True)), "ragged")
    mode = MODES.index(quantization_mode.lower())
    data, scale, zero_point = _native.quantize(array, mode, nbits, signed, True, sizes, call.threads)
    kind = types.nptype_from_builtin(dtype)
    return typed(data, kind), scale, None if zero_point is None else typed(zero_point, kind)


def dequantize_by_scale_and_zp(call: Call, quantized_data: Any, scale: Any, zero_point: Any, axis: Any = None) -> Array:
    """(data - zero point) * scale; in float32, which holds the products of float16 exactly."""
    promote = call.module.promote_rank_to_same_as_data
    data = _codes(quantized_data)
    factors = _numbers(promote(scale, data, axis), "scale")
    require(factors.dtype != np.float64, "scale is of float64, but the product is rounded to float32")
    zero = None if zero_point is None else _numbers(promote(zero_point, data, axis), "zero_point")
    return _dequantize(call, data, factors, zero)


def shift_scale_decompress(call: Call, data: Any, scale: Any, offset: Any) -> Array:
    """The same of iOS 18, where every step is in the scale's type."""
    codes = _codes(data)
    zero = None if offset is None else _numbers(offset, "offset")
    return _dequantize(call, codes, _numbers(scale, "scale"), zero)


def _codes(value: Any) -> Array:
    codes = plain(value, "data")
    require(codes.dtype in (np.int8, np.uint8), f"data is of {codes.dtype}")
    require(codes.ndim >= 1, "data is a number")
    return codes


def _numbers(value: Any, name: str) -> Array:
    require(isinstance(value, np.ndarray | np.generic), f"{name} is no array")
    return plain(np.asarray(value) if isinstance(value, np.generic) else value, name)


def _dequantize(call: Call, data: Array, scale: Array, zero: Array | None) -> Array:
    require(scale.dtype.kind == "f" and scale.dtype.itemsize <= 8, f"scale is of {scale.dtype}")
    require(scale.ndim == data.ndim, "the rank of scale does not fit")
    require(all(n % m == 0 for n, m in zip(data.shape, scale.shape, strict=True)), "the shape of scale does not fit")
    # An infinity times 0 is a NaN, and what kind of one is up to the processor.
    require(bool(np.isfinite(scale).all()), "there is a NaN or an infinity among the scales")
    if zero is not None:
        require(zero.dtype == data.dtype, f"zero_point is of {zero.dtype}")
        require(zero.shape == scale.shape, "zero_point has another shape than scale")
    return _native.dequantize(data, scale, zero, call.threads)


def pack_elements_into_bits(call: Call, elements: Any, nbits: Any) -> Array:
    """Pack codes, least significant bit first."""
    codes, width = plain(elements, "elements"), operator.index(nbits)
    require(codes.dtype.kind in "iu", f"elements are of {codes.dtype}")
    require(width in PACKED, f"{width} bits")
    signed = codes.dtype.kind == "i"
    if codes.dtype.itemsize > 1:
        low, high = (-(1 << width - 1), (1 << width - 1) - 1) if signed else (0, (1 << width) - 1)
        require(int(codes.min()) >= low and int(codes.max()) <= high, "a code does not fit")
        codes = codes.astype(np.int8 if signed else np.uint8)
    return _native.pack_bits(codes, width)


def restore_elements_from_packed_bits(
    call: Call, packed_values: Any, nbits: Any, element_num: Any, are_packed_values_signed: Any = False
) -> Array:
    """Unpack what the function above packed."""
    packed, width, count = plain(packed_values, "packed_values"), operator.index(nbits), operator.index(element_num)
    require(packed.ndim == 1 and packed.dtype in (np.int8, np.uint8), "packed_values are no bytes")
    require(width in PACKED, f"{width} bits")
    require(0 <= count <= packed.size * 8 // width, "there are fewer elements")
    return _native.unpack_bits(packed.view(np.uint8), width, count, bool(are_packed_values_signed))
