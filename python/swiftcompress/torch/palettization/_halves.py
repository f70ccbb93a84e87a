"""Clustering of many numbers that are float16, or are rounded to it first: by a count of its 65,536 patterns, without a sort."""

import numpy as np

from swiftcompress import _native
from swiftcompress.arrays.inputs import Array

_PATTERNS = 1 << 16
# From so many elements on, what is done for each pattern costs less than a sort.
WORTH_IT = 1 << 16
# Elements at a time, so that a pass needs little memory.
_CHUNK = 1 << 20


def cluster(array: Array, decimals: int | None, nbits: int, threads: int) -> tuple[Array, Array] | None:
    """Cluster the elements of an array exactly.

    Parameters
    ----------
    array
        float16, float32 or float64, in the range of float16.
    decimals
        Cluster the numbers as they are after rounding to float16 and then to so many decimals; None: as they are, and
        `array` is float16.
    nbits
        The table has ``2**nbits`` entries.
    threads
        For the engine.

    Returns
    -------
    (lut, indices), or None
        The centroids in float64, ascending, zeros at the end; a code for each element. None where not all are finite.
    """
    bits = np.empty(array.shape, np.uint16)
    source, patterns = array.reshape(-1), bits.reshape(-1)
    counts = np.zeros(_PATTERNS, np.int64)
    for start in range(0, source.size, _CHUNK):
        part = source[start : start + _CHUNK].astype(np.float16, copy=False).view(np.uint16)
        patterns[start : start + _CHUNK] = part
        counts += np.bincount(part, minlength=_PATTERNS)
    present = np.flatnonzero(counts)
    halves = present.astype(np.uint16).view(np.float16)
    if not np.isfinite(halves).all():
        return None
    values = (halves if decimals is None else rounded(halves, decimals)).astype(np.float64)
    centroids, labels, _ = _native.kmeans_1d(values, counts[present].astype(np.float64), 1 << nbits, threads)
    lut = np.zeros(1 << nbits)
    lut[: len(centroids)] = centroids
    code_of = np.zeros(_PATTERNS, np.uint8)
    code_of[present] = labels
    indices: Array = np.take(code_of, bits)
    return lut, indices


def rounded(array: Array, decimals: int) -> Array:
    """The numbers as float16, then to some decimals in float32; beyond float16 infinite, or NaN."""
    scale = 10**decimals
    with np.errstate(over="ignore", invalid="ignore"):
        result: Array = array.astype(np.float16).astype(np.float32)
        result *= scale
        np.rint(result, out=result)
        result /= scale
    return result
