"""sc.kmeans (k-means++ and Lloyd) beside scikit-learn with the settings coremltools uses: the average over 20 seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans

import swiftcompress as sc


def inertia_of(
    points: np.ndarray, centroids: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> float:
    parts = ((points.astype(np.float64) - centroids.astype(np.float64)[labels]) ** 2).sum(axis=1)
    return float(parts.sum() if weights is None else (parts * weights).sum())


def blobs(count: int, dim: int, centres: int, seed: int, dtype: Any = np.float64) -> np.ndarray:
    rng = np.random.default_rng(seed)
    where = rng.standard_normal((centres, dim)) * 5
    return (where[rng.integers(0, centres, count)] + rng.standard_normal((count, dim))).astype(dtype)


CASES = {
    "normal, 2 dimensions": lambda s: np.random.default_rng(s).standard_normal((2000, 2)),
    "normal, 4 dimensions": lambda s: np.random.default_rng(s).standard_normal((1500, 4)).astype(np.float32),
    "uniform, 8 dimensions": lambda s: np.random.default_rng(s).random((1000, 8)).astype(np.float32),
    "blobs": lambda s: blobs(2000, 3, 12, s),
    "duplicates": lambda s: np.round(np.random.default_rng(s).standard_normal((2000, 2)) * 2) / 2,
}


@pytest.mark.parametrize("case", sorted(CASES))
@pytest.mark.parametrize("k", [4, 16, 64])
def test_mean_error_over_20_seeds(case: str, k: int) -> None:
    ours_total, theirs_total = 0.0, 0.0
    for seed in range(20):
        points = CASES[case](seed)
        ours = sc.kmeans(points, k, seed=seed)
        theirs = KMeans(k, init="k-means++", tol=1e-2, n_init=1, random_state=seed).fit(points)
        assert ours.inertia == pytest.approx(inertia_of(points, ours.centroids, ours.labels), rel=1e-6)
        ours_total += inertia_of(points, ours.centroids, ours.labels)
        theirs_total += inertia_of(points, theirs.cluster_centers_, theirs.labels_)
    assert ours_total <= theirs_total


def test_weighted_mean_error_over_20_seeds() -> None:
    ours_total, theirs_total = 0.0, 0.0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        points, weights = rng.standard_normal((1200, 2)), rng.gamma(0.5, size=1200) + 1e-6
        ours = sc.kmeans(points, 12, weights=weights, seed=seed)
        theirs = KMeans(12, init="k-means++", tol=1e-2, n_init=1, random_state=seed).fit(points, sample_weight=weights)
        ours_total += inertia_of(points, ours.centroids, ours.labels, weights)
        theirs_total += inertia_of(points, theirs.cluster_centers_, theirs.labels_, weights)
    assert ours_total <= theirs_total


def test_result_is_a_fixed_point() -> None:
    """Run to the end (tol 0), every point is with its nearest centroid and every centroid is its points' mean."""
    points = blobs(1000, 3, 8, 1)
    result = sc.kmeans(points, 8, seed=3, tol=0.0, max_iter=1000)
    distances = ((points[:, None, :] - result.centroids[None]) ** 2).sum(axis=2)
    assert np.array_equal(distances.argmin(axis=1), result.labels)
    for index in np.unique(result.labels):
        assert np.allclose(result.centroids[index], points[result.labels == index].mean(axis=0), rtol=1e-9, atol=1e-12)


def test_seeds_and_starts() -> None:
    points = blobs(1000, 2, 20, 2)
    first = sc.kmeans(points, 20, seed=5)
    again = sc.kmeans(points, 20, seed=5)
    assert np.array_equal(first.centroids, again.centroids)
    assert np.array_equal(first.labels, again.labels)
    assert len({sc.kmeans(points, 20, seed=s).inertia for s in range(8)}) > 1
    assert sc.kmeans(points, 20, seed=5, n_init=10).inertia <= first.inertia


def test_input_is_not_changed_and_layout_does_not_matter() -> None:
    points = blobs(300, 4, 5, 3)
    kept = points.copy()
    expected = sc.kmeans(points, 5, seed=1)
    assert points.tobytes() == kept.tobytes()
    for view in (
        np.asfortranarray(points),
        np.repeat(points, 2, axis=0)[::2],
        points.astype(points.dtype.newbyteorder()),
    ):
        assert np.array_equal(sc.kmeans(view, 5, seed=1).centroids, expected.centroids)


def test_fewer_distinct_points_than_clusters() -> None:
    points = np.repeat(np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]), 4, axis=0)
    result = sc.kmeans(points, 8)
    assert result.inertia == 0
    assert np.array_equal(result.centroids[result.labels], points)


@pytest.mark.parametrize("arguments", [
    {"points": np.zeros((0, 2)), "k": 2},
    {"points": np.zeros((3, 0)), "k": 2},
    {"points": np.zeros((3, 2)), "k": 0},
    {"points": np.zeros((3, 2)), "k": -1},
    {"points": np.array([[0.0, np.nan]]), "k": 1},
    {"points": np.array([[0.0, np.inf]]), "k": 1},
    {"points": np.zeros((3, 2)), "k": 2, "weights": np.ones(2)},
    {"points": np.zeros((3, 2)), "k": 2, "weights": -np.ones(3)},
    {"points": np.zeros((3, 2)), "k": 2, "n_init": 0},
    {"points": np.zeros((3, 2)), "k": 2, "max_iter": 0},
    {"points": np.zeros((3, 2)), "k": 2, "tol": -1.0},
    {"points": np.zeros((3, 2)), "k": 2, "tol": np.nan},
], ids=str)  # fmt: skip
def test_bad_arguments(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        sc.kmeans(**arguments)
