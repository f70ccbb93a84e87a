"""Vector tables, per-channel scales, importance and mask, and what sc.palettize refuses."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import swiftcompress as sc
from support import reference
from support.arrays import adversarial, assert_same_bits
from support.decoding import decode_ios18

DTYPES = (np.float16, np.float32)


# MARK: vectors


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape, axis, group_size, cluster_dim", [
    ((32, 24), 0, 0, 2),
    ((32, 24), 0, 8, 2),
    ((32, 24), 1, 0, 4),
    ((32, 24), 1, 12, 3),
    ((16, 8, 3, 3), 0, 0, 4),
    ((16, 8, 3, 3), 1, 4, 2),
    ((6, 10, 12), 2, 6, 3),
    ((6, 10, 12), -2, 0, 5),
])  # fmt: skip
def test_unique_vectors(dtype: Any, shape: tuple[int, ...], axis: int, group_size: int, cluster_dim: int) -> None:
    """mode unique is exact for vectors too: the layout of tables and indices can be compared bit for bit."""
    rng = np.random.default_rng(20)
    weight = rng.choice(np.array([-1, 2], dtype), shape)
    grouped = {"granularity": "per_grouped_channel", "group_size": group_size} if group_size else {}
    ours = sc.palettize(weight, None, mode="unique", channel_axis=axis, cluster_dim=cluster_dim, **grouped)
    theirs = reference.palettize_array(
        weight, None, mode="unique", channel_axis=axis, group_size=group_size, cluster_dim=cluster_dim
    )
    assert theirs is not None
    assert_same_bits(ours.lut, theirs.lut, "lut")
    assert_same_bits(ours.indices, theirs.indices, "indices")
    assert ours.vector_axis == theirs.vector_axis
    assert_same_bits(ours.decompress(), weight, "decompressed")


@pytest.mark.parametrize("shape, axis, group_size, cluster_dim, nbits", [
    ((64, 48), 0, 0, 2, 4),
    ((64, 48), 1, 16, 2, 3),
    ((64, 48), 0, 32, 4, 6),
    ((32, 16, 3, 3), 0, 8, 4, 4),
    ((256, 64), 0, 0, 8, 8),
])  # fmt: skip
@pytest.mark.parametrize("dtype", DTYPES)
def test_vector_kmeans_error(
    dtype: Any, shape: tuple[int, ...], axis: int, group_size: int, cluster_dim: int, nbits: int
) -> None:
    """Over 20 weights and seeds the squared error is on average no larger than the reference's (scikit-learn)."""
    ours_total, theirs_total = 0.0, 0.0
    grouped = {"granularity": "per_grouped_channel", "group_size": group_size} if group_size else {}
    for seed in range(20):
        weight = np.random.default_rng([21, seed]).standard_normal(shape).astype(dtype)
        ours = sc.palettize(weight, nbits, channel_axis=axis, cluster_dim=cluster_dim, seed=seed, **grouped)
        theirs = reference.palettize_array(
            weight, nbits, channel_axis=axis, group_size=group_size, cluster_dim=cluster_dim, exact=False
        )
        assert theirs is not None
        assert ours.lut.shape == theirs.lut.shape
        assert ours.lut.dtype == theirs.lut.dtype
        assert ours.indices.shape == theirs.indices.shape
        assert ours.vector_axis == theirs.vector_axis
        decoded = ours.decompress()
        assert_same_bits(decoded, decode_ios18(ours.lut, ours.indices, ours.vector_axis), "decompressed")
        ours_total += reference.squared_error(weight, decoded)
        theirs_total += reference.squared_error(weight, decode_ios18(theirs.lut, theirs.indices, theirs.vector_axis))
    assert ours_total <= theirs_total


@pytest.mark.parametrize("cluster_dim", [2, 4])
@pytest.mark.parametrize("nbits", [1, 2, 3, 4, 6, 8])
def test_fewer_vectors_than_entries(cluster_dim: int, nbits: int) -> None:
    """The reference dies here ("n_samples=… should be >= n_clusters"); every vector must come back as itself."""
    weight = np.random.default_rng(22).standard_normal((8, 2)).astype(np.float16)
    vectors = weight.size // cluster_dim
    ours = sc.palettize(weight, nbits, cluster_dim=cluster_dim)
    assert ours.lut.shape == (1, 1, 2**nbits, cluster_dim)
    if vectors <= 2**nbits:
        assert_same_bits(ours.decompress(), weight, "decompressed")


def test_vector_kmeans_is_reproducible() -> None:
    weight = np.random.default_rng(23).standard_normal((128, 96)).astype(np.float32)
    first = sc.palettize(weight, 4, cluster_dim=4, seed=7, num_threads=1)
    for threads in (2, 3, 8):
        again = sc.palettize(weight, 4, cluster_dim=4, seed=7, num_threads=threads)
        assert_same_bits(again.lut, first.lut, "lut")
        assert_same_bits(again.indices, first.indices, "indices")


# MARK: per-channel scale


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", ["kmeans", "uniform"])
@pytest.mark.parametrize("shape, axis, group_size", [
    ((24, 40), 0, 0),
    ((24, 40), 0, 8),
    ((24, 40), 1, 0),
    ((24, 40), -1, 10),
    ((8, 6, 3, 3), 0, 2),
    ((8, 6, 3, 3), 1, 0),
])  # fmt: skip
def test_per_channel_scale(dtype: Any, mode: str, shape: tuple[int, ...], axis: int, group_size: int) -> None:
    """One scale per channel of the channel axis, and the reference's bits on the weight divided by it in its own dtype."""
    rng = np.random.default_rng(24)
    weight = rng.standard_normal(shape).astype(dtype)
    channel = axis % weight.ndim
    rows = np.moveaxis(weight, channel, 0)
    rows *= np.exp(np.linspace(-3, 3, shape[channel])).astype(dtype).reshape(-1, *[1] * (weight.ndim - 1))
    rows[2] = 0
    before = weight.copy()
    others = tuple(i for i in range(weight.ndim) if i != channel)
    scale = np.abs(weight).max(axis=others, keepdims=True)
    scale[scale == 0] = 1
    grouped = {"granularity": "per_grouped_channel", "group_size": group_size} if group_size else {}
    ours = sc.palettize(weight, 4, mode=mode, channel_axis=axis, enable_per_channel_scale=True, **grouped)
    theirs = reference.palettize_array(weight / scale, 4, mode=mode, channel_axis=axis, group_size=group_size)
    assert theirs is not None
    assert_same_bits(weight, before, "the input")
    assert_same_bits(ours.per_channel_scale, scale, "scale")
    assert_same_bits(ours.lut, theirs.lut, "lut")
    assert_same_bits(ours.indices, theirs.indices, "indices")
    assert_same_bits(ours.decompress(), decode_ios18(theirs.lut, theirs.indices) * scale, "decompressed")


def test_per_channel_scale_helps_rows_of_different_size() -> None:
    """256 x 256, rows from e^-3 to e^3, 4 bits: the reference's scale over the wrong axis leaves 0.454; the right one 0.0102."""
    rng = np.random.default_rng(25)
    weight = (rng.standard_normal((256, 256)) * np.exp(np.linspace(-3, 3, 256))[:, None]).astype(np.float32)
    decoded = sc.palettize(weight, 4, enable_per_channel_scale=True).decompress()
    relative = ((weight - decoded) ** 2).mean(axis=1) / (weight**2).mean(axis=1)
    assert relative.mean() <= 0.011


# MARK: importance and mask


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("importance_dtype", [np.float32, np.float64])
@pytest.mark.parametrize("nbits", [1, 3, 4, 8])
def test_importance(dtype: Any, importance_dtype: Any, nbits: int) -> None:
    """Importances of equal values add up; the solver then sees distinct values and their sums."""
    rng = np.random.default_rng(26)
    weight = (np.round(rng.standard_normal((40, 30)) * 64) / 64).astype(dtype)
    importance = rng.gamma(0.5, size=weight.shape).astype(importance_dtype) + importance_dtype(1e-6)
    kept = importance.copy()
    ours = sc.palettize(weight, nbits, importance=importance)
    values, inverse = np.unique(weight, return_inverse=True)
    summed = np.bincount(inverse.ravel(), weights=importance.ravel().astype(np.float64))
    k = min(2**nbits, len(values))
    centroids, labels = reference.kmeans_1d(values.astype(np.float64), k, summed)
    lut = np.zeros(2**nbits, dtype)
    lut[:k] = centroids
    assert_same_bits(ours.lut.ravel(), lut, "lut")
    assert_same_bits(ours.indices, labels[inverse.ravel()].reshape(weight.shape).astype(np.uint8), "indices")
    assert_same_bits(importance, kept, "importance")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mask_dtype", [np.bool_, np.uint8])
@pytest.mark.parametrize("mode", ["kmeans", "uniform", "unique"])
def test_mask(dtype: Any, mask_dtype: Any, mode: str) -> None:
    """Elements under a zero of the mask take no part and keep their value."""
    rng = np.random.default_rng(27)
    weight = (np.round(rng.standard_normal((30, 20)) * 8) / 8).clip(-2, 2).astype(dtype)
    mask = rng.random(weight.shape) < 0.7
    weight[~mask] = rng.choice([100, -50, 0], int((~mask).sum()))
    ours = sc.palettize(weight, None if mode == "unique" else 4, mode=mode, mask=mask.astype(mask_dtype))
    taken = reference.palettize_array(weight[mask], None if mode == "unique" else 4, mode=mode)
    assert taken is not None
    assert_same_bits(ours.lut.ravel(), taken.lut.ravel(), "lut")
    assert_same_bits(ours.indices[mask], taken.indices, "indices")
    decoded = ours.decompress()
    assert_same_bits(decoded[~mask], weight[~mask], "masked-out elements")
    assert_same_bits(decoded[mask], taken.lut.ravel()[taken.indices], "participating elements")


def test_mask_hides_values_that_could_not_be_clustered() -> None:
    weight = np.random.default_rng(28).standard_normal((10, 10)).astype(np.float16)
    weight[0, :3] = [np.nan, np.inf, -np.inf]
    mask = np.isfinite(weight)
    decoded = sc.palettize(weight, 3, mask=mask).decompress()
    assert decoded[~mask].tobytes() == weight[~mask].tobytes()


@pytest.mark.parametrize("group_size", [0, 5])
def test_mask_of_nothing(group_size: int) -> None:
    weight = np.random.default_rng(29).standard_normal((10, 10)).astype(np.float16)
    grouped = {"granularity": "per_grouped_channel", "group_size": group_size} if group_size else {}
    ours = sc.palettize(weight, 3, mask=np.zeros(weight.shape, bool), **grouped)
    assert_same_bits(ours.decompress(), weight, "decompressed")


# MARK: what is refused

W = np.linspace(-1, 1, 60, dtype=np.float16).reshape(6, 10)


@pytest.mark.parametrize(
    "options, says",
    [
        ({"nbits": 5}, ["nbits", "5", "1, 2, 3, 4, 6, 8"]),
        ({"nbits": 0}, ["nbits", "0"]),
        ({"nbits": -4}, ["nbits", "-4"]),
        ({"nbits": 16}, ["nbits", "16"]),
        ({"nbits": None}, ["nbits"]),
        ({"mode": "kmean"}, ["mode", "kmean", "kmeans", "uniform", "unique", "custom"]),
        ({"granularity": "per_channel"}, ["granularity", "per_channel", "per_tensor", "per_grouped_channel"]),
        ({"granularity": "per_grouped_channel", "group_size": 0}, ["group_size", "0"]),
        ({"granularity": "per_grouped_channel", "group_size": -2}, ["group_size", "-2"]),
        ({"granularity": "per_grouped_channel", "group_size": 4}, ["group_size", "4", "6"]),
        ({"granularity": "per_grouped_channel", "group_size": 7}, ["group_size", "7"]),
        ({"granularity": "per_grouped_channel", "group_size": 2**62}, ["group_size"]),
        ({"channel_axis": 2}, ["channel_axis", "2"]),
        ({"channel_axis": -3}, ["channel_axis", "-3"]),
        ({"cluster_dim": 0}, ["cluster_dim", "0"]),
        ({"cluster_dim": -1}, ["cluster_dim", "-1"]),
        ({"cluster_dim": 4}, ["cluster_dim", "4"]),
        ({"mode": "custom", "nbits": None}, ["lut_function"]),
        ({"lut_function": lambda v: v}, ["lut_function"]),
        ({"mask": np.ones((10, 6), bool)}, ["mask"]),
        ({"mask": np.ones(60, bool)}, ["mask"]),
        ({"importance": np.ones((10, 6), np.float32)}, ["importance"]),
        ({"importance": -np.ones((6, 10), np.float32)}, ["importance"]),
        ({"importance": np.full((6, 10), np.nan, np.float32)}, ["importance"]),
        ({"num_threads": -1}, ["num_threads", "-1"]),
    ],
    ids=lambda value: (
        ",".join(f"{k}={'a function' if callable(v) else v}" for k, v in value.items())[:60]
        if isinstance(value, dict)
        else ""
    ),
)
def test_bad_arguments(options: dict[str, Any], says: list[str]) -> None:
    """ValueError naming the argument, the value and what is allowed."""
    arguments = {"nbits": 4, **options}
    with pytest.raises(ValueError) as caught:
        sc.palettize(W, **arguments)
    for word in says:
        assert word in str(caught.value), str(caught.value)


def test_uniform_vectors_are_not_implemented() -> None:
    with pytest.raises(NotImplementedError, match=r"uniform|cluster_dim"):
        sc.palettize(W, 4, mode="uniform", cluster_dim=2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("mode", ["kmeans", "uniform"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_not_finite(value: float, mode: str, dtype: Any) -> None:
    weight = np.ones((6, 10), dtype)
    weight[2, 3] = value
    with pytest.raises(ValueError, match="23"):
        sc.palettize(weight, 4, mode=mode)


def test_unique_refuses_nan() -> None:
    weight = np.ones((6, 10), np.float32)
    weight[5, 9] = np.nan
    with pytest.raises(ValueError, match="59"):
        sc.palettize(weight, None, mode="unique")


@pytest.mark.parametrize("weight", [
    np.ones((4, 4), np.int32), np.ones((4, 4), np.complex64), np.ones((4, 4), bool), np.array(["a"]), np.array([None]), "text", None
], ids=["int32", "complex64", "bool", "str", "object", "text", "None"])  # fmt: skip
def test_not_a_float_array(weight: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        sc.palettize(weight, 4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_warnings_on_anything_finite(dtype: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for weight in adversarial(dtype).values():
            for mode in ("kmeans", "uniform"):
                result = sc.palettize(weight, 2, mode=mode, enable_per_channel_scale=True)
                assert result.decompress().shape == weight.shape


# MARK: what a result tells about itself


def test_sizes() -> None:
    weight = np.random.default_rng(30).standard_normal((64, 48)).astype(np.float16)
    ours = sc.palettize(weight, 3)
    assert ours.nbytes == -(-64 * 48 * 3 // 8) + 8 * 2
    assert ours.bits_per_weight == pytest.approx(ours.nbytes * 8 / weight.size)
    assert "\n" not in repr(ours)
    grouped = sc.palettize(weight, 4, granularity="per_grouped_channel", group_size=16, enable_per_channel_scale=True)
    assert grouped.nbytes == 64 * 48 // 2 + 4 * 16 * 2 + 64 * 2
