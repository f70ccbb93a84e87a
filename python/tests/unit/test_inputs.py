"""What is accepted as an array, and that it is never changed."""

import array
import sys
from typing import Any

import numpy as np
import pytest

import swiftcompress as sc

WEIGHT = np.random.default_rng(0).standard_normal((12, 20)).astype(np.float16)


def same(a: sc.Palettized, b: sc.Palettized) -> bool:
    return a.lut.tobytes() == b.lut.tobytes() and np.array_equal(a.indices, b.indices) and a.dtype == b.dtype


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_byte_order_and_dtype(dtype: Any) -> None:
    weight = WEIGHT.astype(dtype)
    swapped = weight.astype(weight.dtype.newbyteorder())
    kept = swapped.copy()
    result = sc.palettize(swapped, 3)
    assert same(result, sc.palettize(weight, 3))
    assert result.lut.dtype == dtype
    assert result.lut.dtype.isnative
    assert swapped.tobytes() == kept.tobytes()


def test_read_only_memory_map(tmp_path: Any) -> None:
    WEIGHT.tofile(tmp_path / "weight")
    mapped = np.memmap(tmp_path / "weight", np.float16, "r", shape=WEIGHT.shape)
    assert same(sc.palettize(mapped, 3), sc.palettize(WEIGHT, 3))


class HasArray:
    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return WEIGHT


class HasInterface:
    @property
    def __array_interface__(self) -> dict[str, Any]:
        return WEIGHT.__array_interface__


class HasDLPack:
    """Nothing but DLPack, as a framework's tensor."""

    def __dlpack__(self, **options: Any) -> Any:
        return WEIGHT.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return WEIGHT.__dlpack_device__()


@pytest.mark.parametrize(
    "source", [HasArray(), HasInterface(), HasDLPack(), memoryview(WEIGHT)], ids=lambda s: type(s).__name__
)
def test_whatever_numpy_can_view(source: Any) -> None:
    assert same(sc.palettize(source, 3), sc.palettize(WEIGHT, 3))


def test_lists_and_buffers_of_numbers() -> None:
    assert sc.palettize([[0.0, 1.0], [1.0, 0.0]], 1).dtype == np.float64
    assert sc.palettize(array.array("f", [0.0, 1.0, 2.0]), 1).dtype == np.float32
    assert sc.palettize(2.5, 1).decompress() == 2.5


class OnAnotherDevice:
    def __dlpack__(self, **options: Any) -> Any:
        raise BufferError("memory of another device")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)


@pytest.mark.parametrize(
    "value",
    [
        np.ma.masked_array(WEIGHT, mask=False),
        np.ones(3, np.int8),
        np.ones(3, bool),
        np.ones(3, np.complex64),
        np.array(["text"]),
        np.array([1.5, None], object),
        np.array([1, 2], "M8[s]"),
        OnAnotherDevice(),
        "text",
        b"bytes",
        {},
        {1.0},
        None,
        object(),
        [[1.0], [1.0, 2.0]],
    ],
    ids=lambda value: type(value).__name__ + str(getattr(value, "dtype", "")),
)
def test_what_is_no_array_of_floats(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^\[palettize\] weight: found .*, allowed "):
        sc.palettize(value, 2)


@pytest.mark.skipif(np.finfo(np.longdouble).bits == 64, reason="long double is float64 here")
def test_wider_floats_are_not_rounded_silently() -> None:
    with pytest.raises(TypeError, match="float64"):
        sc.palettize(np.ones(3, np.longdouble), 2)
    with pytest.raises(TypeError, match="float64"):
        sc.kmeans_1d(np.ones(3, np.longdouble), 2)


def test_importing_torch_is_the_callers_business() -> None:
    sc.palettize(WEIGHT, 2)
    if "torch" in sys.modules:
        pytest.skip("another test imported torch")
    assert "torch" not in sys.modules


class TestTorch:
    @pytest.fixture(autouse=True)
    def torch(self) -> Any:
        return pytest.importorskip("torch", exc_type=ImportError)

    @pytest.mark.parametrize("requires_grad", [False, True])
    def test_tensor(self, torch: Any, requires_grad: bool) -> None:
        tensor = torch.from_numpy(WEIGHT.copy()).requires_grad_(requires_grad)
        assert same(sc.palettize(tensor, 3), sc.palettize(WEIGHT, 3))
        assert same(sc.palettize(tensor.T, 3), sc.palettize(WEIGHT.T, 3))
        assert tensor.requires_grad is requires_grad
        assert np.array_equal(tensor.detach().numpy(), WEIGHT)

    def test_parameter_mask_and_importance(self, torch: Any) -> None:
        weight = torch.nn.Parameter(torch.from_numpy(WEIGHT.astype(np.float32)))
        mask = torch.ones(WEIGHT.shape, dtype=torch.bool)
        importance = torch.ones(WEIGHT.shape)
        result = sc.palettize(weight, 2, mask=mask, importance=importance)
        assert np.array_equal(result.lut, sc.palettize(WEIGHT.astype(np.float32), 2).lut)

    def test_bfloat16(self, torch: Any) -> None:
        exact = torch.from_numpy(WEIGHT.astype(np.float32)).bfloat16()
        result = sc.palettize(exact, 3)
        reference = sc.palettize(exact.float().numpy(), 3)
        assert np.array_equal(result.indices, reference.indices)
        expected = torch.from_numpy(reference.lut).bfloat16().float().numpy()
        assert np.array_equal(result.lut.astype(np.float32), expected)
        decoded = torch.from_numpy(result.decompress().astype(np.float32))
        assert torch.equal(decoded.bfloat16().float(), decoded)

    def test_other_devices_and_layouts(self, torch: Any) -> None:
        with pytest.raises(TypeError, match=r"meta.*CPU"):
            sc.palettize(torch.ones(3, device="meta"), 2)
        with pytest.raises(TypeError, match="dense"):
            sc.palettize(torch.eye(3).to_sparse(), 2)
        with pytest.raises(TypeError, match="weight"):
            sc.palettize(torch.ones(3, dtype=torch.int8), 2)


class TestBfloat16:
    @pytest.fixture
    def bfloat16(self) -> Any:
        return pytest.importorskip("ml_dtypes").bfloat16

    @pytest.mark.parametrize("scaled", [False, True])
    def test_through_float32(self, bfloat16: Any, scaled: bool) -> None:
        weight = WEIGHT.astype(bfloat16)
        result = sc.palettize(weight, 3, enable_per_channel_scale=scaled)
        reference = sc.palettize(weight.astype(np.float32), 3, enable_per_channel_scale=scaled)
        assert result.lut.dtype == result.decompress().dtype == bfloat16
        assert np.array_equal(result.lut, reference.lut.astype(bfloat16))
        product = result.lut.ravel()[result.indices]
        if scaled:
            product = product * result.per_channel_scale
        assert np.array_equal(result.decompress(), product)
        assert result.nbytes == -(-12 * 20 * 3 // 8) + 8 * 2 + (12 * 2 if scaled else 0)

    def test_masked_values(self, bfloat16: Any) -> None:
        weight = WEIGHT.astype(bfloat16)
        mask = WEIGHT > 0
        assert np.array_equal(sc.palettize(weight, 3, mask=mask).decompress()[~mask], weight[~mask])

    def test_kmeans(self, bfloat16: Any) -> None:
        values = WEIGHT.astype(bfloat16)
        expected = sc.kmeans_1d(values.astype(np.float64), 4)
        assert np.array_equal(sc.kmeans_1d(values, 4).centroids, expected.centroids)


def test_rounding_to_bfloat16_without_ml_dtypes() -> None:
    from swiftcompress.arrays.inputs import _round_to_bfloat16

    values = np.array([1.0, 1.00390625, 1.01171875, -1.00390625, np.inf, -0.0, 3.4e38, 1e-40], np.float32)
    rounded = _round_to_bfloat16(values)
    # Ties go to the even neighbour; too large becomes infinite; subnormals are rounded like the rest.
    assert rounded[:6].tolist() == [1.0, 1.0, 1.015625, -1.0, np.inf, -0.0]
    assert rounded[6] == np.inf
    assert np.all(rounded.view(np.uint32) & 0xFFFF == 0)
    assert np.isnan(_round_to_bfloat16(np.array([np.nan], np.float32)))[0]
    assert _round_to_bfloat16(np.float32(2).reshape(())).shape == ()
