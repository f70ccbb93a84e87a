"""sc.prune against coremltools' prune_weights, bit for bit. n:m pruning breaks ties as NumPy's argsort happens to: there
the data are free of ties, and ties have tests of their own."""

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
CASES = sorted(adversarial(np.float16))
SHARES = (0.0, 1e-6, 0.1, 0.25, 0.333333, 0.5, 0.5000001, 0.75, 0.9, 0.999, 1.0)


def check(weight: np.ndarray, **arguments: Any) -> sc.Sparse:
    __tracebackhide__ = True
    before = weight.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = sc.prune(weight, **arguments)
    arguments.pop("num_threads", None)
    expected = theirs.prune(weight, **arguments)
    assert expected is not None, "the reference declines this: not a case for this test"
    nonzero, mask = expected
    assert_same_bits(weight, before, "the input")
    assert_same_bits(found.mask, mask, "mask")
    assert_same_bits(found.nonzero_data, nonzero, "nonzero data")
    assert_same_bits(found.decompress(), theirs.utils.sparse_to_dense(nonzero, mask), "decompressed")
    return found


@pytest.mark.parametrize("dtype, case, share", list(product(FLOATS, CASES, SHARES)))
def test_magnitude(dtype: Any, case: str, share: float) -> None:
    check(adversarial(dtype)[case], target_sparsity=share)


@pytest.mark.parametrize("dtype, case", list(product(FLOATS, CASES)))
@pytest.mark.parametrize("threshold", [0.0, 1e-12, 1e-3, 0.5, 1.0, 1, 1e6])
def test_threshold(dtype: Any, case: str, threshold: float) -> None:
    check(adversarial(dtype)[case], threshold=threshold)


BLOCKS = list(product(FLOATS, CASES, SHARES, [(2, 0), (3, 1), (5, 0), (7, 1), (12, None), (1, 0), (20, 1)]))


@pytest.mark.parametrize("dtype, case, share, block", sample(BLOCKS, 1500, seed=21))
def test_blocks(dtype: Any, case: str, share: float, block: tuple[int, int | None]) -> None:
    check(adversarial(dtype)[case], target_sparsity=share, block_size=block[0], dim=block[1])


def without_ties(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Distinct magnitudes, both signs. float16 has 31,743 of them."""
    count = int(np.prod(shape, dtype=np.int64))
    if dtype == np.float16:
        assert count < 31_000
        magnitudes = (rng.choice(31_000, count, replace=False) + 1).astype(np.uint16).view(np.float16)
    else:
        magnitudes = (rng.permutation(count) + 1).astype(dtype)
    return (magnitudes * rng.choice([-1, 1], count).astype(dtype)).reshape(shape)


@pytest.mark.parametrize("seed", range(60))
def test_any_shape(seed: int) -> None:
    """Ranks 2 to 5, channels that blocks do not divide, kernels of one element: NumPy adds up in different orders."""
    rng = np.random.default_rng([seed, 22])
    for dtype in FLOATS:
        sides = [int(rng.choice([2, 3, 5, 8, 16, 24, 37])) for _ in range(2)]
        if seed % 4 == 0:
            sides[seed // 4 % 2] = int(rng.choice([300, 520]))
        shape = (*sides, *(int(rng.choice([1, 1, 2, 3])) for _ in range(int(rng.integers(0, 4)))))
        weight = (
            without_ties(rng, shape, dtype) if np.prod(shape) < 31_000 else rng.standard_normal(shape).astype(dtype)
        )
        small = (weight / np.abs(weight).max()).astype(dtype)
        dim = int(rng.integers(0, 2))
        size = int(rng.integers(1, shape[dim] // 2 + 1))
        share = float(rng.random())
        check(weight, target_sparsity=share)
        check(weight, target_sparsity=share, block_size=size, dim=dim, num_threads=1 + seed % 3)
        check(small, target_sparsity=share, block_size=size, dim=dim)
        if len(np.unique(np.abs(weight))) == weight.size:
            check(weight, n_m_ratio=(int(rng.integers(0, size + 1)), size), dim=dim)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("ratio", [(0, 4), (1, 2), (2, 4), (4, 4), (3, 7), (10, 30), (60, 75)])
@pytest.mark.parametrize("shape", [(150, 160), (160, 151), (151, 16, 3, 3), (16, 151, 3)])
@pytest.mark.parametrize("dim", [0, 1, None])
def test_n_of_m(dtype: Any, ratio: tuple[int, int], shape: tuple[int, ...], dim: int | None) -> None:
    if 2 * ratio[1] > shape[1 if dim is None else dim]:
        return
    check(without_ties(np.random.default_rng(23), shape, dtype), n_m_ratio=ratio, dim=dim)


def lowest(weight: np.ndarray, n: int, m: int, dim: int) -> np.ndarray:
    """The definition: a stable sort of every m neighbours, missing ones being zeros."""
    rows = np.moveaxis(np.abs(weight), dim, -1)
    channels = rows.shape[-1]
    padded = np.concatenate([rows, np.zeros((*rows.shape[:-1], -channels % m), weight.dtype)], axis=-1)
    groups = padded.reshape(-1, m)
    keep = np.ones(groups.shape, np.uint8)
    np.put_along_axis(keep, np.argsort(groups, axis=-1, kind="stable")[:, :n], 0, axis=-1)
    keep = keep.reshape(padded.shape)[..., :channels]
    return np.moveaxis(keep, -1, dim) * (weight != 0)


@pytest.mark.parametrize("dtype, case", list(product(FLOATS, CASES)))
@pytest.mark.parametrize("n, m, dim", [(1, 2, 0), (2, 4, 1), (3, 7, 0), (5, 10, 1), (6, 12, 0), (19, 20, 1)])
def test_ties_of_n_of_m(dtype: Any, case: str, n: int, m: int, dim: int) -> None:
    weight = adversarial(dtype)[case]
    assert np.array_equal(sc.prune(weight, n_m_ratio=(n, m), dim=dim).mask, lowest(weight, n, m, dim))


@pytest.mark.parametrize("dtype", FLOATS)
def test_many_equal_numbers_of_n_of_m(dtype: Any) -> None:
    rng = np.random.default_rng(24)
    weight = rng.choice(np.array([0, 1, -1, 2, 2, 3], dtype), (40, 400))
    for n, m, dim in ((50, 100, 1), (150, 200, 1), (0, 200, 1), (200, 200, 1), (1, 130, 1), (10, 20, 0)):
        assert np.array_equal(sc.prune(weight, n_m_ratio=(n, m), dim=dim).mask, lowest(weight, n, m, dim))


@pytest.mark.parametrize("size", [1, 2, 3, 17, 65_537, 200_003, 1_000_003])
@pytest.mark.parametrize("dtype", FLOATS)
def test_sizes(size: int, dtype: Any) -> None:
    weight = np.random.default_rng(25).standard_normal(size).astype(dtype)
    for share in (0.0, 0.01, 0.5, 0.77, 1 - 1e-9, 1.0):
        first = check(weight, target_sparsity=share, num_threads=1)
        for threads in (2, 3):
            again = sc.prune(weight, target_sparsity=share, num_threads=threads)
            assert_same_bits(again.mask, first.mask)
            assert_same_bits(again.nonzero_data, first.nonzero_data)


@pytest.mark.parametrize("dtype", FLOATS)
def test_layouts(dtype: Any) -> None:
    weight = np.random.default_rng(26).standard_normal((12, 40)).astype(dtype)
    for arguments in ({"target_sparsity": 0.4}, {"target_sparsity": 0.4, "block_size": 5}, {"n_m_ratio": (2, 4)}):
        first = sc.prune(weight, **arguments)
        for name, same in layouts(weight):
            again = sc.prune(same, **arguments)
            assert_same_bits(again.mask, first.mask, name)
            assert_same_bits(again.nonzero_data, first.nonzero_data, name)


def test_percentiles_of_halves() -> None:
    """Interpolation in float16: every share of a few hundred between neighbouring halves far apart."""
    weight = np.ldexp(np.random.default_rng(27).uniform(-1, 1, 257), np.arange(257) % 30 - 14).astype(np.float16)
    for share in np.linspace(0, 1, 613).tolist():
        check(weight, target_sparsity=share)


def test_what_the_reference_declines() -> None:
    weight = np.random.default_rng(28).standard_normal((6, 9)).astype(np.float32)
    refused: list[tuple[dict[str, Any], str]] = [
        (
            {"target_sparsity": 0.5, "block_size": 4},
            "block_size: found 4, allowed at most half the 6 channels of axis 0",
        ),
        ({"target_sparsity": 0.5, "block_size": 5, "dim": 1}, "block_size: found 5, .* 9 channels of axis 1"),
        ({"n_m_ratio": (1, 5)}, "n_m_ratio: found 5, allowed at most half the 9 channels of axis 1"),
        ({"threshold": 1e-9, "minimum_sparsity_percentile": 0.5}, r"minimum_sparsity_percentile: found sparsity 0\.0"),
    ]
    for arguments, text in refused:
        assert theirs.prune(weight, **arguments) is None
        with pytest.raises(ValueError, match=rf"^\[prune\] {text}"):
            sc.prune(weight, **arguments)
    share = float((np.abs(weight) <= 0.5).mean())
    check(weight, threshold=0.5, minimum_sparsity_percentile=share)
