"""sc.kmeans_1d and sc.kmeans: arguments, shapes and types."""

from typing import Any

import numpy as np
import pytest

import swiftcompress as sc


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint32, np.int64])
def test_every_real_type_is_exact(dtype: Any) -> None:
    values = np.array([[0, 1, 50], [51, 100, 1]], dtype)
    result = sc.kmeans_1d(values, 3)
    assert result.centroids.tolist() == [2 / 3, 50.5, 100]
    assert result.labels.tolist() == [[0, 0, 1], [1, 2, 0]]
    assert (result.centroids.dtype, result.labels.dtype) == (np.float64, np.int32)
    assert result.inertia == pytest.approx(2 / 3 + 0.5)


def test_layouts() -> None:
    values = np.random.default_rng(0).standard_normal((9, 11))
    weights = np.random.default_rng(1).random((9, 11))
    expected = sc.kmeans_1d(values, 5, weights=weights)
    swapped = values.astype(">f8")
    for view, counts in ((values.T.copy().T, np.asfortranarray(weights)), (swapped, weights.astype(">f8"))):
        kept = view.copy()
        result = sc.kmeans_1d(view, 5, weights=counts)
        assert np.array_equal(result.labels, expected.labels)
        assert result.centroids.tobytes() == expected.centroids.tobytes()
        assert view.tobytes() == kept.tobytes()


def test_scalar() -> None:
    result = sc.kmeans_1d(np.float32(1.5), 4)
    assert (result.centroids.tolist(), result.labels.shape, result.inertia) == ([1.5], (), 0.0)


@pytest.mark.parametrize(
    ("values", "k", "weights", "error"),
    [
        ([1.0], True, None, TypeError),
        ([1.0], 2.0, None, TypeError),
        ([1.0], None, None, TypeError),
        ([1.0], 0, None, ValueError),
        ([1.0], 2**64, None, ValueError),
        ([], 1, None, ValueError),
        ([True], 1, None, TypeError),
        ([1j], 1, None, TypeError),
        ("text", 1, None, TypeError),
        ([1.0, np.nan], 1, None, ValueError),
        ([1.0], 1, [1.0, 2.0], ValueError),
        ([1.0], 1, ["a"], TypeError),
        ([1.0], 1, [-1.0], ValueError),
    ],
)
def test_arguments(values: Any, k: Any, weights: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^\[kmeans_1d\] (values|k|weights): "):
        sc.kmeans_1d(values, k, weights=weights)


def test_huge_k_costs_nothing() -> None:
    assert len(sc.kmeans_1d([3.0, 1.0, 2.0], 2**62).centroids) == 3


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("k", 0, ValueError),
        ("k", True, TypeError),
        ("seed", -1, ValueError),
        ("n_init", 0, ValueError),
        ("n_init", 1.5, TypeError),
        ("max_iter", 0, ValueError),
        ("tol", -1.0, ValueError),
        ("tol", float("nan"), ValueError),
        ("tol", "small", TypeError),
        ("tol", True, TypeError),
        ("points", np.zeros(3), ValueError),
        ("points", np.zeros((0, 2)), ValueError),
        ("points", np.zeros((2, 0)), ValueError),
        ("points", np.zeros((2, 2), bool), TypeError),
        ("weights", np.ones(4), ValueError),
        ("weights", np.ones((3, 1)), ValueError),
    ],
)
def test_kmeans_arguments(name: str, value: Any, error: type[Exception]) -> None:
    arguments = {"points": np.zeros((3, 2)), "k": 2, name: value}
    with pytest.raises(error, match=rf"^\[kmeans\] {name}: found .*, allowed "):
        sc.kmeans(**arguments)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16])
def test_kmeans_types_and_layouts(dtype: Any) -> None:
    points = np.array([[0, 0], [0, 2], [90, 90], [92, 90]], dtype)
    for view in (points, np.asfortranarray(points), points.astype(points.dtype.newbyteorder())):
        result = sc.kmeans(view, 2, seed=3)
        assert sorted(result.centroids.tolist()) == [[0, 1], [91, 90]]
        assert result.labels.shape == (4,)
        assert result.labels.dtype == np.int32
        assert result.inertia == pytest.approx(4)
        assert repr(result) == "KMeansResult(centroids=2, points=4, inertia=4)"


def test_kmeans_weights() -> None:
    points = np.array([[0.0], [1.0], [10.0]])
    assert sc.kmeans(points, 1, weights=[1, 1, 0]).centroids.tolist() == [[0.5]]
