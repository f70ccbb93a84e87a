"""sc.prune and Sparse: arguments, shapes and what results tell. The numbers are the parity tests' business."""

from typing import Any

import numpy as np
import pytest

import swiftcompress as sc

WEIGHT = np.random.default_rng(1).standard_normal((8, 12)).astype(np.float32)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"target_sparsity": -0.1}, ValueError),
        ({"target_sparsity": 1.1}, ValueError),
        ({"target_sparsity": float("nan")}, ValueError),
        ({"target_sparsity": "0.5"}, TypeError),
        ({"target_sparsity": True}, TypeError),
        ({"threshold": -1.0}, ValueError),
        ({"threshold": float("inf")}, ValueError),
        ({"threshold": [1]}, TypeError),
        ({"n_m_ratio": 2}, TypeError),
        ({"n_m_ratio": "2:4"}, TypeError),
        ({"n_m_ratio": (1, 2, 3)}, ValueError),
        ({"block_size": 0, "target_sparsity": 0.5}, ValueError),
        ({"block_size": 2.0, "target_sparsity": 0.5}, TypeError),
        ({"block_size": 2, "threshold": 0.5}, ValueError),
        ({"block_size": 2, "n_m_ratio": (1, 2)}, ValueError),
        ({"dim": 2, "n_m_ratio": (1, 2)}, ValueError),
        ({"dim": 0, "target_sparsity": 0.5}, ValueError),
        ({"minimum_sparsity_percentile": 2, "threshold": 0.5}, ValueError),
        ({"minimum_sparsity_percentile": 0.5, "target_sparsity": 0.5}, ValueError),
        ({"num_threads": 0, "target_sparsity": 0.5}, ValueError),
    ],
    ids=str,
)
def test_arguments(arguments: dict[str, Any], error: type[Exception]) -> None:
    name = next(iter(arguments))
    with pytest.raises(error, match=rf"^\[prune\] {name}: found .*, allowed "):
        sc.prune(WEIGHT, **arguments)


@pytest.mark.parametrize("ratio, name", [((5, 4), "n_m_ratio\\[0\\]"), ((0, 0), "n_m_ratio\\[1\\]")])
def test_ratios(ratio: tuple[int, int], name: str) -> None:
    with pytest.raises(ValueError, match=rf"^\[prune\] {name}: found .*, allowed "):
        sc.prune(WEIGHT, n_m_ratio=ratio)


@pytest.mark.parametrize("arguments", [{}, {"target_sparsity": 0.5, "threshold": 1.0}], ids=str)
def test_exactly_one_choice(arguments: dict[str, Any]) -> None:
    allowed = r"^\[prune\] target_sparsity, threshold, n_m_ratio: found .*, allowed exactly one of them"
    with pytest.raises(ValueError, match=allowed):
        sc.prune(WEIGHT, **arguments)


@pytest.mark.parametrize("shape", [(), (12,), (2, 2, 2, 2, 2, 2)])
def test_ranks_without_channels(shape: tuple[int, ...]) -> None:
    for arguments in ({"n_m_ratio": (1, 1)}, {"target_sparsity": 0.5, "block_size": 1}):
        with pytest.raises(ValueError, match=rf"^\[prune\] weight: found rank {len(shape)}, allowed 2 to 5 "):
            sc.prune(np.ones(shape, np.float32), **arguments)
    assert sc.prune(np.ones(shape, np.float32), target_sparsity=0.5).sparsity == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_not_finite(dtype: Any) -> None:
    weight = np.ones((8, 70), dtype)
    weight[3, 5] = -np.inf
    for arguments in ({"target_sparsity": 0.5}, {"threshold": 1.0}, {"n_m_ratio": (2, 4)}, {"target_sparsity": 0.5, "block_size": 2}):  # fmt: skip
        with pytest.raises(ValueError, match=r"^\[prune\] weight: element 215 is -inf, "):
            sc.prune(weight, **arguments)


def test_sizes() -> None:
    result = sc.prune(WEIGHT, target_sparsity=0.75)
    assert result.shape == (8, 12)
    assert result.dtype == np.float32
    assert result.mask.dtype == np.uint8
    assert result.nonzero_data.shape == (24,)
    assert result.sparsity == 0.75
    assert result.nbytes == 24 * 4 + 96 // 8
    assert result.bits_per_weight == 8 * result.nbytes / 96
    assert "\n" not in repr(result)
    assert np.array_equal(result.decompress(), np.where(result.mask, WEIGHT, 0))


@pytest.mark.parametrize("shape", [(0,), (0, 4), (4, 0)])
def test_empty(shape: tuple[int, ...]) -> None:
    for arguments in ({"target_sparsity": 0.5}, {"threshold": 1.0}):
        result = sc.prune(np.empty(shape, np.float16), **arguments)
        assert result.nonzero_data.shape == (0,)
        assert result.sparsity == result.bits_per_weight == 0.0
        assert result.decompress().shape == shape


def test_zeros_of_either_sign_are_not_stored() -> None:
    weight = np.array([0.0, -0.0, 1.0, -2.0], np.float16)
    result = sc.prune(weight, target_sparsity=0.0)
    assert result.mask.tolist() == [0, 0, 1, 1]
    assert not np.signbit(result.decompress()[:2]).any()


def test_bfloat16() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    weight = WEIGHT.astype(ml_dtypes.bfloat16)
    result = sc.prune(weight, target_sparsity=0.5)
    assert result.nonzero_data.dtype == ml_dtypes.bfloat16
    assert result.decompress().dtype == ml_dtypes.bfloat16
    kept = result.mask != 0
    assert np.array_equal(result.decompress()[kept], weight[kept])


def test_parts_that_do_not_fit() -> None:
    values = np.ones(2, np.float32)
    with pytest.raises(ValueError, match="nonzero_data: found 2 elements, the mask has 1 ones"):
        sc.Sparse(values, np.array([0, 1], np.uint8)).decompress()
    with pytest.raises(ValueError, match="mask: found other bytes, allowed 0, 1"):
        sc.Sparse(values, np.array([2, 1], np.uint8)).decompress()
