"""What must hold for any weight: hypothesis looks for the one that breaks it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import swiftcompress as sc
from support import reference
from support.arrays import assert_same_bits
from support.decoding import decode_ios18

settings.register_profile(
    "here",
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("here")

NBITS = st.sampled_from([1, 2, 3, 4, 6, 8])
DTYPES = st.sampled_from([np.float16, np.float32, np.float64])


@st.composite
def weights(draw: Any, min_dims: int = 1, max_dims: int = 4, dtypes: Any = DTYPES, max_side: int = 12) -> np.ndarray:
    dtype = draw(dtypes)
    shape = draw(hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=1, max_side=max_side))
    limit = {np.float16: 6e4, np.float32: 1e30, np.float64: 1e100}[dtype]
    limit = float(dtype(limit))
    width = {np.float16: 16, np.float32: 32, np.float64: 64}[dtype]
    elements = st.one_of(
        st.floats(-limit, limit, width=width, allow_nan=False, allow_infinity=False, allow_subnormal=True),
        st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5]),
    )
    fill = draw(st.sampled_from([st.nothing(), elements]))
    return draw(hnp.arrays(dtype, shape, elements=elements, fill=fill))


@st.composite
def tame(draw: Any, min_dims: int = 1, dtypes: Any = DTYPES) -> np.ndarray:
    """float16 values in any dtype: every sum the solver makes of them is exact in float64. (With -1e30 and 1 together the
    reference's prefix sums lose the 1, and the bits are to be the reference's.)"""
    weight = draw(weights(min_dims=min_dims, dtypes=st.just(np.float16)))
    return weight.astype(draw(dtypes))


@st.composite
def weight_and_groups(draw: Any) -> tuple[np.ndarray, int, int]:
    weight = draw(tame())
    axis = draw(st.integers(-weight.ndim, weight.ndim - 1))
    channels = weight.shape[axis]
    size = draw(st.sampled_from([d for d in range(1, channels + 1) if channels % d == 0]))
    return weight, axis, size


# MARK: the table and the codes


@given(weight_and_groups(), NBITS)
def test_codes_are_in_range_and_decode_as_defined(case: tuple[np.ndarray, int, int], nbits: int) -> None:
    weight, axis, size = case
    before = weight.copy()
    ours = sc.palettize(weight, nbits, granularity="per_grouped_channel", group_size=size, channel_axis=axis)
    assert_same_bits(weight, before)
    shape = [1] * weight.ndim + [2**nbits, 1]
    shape[axis % weight.ndim] = weight.shape[axis] // size
    assert ours.lut.shape == tuple(shape)
    assert ours.lut.dtype == weight.dtype
    assert ours.indices.shape == weight.shape
    assert ours.indices.dtype == np.uint8
    assert ours.indices.max() < 2**nbits
    assert np.isfinite(ours.lut).all()
    assert_same_bits(ours.decompress(), decode_ios18(ours.lut, ours.indices))


@given(weights(dtypes=st.sampled_from([np.float16, np.float32])), NBITS)
@example(np.array([65504, -65504, 1], np.float16), 1)
def test_exact_solver_bits(weight: np.ndarray, nbits: int) -> None:
    """The oracle on whatever hypothesis finds."""
    values, inverse, counts = np.unique(weight, return_inverse=True, return_counts=True)
    k = min(2**nbits, len(values))
    centroids, labels = reference.kmeans_1d(values.astype(np.float64), k, counts.astype(np.float64))
    if len(np.unique(labels)) != k or not np.all(np.diff(centroids) > 0):
        return  # rounding made splits look alike: the oracle left a cluster empty, or has NaN or equal centroids
    ours = sc.palettize(weight, nbits)
    lut = np.zeros(2**nbits)
    lut[:k] = centroids
    assert np.array_equal(ours.lut.ravel(), lut.astype(weight.dtype))
    assert np.array_equal(ours.indices, labels[inverse.ravel()].reshape(weight.shape))


@given(tame(), NBITS)
def test_few_values_are_kept_exactly(weight: np.ndarray, nbits: int) -> None:
    if len(np.unique(weight)) <= 2**nbits:
        assert np.array_equal(sc.palettize(weight, nbits).decompress(), weight)


@given(weights())
def test_unique_is_lossless(weight: np.ndarray) -> None:
    if len(np.unique(weight)) > 256:
        with pytest.raises(ValueError):
            sc.palettize(weight, None, mode="unique")
    else:
        assert np.array_equal(sc.palettize(weight, None, mode="unique").decompress(), weight)


@given(weights(dtypes=st.sampled_from([np.float32, np.float64])), NBITS)
def test_uniform_error_is_at_most_half_a_step(weight: np.ndarray, nbits: int) -> None:
    low, high = float(weight.min()), float(weight.max())
    step = (high - low) / (2**nbits - 1)
    error = np.abs(sc.palettize(weight, nbits, mode="uniform").decompress().astype(np.float64) - weight)
    scale = max(abs(low), abs(high))
    assert error.max() <= step / 2 + 4 * np.finfo(weight.dtype).eps * scale + 2 * float(
        np.finfo(weight.dtype).smallest_subnormal
    )


@given(tame(), NBITS)
def test_error_stays_inside_the_range(weight: np.ndarray, nbits: int) -> None:
    decoded = sc.palettize(weight, nbits).decompress()
    assert decoded.min() >= weight.min()
    assert decoded.max() <= weight.max()


# MARK: more bits and finer groups are never worse


def error(weight: np.ndarray, **options: Any) -> float:
    return reference.squared_error(weight, sc.palettize(weight, **options).decompress())


def slack(weight: np.ndarray) -> float:
    """Table entries are rounded to the weight's dtype after the exact solution: that much may be lost."""
    size = float(np.abs(weight).max())
    eps = float(np.finfo(weight.dtype).eps)
    tiny = float(np.finfo(weight.dtype).smallest_subnormal)
    return weight.size * (2 * (eps * size + tiny) * size * 2 + (eps * size + tiny) ** 2)


@given(tame())
def test_more_bits_are_never_worse(weight: np.ndarray) -> None:
    errors = [error(weight, nbits=n) for n in (1, 2, 3, 4, 6, 8)]
    for fewer, more in pairwise(errors):
        assert more <= fewer + slack(weight)


@given(weight_and_groups(), NBITS)
def test_finer_nested_groups_are_never_worse(case: tuple[np.ndarray, int, int], nbits: int) -> None:
    weight, axis, size = case
    channels = weight.shape[axis]
    chain = [channels] + [d for d in (size, 1) if d < channels]
    errors = [
        error(weight, nbits=nbits, granularity="per_grouped_channel", group_size=g, channel_axis=axis) for g in chain
    ]
    for coarse, fine in pairwise(errors):
        assert fine <= coarse + slack(weight)


def test_finer_groups_on_a_normal_weight() -> None:
    """2048 x 2048, 4 bits: the reference gets worse from group 8 to 4 (3.76e-6 to 4.02e-6); ours never."""
    weight = (np.random.default_rng(0).standard_normal((2048, 2048)) * 0.02).astype(np.float16)
    errors = [error(weight, nbits=4)]
    errors += [error(weight, nbits=4, granularity="per_grouped_channel", group_size=g) for g in (1024, 64, 16, 8, 4, 2)]
    for coarse, fine in pairwise(errors):
        assert fine <= coarse * (1 + 1e-6)


# MARK: symmetries


@given(tame(dtypes=st.just(np.float32)), NBITS, st.integers(-20, 20))
def test_scaling_by_a_power_of_two_scales_the_table(weight: np.ndarray, nbits: int, power: int) -> None:
    scaled = np.ldexp(weight, power).astype(np.float32)
    if not np.isfinite(scaled).all() or not np.array_equal(np.ldexp(scaled, -power), weight):
        return
    one, other = sc.palettize(weight, nbits), sc.palettize(scaled, nbits)
    assert np.array_equal(one.indices, other.indices)
    table = np.ldexp(one.lut, power).astype(np.float32)
    assert np.array_equal(table, other.lut)


@given(tame(), NBITS, st.randoms(use_true_random=False))
def test_order_does_not_matter(weight: np.ndarray, nbits: int, random: Any) -> None:
    order = list(range(weight.size))
    random.shuffle(order)
    flat = weight.ravel()
    one, other = sc.palettize(flat, nbits), sc.palettize(flat[order], nbits)
    assert np.array_equal(one.lut, other.lut)
    assert np.array_equal(one.indices[order], other.indices)


# MARK: masks, scales, packing


@given(weights(), NBITS, st.data())
def test_masked_out_elements_keep_their_bits(weight: np.ndarray, nbits: int, data: Any) -> None:
    mask = data.draw(hnp.arrays(np.bool_, weight.shape))
    decoded = sc.palettize(weight, nbits, mask=mask).decompress()
    assert decoded[~mask].tobytes() == weight[~mask].tobytes()


@given(weights(min_dims=2), NBITS)
def test_per_channel_scale_is_the_largest_magnitude(weight: np.ndarray, nbits: int) -> None:
    for axis in range(weight.ndim):
        others = tuple(i for i in range(weight.ndim) if i != axis)
        expected = np.abs(weight).max(axis=others, keepdims=True)
        expected[expected == 0] = 1
        ours = sc.palettize(weight, nbits, channel_axis=axis, enable_per_channel_scale=True)
        assert_same_bits(ours.per_channel_scale, expected)


@given(st.lists(st.integers(0, 255), max_size=200), NBITS)
def test_packing_there_and_back(codes: list[int], nbits: int) -> None:
    array = np.array(codes, np.uint8) & ((1 << nbits) - 1)
    array = array.astype(np.uint8)
    packed = sc.pack_bits(array, nbits)
    assert packed.size == -(-array.size * nbits // 8)
    assert_same_bits(sc.unpack_bits(packed, nbits, array.size), array)


@given(
    hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e6, 1e6)),
    st.integers(1, 20),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_kmeans_1d_is_optimal_for_small_inputs(values: np.ndarray, k: int, weighted: bool, seed: int) -> None:
    """No worse than an independent quadratic dynamic programme."""
    importance = np.random.default_rng(seed).random(len(values)) + 0.01 if weighted else np.ones(len(values))
    ours = sc.kmeans_1d(values, k, weights=importance)
    order = np.argsort(values, kind="stable")
    best = optimal_inertia(values[order], importance[order], k)
    found = float((importance * (values - ours.centroids[ours.labels]) ** 2).sum())
    spread = float(np.ptp(values)) + 1e-9
    assert (
        found <= best + 1e-9 * importance.sum() * spread**2 + 1e-7 * max(1.0, float(np.abs(values).max())) ** 2 * 1e-6
    )


def optimal_inertia(x: np.ndarray, w: np.ndarray, k: int) -> float:
    centre = float(np.average(x, weights=w))
    x = x - centre
    n = len(x)
    sw, sx, sxx = (np.concatenate([[0.0], np.cumsum(a)]) for a in (w, w * x, w * x * x))

    def cost(i: int, j: int) -> float:
        weight = sw[j] - sw[i]
        return float(sxx[j] - sxx[i] - (sx[j] - sx[i]) ** 2 / weight)

    previous = [0.0] + [cost(0, j) for j in range(1, n + 1)]
    for _ in range(1, min(k, n)):
        previous = [0.0] + [min(previous[i] + cost(i, j) for i in range(j)) for j in range(1, n + 1)]
    return previous[n]
