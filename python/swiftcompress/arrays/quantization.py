"""Linear quantization of arrays: each weight becomes a small integer times a scale that it shares with its block."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from swiftcompress import _checks, _native
from swiftcompress._checks import integer, message
from swiftcompress.arrays import inputs
from swiftcompress.arrays.inputs import Array

# In the order of the engine's numbers (swiftcompress.h).
MODES = ("linear", "linear_symmetric")
GRANULARITIES = ("per_tensor", "per_channel", "per_block")
NBITS = {f"{sign}int{bits}": bits for bits in (8, 4, 2, 3, 6) for sign in ("", "u")}


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Quantized:
    """A quantized array, in the form of the iOS18 operation ``constexpr_blockwise_shift_scale``.

    Element ``w`` of the weight is ``(data - zero_point) * scale``, each scale standing for a block of neighbours. Made
    by `quantize`; may also be put together by hand.
    """

    data: Array
    """One code for each element, in the weight's shape: int8 or uint8, whatever `nbits` is."""
    scale: Array
    """In the weight's dtype and rank: the number of blocks along each axis."""
    zero_point: Array | None
    """The code of 0 in each block, in the dtype of `data` and the shape of `scale`; None where it is 0 everywhere."""
    nbits: int
    """Bits of a code: 2, 3, 4, 6 or 8."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The weight's shape."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The weight's dtype."""
        return self.scale.dtype

    @property
    def nbytes(self) -> int:
        """Bytes to store it: packed codes, scales, and zero points, packed like the codes."""
        size = -(-self.data.size * self.nbits // 8) + self.scale.nbytes
        if self.zero_point is not None:
            size += -(-self.zero_point.size * self.nbits // 8)
        return int(size)

    @property
    def bits_per_weight(self) -> float:
        """`nbytes` in bits over the number of elements; 0.0 for an empty array."""
        return 8 * self.nbytes / self.data.size if self.data.size else 0.0

    def decompress(self) -> Array:
        """Compute ``(data - zero_point) * scale`` in the weight's dtype and shape, rounded once.

        Raises
        ------
        TypeError, ValueError
            When the fields do not fit together, which those made by `quantize` do.
        """
        scale = self.scale
        if inputs.is_bfloat16(scale.dtype):  # a code times a bfloat16 is exact in float32
            scale = scale.astype(np.float32)
        array = _native.dequantize(self.data, scale, self.zero_point, 0)
        return array.astype(self.dtype, copy=False)

    def __repr__(self) -> str:
        kind = "int" if self.data.dtype == np.int8 else "uint"
        zero = ", zero points" if self.zero_point is not None else ""
        return (
            f"Quantized(shape={self.shape}, dtype={self.dtype}, codes={kind}{self.nbits}, scales={self.scale.shape}{zero}, "
            f"bits_per_weight={self.bits_per_weight:.4g})"
        )


def quantize(
    weight: Any,
    dtype: str = "int8",
    *,
    mode: Literal["linear", "linear_symmetric"] = "linear_symmetric",
    granularity: Literal["per_tensor", "per_channel", "per_block"] = "per_channel",
    axis: int = 0,
    block_size: int | Iterable[int] = 32,
    compat: Literal["coremltools"] | None = None,
    num_threads: int | None = None,
) -> Quantized:
    """Replace the elements of an array by integers of a few bits.

    The numbers are those of coremltools 9.0, bit for bit: every step is rounded to the weight's dtype. Where that
    arithmetic overflows, vanishes or divides by zero (float16 ranges above 65504, elements of about 1e-6 and less, zero
    points of float16 weights above 255), the scale is the nearest one that is finite and above 0, and the error of
    every element is at most half a step.

    Parameters
    ----------
    weight
        float16, float32, float64 or bfloat16, any shape and layout: a NumPy array, a torch tensor on the CPU, or
        anything else NumPy can view. It is not changed. bfloat16 is computed in float32; the scales are then rounded
        to bfloat16, as ml_dtypes.bfloat16 where that package is installed and as float32 where not.
    dtype
        "int8", "uint8", "int4", "uint4", or the same with 2, 3 or 6 bits.
    mode
        "linear_symmetric": from -a to a, where a is the greatest magnitude of the block. "linear": from its least to
        its greatest element (and 0), with a zero point.
    granularity
        "per_tensor": one scale. "per_channel": one for each index of `axis`. "per_block": one for each block.
    axis
        The axis of the channels or of the blocks, ``-weight.ndim`` to ``weight.ndim - 1``. Not used per tensor, nor with
        a list of block sizes.
    block_size
        For "per_block". An integer: that many neighbours along `axis` share a scale; the other one of the first two
        axes (the first, for any axis beyond them) is cut into single channels and all others are not cut, which is what
        coremltools does to linear layers and convolutions. Or one number for each axis, 0 for the whole axis. Must
        divide the axis.
    compat
        "coremltools": its bits also where its arithmetic breaks down (on x86-64, where a NaN becomes the integer 0).
    num_threads
        Threads at most; None: one for each core. Never changes a result.

    Returns
    -------
    Quantized

    Raises
    ------
    TypeError
        When an argument is not of the kind described.
    ValueError
        When it is out of its range, does not fit the weight, or the weight has a NaN or an infinity; the message says
        the argument, the value found and the values allowed.

    Examples
    --------
    >>> import numpy as np
    >>> import swiftcompress as sc
    >>> weight = np.array([[-1.75, 0.5, 0.25, 0.0], [7.0, 0.0, 4.0, 2.0]], np.float32)
    >>> quantized = sc.quantize(weight, "int4")
    >>> quantized.data
    array([[-7,  2,  1,  0],
           [ 7,  0,  4,  2]], dtype=int8)
    >>> quantized.scale.ravel()
    array([0.25, 1.  ], dtype=float32)
    >>> quantized.zero_point is None
    True
    """
    operation = "quantize"
    array, narrow = inputs.as_weight(operation, "weight", weight)
    name = _type_name(operation, dtype)
    _checks.choice(operation, "mode", mode, MODES)
    sizes = _block_sizes(operation, array.shape, granularity, axis, block_size)
    if compat is not None:
        _checks.choice(operation, "compat", compat, ("coremltools",))
    threads = _checks.threads(operation, num_threads)
    data, scale, zero_point = _native.quantize(
        array, MODES.index(mode), NBITS[name], name.startswith("int"), compat is not None, sizes, threads
    )
    return Quantized(data, inputs.to_bfloat16(scale) if narrow else scale, zero_point, NBITS[name])


def _type_name(operation: str, dtype: Any) -> str:
    """Take the name of an integer type, or NumPy's int8 and uint8 themselves."""
    if dtype is np.int8 or dtype is np.uint8 or isinstance(dtype, np.dtype):
        dtype = np.dtype(dtype).name
    return _checks.choice(operation, "dtype", dtype, tuple(NBITS))


def _block_sizes(
    operation: str, shape: tuple[int, ...], granularity: Any, axis: Any, block_size: Any
) -> tuple[int, ...]:
    """One number for each axis, 0 for the whole axis."""
    rank = len(shape)
    _checks.choice(operation, "granularity", granularity, GRANULARITIES)
    if granularity == "per_block" and isinstance(block_size, Iterable):
        return _listed_sizes(operation, rank, block_size)
    rows = max(rank, 1)
    place = integer(operation, "axis", axis, -rows, f"{-rows} to {rows - 1}", rows - 1) % rows
    sizes = [0] * rank
    if rank == 0 or granularity == "per_tensor":
        return tuple(sizes)
    if granularity == "per_channel":
        sizes[place] = 1
        return tuple(sizes)
    size = integer(operation, "block_size", block_size, 1, "a whole number of 1 or more, or one for each axis")
    if rank > 1:
        sizes[1 if place == 0 else 0] = 1
    sizes[place] = size
    return tuple(sizes)


def _listed_sizes(operation: str, rank: int, block_size: Iterable[Any]) -> tuple[int, ...]:
    allowed = f"a whole number of 1 or more, or {rank}, one for each axis"
    if isinstance(block_size, str | bytes):
        raise TypeError(message(operation, "block_size", repr(block_size), allowed))
    sizes = tuple(
        integer(operation, f"block_size[{axis}]", size, 0, "a whole number of 0 or more")
        for axis, size in enumerate(block_size)
    )
    if len(sizes) != rank:
        raise ValueError(message(operation, "block_size", f"{len(sizes)} numbers", allowed))
    return sizes
