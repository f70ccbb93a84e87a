"""sc.palettize and Palettized: arguments, shapes and what results tell. The numbers are the parity tests' business."""

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

import swiftcompress as sc
from swiftcompress import _native

WEIGHT = np.random.default_rng(1).standard_normal((8, 12)).astype(np.float32)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"nbits": True}, TypeError),
        ({"nbits": 4.0}, TypeError),
        ({"nbits": "4"}, TypeError),
        ({"nbits": 2**80}, ValueError),
        ({"mode": None}, TypeError),
        ({"mode": "KMEANS"}, ValueError),
        ({"granularity": 1}, TypeError),
        ({"group_size": True}, TypeError),
        ({"group_size": 2.0}, TypeError),
        ({"group_size": 2**70, "granularity": "per_grouped_channel"}, ValueError),
        ({"channel_axis": 0.5}, TypeError),
        ({"channel_axis": -(2**70)}, ValueError),
        ({"cluster_dim": False}, TypeError),
        ({"cluster_dim": 2**64}, ValueError),
        ({"enable_per_channel_scale": 1}, TypeError),
        ({"seed": -1}, ValueError),
        ({"seed": 2**64}, ValueError),
        ({"seed": 1.5}, TypeError),
        ({"num_threads": 0}, ValueError),
        ({"num_threads": True}, TypeError),
        ({"lut_function": 3, "mode": "custom"}, TypeError),
        ({"mask": np.ones((8, 12), np.float32)}, TypeError),
        ({"importance": np.ones((8, 12), complex)}, TypeError),
        ({"importance": np.ones((8, 12), bool)}, TypeError),
    ],
    ids=str,
)
def test_arguments(arguments: dict[str, Any], error: type[Exception]) -> None:
    name = next(iter(arguments))
    with pytest.raises(error, match=rf"^\[palettize\] {name}: found .*, allowed "):
        sc.palettize(WEIGHT, **{"nbits": 4, **arguments})


def test_integers_of_numpy_are_integers() -> None:
    result = sc.palettize(
        WEIGHT,
        np.int64(2),
        channel_axis=np.int8(-1),
        group_size=np.uint16(4),
        granularity="per_grouped_channel",
        enable_per_channel_scale=np.True_,  # type: ignore[arg-type]
    )
    assert result.lut.shape == (1, 3, 4, 1)
    assert result.per_channel_scale is not None
    assert result.per_channel_scale.shape == (1, 12)


def test_unique_takes_nbits_as_a_minimum() -> None:
    lattice = np.round(WEIGHT).clip(-1, 1)
    assert sc.palettize(lattice, None, mode="unique").nbits == 2
    assert sc.palettize(lattice, 4, mode="unique").nbits == 4


@pytest.mark.parametrize("cluster_dim", [1, 2])
def test_custom_function_gets_a_copy_and_may_answer_lists(cluster_dim: int) -> None:
    def destructive(group: np.ndarray) -> tuple[list[Any], list[int]]:
        group[...] = 0
        entry = 0.5 if cluster_dim == 1 else [0.5, 0.25]
        return [entry, entry], [0] * (group.size // cluster_dim)

    kept = WEIGHT.copy()
    result = sc.palettize(WEIGHT, mode="custom", lut_function=destructive, cluster_dim=cluster_dim)
    assert np.array_equal(WEIGHT, kept)
    assert result.nbits == 1
    assert result.lut.shape == (1, 1, 2, cluster_dim)
    assert result.decompress().max() == 0.5


def test_custom_function_must_use_one_size() -> None:
    sizes = iter((2, 4))

    def changing(group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(next(sizes)), np.zeros(group.size, int)

    with pytest.raises(ValueError, match="entries"):
        sc.palettize(WEIGHT, mode="custom", lut_function=changing, granularity="per_grouped_channel", group_size=4)


def test_custom_function_may_stop_the_program() -> None:
    def stop(group: np.ndarray) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sc.palettize(WEIGHT, mode="custom", lut_function=stop)


def test_a_result_cannot_be_changed_by_assignment() -> None:
    result = sc.palettize(WEIGHT, 2)
    with pytest.raises(FrozenInstanceError):
        result.nbits = 3  # type: ignore[misc]


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 1), (2, 3, 4, 5, 6)])
@pytest.mark.parametrize("scaled", [False, True])
def test_shapes(shape: tuple[int, ...], scaled: bool) -> None:
    weight = np.asarray(np.random.default_rng(2).standard_normal(shape)).astype(np.float16)
    mask = np.asarray(weight > 0)
    for options in ({}, {"mask": mask}):
        result = sc.palettize(weight, 8, enable_per_channel_scale=scaled, **options)
        decoded = result.decompress()
        assert result.shape == result.indices.shape == decoded.shape == shape
        assert result.lut.ndim == len(shape) + 2
        assert decoded.dtype == np.float16
        assert np.all(abs(decoded.astype(float) - weight) <= 0.05)
        if "mask" in options:
            assert np.array_equal(decoded[~mask], weight[~mask])


@pytest.mark.parametrize("shape", [(0,), (4, 0), (0, 3)])
def test_arrays_without_elements(shape: tuple[int, ...]) -> None:
    weight = np.zeros(shape, np.float32)
    for options in ({}, {"mask": np.zeros(shape, bool)}, {"enable_per_channel_scale": True}, {"mode": "uniform"}):
        result = sc.palettize(weight, 3, **options)  # type: ignore[arg-type]
        assert result.decompress().shape == shape
        assert result.bits_per_weight == 0
        assert result.lut.shape == (1,) * len(shape) + (8, 1)
        assert "shape=" in repr(result)
    with pytest.raises(ValueError, match="channel_axis"):
        sc.palettize(weight, 3, channel_axis=len(shape))
    with pytest.raises(ValueError, match="group_size"):
        sc.palettize(np.zeros((4, 0)), 3, granularity="per_grouped_channel", group_size=3)


def test_sizes_count_what_a_mask_left_out() -> None:
    mask = np.ones(WEIGHT.shape, bool)
    mask[0, :5] = False
    result = sc.palettize(WEIGHT, 2, mask=mask)
    assert result.nbytes == 96 * 2 // 8 + 4 * 4 + 96 // 8 + 5 * 4
    assert result.bits_per_weight == pytest.approx(8 * result.nbytes / 96)


def test_repr_says_what_it_is() -> None:
    weight = np.tile(WEIGHT, (2, 2))
    result = sc.palettize(weight, 2, mode="unique" if False else "kmeans", enable_per_channel_scale=True)
    assert repr(result) == (
        f"Palettized(shape=(16, 24), dtype=float32, nbits=2, groups=1, per-channel scale, "
        f"bits_per_weight={result.bits_per_weight:.4g})"
    )


def test_made_by_hand() -> None:
    lut = np.array([1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0], np.float16).reshape(2, 1, 2, 2)
    indices = np.array([[0, 1], [1, 0]], np.uint8)
    result = sc.Palettized(lut, indices, 1, vector_axis=1)
    assert result.decompress().tolist() == [[1, 2, 3, 4], [30, 40, 10, 20]]
    scale = np.array([[2.0], [0.5]], np.float16)
    assert sc.Palettized(lut, indices, 1, 1, scale).decompress().tolist() == [[2, 4, 6, 8], [15, 20, 5, 10]]


@pytest.mark.parametrize(
    "parts",
    [
        {"lut": np.zeros((1, 2, 1), np.float16)},
        {"lut": np.zeros((1, 1, 3, 1), np.float16)},
        {"lut": np.zeros((3, 1, 2, 1), np.float16)},
        {"lut": np.zeros((0, 1, 2, 1), np.float16)},
        {"indices": np.full((2, 2), 2, np.uint8)},
        {"lut": np.zeros((1, 1, 2, 2), np.float16)},
        {"lut": np.zeros((1, 1, 2, 2), np.float16), "vector_axis": 2},
        {"per_channel_scale": np.ones((3, 1), np.float16)},
        {"per_channel_scale": np.ones(2, np.float16)},
        {"mask": np.zeros((2, 2), np.uint8), "kept_values": np.zeros(3, np.float16)},
        {"mask": np.zeros((2, 3), np.uint8), "kept_values": np.zeros(6, np.float16)},
    ],
    ids=lambda parts: ", ".join(f"{k} {np.shape(v)}" for k, v in parts.items()),
)
def test_parts_that_do_not_fit(parts: dict[str, Any]) -> None:
    fitting = {"lut": np.zeros((1, 1, 2, 1), np.float16), "indices": np.zeros((2, 2), np.uint8), "nbits": 1}
    with pytest.raises(ValueError, match=r"allowed|found"):
        sc.Palettized(**{**fitting, **parts}).decompress()


@pytest.mark.parametrize("spread", [2, 8])
@pytest.mark.parametrize("group_size", [0, 8])
@pytest.mark.parametrize("nbits", [1, 3, 4, 6])
def test_any_optimum_costs_what_the_references_split_costs(nbits: int, group_size: int, spread: int) -> None:
    """With importances of many sizes, zeros among them; the splits may differ, the weighted squared error not.

    Over a spread of some 25 decades the reference's sums lose weights, and its split costs more.
    """
    generator = np.random.default_rng(nbits)
    weight = generator.standard_normal((32, 200)).astype(np.float32)
    importance = np.exp(spread * generator.standard_normal(weight.shape)).astype(np.float32)
    importance[generator.random(weight.shape) < 0.1] = 0
    errors = []
    for any_optimum in (False, True):
        lut, indices, *_ = _native.palettize(
            weight, 0, nbits, group_size, 0, 1, 0, 0, importance, None, None, 0, any_optimum
        )
        dense = _native.unpalettize(lut, indices, -1, None, None, None, 0)
        errors.append(float((importance.astype(np.float64) * np.square(dense.astype(np.float64) - weight)).sum()))
    assert errors[1] <= errors[0] * (1 + 1e-6)
    if spread == 2:
        assert errors[1] == pytest.approx(errors[0], rel=1e-6)


@pytest.mark.parametrize("kind", ["distinct", "rounded", "half masked"])
@pytest.mark.parametrize("group_size", [0, 512])
@pytest.mark.parametrize("nbits", [2, 4, 8])
def test_any_optimum_of_many_elements(nbits: int, group_size: int, kind: str) -> None:
    """From 2^18 elements on, float32 takes a way of its own, float64 not: the same codes, and tables but for rounding."""
    generator = np.random.default_rng(nbits)
    weight = generator.standard_normal((1024, 512)).astype(np.float32)
    if kind == "rounded":
        weight = np.round(weight, 3)
    importance = np.square(generator.standard_normal(weight.shape)).astype(np.float32)
    importance[generator.random(weight.shape) < 0.1] = 0
    mask = (generator.random(weight.shape) < 0.5).astype(np.uint8) if kind == "half masked" else None
    results = []
    for wide in (np.float32, np.float64):
        arrays = weight.astype(wide), importance.astype(wide)
        lut, indices, *_ = _native.palettize(
            arrays[0], 0, nbits, group_size, 0, 1, 0, 0, arrays[1], mask, None, 0, True
        )
        results.append((lut, indices))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5, atol=1e-6)
    # An element in the middle between two centroids may go either way.
    assert np.mean(results[0][1] != results[1][1]) < 1e-5


def test_more_starts_are_never_worse() -> None:
    weight = np.random.default_rng(0).standard_normal((64, 128)).astype(np.float32)
    errors = []
    for starts in (1, 4, 16):
        lut, indices, *_ = _native.palettize(weight, 0, 4, 0, 0, 2, 0, 0, None, None, None, 0, False, starts)
        dense = _native.unpalettize(lut, indices, 0, None, None, None, 0)
        errors.append(float(np.square(dense.astype(np.float64) - weight).sum()))
    assert errors[2] <= errors[1] * (1 + 1e-6)
    assert errors[1] <= errors[0] * (1 + 1e-6)
