"""K-means, exact in one dimension."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swiftcompress import _checks, _native
from swiftcompress._checks import integer, message
from swiftcompress.arrays.inputs import Array, as_array, as_doubles, as_weight


@dataclass(frozen=True, eq=False, slots=True)
class KMeansResult:
    """What `kmeans_1d` and `kmeans` found."""

    centroids: NDArray[np.float64]
    """float64: (k,) and ascending from `kmeans_1d`, (k, d) from `kmeans`. Fewer than asked for where there are fewer
    distinct points."""
    labels: NDArray[np.int32]
    """The centroid of each point: the shape of the values, or (n,)."""
    inertia: float
    """The sum of squared distances to the centroids, times the weights where there are some."""

    def __repr__(self) -> str:
        k, points = len(self.centroids), self.labels.size
        return f"KMeansResult(centroids={k}, points={points}, inertia={self.inertia:.6g})"


def kmeans_1d(values: Any, k: int, *, weights: Any = None) -> KMeansResult:
    """Split numbers into `k` clusters with the least possible sum of squared distances.

    The result is the true optimum, not an approximation that depends on a start: dynamic programming over the sorted
    distinct values, in float64 (Grønlund et al., "Fast exact k-means, k-medians and Bregman divergence clustering in
    1D", 2017). Memory grows with the number of distinct values and not with `k`.

    Parameters
    ----------
    values
        Finite real numbers in any shape and order, at least one.
    k
        Clusters wanted, 1 or more. Where there are fewer distinct values, each gets a centroid of its own.
    weights
        How much each value counts: finite, 0 or more, in the shape of `values`. None: all alike.

    Returns
    -------
    KMeansResult
        `centroids` are float64 and ascending; `labels` have the shape of `values`.

    Raises
    ------
    TypeError
        When an argument is not of the kind described.
    ValueError
        When it is out of range; names the first value that is not finite.

    Examples
    --------
    >>> import swiftcompress as sc
    >>> result = sc.kmeans_1d([9.0, 1.0, 1.5, 8.5, 1.25], 2)
    >>> result.centroids
    array([1.25, 8.75])
    >>> result.labels
    array([1, 0, 0, 1, 0], dtype=int32)
    """
    number = integer("kmeans_1d", "k", k, 1, "a whole number of 1 or more")
    array = as_doubles("kmeans_1d", "values", values)
    if array.size == 0:
        raise ValueError(message("kmeans_1d", "values", "no element", "at least one"))
    counts = None if weights is None else as_doubles("kmeans_1d", "weights", weights, array.shape)
    return KMeansResult(*_native.kmeans_1d(array, counts, number, 0))


def kmeans(
    points: Any, k: int, *, weights: Any = None, seed: int = 0, n_init: int = 1, max_iter: int = 300, tol: float = 1e-4
) -> KMeansResult:
    """Split points into `k` clusters: k-means++ starts, then Lloyd's iteration.

    The same seed gives the same result on any machine with any number of threads.

    Parameters
    ----------
    points
        (n, d) finite real numbers, neither n nor d 0.
    k
        Clusters wanted, 1 or more.
    weights
        How much each point counts: (n,), finite, 0 or more. None: all alike.
    seed
        Start of the random numbers, 0 to 2**64 - 1.
    n_init
        Starts, 1 or more; the best result is kept.
    max_iter
        Rounds of one start at most, 1 or more.
    tol
        A start ends when its centroids move by no more than this, as a sum of squares in units of the mean variance
        of the components (scikit-learn's measure). 0 or more; 0 runs until nothing changes.

    Returns
    -------
    KMeansResult
        `centroids` are (k, d); the distances are computed in float32, the centroids and the inertia in float64.

    Raises
    ------
    TypeError
        When an argument is not of the kind described.
    ValueError
        When it is out of range; names the first value that is not finite.

    Examples
    --------
    >>> import swiftcompress as sc
    >>> result = sc.kmeans([[0.0, 0.0], [0.0, 2.0], [9.0, 9.0]], 2, seed=1)
    >>> sorted(result.centroids.tolist())
    [[0.0, 1.0], [9.0, 9.0]]
    >>> result.inertia
    2.0
    """
    operation = "kmeans"
    number = integer(operation, "k", k, 1, "a whole number of 1 or more")
    start = _checks.seed(operation, seed)
    starts = integer(operation, "n_init", n_init, 1, "a whole number of 1 or more")
    rounds = integer(operation, "max_iter", max_iter, 1, "a whole number of 1 or more")
    if isinstance(tol, bool) or not isinstance(tol, int | float | np.floating | np.integer):
        raise TypeError(message(operation, "tol", repr(tol), "a number of 0 or more"))
    if not 0 <= tol < math.inf:
        raise ValueError(message(operation, "tol", tol, "a finite number of 0 or more"))
    array = _points(operation, points)
    counts = None if weights is None else as_doubles(operation, "weights", weights, array.shape[:1])
    result = _native.kmeans(array, counts, number, start, starts, rounds, float(tol), 0)
    return KMeansResult(*result)


def _points(operation: str, points: Any) -> Array:
    array = as_array(operation, "points", points)
    floats = array.astype(np.float64) if array.dtype.kind in "iu" else as_weight(operation, "points", array)[0]
    if floats.ndim != 2 or 0 in floats.shape:
        raise ValueError(
            message(operation, "points", f"an array of shape {floats.shape}", "shape (n, d), neither of them 0")
        )
    return floats
