"""The column loop of GPTQ and SparseGPT against the papers' loops in NumPy, bit for bit; and its errors.

python/tests/accelerate/test_accelerate_layerwise.py and python/tests/torch compare whole layers with coremltools.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from swiftcompress import _native

FREE, LINEAR, TABLE, TABLE_EXPANDED = range(4)
KEEP_ALL, KEEP_BY_SHARE, KEEP_N_OF_M = range(3)


def matrices(rows: int, columns: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A weight, and the upper factor of an inverse Hessian."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((4 * columns, columns)) @ (np.eye(columns) + 0.2 * rng.standard_normal(columns))
    hessian = inputs.T @ inputs / len(inputs)
    hessian += 0.01 * np.mean(np.diag(hessian)) * np.eye(columns)
    factor = np.linalg.cholesky(np.linalg.inv(hessian)).T
    return rng.standard_normal((rows, columns)).astype(np.float32), np.ascontiguousarray(factor, np.float32)


def oracle(
    weight: np.ndarray,
    factor: np.ndarray,
    snap: Any,
    pruning: int = KEEP_ALL,
    share: float = 0.0,
    n: int = 0,
    m: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One column after the other, all in float32."""
    weight, rows = weight.copy(), np.arange(len(weight))[:, None]
    diagonal = np.diag(factor)
    errors, losses = np.zeros_like(weight), np.zeros(len(weight))
    keep = np.ones(weight.shape, bool)
    if pruning == KEEP_BY_SHARE:
        saliency = weight**2 / diagonal**2
        keep = saliency > np.sort(saliency, axis=None)[int(saliency.size * share)]
    for i in range(weight.shape[1]):
        if pruning == KEEP_N_OF_M and i % m == 0:
            saliency = weight[:, i : i + m] ** 2 / diagonal[i : i + m] ** 2
            keep[rows, i + np.argsort(saliency, axis=1, kind="stable")[:, :n]] = False
        column = weight[:, i].copy()
        target = snap(np.where(keep[:, i], column, np.float32(0)), i)
        errors[:, i] = (column - target) / diagonal[i]
        losses += (column - target).astype(float) ** 2 / float(diagonal[i]) ** 2 / 2
        weight[:, i] = target
        weight[:, i + 1 :] -= errors[:, i : i + 1] * factor[i, i + 1 :]
    return weight, errors, losses


def run(
    weight: np.ndarray,
    factor: np.ndarray,
    grid: int = FREE,
    max_code: float = 1.0,
    sets: int = 1,
    set_of_column: Any = None,
    scale: Any = None,
    zero_point: Any = None,
    tables: Any = None,
    entries: int = 0,
    rows_per_table: int = 1,
    pruning: int = KEEP_ALL,
    share: float = 0.0,
    n: int = 0,
    m: int = 0,
    threads: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    changed = weight.copy()
    # fmt: off
    errors, losses, ties = _native.eliminate_columns(
        changed, factor, grid, max_code, sets, set_of_column, scale, zero_point, tables, entries, rows_per_table,
        pruning, share, n, m, threads,
    )
    # fmt: on
    return changed, errors, losses, ties


def assert_same(found: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
    __tracebackhide__ = True
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-5)


PRUNINGS: list[dict[str, Any]] = [
    {},
    {"pruning": KEEP_BY_SHARE, "share": 0.0},
    {"pruning": KEEP_BY_SHARE, "share": 0.55},
    {"pruning": KEEP_N_OF_M, "n": 2, "m": 4},
    {"pruning": KEEP_N_OF_M, "n": 0, "m": 1},
    {"pruning": KEEP_N_OF_M, "n": 5, "m": 12},
]


@pytest.mark.parametrize("shape, pruning", list(product([(1, 12), (16, 24), (45, 60), (33, 132)], PRUNINGS)), ids=str)
def test_pruning(shape: tuple[int, int], pruning: dict[str, Any]) -> None:
    weight, factor = matrices(*shape)
    assert_same(run(weight, factor, **pruning), oracle(weight, factor, lambda column, i: column, **pruning))


@pytest.mark.parametrize("shape, pruning", list(product([(1, 12), (45, 60), (33, 132)], PRUNINGS)), ids=str)
@pytest.mark.parametrize("symmetric", [False, True])
def test_linear_grid(shape: tuple[int, int], pruning: dict[str, Any], symmetric: bool) -> None:
    weight, factor = matrices(*shape)
    rng = np.random.default_rng(1)
    sets = 3
    scale = rng.uniform(0.05, 0.3, (sets, shape[0])).astype(np.float32)
    zero = np.full_like(scale, 8) if symmetric else np.round(rng.uniform(0, 15, scale.shape)).astype(np.float32)
    set_of_column = rng.integers(0, sets, shape[1]).astype(np.int32)

    def snap(column: np.ndarray, i: int) -> np.ndarray:
        step, point = scale[set_of_column[i]], zero[set_of_column[i]]
        return step * (np.clip(np.round(column / step) + point, 0, 15) - point)

    found = run(weight, factor, LINEAR, 15.0, sets, set_of_column, scale, zero, **pruning)
    assert_same(found, oracle(weight, factor, snap, **pruning))


@pytest.mark.parametrize(
    "scaled, rows_per_table, entries", [(False, 45, 16), (True, 16, 4), (True, 7, 1), (False, 1, 256)]
)
def test_tables(scaled: bool, rows_per_table: int, entries: int) -> None:
    weight, factor = matrices(45, 60)
    rng = np.random.default_rng(2)
    sets, groups = 2, -(-45 // rows_per_table)
    tables = np.sort(rng.standard_normal((sets, groups, entries)).astype(np.float32), axis=2)
    scale = rng.uniform(0.5, 2, (sets, 45)).astype(np.float32) if scaled else None
    set_of_column = (np.arange(60) % sets).astype(np.int32)

    def snap(column: np.ndarray, i: int) -> np.ndarray:
        step = scale[set_of_column[i]] if scale is not None else np.ones(45, np.float32)
        own = tables[set_of_column[i]][np.arange(45) // rows_per_table]
        nearest = np.argmin(np.abs((column / step)[:, None] - own), axis=1)
        return step * own[np.arange(45), nearest]

    found = run(weight, factor, TABLE, 1.0, sets, set_of_column, scale, None, tables, entries, rows_per_table)
    assert_same(found, oracle(weight, factor, snap))


def test_columns_of_a_wider_matrix() -> None:
    """Rows may be apart; what lies between them stays."""
    wide, factor = matrices(20, 60)
    square = np.ascontiguousarray(factor[10:40, 10:40])
    expected = run(np.ascontiguousarray(wide[:, 10:40]), square, pruning=KEEP_BY_SHARE, share=0.5)
    before = wide.copy()
    _native.eliminate_columns(
        wide[:, 10:40], factor[10:40, 10:40], FREE, 1.0, 1, None, None, None, None, 0, 1, KEEP_BY_SHARE, 0.5, 0, 0, 0
    )
    np.testing.assert_array_equal(wide[:, 10:40], expected[0])
    np.testing.assert_array_equal(wide[:, :10], before[:, :10])
    np.testing.assert_array_equal(wide[:, 40:], before[:, 40:])


def test_the_number_of_threads_does_not_matter() -> None:
    weight, factor = matrices(300, 128)
    expected = run(weight, factor, pruning=KEEP_BY_SHARE, share=0.3, threads=1)
    for threads in (2, 3, 8):
        found = run(weight, factor, pruning=KEEP_BY_SHARE, share=0.3, threads=threads)
        for ours, theirs in zip(found[:3], expected[:3], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_equal_elements() -> None:
    weight = np.ones((3, 8), np.float32)
    changed, _, _, ties = run(weight, np.eye(8, dtype=np.float32), pruning=KEEP_N_OF_M, n=1, m=2)
    assert ties == 1
    np.testing.assert_array_equal(changed, np.tile(np.float32([0, 1]), (3, 4)))
    assert run(np.zeros_like(weight), np.eye(8, dtype=np.float32), pruning=KEEP_N_OF_M, n=1, m=2)[3] == 0


def test_loss_is_that_of_the_outputs() -> None:
    """The losses add up to trace((W - Q) H (W - Q)^T) / 2, and are less than those of rounding alone."""
    weight, factor = matrices(40, 64, seed=3)
    inverse = factor.astype(float).T @ factor
    hessian = np.linalg.inv(inverse)
    scale = np.full((1, 40), 0.25, np.float32)
    zero, sets = np.full((1, 40), 8, np.float32), np.zeros(64, np.int32)
    changed, _, losses, _ = run(weight, factor, LINEAR, 15.0, 1, sets, scale, zero)

    def error(target: np.ndarray) -> float:
        gap = weight.astype(float) - target
        return float(np.einsum("ri,ij,rj->", gap, hessian, gap))

    rounded = 0.25 * (np.clip(np.round(weight / 0.25) + 8, 0, 15) - 8)
    assert losses.sum() * 2 == pytest.approx(error(changed), rel=1e-3)
    assert error(changed) < 0.9 * error(rounded)


@pytest.mark.parametrize(
    "arguments, text",
    [
        ({"pruning": KEEP_BY_SHARE, "share": 1.0}, "target_sparsity: found 1.0"),
        ({"pruning": KEEP_BY_SHARE, "share": float("nan")}, "target_sparsity"),
        ({"pruning": KEEP_N_OF_M, "n": 5, "m": 4}, "n_m_ratio: found 5:4"),
        ({"pruning": KEEP_N_OF_M, "n": 1, "m": 5}, "n_m_ratio: found m = 5"),
        ({"pruning": 7}, "pruning: found 7"),
        ({"grid": 9}, "grid: found 9"),
        ({"grid": LINEAR, "max_code": 15.0}, "set_of_column: found none"),
        ({"grid": LINEAR, "max_code": 15.0, "set_of_column": np.zeros(12, np.int32)}, "scale, zero_point: found none"),
        ({"grid": LINEAR, "set_of_column": np.zeros(11, np.int32)}, "set_of_column: found 11"),
        ({"grid": LINEAR, "sets": 0}, "sets"),
        ({"grid": LINEAR, "sets": 2**62}, "sets"),
        ({"grid": TABLE, "set_of_column": np.zeros(12, np.int32)}, "tables: found none"),
        ({"grid": TABLE, "rows_per_table": 0}, "rows_per_table"),
        (
            {
                "grid": TABLE,
                "set_of_column": np.zeros(12, np.int32),
                "tables": np.zeros(300, np.float32),
                "entries": 300,
            },
            "entries",
        ),
        (
            {
                "grid": TABLE,
                "set_of_column": np.zeros(12, np.int32),
                "tables": np.full(8, np.inf, np.float32),
                "entries": 2,
            },
            "table: found inf",
        ),
    ],
    ids=str,
)
def test_errors(arguments: dict[str, Any], text: str) -> None:
    weight, factor = matrices(4, 12)
    with pytest.raises(ValueError, match=text):
        run(weight, factor, **arguments)


def test_errors_about_numbers() -> None:
    weight, factor = matrices(4, 12)
    sets, good = np.zeros(12, np.int32), np.ones((1, 4), np.float32)
    for scale, zero, limit, text in (
        (good * 0, good, 15.0, "scale: found 0.0"),
        (good * np.nan, good, 15.0, "scale: found nan"),
        (good, good * 1e30, 15.0, "zero_point"),
        (good, good, 0.0, "max_code: found 0.0"),
        (good[:, :3], good, 15.0, "scale: found 3 elements"),
    ):
        with pytest.raises(ValueError, match=text):
            run(weight, factor, LINEAR, limit, 1, sets, scale, zero)
    with pytest.raises(ValueError, match="set_of_column: found 1 for column 11"):
        run(weight, factor, LINEAR, 15.0, 1, np.float32([0] * 11 + [1]).astype(np.int32), good, good)
    broken = factor.copy()
    broken[3, 3] = -1
    with pytest.raises(ValueError, match=r"factor: found -1.0 at place 3"):
        run(weight, broken)


@pytest.mark.parametrize(
    "weight, factor",
    [
        (np.zeros((4, 12), np.float64), np.eye(12, dtype=np.float32)),
        (np.zeros((12, 4), np.float32).T, np.eye(12, dtype=np.float32)),
        (np.zeros((4, 12), np.float32)[::-1], np.eye(12, dtype=np.float32)),
        (np.zeros(12, np.float32), np.eye(12, dtype=np.float32)),
        (np.zeros((4, 12), np.float32), np.eye(11, dtype=np.float32)),
        (np.zeros((0, 12), np.float32), np.eye(12, dtype=np.float32)),
        (np.broadcast_to(np.zeros(12, np.float32), (4, 12)), np.eye(12, dtype=np.float32)),
    ],
)
def test_arrays_that_do_not_fit(weight: np.ndarray, factor: np.ndarray) -> None:
    with pytest.raises(ValueError, match="weight"):
        _native.eliminate_columns(weight, factor, FREE, 1.0, 1, None, None, None, None, 0, 1, KEEP_ALL, 0.0, 0, 0, 0)
