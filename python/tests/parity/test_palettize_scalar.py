"""sc.palettize against coremltools' grouped_channelwise_compress, bit for bit, for scalar tables.

The reference is made to use its exact solver; where it would choose scikit-learn by itself, our squared error must be no larger.
"""

from __future__ import annotations

import warnings
from itertools import product
from typing import Any

import numpy as np
import pytest

import swiftcompress as sc
from conftest import sample
from support import reference
from support.arrays import adversarial, assert_same_bits, layouts
from support.decoding import decode_ios18

NBITS = (1, 2, 3, 4, 6, 8)
DTYPES = (np.float16, np.float32)
ADVERSARIAL = sorted(adversarial(np.float16))


def check(
    weight: np.ndarray, nbits: int | None, mode: str = "kmeans", axis: int = 0, group_size: int = 0, **options: Any
) -> None:
    """Same LUT, same indices, same bits; the input untouched; decompress() agrees with the tests' own decoder."""
    __tracebackhide__ = True
    before = weight.copy()
    grouped = {"granularity": "per_grouped_channel", "group_size": group_size} if group_size else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = sc.palettize(weight, nbits, mode=mode, channel_axis=axis, **grouped, **options)
    theirs = reference.palettize_array(before, nbits, mode=mode, channel_axis=axis, group_size=group_size)
    assert theirs is not None, "the reference declines this: not a case for this test"
    assert_same_bits(weight, before, "the input")
    assert_same_bits(ours.indices, theirs.indices, "indices")
    assert_same_bits(ours.lut, theirs.lut, "lut")
    assert ours.vector_axis is None
    assert ours.per_channel_scale is None
    assert 2**ours.nbits == theirs.lut.shape[-2]
    assert_same_bits(ours.decompress(), decode_ios18(theirs.lut, theirs.indices), "decompressed")


# MARK: shapes, axes and groups

SHAPES: list[tuple[tuple[int, ...], int, int]] = [
    # shape, channel axis, group size (0: one table)
    ((1,), 0, 0),
    ((17,), 0, 0),
    ((12,), 0, 4),
    ((64, 48), 0, 0),
    ((64, 48), 0, 16),
    ((64, 48), 0, 1),
    ((64, 48), 0, 64),
    ((64, 48), 1, 16),
    ((64, 48), -1, 12),
    ((64, 48), -2, 32),
    ((32, 16, 3, 3), 0, 8),
    ((32, 16, 3, 3), 1, 4),
    ((32, 16, 3, 3), 1, 0),
    ((8, 12, 5, 7), 2, 5),
    ((8, 12, 5, 7), -1, 1),
    ((3, 8, 6), 1, 2),
    ((127, 89), 0, 127),
    ((127, 89), 1, 1),
    ((2, 3, 4, 5, 6), 3, 5),
    ((1, 1, 1), 2, 1),
    ((300, 240), 0, 0),
    ((300, 240), 0, 30),
    ((300, 240), 1, 120),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape, axis, group_size", SHAPES)
@pytest.mark.parametrize("mode", ["kmeans", "uniform"])
def test_shapes_axes_and_groups(shape: tuple[int, ...], axis: int, group_size: int, mode: str, dtype: Any) -> None:
    rng = np.random.default_rng([*shape, axis + 9, group_size])
    weight = rng.standard_normal(shape).astype(dtype)
    if mode == "uniform" and weight.size == 1:
        return  # 0/0 in the reference: test_uniform_constant has its own expectation
    for nbits in (3, 4) if weight.size > 10_000 else NBITS:
        check(weight, nbits, mode, axis, group_size)


GRID = list(product(DTYPES, NBITS, ADVERSARIAL, [(0, 0), (0, 6), (1, 8)]))


@pytest.mark.parametrize("dtype, nbits, case, axis_and_group", sample(GRID, 420, seed=1))
def test_adversarial_kmeans(dtype: Any, nbits: int, case: str, axis_and_group: tuple[int, int]) -> None:
    weight = adversarial(dtype)[case]
    if case == "tiny spread" and dtype != np.float16:
        check_no_worse(weight, nbits, *axis_and_group)
    else:
        check(weight, nbits, "kmeans", *axis_and_group)


def check_no_worse(weight: np.ndarray, nbits: int, axis: int, group_size: int) -> None:
    """Squares cancel in the reference's solver: values so close together are moved first, for a lower squared error."""
    grouped = {"granularity": "per_grouped_channel", "group_size": group_size} if group_size else {}
    ours = sc.palettize(weight, nbits, channel_axis=axis, **grouped).decompress()
    theirs = reference.palettize_array(weight, nbits, mode="kmeans", channel_axis=axis, group_size=group_size)
    assert theirs is not None
    decoded = decode_ios18(theirs.lut, theirs.indices)
    wide = weight.astype(np.float64)
    assert ((ours - wide) ** 2).sum() <= ((decoded - wide) ** 2).sum()


# 0/0 in the reference for these: test_uniform_constant has its own expectation.
CONSTANT = {"constant", "all zero", "all negative zero", "both zeros"}
UNIFORM_GRID = [point for point in GRID if point[2] not in CONSTANT]


@pytest.mark.parametrize("dtype, nbits, case, axis_and_group", sample(UNIFORM_GRID, 420, seed=2))
def test_adversarial_uniform(dtype: Any, nbits: int, case: str, axis_and_group: tuple[int, int]) -> None:
    check(adversarial(dtype)[case], nbits, "uniform", *axis_and_group)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [0.0, -0.0, 1.5, -3.0, 6.0e-8])
@pytest.mark.parametrize("nbits", NBITS)
def test_uniform_constant(dtype: Any, value: float, nbits: int) -> None:
    """The reference computes 0/0 here and casts the NaN; a constant must come back as itself, without a warning."""
    weight = np.full((8, 6), value, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = sc.palettize(weight, nbits, mode="uniform")
    assert np.array_equal(ours.decompress(), weight)
    assert not ours.indices.any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("distinct", [1, 2, 3, 4, 5, 8, 9, 16, 17, 64, 65, 255, 256])
@pytest.mark.parametrize("axis, group_size", [(0, 0), (0, 8), (1, 20)])
def test_unique_picks_the_fewest_bits(dtype: Any, distinct: int, axis: int, group_size: int) -> None:
    rng = np.random.default_rng(distinct)
    values = np.unique(rng.standard_normal(4 * distinct).astype(dtype))[:distinct]
    assert len(values) == distinct
    weight = np.concatenate([values, rng.choice(values, 32 * 40 - distinct)])
    rng.shuffle(weight)
    check(weight.reshape(32, 40), None, "unique", axis, group_size)


@pytest.mark.parametrize("dtype", DTYPES)
def test_unique_with_infinities_and_zeros(dtype: Any) -> None:
    rng = np.random.default_rng(5)
    weight = rng.choice(np.array([-np.inf, -1, -0.0, 0.0, 2, np.inf], dtype), (24, 40))
    ours = sc.palettize(weight, None, mode="unique")
    theirs = reference.palettize_array(weight, None, mode="unique")
    assert theirs is not None
    assert ours.nbits == 3
    assert np.array_equal(ours.lut, theirs.lut)
    assert np.array_equal(ours.indices, theirs.indices)
    assert np.array_equal(ours.decompress(), weight)


@pytest.mark.parametrize("dtype", DTYPES)
def test_unique_given_more_bits_than_needed(dtype: Any) -> None:
    weight = np.random.default_rng(6).choice(np.array([0.5, 1, 2], dtype), (6, 10))
    for nbits in (2, 3, 4, 6, 8):
        check(weight, nbits, "unique")


@pytest.mark.parametrize("dtype", DTYPES)
def test_unique_too_many_values(dtype: Any) -> None:
    weight = np.arange(257).reshape(1, 257).astype(dtype)
    assert reference.palettize_array(weight, None, mode="unique") is None
    with pytest.raises(ValueError, match=r"257|distinct|unique"):
        sc.palettize(weight, None, mode="unique")


# MARK: large tensors


@pytest.mark.parametrize("dtype, nbits", [(np.float16, 4), (np.float16, 8), (np.float32, 4), (np.float32, 2)])
def test_more_than_65536_elements(dtype: Any, nbits: int) -> None:
    weight = np.random.default_rng(7).standard_normal((263, 251)).astype(dtype)
    assert weight.size > 65_536
    check(weight, nbits)


def test_every_float16_value() -> None:
    bits = np.arange(65_536, dtype=np.uint16).view(np.float16)
    weight = bits[np.isfinite(bits)]
    np.random.default_rng(8).shuffle(weight)
    for nbits in (1, 4, 8):
        check(weight.reshape(4, -1).copy(), nbits)


def test_a_million_float16_weights() -> None:
    weight = (np.random.default_rng(9).standard_normal((1024, 1031)) * 0.02).astype(np.float16)
    check(weight, 4)
    check(weight, 6, axis=0, group_size=256)


# MARK: the reference's own choice of solver


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("nbits", NBITS)
@pytest.mark.parametrize(
    "shape, axis, group_size", [((60, 50), 0, 0), ((64, 96), 0, 8), ((64, 96), 1, 32), ((97,), 0, 0)]
)
def test_error_is_never_above_the_reference(
    dtype: Any, nbits: int, shape: tuple[int, ...], axis: int, group_size: int
) -> None:
    weight = np.random.default_rng(nbits).standard_normal(shape).astype(dtype)
    grouped = {"granularity": "per_grouped_channel", "group_size": group_size} if group_size else {}
    ours = sc.palettize(weight, nbits, channel_axis=axis, **grouped)
    n_clusters = min(2**nbits, weight.size)
    assert n_clusters
    theirs = reference.palettize_array(weight, nbits, channel_axis=axis, group_size=group_size, exact=False)
    assert theirs is not None
    error = reference.squared_error(weight, ours.decompress())
    assert error <= reference.squared_error(weight, decode_ios18(theirs.lut, theirs.indices))


@pytest.mark.parametrize("nbits", NBITS)
def test_bits_without_forcing_the_solver(nbits: int) -> None:
    """float16 and at least 10,000 elements: the reference uses the exact solver by its own choice."""
    weight = np.random.default_rng(10).standard_normal((101, 103)).astype(np.float16)
    ours = sc.palettize(weight, nbits)
    theirs = reference.palettize_array(weight, nbits, exact=False)
    assert theirs is not None
    assert_same_bits(ours.lut, theirs.lut, "lut")
    assert_same_bits(ours.indices, theirs.indices, "indices")


# MARK: how the input is stored, threads, and dtypes beyond the reference's


@pytest.mark.parametrize("dtype", [*DTYPES, np.float64])
@pytest.mark.parametrize("axis, group_size", [(0, 0), (0, 4), (1, 5)])
@pytest.mark.parametrize("mode", ["kmeans", "uniform"])
def test_layouts(dtype: Any, axis: int, group_size: int, mode: str) -> None:
    weight = np.random.default_rng(11).standard_normal((12, 20)).astype(dtype)
    grouped = {"granularity": "per_grouped_channel", "group_size": group_size} if group_size else {}
    expected = sc.palettize(weight, 3, mode=mode, channel_axis=axis, **grouped)
    for name, view in layouts(weight):
        kept = view.copy()
        ours = sc.palettize(view, 3, mode=mode, channel_axis=axis, **grouped)
        assert_same_bits(ours.lut, expected.lut, f"lut of the {name} layout")
        assert_same_bits(ours.indices, expected.indices, f"indices of the {name} layout")
        assert np.array_equal(view, kept), name


@pytest.mark.parametrize("mode, nbits", [("kmeans", 2), ("kmeans", 4), ("uniform", 4), ("unique", 8)])
@pytest.mark.parametrize("group_size", [0, 2, 16])
def test_threads_do_not_change_a_bit(mode: str, nbits: int, group_size: int) -> None:
    weight = np.round(np.random.default_rng(12).standard_normal((64, 700)) * 30).clip(-120, 120).astype(np.float16)
    grouped = {"granularity": "per_grouped_channel", "group_size": group_size} if group_size else {}
    one = sc.palettize(weight, nbits, mode=mode, num_threads=1, **grouped)
    for threads in (2, 3, 8):
        more = sc.palettize(weight, nbits, mode=mode, num_threads=threads, **grouped)
        assert_same_bits(more.lut, one.lut, f"lut with {threads} threads")
        assert_same_bits(more.indices, one.indices, f"indices with {threads} threads")


@pytest.mark.parametrize("nbits", NBITS)
@pytest.mark.parametrize("group_size", [0, 4])
def test_float64(nbits: int, group_size: int) -> None:
    check(np.random.default_rng(13).standard_normal((16, 48)), nbits, group_size=group_size)


@pytest.mark.parametrize("dtype", DTYPES)
def test_scalar_shaped(dtype: Any) -> None:
    ours = sc.palettize(np.array(1.5, dtype), 2)
    assert ours.decompress().shape == ()
    assert ours.decompress() == dtype(1.5)
    assert ours.indices.shape == ()
    assert ours.lut.shape == (4, 1)


@pytest.mark.parametrize("shape", [(0,), (0, 5), (5, 0), (3, 0, 2)])
def test_empty(shape: tuple[int, ...]) -> None:
    ours = sc.palettize(np.zeros(shape, np.float16), 4)
    assert ours.indices.shape == shape
    assert ours.decompress().shape == shape
    assert ours.decompress().dtype == np.float16
    assert not ours.lut.any()


# MARK: custom tables


@pytest.mark.parametrize("axis, group_size", [(0, 0), (0, 4), (1, 5)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_custom_function(dtype: Any, axis: int, group_size: int) -> None:
    """The callable sees what the reference's sees, group by group, and its answer is stored as the reference stores it."""
    seen: dict[str, list[np.ndarray]] = {"ours": [], "theirs": []}

    def make(who: str) -> Any:
        def table(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            seen[who].append(values.copy())
            lut = np.quantile(values.astype(np.float64), np.linspace(0, 1, 8)).astype(values.dtype)
            codes = np.abs(values.reshape(-1, 1).astype(np.float64) - lut.astype(np.float64)).argmin(axis=1)
            return lut, codes.astype(np.uint8)

        return table

    weight = np.random.default_rng(14).standard_normal((12, 20)).astype(dtype)
    grouped = {"granularity": "per_grouped_channel", "group_size": group_size} if group_size else {}
    ours = sc.palettize(weight, None, mode="custom", lut_function=make("ours"), channel_axis=axis, **grouped)
    theirs = reference.palettize_array(
        weight, None, mode="custom", lut_function=make("theirs"), channel_axis=axis, group_size=group_size
    )
    assert theirs is not None
    assert_same_bits(ours.lut, theirs.lut, "lut")
    assert_same_bits(ours.indices, theirs.indices, "indices")
    assert ours.nbits == 3
    assert len(seen["ours"]) == len(seen["theirs"])
    for a, b in zip(seen["ours"], seen["theirs"], strict=True):
        assert_same_bits(a, b, "values given to the callable")


def test_custom_function_that_raises() -> None:
    def broken(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        sc.palettize(np.ones((4, 4), np.float16), None, mode="custom", lut_function=broken)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        (np.zeros(4, np.float16),),
        (np.zeros(4, np.float16), np.zeros(15, np.uint8)),
        (np.zeros(4, np.float16), np.full(16, 4, np.uint8)),
        (np.zeros(5, np.float16), np.zeros(16, np.uint8)),
        (np.zeros(0, np.float16), np.zeros(16, np.uint8)),
        (np.zeros(512, np.float16), np.zeros(16, np.uint8)),
        ("lut", "indices"),
    ],
    ids=[
        "None",
        "one array",
        "too few indices",
        "index beyond the table",
        "five entries",
        "no entries",
        "512 entries",
        "text",
    ],
)
def test_custom_function_that_answers_nonsense(answer: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        sc.palettize(np.ones((4, 4), np.float16), None, mode="custom", lut_function=lambda values: answer)
