"""sc.quantize and Quantized: arguments, shapes and what results tell. The numbers are the parity tests' business."""

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

import swiftcompress as sc

WEIGHT = np.random.default_rng(1).standard_normal((8, 12)).astype(np.float32)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"dtype": "int5"}, ValueError),
        ({"dtype": "int16"}, ValueError),
        ({"dtype": 8}, TypeError),
        ({"dtype": np.dtype(np.int16)}, ValueError),
        ({"mode": None}, TypeError),
        ({"mode": "LINEAR"}, ValueError),
        ({"granularity": "per_group"}, ValueError),
        ({"axis": 2}, ValueError),
        ({"axis": -3}, ValueError),
        ({"axis": 1.0}, TypeError),
        ({"block_size": 0, "granularity": "per_block"}, ValueError),
        ({"block_size": True, "granularity": "per_block"}, TypeError),
        ({"block_size": 4.0, "granularity": "per_block"}, TypeError),
        ({"block_size": "4", "granularity": "per_block"}, TypeError),
        ({"block_size": [4], "granularity": "per_block"}, ValueError),
        ({"compat": "torch"}, ValueError),
        ({"compat": True}, TypeError),
        ({"num_threads": 0}, ValueError),
        ({"num_threads": 1.5}, TypeError),
    ],
    ids=str,
)
def test_arguments(arguments: dict[str, Any], error: type[Exception]) -> None:
    name = next(iter(arguments))
    with pytest.raises(error, match=rf"^\[quantize\] {name}: found .*, allowed "):
        sc.quantize(WEIGHT, **arguments)


def test_one_size_of_a_list_is_named() -> None:
    with pytest.raises(ValueError, match=r"^\[quantize\] block_size\[1\]: found -1, allowed "):
        sc.quantize(WEIGHT, granularity="per_block", block_size=[0, -1])


def test_block_that_does_not_divide() -> None:
    with pytest.raises(ValueError, match=r"^\[quantize\] block_size: 5 does not divide the 12 elements of axis 1"):
        sc.quantize(WEIGHT, granularity="per_block", block_size=5, axis=1)


@pytest.mark.parametrize("mode", ["linear", "linear_symmetric"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel"])
def test_not_finite(dtype: Any, mode: Any, granularity: Any) -> None:
    for value, name in ((np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf"), (-np.float64(np.nan), "nan")):
        for size in ((3, 50), (2, 70_000)):
            weight = np.ones(size, dtype)
            weight[1, 7] = value
            with pytest.raises(ValueError, match=rf"^\[quantize\] weight: element {size[1] + 7} is {name}, "):
                sc.quantize(weight, mode=mode, granularity=granularity)


@pytest.mark.parametrize(
    "weight",
    [np.arange(4), np.array(["a"]), None, np.zeros(3, complex), object()],
    ids=lambda v: type(v).__name__ + str(getattr(v, "dtype", "")),
)
def test_not_a_weight(weight: Any) -> None:
    with pytest.raises(TypeError, match=r"^\[quantize\] weight: found .*, allowed "):
        sc.quantize(weight)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int4", "uint4", "int2", "uint2", "int3", "uint3", "int6", "uint6"])
@pytest.mark.parametrize("mode", ["linear", "linear_symmetric"])
def test_sizes(kind: str, mode: Any) -> None:
    result = sc.quantize(WEIGHT, kind, mode=mode)
    bits = int(kind.lstrip("uint"))
    signed = not kind.startswith("u")
    assert result.nbits == bits
    assert result.data.dtype == (np.int8 if signed else np.uint8)
    assert result.scale.shape == (8, 1)
    assert result.scale.dtype == np.float32
    assert (result.zero_point is None) == (signed and mode == "linear_symmetric")
    size = 96 * bits // 8 + 8 * 4
    if result.zero_point is not None:
        assert result.zero_point.dtype == result.data.dtype
        assert result.zero_point.shape == (8, 1)
        size += 8 * bits // 8
    assert result.nbytes == size
    assert result.bits_per_weight == 8 * size / 96
    assert result.shape == (8, 12)
    assert result.dtype == np.float32
    text = repr(result)
    assert "\n" not in text
    assert kind in text


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.dtype(np.uint8)])
def test_types_of_numpy(kind: Any) -> None:
    assert sc.quantize(WEIGHT, kind).data.dtype == kind


def test_integers_of_numpy_are_integers() -> None:
    result = sc.quantize(WEIGHT, axis=np.int64(-1), granularity="per_block", block_size=np.uint8(4))  # type: ignore[arg-type]
    assert result.scale.shape == (8, 3)


def test_number() -> None:
    result = sc.quantize(np.float16(-3), "uint8", mode="linear")
    assert result.data.shape == result.scale.shape == ()
    assert result.decompress() == -3
    for granularity in ("per_tensor", "per_channel", "per_block"):
        assert sc.quantize(np.float32(2.5), granularity=granularity).decompress() == np.float32(2.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape, scale", [((0,), (0,)), ((0, 4), (0, 1)), ((4, 0), (4, 1)), ((2, 0, 3), (2, 1, 1))])
def test_empty(shape: tuple[int, ...], scale: tuple[int, ...]) -> None:
    for mode in ("linear", "linear_symmetric"):
        result = sc.quantize(np.empty(shape, np.float16), "uint4", mode=mode)  # type: ignore[arg-type]
        assert result.data.shape == shape
        assert result.scale.shape == scale
        assert (result.scale == 0).all()
        assert result.bits_per_weight == 0.0
        assert result.decompress().shape == shape
        assert "nan" not in repr(result)


def test_bfloat16() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    weight = WEIGHT.astype(ml_dtypes.bfloat16)
    result = sc.quantize(weight)
    assert result.scale.dtype == ml_dtypes.bfloat16
    assert result.decompress().dtype == ml_dtypes.bfloat16
    error = np.abs(result.decompress().astype(np.float32) - weight.astype(np.float32)).max(axis=1)
    assert (error <= result.scale.astype(np.float32).ravel()).all()


def test_put_together_by_hand() -> None:
    data = np.array([[1, 2], [3, 255]], np.uint8)
    scale = np.array([[0.5], [2]], np.float16)
    zero = np.array([[1], [5]], np.uint8)
    assert np.array_equal(sc.Quantized(data, scale, zero, 8).decompress(), [[0, 0.5], [-4, 500]])
    assert np.array_equal(sc.Quantized(data.view(np.int8), scale, None, 8).decompress(), [[0.5, 1], [6, -2]])
    strided = sc.Quantized(data.T, scale.reshape(1, 2), zero.reshape(1, 2), 8)
    assert np.array_equal(strided.decompress(), [[0, -4], [0.5, 500]])


@pytest.mark.parametrize(
    ("scale", "zero"),
    [
        (np.ones((2, 3), np.float32), None),
        (np.ones((2,), np.float32), None),
        (np.ones((2, 0), np.float32), None),
        (np.ones((3, 1), np.float32), None),
        (np.ones((2, 1), np.float32), np.ones((2, 2), np.uint8)),
        (np.ones((2, 1), np.float32), np.ones((2, 1), np.int8)),
    ],
    ids=str,
)
def test_parts_that_do_not_fit(scale: Any, zero: Any) -> None:
    with pytest.raises(ValueError, match=r"scale|zero_point"):
        sc.Quantized(np.zeros((2, 4), np.uint8), scale, zero, 8).decompress()


def test_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        sc.quantize(WEIGHT).nbits = 4  # type: ignore[misc]
