"""sc.kmeans_1d against coremltools._deps._kmeans1d.cluster, bit for bit, on the same (distinct values, weights)."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import swiftcompress as sc
from conftest import sample
from support import reference
from support.arrays import adversarial, assert_same_bits


def expected(values: np.ndarray, k: int, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, float]:
    """The oracle on distinct ascending values with summed weights; labels in the input's order."""
    flat = values.ravel().astype(np.float64)
    distinct, inverse, counts = np.unique(flat, return_inverse=True, return_counts=True)
    summed = counts.astype(np.float64)
    if weights is not None:
        summed = np.bincount(inverse.ravel(), weights=weights.ravel().astype(np.float64))
    centroids, labels = reference.kmeans_1d(distinct, min(k, len(distinct)), summed)
    each = labels[inverse.ravel()]
    parts = (flat - centroids[each]) ** 2
    inertia = float((parts * (1.0 if weights is None else weights.ravel().astype(np.float64))).sum())
    return centroids, each.reshape(values.shape), inertia


def check(values: np.ndarray, k: int, weights: np.ndarray | None = None) -> None:
    __tracebackhide__ = True
    kept = values.copy()
    ours = sc.kmeans_1d(values, k) if weights is None else sc.kmeans_1d(values, k, weights=weights)
    centroids, labels, inertia = expected(kept, k, weights)
    assert_same_bits(values, kept, "the input")
    assert ours.centroids.dtype == np.float64
    used = np.unique(labels)
    assert len(used) == len(centroids), "the oracle left a cluster empty: compare by hand"
    assert_same_bits(ours.centroids, centroids, "centroids")
    assert ours.labels.shape == values.shape
    assert np.array_equal(ours.labels, labels)
    assert ours.inertia == pytest.approx(inertia, rel=1e-9, abs=1e-300)


# Squares of these are infinite, or zero, in float64: no cost means anything, for the oracle neither.
SQUARES_OVERFLOW = {"near the largest", "subnormal", "smallest"}


@pytest.mark.parametrize("case", sorted(adversarial(np.float64)))
@pytest.mark.parametrize("k", [1, 2, 3, 7, 16, 64])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_adversarial(case: str, k: int, dtype: Any) -> None:
    values = adversarial(dtype, rows=12, columns=20)[case]
    if dtype == np.float64 and case in SQUARES_OVERFLOW:
        _well_formed(values, k, sc.kmeans_1d(values, k))
        return
    if _oracle_degenerates(values, k, None) or _lies_close(values):
        _no_worse_than_the_oracle(values, k, None)
        return
    check(values, k)


@pytest.mark.parametrize("case", sample(sorted(adversarial(np.float64)), 12, seed=3))
@pytest.mark.parametrize("k", [1, 2, 5, 16])
def test_adversarial_weighted(case: str, k: int) -> None:
    values = adversarial(np.float32, rows=12, columns=20)[case]
    rng = np.random.default_rng(31)
    for weights in (
        rng.gamma(0.3, size=values.shape) + 1e-9,
        rng.integers(1, 1000, values.shape).astype(np.float64),
        10.0 ** rng.integers(-12, 12, values.shape),
        np.ones(values.shape),
    ):
        if _oracle_degenerates(values, k, weights):
            _no_worse_than_the_oracle(values, k, weights)
        else:
            check(values, k, weights)


def _lies_close(values: np.ndarray) -> bool:
    """Squares cancel here: the values are moved before they are clustered, for a better result than the oracle's."""
    return bool(float(values.max()) - float(values.min()) < np.abs(values).max().astype(np.float64) * 2.0**-14)


@pytest.mark.parametrize("offset, step", [(1e9, 1.0), (1e6, 1e-3), (-3.0, 2.0**-40)])
def test_close_values_far_from_zero(offset: float, step: float) -> None:
    """Four pairs that are clusters of their own, whatever is added to them: the oracle merges the wrong ones."""
    values = offset + step * np.array([0, 1, 10, 11, 20, 21, 30, 31], np.float64)
    result = sc.kmeans_1d(values, 4)
    assert result.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    np.testing.assert_allclose(result.centroids, values.reshape(4, 2).mean(axis=1), rtol=1e-15)


def test_as_many_clusters_as_values() -> None:
    values = np.random.default_rng(33).standard_normal(5000)
    for k in (5000, 5001, 10**6):
        result = sc.kmeans_1d(values, k)
        assert np.array_equal(result.centroids, np.sort(values))
        assert result.inertia == 0


def test_weights_of_hundreds_of_decades() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        weight = rng.standard_normal(2000).astype(np.float32)
        importance = 10.0 ** rng.integers(-300, 300, 2000)
        assert np.isfinite(sc.palettize(weight, 4, importance=importance).lut).all()
        _well_formed(weight, 16, sc.kmeans_1d(weight, 16, weights=importance))


def _oracle_degenerates(values: np.ndarray, k: int, weights: np.ndarray | None) -> bool:
    """Where rounding makes every split look alike, or a weight vanishes beside the sum before it, the oracle leaves clusters
    empty and returns centroids that are NaN, or zeros that no value has."""
    with np.errstate(invalid="ignore"):
        centroids, labels, _ = expected(values, k, weights)
    return (
        len(np.unique(labels)) != len(centroids)
        or not np.all(np.diff(centroids) > 0)
        or not np.isfinite(centroids).all()
    )


def _no_worse_than_the_oracle(values: np.ndarray, k: int, weights: np.ndarray | None) -> None:
    ours = sc.kmeans_1d(values, k, weights=weights)
    with np.errstate(invalid="ignore"):
        _, _, inertia = expected(values, k, weights)
    _well_formed(values, k, ours)
    assert not ours.inertia > inertia * (1 + 1e-9)


def _well_formed(values: np.ndarray, k: int, ours: Any) -> None:
    """Distinct centroids in ascending order, at most k, and a label for every element."""
    assert 1 <= len(ours.centroids) <= k
    assert np.isfinite(ours.centroids).all()
    assert np.all(np.diff(ours.centroids) > 0)
    assert ours.labels.shape == values.shape
    assert ours.labels.min() >= 0
    assert ours.labels.max() < len(ours.centroids)


def test_small_cases_exhaustively() -> None:
    """Every multiset of up to five of the values 0…4, every k: ties of every kind."""
    from itertools import combinations_with_replacement

    for size in range(1, 6):
        for values in combinations_with_replacement(range(5), size):
            for k in range(1, 6):
                check(np.array(values, np.float64), k)


def test_random_sizes() -> None:
    rng = np.random.default_rng(32)
    for size in [1, 2, 3, 5, 17, 97, 256, 257, 1009, 4096]:
        for k in (1, 2, 16, 256):
            values = rng.standard_normal(size)
            rng.shuffle(values)
            check(values, k)
            check(values, k, rng.random(size) + 1e-3)


@pytest.mark.parametrize("count, k", [(100_003, 2), (100_003, 16), (30_011, 256)])
def test_many_values(count: int, k: int) -> None:
    check(np.random.default_rng(33).standard_normal(count).astype(np.float32), k)


def test_integer_and_nested_input() -> None:
    ours = sc.kmeans_1d([[3, 1], [1, 2]], 2)
    assert ours.labels.shape == (2, 2)
    assert ours.centroids.tolist() == expected(np.array([[3, 1], [1, 2]], float), 2, None)[0].tolist()


def test_more_clusters_than_values() -> None:
    ours = sc.kmeans_1d(np.array([2.0, 1.0, 2.0]), 8)
    assert ours.centroids.tolist() == [1.0, 2.0]
    assert ours.labels.tolist() == [1, 0, 1]
    assert ours.inertia == 0


def test_zero_weights() -> None:
    """A value of no weight is still labelled, and pulls nothing."""
    values = np.array([0.0, 1.0, 10.0, 11.0, 500.0])
    weights = np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    ours = sc.kmeans_1d(values, 2, weights=weights)
    assert ours.inertia == pytest.approx(1.0)
    assert ours.labels.shape == values.shape


@pytest.mark.parametrize(
    "values, k, weights",
    [
        ([], 2, None),
        ([1.0, 2.0], 0, None),
        ([1.0, 2.0], -1, None),
        ([1.0, np.nan], 2, None),
        ([1.0, np.inf], 2, None),
        ([1.0, 2.0], 2, [1.0]),
        ([1.0, 2.0], 2, [1.0, -1.0]),
        ([1.0, 2.0], 2, [1.0, np.nan]),
        ([1.0, 2.0], 2, [1.0, np.inf]),
    ],
)
def test_bad_arguments(values: list[float], k: int, weights: list[float] | None) -> None:
    with pytest.raises(ValueError):
        sc.kmeans_1d(np.array(values), k, weights=None if weights is None else np.array(weights))


def test_memory_does_not_grow_with_k() -> None:
    """200,000 distinct values and 256 clusters: the oracle's tables would take 800 MB."""
    script = (
        "import numpy as np, swiftcompress as sc\n"
        "def peak():  # of this program; ru_maxrss would begin at the parent's\n"
        "    status = open('/proc/self/status').read()\n"
        "    return int(status.split('VmHWM:')[1].split()[0])\n"
        "v = np.random.default_rng(0).standard_normal(200_000)\n"
        "sc.kmeans_1d(v[:1000], 256)\n"
        "before = peak()\n"
        "sc.kmeans_1d(v, 256)\n"
        "print(peak() - before)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert 0 < int(result.stdout) < 100 * 1024, f"{int(result.stdout) // 1024} MiB more"
