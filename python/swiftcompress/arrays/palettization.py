"""Palettization of arrays: each weight, or short vector of weights, becomes an index into a small lookup table."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swiftcompress import _checks, _native
from swiftcompress._checks import integer, message
from swiftcompress.arrays import inputs
from swiftcompress.arrays.inputs import Array
from swiftcompress.arrays.lut_function import LUTFunction, checked
from swiftcompress.arrays.packing import check_nbits

# In the order of the engine's numbers (swiftcompress.h).
MODES = ("kmeans", "uniform", "unique", "custom")
GRANULARITIES = ("per_tensor", "per_grouped_channel")


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Palettized:
    """A palettized array, in the form of the iOS18 operation ``constexpr_lut_to_dense``.

    Element ``w`` of the weight is ``lut[g][indices[w]]``, times the scale of its channel where there is one, ``g``
    being the group of channels that it belongs to. Made by `palettize`; may also be put together by hand.
    """

    lut: Array
    """The lookup tables in the weight's dtype. Its rank is the weight's + 2: 1 everywhere but for the number of groups
    at the channel axis, then ``2**nbits`` entries, then the length of one (`cluster_dim`). Entries not needed are
    0."""
    indices: NDArray[np.uint8]
    """One code for each element, in the weight's shape; with `cluster_dim` > 1 one for each vector, and the channel
    axis is that many times shorter. Where `mask` is 0 a code has no meaning."""
    nbits: int
    """Bits of a code."""
    vector_axis: int | None = None
    """The axis that vectors lie along; None with scalars."""
    per_channel_scale: Array | None = None
    """One factor for each channel, in the weight's dtype and rank, or None."""
    mask: NDArray[np.uint8] | None = None
    """In the weight's shape; 0: the element took no part. None: all did."""
    kept_values: Array | None = None
    """The values of the elements that took no part, flat in C order, in the weight's dtype."""

    @property
    def cluster_dim(self) -> int:
        """Length of one entry of the lookup table."""
        return int(self.lut.shape[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """The weight's shape."""
        shape = list(self.indices.shape)
        if self.vector_axis is not None:
            shape[self.vector_axis] *= self.cluster_dim
        return tuple(shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The weight's dtype."""
        return self.lut.dtype

    @property
    def nbytes(self) -> int:
        """Bytes to store it: packed codes, lookup tables and scales.

        Elements that a mask left out count with their own bytes, and the mask with one bit for each element.
        """
        size = -(-self.indices.size * self.nbits // 8) + self.lut.nbytes
        if self.per_channel_scale is not None:
            size += self.per_channel_scale.nbytes
        if self.mask is not None:
            size += -(-self.mask.size // 8)
        if self.kept_values is not None:
            size += self.kept_values.nbytes
        return int(size)

    @property
    def bits_per_weight(self) -> float:
        """`nbytes` in bits over the number of elements; 0.0 for an empty array."""
        count = self.indices.size * self.cluster_dim
        return 8 * self.nbytes / count if count else 0.0

    def decompress(self) -> Array:
        """Expand to an array in the weight's dtype and shape.

        Codes are looked up bit for bit; a scale is applied by one multiplication in the weight's dtype; elements that
        took no part have the value they had.

        Raises
        ------
        TypeError, ValueError
            When the fields do not fit together, which those made by `palettize` do.
        """
        if self.indices.size == 0:
            return np.empty(self.shape, self.dtype)
        lut, scale, kept = self.lut, self.per_channel_scale, self.kept_values
        indices, mask = self.indices, self.mask
        if inputs.is_bfloat16(self.dtype):  # exact in float32; so is the product of two of them before it is rounded
            lut = lut.astype(np.float32)
            scale, kept = (None if part is None else part.astype(np.float32) for part in (scale, kept))
        if indices.ndim == 0:
            lut, indices = lut[np.newaxis], indices.reshape(1)
            scale, mask = (None if part is None else part.reshape(1) for part in (scale, mask))
        axis = -1 if self.vector_axis is None else self.vector_axis
        array = _native.unpalettize(lut, indices, axis, scale, mask, kept, 0)
        return array.reshape(self.shape).astype(self.dtype, copy=False)

    def __repr__(self) -> str:
        groups = self.lut.size // (self.lut.shape[-1] * self.lut.shape[-2])
        vectors = f", cluster_dim={self.cluster_dim}" if self.vector_axis is not None else ""
        scale = ", per-channel scale" if self.per_channel_scale is not None else ""
        return (
            f"Palettized(shape={self.shape}, dtype={self.dtype}, nbits={self.nbits}, groups={groups}{vectors}{scale}, "
            f"bits_per_weight={self.bits_per_weight:.4g})"
        )


def palettize(
    weight: Any,
    nbits: int | None = 4,
    *,
    mode: Literal["kmeans", "uniform", "unique", "custom"] = "kmeans",
    granularity: Literal["per_tensor", "per_grouped_channel"] = "per_tensor",
    group_size: int = 32,
    channel_axis: int = 0,
    cluster_dim: int = 1,
    enable_per_channel_scale: bool = False,
    lut_function: LUTFunction | None = None,
    importance: Any = None,
    mask: Any = None,
    seed: int = 0,
    num_threads: int | None = None,
) -> Palettized:
    """Replace the elements of an array by codes into lookup tables of ``2**nbits`` entries.

    The numbers are those of coremltools 9.0, bit for bit, where it clusters exactly (float16 groups of 10,000
    elements or more, and every mode but k-means); its approximate iteration elsewhere is replaced by the exact
    optimum.

    Parameters
    ----------
    weight
        float16, float32, float64 or bfloat16, any shape and layout: a NumPy array, a torch tensor on the CPU, or
        anything else NumPy can view. It is not changed. bfloat16 is computed in float32; the lookup table is then
        rounded to bfloat16, as ml_dtypes.bfloat16 where that package is installed and as float32 where not.
    nbits
        1, 2, 3, 4, 6 or 8. With mode "unique", the least width to use; None: the fewest bits that do. With mode
        "custom" the function decides, and this is not used.
    mode
        "kmeans": the least sum of squared errors, exactly (for vectors: k-means++ and Lloyd's iteration).
        "uniform": entries at equal distances from the least element to the greatest.
        "unique": the distinct values themselves, so that nothing is lost; at most 256.
        "custom": what `lut_function` returns.
    granularity
        "per_tensor": one lookup table. "per_grouped_channel": one for every `group_size` channels.
    group_size
        Channels that share a lookup table, 1 or more; must divide their number. Not used per tensor.
    channel_axis
        The axis of the channels, ``-weight.ndim`` to ``weight.ndim - 1``.
    cluster_dim
        Length of an entry, 1 or more: that many neighbouring channels form a vector. Must divide the channels of a
        group.
    enable_per_channel_scale
        Divide each channel by its greatest magnitude first (1 where that is 0), in the weight's dtype.
    lut_function
        For mode "custom": called with one group after the other, each a copy with the channel axis swapped to the
        front. Returns a lookup table of 2, 4, 8, 16, 64 or 256 entries (the same number for every group) and one
        index for each element (or vector) in C order, as arrays or lists.
    importance
        How much each element counts in k-means: finite, 0 or more, in the weight's shape. None: all alike.
    mask
        bool or integers in the weight's shape; elements where it is 0 take no part and keep their value.
    seed
        Start of the random numbers of vector k-means, 0 to 2**64 - 1.
    num_threads
        Threads at most; None: one for each core. Never changes a result.

    Returns
    -------
    Palettized

    Raises
    ------
    TypeError
        When an argument is not of the kind described.
    ValueError
        When it is out of its range, does not fit the weight, or the weight has a NaN or (except with "unique" and
        "custom") an infinity among the elements that take part; the message says the argument, the value found and the
        values allowed.
    NotImplementedError
        mode "uniform" with vectors, which coremltools has not either; a mask with vectors or with mode "custom".

    Examples
    --------
    >>> import numpy as np
    >>> import swiftcompress as sc
    >>> weight = np.array([[0.0, 0.25, 1.0], [1.5, 2.0, 1.75]], np.float32)
    >>> palettized = sc.palettize(weight, nbits=1)
    >>> palettized.lut.ravel()
    array([0.125 , 1.5625], dtype=float32)
    >>> palettized.indices
    array([[0, 0, 1],
           [1, 1, 1]], dtype=uint8)
    >>> palettized.decompress().dtype
    dtype('float32')
    """
    operation = "palettize"
    array, narrow = inputs.as_weight(operation, "weight", weight)
    _checks.choice(operation, "mode", mode, MODES)
    vector = integer(operation, "cluster_dim", cluster_dim, 1, "a whole number of 1 or more")
    function = _check_function(operation, mode, lut_function, vector)
    counts = None if importance is None else _importance(operation, importance, array.shape)
    taking_part = None if mask is None else inputs.as_mask(operation, "mask", mask, array.shape)
    settings = (
        MODES.index(mode),
        _nbits(operation, mode, nbits),
        _group_size(operation, granularity, group_size),
        _axis(operation, channel_axis, array.ndim),
        vector,
        int(_checks.boolean(operation, "enable_per_channel_scale", enable_per_channel_scale)),
        _checks.seed(operation, seed),
    )
    threads = _checks.threads(operation, num_threads)
    if array.size == 0:
        return _empty(inputs.to_bfloat16(array) if narrow else array, mode, *settings[1:6], masked=mask is not None)
    # The engine takes one axis or more: a number is a row of one.
    row = array.reshape(1) if array.ndim == 0 else array
    lut, indices, scale, width, axis = _native.palettize(row, *settings, counts, taking_part, function, threads)
    if array.ndim == 0:
        lut, indices = lut[0], indices.reshape(())
        scale = None if scale is None else scale.reshape(())
    kept = None if taking_part is None else array[taking_part == 0]
    if narrow:
        lut = inputs.to_bfloat16(lut)
        scale = None if scale is None else inputs.to_bfloat16(scale)
        kept = None if kept is None else inputs.to_bfloat16(kept)
    return Palettized(lut, indices, width, None if axis < 0 else axis, scale, taking_part, kept)


def _axis(operation: str, channel_axis: Any, rank: int) -> int:
    """`channel_axis` from 0 on. A number counts as a row of one."""
    rows = max(rank, 1)
    allowed = f"{-rows} to {rows - 1}"
    axis = integer(operation, "channel_axis", channel_axis, -rows, allowed, rows - 1)
    return axis + rows if axis < 0 else axis


def _empty(
    array: Array, mode: str, nbits: int, group_size: int, axis: int, cluster_dim: int, scaled: int, *, masked: bool
) -> Palettized:
    """Make the result for an array without elements: lookup tables of zeros and no codes."""
    channels = array.shape[axis]
    if mode == "uniform" and cluster_dim > 1:
        raise NotImplementedError(message("palettize", "cluster_dim", cluster_dim, "1 with mode uniform"))
    group = group_size or max(channels, cluster_dim)
    for name, found, whole in (("group_size", group, channels), ("cluster_dim", cluster_dim, group)):
        if whole % found:
            raise ValueError(message("palettize", name, found, f"a number that divides {whole}"))
    width = nbits or 1
    tables, codes, factors = [1] * array.ndim, list(array.shape), [1] * array.ndim
    tables[axis] = max(channels // group, 1)
    codes[axis] //= cluster_dim
    factors[axis] = channels
    return Palettized(
        np.zeros((*tables, 1 << width, cluster_dim), array.dtype),
        np.zeros(codes, np.uint8),
        width,
        axis if cluster_dim > 1 else None,
        np.ones(factors, array.dtype) if scaled else None,
        np.zeros(array.shape, np.uint8) if masked else None,
        np.zeros(0, array.dtype) if masked else None,
    )


def _nbits(operation: str, mode: str, nbits: Any) -> int:
    """As the engine takes it: 0 where it finds the width itself."""
    if mode == "custom" or (mode == "unique" and nbits is None):
        return 0
    if nbits is None:
        raise ValueError(message(operation, "nbits", None, f"1, 2, 3, 4, 6, 8 with mode {mode!r}"))
    return check_nbits(operation, nbits)


def _group_size(operation: str, granularity: Any, group_size: Any) -> int:
    """As the engine takes it: 0 where one lookup table serves the whole tensor."""
    _checks.choice(operation, "granularity", granularity, GRANULARITIES)
    size = integer(operation, "group_size", group_size, -_checks.LARGEST, "a whole number of 1 or more")
    if granularity == "per_tensor":
        return 0
    return integer(operation, "group_size", size, 1, "a whole number of 1 or more")


def _check_function(operation: str, mode: str, lut_function: Any, cluster_dim: int) -> Any:
    if mode == "custom" and lut_function is None:
        raise ValueError(message(operation, "lut_function", None, "a function with mode 'custom'"))
    if mode != "custom" and lut_function is not None:
        raise ValueError(message(operation, "lut_function", repr(lut_function), f"None with mode {mode!r}"))
    if lut_function is None:
        return None
    if not callable(lut_function):
        raise TypeError(message(operation, "lut_function", repr(lut_function), "a function"))
    return checked(operation, lut_function, cluster_dim)


def _importance(operation: str, importance: Any, shape: tuple[int, ...]) -> Array:
    """float32 as it is, every other kind of real number as float64."""
    array = inputs.as_array(operation, "importance", importance)
    if array.dtype == np.float32:
        inputs.require_shape(operation, "importance", array, shape)
        return array
    return inputs.as_doubles(operation, "importance", array, shape)
