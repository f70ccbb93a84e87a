"""K-means of scalars, and the lookup tables of whole weights."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swiftcompress import _native
from swiftcompress.accelerate.patching import Call, Declined, require
from swiftcompress.accelerate.values import doubles, floats, typed
from swiftcompress.arrays.inputs import Array
from swiftcompress.arrays.packing import NBITS
from swiftcompress.arrays.palettization import MODES

HALVES = 1 << 16
# From so many elements on, what is done for each of the 65,536 numbers of 16 bits costs less than a sort.
WORTH_A_HISTOGRAM = 1 << 15
# coremltools' own threshold for its exact solver.
EXACT_FROM = 10_000

Clusters = tuple[NDArray[np.float64], NDArray[Any]]


def cluster(call: Call, array: Any, k: Any, *, weights: Any = None) -> Any:
    """`coremltools._deps.kmeans1d.cluster`: lists of labels and centroids."""
    values = doubles(array, "array")
    counts = None if weights is None else doubles(weights, "weights")
    centroids, labels = solve(values, counts, operator.index(k), call.threads)
    return call.module.Clustered(clusters=labels.tolist(), centroids=centroids.tolist())


def solve(values: Array, weights: Array | None, k: int, threads: int) -> Clusters:
    """Exact centroids and labels, where there are at least as many distinct values as clusters.

    Otherwise coremltools splits equal values into several clusters, and is left to it.
    """
    require(k >= 1, "k is not positive")
    require(
        weights is None or (weights.shape == values.shape and bool((weights > 0).all())), "a weight is not positive"
    )
    wanted = min(k, len(values))
    centroids, labels, _ = _native.kmeans_1d(values, weights, wanted, threads)
    require(len(centroids) == wanted, "fewer distinct values than clusters")
    return centroids, labels


def solve_halves(halves: Array, meaning: Callable[[Array], Array], k: int, threads: int) -> Clusters:
    """Cluster float16 numbers, each standing for `meaning` of it; labels in the shape of the input.

    Equal values are merged, so that there may be fewer clusters than `k`.
    """
    bits = np.ascontiguousarray(halves).view(np.uint16)
    counts = np.bincount(bits.ravel(), minlength=HALVES)
    present = np.flatnonzero(counts)
    values = meaning(present.astype(np.uint16).view(np.float16)).astype(np.float64)
    centroids, labels, _ = _native.kmeans_1d(values, counts[present].astype(np.float64), k, threads)
    label_of = np.zeros(HALVES, np.uint8 if k <= 256 else np.int32)
    label_of[present] = labels
    return centroids, label_of[bits]


def lookup_table_and_weight(
    call: Call,
    nbits: Any,
    weight: Any,
    force_kmeans1d: Any = False,
    cluster_dim: Any = 1,
    vector_axis: Any = None,
) -> tuple[Array, Array]:
    """Cluster one group: a table of float64 and a flat label for each element.

    Where coremltools takes scikit-learn's approximate iteration this is the exact optimum, in the same form.
    """
    require(operator.index(cluster_dim) == 1, "vectors")
    width = operator.index(nbits)
    require(1 <= width <= 16, f"{width} bits")
    array = floats(weight, "weight")
    k = 1 << width
    exact = bool(force_kmeans1d) or (array.size >= EXACT_FROM and array.dtype == np.float16)
    if array.dtype == np.float16 and array.size >= WORTH_A_HISTOGRAM:
        centroids, labels = solve_halves(array, np.asarray, k, call.threads)
    else:
        centroids, labels, _ = _native.kmeans_1d(array.astype(np.float64), None, k, call.threads)
    table = np.zeros(k if exact else (k, 1))
    table.reshape(-1)[: len(centroids)] = centroids
    return table, labels.ravel().astype(np.int64 if exact else np.int32)


def grouped_channelwise_compress(
    call: Call,
    original_data: Any,
    mode: Any,
    nbits: Any,
    channel_axis: Any,
    channel_group_size: Any,
    lut_function: Any = None,
    cluster_dim: Any = 1,
    num_kmeans_workers: Any = 1,
) -> Any:
    """Palettize a whole weight in one call, on threads; never in other processes."""
    workers = operator.index(num_kmeans_workers)
    threads = workers if workers > 1 else call.threads
    try:
        return _palettize(call, original_data, mode, nbits, channel_axis, channel_group_size, cluster_dim, threads)
    except (Declined, TypeError, ValueError, NotImplementedError):
        if workers <= 1:
            raise
    # The original, but in this process: its pool of processes is for speed alone.
    return call.original(original_data, mode, nbits, channel_axis, channel_group_size, lut_function, cluster_dim, 1)


def _palettize(
    call: Call, data: Any, mode: Any, nbits: Any, channel_axis: Any, group_size: Any, cluster_dim: Any, threads: int
) -> Any:
    require(mode in ("KMEANS", "UNIFORM", "UNIQUE"), f"mode {mode}")
    require(cluster_dim == 1, "vectors")
    require(nbits in NBITS or (nbits is None and mode == "UNIQUE"), f"{nbits} bits")
    if mode == "KMEANS":
        solver = call.module._get_kmeans_lookup_table_and_weight
        require(hasattr(solver, "_swiftcompress_routine"), "somebody else has replaced the k-means")
    array = floats(data, "the weight")
    axis, size, width = operator.index(channel_axis), operator.index(group_size), operator.index(nbits or 0)
    require(-array.ndim <= axis < array.ndim and size >= 0, "the channels are not there")
    lut, indices, _, found, _ = _native.palettize(
        array, MODES.index(mode.lower()), width, size, axis % array.ndim, 1, 0, 0, None, None, None, threads
    )
    if mode == "UNIQUE" and 0 in lut:
        require(not np.signbit(array[array == 0]).any(), "which of the two zeros the table gets is up to a sort")
    types = call.module.types
    kind = types.nptype_from_builtin(types.string_to_builtin(f"uint{found}"))
    return call.module.optimize_utils.LutParams(typed(indices, kind), lut, None)
