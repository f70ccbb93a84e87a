"""sc.quantize against coremltools' compute_qparams, bit for bit, and against the definition where that breaks down."""

from __future__ import annotations

import warnings
from itertools import product
from typing import Any

import numpy as np
import pytest

import swiftcompress as sc
from conftest import sample
from support import reference_parts as theirs
from support.arrays import adversarial, assert_same_bits, layouts

FLOATS = (np.float16, np.float32, np.float64)
TYPES = tuple(theirs.INTEGERS)
MODES = ("linear", "linear_symmetric")
# How far beyond half a step the roundings of scale, zero point and quotient in the weight's own type reach.
SLACK = {np.float16: 0.4, np.float32: 1e-4, np.float64: 1e-9}


def ours(weight: np.ndarray, dtype: str, mode: str, sizes: tuple[int, ...], **options: Any) -> sc.Quantized:
    before = weight.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = sc.quantize(weight, dtype, mode=mode, granularity="per_block", block_size=sizes, **options)
    assert_same_bits(weight, before, "the input")
    assert result.nbits == theirs.INTEGERS[dtype][0]
    return result


def check_bits(weight: np.ndarray, dtype: str, mode: str, sizes: tuple[int, ...], **options: Any) -> None:
    __tracebackhide__ = True
    found = ours(weight, dtype, mode, sizes, **options)
    expected = theirs.quantize(weight, dtype, mode, sizes)
    assert expected is not None, "the reference declines this: not a case for this test"
    data, scale, zero_point = expected
    assert_same_bits(found.scale, scale, "scale")
    assert (found.zero_point is None) == (zero_point is None)
    if found.zero_point is not None and zero_point is not None:
        assert_same_bits(found.zero_point, zero_point, "zero point")
    assert_same_bits(found.data, data, "data")
    if weight.dtype != np.float64:
        with np.errstate(all="ignore"):
            assert_same_bits(found.decompress(), theirs.dequantize(data, scale, zero_point), "decompressed")


# MARK: shapes and blocks

SHAPES: list[tuple[tuple[int, ...], list[tuple[int, ...]]]] = [
    ((), [()]),
    ((1,), [(0,), (1,)]),
    ((17,), [(0,), (1,), (17,)]),
    ((12,), [(4,), (3,)]),
    ((1, 1), [(0, 0), (1, 1)]),
    ((7, 11), [(0, 0), (1, 0), (0, 1), (7, 11), (1, 11), (7, 1)]),
    ((64, 48), [(0, 0), (1, 0), (0, 1), (1, 16), (1, 3), (16, 1), (8, 12), (2, 0), (0, 24)]),
    (
        (32, 16, 3, 3),
        [(1, 0, 0, 0), (0, 1, 0, 0), (1, 4, 0, 0), (4, 1, 0, 0), (1, 1, 0, 0), (0, 0, 1, 1), (2, 2, 3, 1)],
    ),
    ((3, 8, 6), [(0, 0, 0), (1, 1, 3), (0, 2, 0), (3, 0, 1)]),
    ((2, 3, 4, 5, 6), [(0, 0, 0, 0, 0), (1, 0, 2, 0, 3), (0, 3, 0, 1, 0), (1, 1, 1, 1, 1)]),
    ((1, 300, 1, 7), [(0, 1, 0, 0), (1, 30, 1, 7), (0, 0, 0, 1)]),
    ((509, 131), [(0, 0), (1, 0), (0, 1)]),
    ((300, 256), [(1, 32), (1, 64), (1, 128), (1, 16), (50, 0), (30, 8), (0, 8)]),
    ((70_001,), [(0,), (1,)]),
    ((131_072,), [(0,), (65_536,), (32,), (131_072,)]),
    ((2, 200_000), [(1, 0), (0, 1), (1, 32), (0, 0), (2, 1)]),
    ((200_000, 2), [(1, 0), (0, 1), (32, 1), (0, 0), (1, 2)]),
]
SHAPE_GRID = [(shape, sizes) for shape, many in SHAPES for sizes in many]


@pytest.mark.parametrize("shape, sizes", SHAPE_GRID, ids=str)
@pytest.mark.parametrize("dtype", FLOATS)
def test_shapes_and_blocks(shape: tuple[int, ...], sizes: tuple[int, ...], dtype: Any) -> None:
    rng = np.random.default_rng([*shape, 7])
    weight = np.asarray(rng.standard_normal(shape)).astype(dtype)
    for kind, mode in (("int8", "linear_symmetric"), ("uint8", "linear"), ("int4", "linear")):
        if weight.size > 10_000 or dtype == np.float16:
            # Blocks of a few elements can have a subnormal scale: test_odd_blocks has their expectation.
            weight = np.where(np.abs(weight) < 2e-2, np.asarray(0.5, dtype), weight)
        check_bits(weight, kind, mode, sizes)


# MARK: every type and mode, data of all kinds, with the reference's arithmetic

CASES = sorted(adversarial(np.float16))
BLOCKS = ((0, 0), (1, 0), (0, 1), (1, 8), (1, 20), (6, 4), (4, 0), (1, 1))
GRID = list(product(FLOATS, TYPES, MODES, CASES, BLOCKS))


@pytest.mark.parametrize("dtype, kind, mode, case, sizes", sample(GRID, 900, seed=11))
def test_reference_arithmetic(dtype: Any, kind: str, mode: str, case: str, sizes: tuple[int, ...]) -> None:
    """Also where it overflows, underflows and divides by zero. NaN becomes 0 when it is cast, which is x86-64's way."""
    check_bits(adversarial(dtype)[case], kind, mode, sizes, compat="coremltools")


# MARK: the same grid as users get it


def block_errors(weight: np.ndarray, decoded: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The error of each element in steps of its own block; 0 where both are 0."""
    with np.errstate(all="ignore"):
        difference = np.abs(weight.astype(np.longdouble) - decoded.astype(np.longdouble))
        steps = theirs.expand(scale, weight.shape).astype(np.longdouble)
        return np.where(difference == 0, 0, difference / steps)


def check_right(weight: np.ndarray, kind: str, mode: str, sizes: tuple[int, ...]) -> None:
    """At most half a step off; the reference's bits in every block in which it is at most half a step off itself."""
    __tracebackhide__ = True
    found = ours(weight, kind, mode, sizes)
    decoded = found.decompress()
    assert np.isfinite(decoded).all()
    assert np.isfinite(found.scale).all()
    assert (found.scale >= 0).all()
    errors = block_errors(weight, decoded, found.scale)
    assert errors.max(initial=0) <= 0.5 + SLACK[weight.dtype.type]
    magnitudes = np.zeros(found.scale.shape)
    for position in np.ndindex(*found.scale.shape):
        block = tuple(
            slice(p * (n // s), (p + 1) * (n // s))
            for p, n, s in zip(position, weight.shape, found.scale.shape, strict=True)
        )
        magnitudes[position] = np.abs(weight[block]).max()
    assert ((found.scale == 0) == (magnitudes == 0)).all()

    expected = theirs.quantize(weight, kind, mode, sizes)
    assert expected is not None
    data, scale, zero_point = expected
    with np.errstate(all="ignore"):
        reference_decoded = theirs.dequantize(data, theirs.expand(scale, weight.shape), None if zero_point is None else theirs.expand(zero_point, weight.shape))  # fmt: skip
    with np.errstate(all="ignore"):
        wrong = ~(block_errors(weight, reference_decoded, scale) <= 0.5) | ~np.isfinite(reference_decoded)
    for position in np.ndindex(*scale.shape):
        block = tuple(
            slice(p * (n // s), (p + 1) * (n // s)) for p, n, s in zip(position, weight.shape, scale.shape, strict=True)
        )
        same = found.scale[position].tobytes() == scale[position].tobytes()
        same &= np.array_equal(found.data[block], data[block])
        if zero_point is not None and found.zero_point is not None:
            same &= bool(found.zero_point[position] == zero_point[position])
        assert same or wrong[block].any(), f"block {position} differs although the reference is right"


@pytest.mark.parametrize("dtype, kind, mode, case, sizes", sample(GRID, 600, seed=12))
def test_every_kind_of_data(dtype: Any, kind: str, mode: str, case: str, sizes: tuple[int, ...]) -> None:
    check_right(adversarial(dtype)[case], kind, mode, sizes)


LIMITS = {
    np.float16: [65504, 65472, 40000, 32768, 32752, 300, 257, 1e-5, 1e-6, 2.0**-24, 3 * 2.0**-24],
    np.float32: [3.4028235e38, 3e38, 1.8e38, 1.7e38, 1e-40, 1e-44, 1.4e-45],
    np.float64: [1.7976931348623157e308, 1.5e308, 9e307, 8.9e307, 1e-310, 1e-322, 5e-324],
}


@pytest.mark.parametrize("dtype, kind, mode", list(product(FLOATS, TYPES, MODES)))
def test_odd_blocks(dtype: Any, kind: str, mode: str) -> None:
    """Rows at the ends of the type's range, one-sided, lopsided and with zeros."""
    rng = np.random.default_rng(13)
    rows = []
    for limit in LIMITS[dtype]:
        top = dtype(limit)
        for low, high in ((-1, 1), (0, 1), (-1, 0), (-1, 0.01), (-0.3, 1), (-1, 0.9999), (-0.5, 0.5), (-0.999, 0.6)):
            row = (rng.uniform(low, high, 24) * top).astype(dtype)
            row[3], row[17], row[20] = dtype(low) * top, dtype(high) * top, 0
            rows.append(row)
    weight = np.stack(rows)
    assert np.isfinite(weight).all()
    for sizes in ((1, 0), (1, 6), (0, 0), (0, 1)):
        check_right(weight, kind, mode, sizes)
        check_bits(weight, kind, mode, sizes, compat="coremltools")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind, mode", list(product(TYPES, MODES)))
def test_all_zero_blocks(dtype: Any, kind: str, mode: str) -> None:
    """0/0 in the reference. Scale 0, codes 0, decoded 0, and no warning; the same bits as the reference's here."""
    weight = np.random.default_rng(14).standard_normal((6, 16)).astype(dtype)
    weight[1], weight[4, ::2], weight[4, 1::2] = 0, -0.0, 0.0
    result = ours(weight, kind, mode, (1, 0))
    assert (result.scale[[1, 4]] == 0).all()
    assert (result.data[[1, 4]] == 0).all()
    assert (result.decompress()[[1, 4]] == 0).all()
    if result.zero_point is not None:
        middle = (2 ** theirs.INTEGERS[kind][0] - 2) // 2
        assert (result.zero_point[[1, 4]] == (0 if mode == "linear" else middle)).all()
    check_bits(weight, kind, mode, (1, 0))


# MARK: arguments that choose blocks

AXES: list[tuple[tuple[int, ...], dict[str, Any], tuple[int, ...]]] = [
    ((8, 64), {}, (1, 0)),
    ((8, 64), {"axis": 1}, (0, 1)),
    ((8, 64), {"axis": -1}, (0, 1)),
    ((8, 64), {"granularity": "per_tensor"}, (0, 0)),
    ((64, 8), {"granularity": "per_block"}, (32, 1)),
    ((8, 64), {"granularity": "per_block", "axis": 1}, (1, 32)),
    ((8, 64), {"granularity": "per_block", "axis": -1, "block_size": 16}, (1, 16)),
    ((8, 64, 3, 3), {"granularity": "per_block", "axis": 1, "block_size": 16}, (1, 16, 0, 0)),
    ((64, 8, 3, 3), {"granularity": "per_block", "axis": 0, "block_size": 16}, (16, 1, 0, 0)),
    ((4, 8, 32), {"granularity": "per_block", "axis": 2, "block_size": 16}, (1, 0, 16)),
    ((64,), {"granularity": "per_block", "block_size": 16}, (16,)),
    ((64, 8), {"granularity": "per_block", "block_size": [0, 4]}, (0, 4)),
    ((64, 8), {"granularity": "per_block", "block_size": np.array([16, 0])}, (16, 0)),
]


@pytest.mark.parametrize("shape, arguments, sizes", AXES, ids=str)
def test_granularity(shape: tuple[int, ...], arguments: dict[str, Any], sizes: tuple[int, ...]) -> None:
    weight = np.random.default_rng(15).standard_normal(shape).astype(np.float32)
    found = sc.quantize(weight, "int4", **arguments)
    expected = theirs.quantize(weight, "int4", "linear_symmetric", sizes)
    assert expected is not None
    assert_same_bits(found.data, expected[0], "data")
    assert_same_bits(found.scale, expected[1], "scale")


def test_integer_block_size_is_that_of_packages() -> None:
    """coremltools' own choice for a linear layer: blocks along the input, single output channels."""
    from types import SimpleNamespace

    from coremltools.optimize.coreml import OpLinearQuantizerConfig

    weight = np.random.default_rng(16).standard_normal((16, 64)).astype(np.float16)
    config = OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int4", granularity="per_block", block_size=32)
    utils = theirs.utils
    with theirs.mock.patch.object(utils, "select_input_output_channel_axis", lambda op: (1, 0)):
        sizes = utils.infer_block_sizes(SimpleNamespace(name="w"), config, weight)
    params = theirs.QUANTIZE.blockwise_compress(weight, 4, "LINEAR_SYMMETRIC", True, sizes)
    found = sc.quantize(weight, "int4", granularity="per_block", axis=1)
    assert_same_bits(found.data, params.data, "data")
    assert_same_bits(found.scale, params.scale, "scale")


# MARK: what must not matter


@pytest.mark.parametrize("shape, sizes", [((37, 60), (1, 0)), ((300, 700), (0, 1)), ((300, 700), (1, 28)), ((5, 90_000), (0, 0)), ((90_000, 5), (3, 1))])  # fmt: skip
@pytest.mark.parametrize("dtype", FLOATS)
def test_threads_do_not_matter(shape: tuple[int, ...], sizes: tuple[int, ...], dtype: Any) -> None:
    weight = (np.random.default_rng(17).standard_t(2, shape) * 10).astype(dtype)
    first = ours(weight, "uint6", "linear", sizes, num_threads=1)
    for threads in (2, 3, 8):
        again = ours(weight, "uint6", "linear", sizes, num_threads=threads)
        assert_same_bits(again.data, first.data)
        assert_same_bits(again.scale, first.scale)
        assert first.zero_point is not None and again.zero_point is not None
        assert_same_bits(again.zero_point, first.zero_point)


@pytest.mark.parametrize("dtype", FLOATS)
def test_layouts(dtype: Any) -> None:
    weight = np.random.default_rng(18).standard_normal((12, 40)).astype(dtype)
    first = sc.quantize(weight, "int8")
    for name, same in layouts(weight):
        again = sc.quantize(same, "int8")
        assert_same_bits(again.data, first.data, name)
        assert_same_bits(again.scale, first.scale, name)


def test_every_half() -> None:
    """All finite float16 numbers, as channels of 64 neighbours: every scale the type can have."""
    patterns = np.arange(65536, dtype=np.uint16).view(np.float16)
    weight = patterns[np.isfinite(patterns)].reshape(-1, 64)
    for kind, mode in product(("int8", "uint8", "int4", "uint3"), MODES):
        check_bits(weight, kind, mode, (1, 0), compat="coremltools")
        check_right(weight, kind, mode, (1, 0))


def test_quotients_near_ties() -> None:
    """Quotients at and around .5, where the rounding to float16 before the rounding to an integer shows."""
    rng = np.random.default_rng(19)
    scale = np.exp2(rng.uniform(-8, 8, 400)).astype(np.float16)
    codes = rng.integers(-127, 127, (400, 64)) + 0.5
    weight = (codes * scale[:, None].astype(np.float64)).astype(np.float16)
    weight = np.nextafter(weight, weight + rng.choice([-1, 0, 1], weight.shape).astype(np.float16)).astype(np.float16)
    weight[:, 0] = scale * np.float16(127)
    for kind, mode in product(("int8", "uint8"), MODES):
        check_bits(weight, kind, mode, (1, 0), compat="coremltools")
