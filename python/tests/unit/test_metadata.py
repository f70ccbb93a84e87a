"""cto.get_weights_metadata and its classes; beside coremltools' in python/tests/packages/test_metadata.py."""

import gc
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import swiftcompress as sc
import swiftcompress.coreml as cto
from swiftcompress import _native


@pytest.fixture
def source(fixtures: Path) -> Path:
    return fixtures / "mixed_ios18.mlpackage"


def test_weights_and_consumers(source: Path) -> None:
    package = sc.ModelPackage(source)
    found = cto.get_weights_metadata(source)
    assert isinstance(found, dict)
    linear = found["linear_weight"]
    assert np.array_equal(linear.val, package.weights["linear_weight"])
    assert linear.sparsity == np.mean(linear.val == 0)
    assert linear.unique_values == len(np.unique(linear.val.astype(np.float32)))
    (child,) = linear.child_ops or []
    assert (child.op_type, child.params_name_mapping["weight"]) == ("linear", "linear_weight")
    assert child.weight == "linear_weight"
    with pytest.raises(AttributeError, match="gamma"):
        child.gamma  # noqa: B018
    operation = next(op for op in package.operations if op.name == child.name)
    assert operation.type == "linear"
    assert all(data.val.size >= 2048 for data in found.values())


def test_threshold(source: Path) -> None:
    sizes = {name: data.val.size for name, data in cto.get_weights_metadata(source, 0).items()}
    for threshold in (1, 8, 64, 2048, 10**9):
        found = cto.get_weights_metadata(source, threshold)
        assert list(found) == [name for name, size in sizes.items() if size >= threshold]
        for data in found.values():
            for child in data.child_ops or []:
                assert set(child.params_name_mapping.values()) <= set(found)


def test_arrays_are_views_that_keep_the_package_open(source: Path, tmp_path: Path) -> None:
    path = shutil.copytree(source, tmp_path / "a.mlpackage")
    found = cto.get_weights_metadata(path)
    data = found["linear_weight"]
    assert data.val is data.val
    assert not data.val.flags.owndata
    assert not data.val.flags.writeable
    shutil.rmtree(path)
    del found
    gc.collect()
    assert data.unique_values > 1


def test_counting_waits_until_it_is_asked_for(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[tuple[int, ...]] = []
    count = _native.weight_statistics

    def counting(array: np.ndarray, threads: int) -> tuple[int, int]:
        counted.append(array.shape)
        return count(array, threads)

    monkeypatch.setattr(_native, "weight_statistics", counting)
    found = cto.get_weights_metadata(source)
    repr(found)
    [data.val.shape for data in found.values()]
    assert not counted
    data = found["linear_weight"]
    first = (data.sparsity, data.unique_values)
    assert (data.unique_values, data.sparsity) == first[::-1]
    assert counted == [data.val.shape]
    str(found)
    assert len(counted) == len(found)


def test_functions(fixtures: Path) -> None:
    found = cto.get_weights_metadata(fixtures / "multifunction.mlpackage", 0)
    assert {"one/weight", "two/weight"} <= set(found)
    assert np.shares_memory(found["one/weight"].val, found["two/weight"].val)


@pytest.mark.parametrize("form", ["reference_ios16_uniform6", "reference_ios18_vector"])
def test_arrays_of_compressed_weights(fixtures: Path, form: str) -> None:
    found = cto.get_weights_metadata(fixtures / f"{form}.mlpackage", 0)
    luts = {name: data for name, data in found.items() if name.endswith("_lut_0")}
    assert luts
    for name, data in luts.items():
        (child,) = data.child_ops or []
        assert child.op_type == "constexpr_lut_to_dense"
        assert list(child.params_name_mapping)[:2] == ["indices", "lut"]
        assert child.params_name_mapping["lut"] == name


def test_models(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = cto.get_weights_metadata(source)
    assert cto.get_weights_metadata(str(source)) == expected
    assert cto.get_weights_metadata(sc.ModelPackage(source)) == expected
    assert cto.get_weights_metadata(model=source) == expected
    monkeypatch.setitem(sys.modules, "coremltools", ModuleType("coremltools"))
    kind = type("MLModel", (), {"__module__": "coremltools.models.model"})
    model: Any = kind()
    model.is_package, model.package_path = True, str(source)
    assert cto.get_weights_metadata(model) == expected
    model.is_package = False
    with pytest.raises(TypeError, match="ML Program"):
        cto.get_weights_metadata(model)


def test_errors(source: Path, tmp_path: Path) -> None:
    for model in (None, 3, [source]):
        with pytest.raises(TypeError, match="model"):
            cto.get_weights_metadata(model)
    for threshold in (None, 2048.0, "2048", True):
        with pytest.raises(TypeError, match="weight_threshold"):
            cto.get_weights_metadata(source, threshold)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weight_threshold"):
        cto.get_weights_metadata(source, -1)
    with pytest.raises(FileNotFoundError):
        cto.get_weights_metadata(tmp_path / "missing.mlpackage")
    with pytest.raises(sc.ModelFormatError, match="neuralNetwork without an ML Program"):
        cto.get_weights_metadata(source.with_name("neural_network.mlpackage"))


class TestWeight:
    """CoreMLWeightMetaData made from an array, as in coremltools' own example."""

    data = np.array([[1.0, 0.0], [0.0, 6.0]], dtype=np.float32)

    def test_text(self) -> None:
        child = cto.CoreMLOpMetaData("conv", "conv_1", {"weight": "w", "bias": "b"})
        assert str(child) == "conv(name=conv_1, weight=w, bias=b, ...)"
        assert str(cto.CoreMLWeightMetaData(self.data)) == (
            "[  \n  val: np.ndarray(shape=(2, 2), dtype=float32)\n  sparsity: 0.5\n  unique_values: 3\n]"
        )
        text = str(cto.WeightsMetadata(w=cto.CoreMLWeightMetaData(self.data, child_ops=[child])))
        assert text == (
            "w\n[  \n  val: np.ndarray(shape=(2, 2), dtype=float32)\n  sparsity: 0.5\n  unique_values: 3\n"
            "  child_ops: [\n    conv(name=conv_1, weight=w, bias=b, ...)\n  ]\n]\n"
        )

    def test_given_counts_are_kept(self) -> None:
        found = cto.CoreMLWeightMetaData(self.data, 0.25, 9)
        assert (found.sparsity, found.unique_values) == (0.25, 9)
        assert cto.CoreMLWeightMetaData(self.data, unique_values=9).sparsity == 0.5
        assert cto.CoreMLWeightMetaData(self.data, 0.25).unique_values == 3

    @pytest.mark.parametrize(
        "arguments", [([1.0],), (data, 1), (data, None, 1.5), (data, None, None, ())], ids=lambda a: str(len(a))
    )
    def test_wrong_types(self, arguments: Any) -> None:
        with pytest.raises(TypeError, match="must be"):
            cto.CoreMLWeightMetaData(*arguments)
        with pytest.raises(TypeError, match="must be"):
            cto.CoreMLOpMetaData("conv", "conv_1", None)  # type: ignore[arg-type]

    def test_it_cannot_be_changed(self) -> None:
        found: Any = cto.CoreMLWeightMetaData(self.data)
        for name in ("val", "sparsity", "unique_values", "child_ops", "other"):
            with pytest.raises(AttributeError):
                setattr(found, name, None)

    def test_equality(self) -> None:
        found = cto.CoreMLWeightMetaData(self.data)
        assert found == cto.CoreMLWeightMetaData(self.data.copy())
        assert found != cto.CoreMLWeightMetaData(self.data * 2)
        assert found != cto.CoreMLWeightMetaData(self.data, child_ops=[])
        assert found != 3

    def test_odd_arrays(self) -> None:
        empty = cto.CoreMLWeightMetaData(np.empty((0, 4), np.float16))
        assert np.isnan(empty.sparsity)
        assert empty.unique_values == 0
        least = cto.CoreMLWeightMetaData(np.array([-(2**31), 0, 5, 5], np.int32))
        assert (least.sparsity, least.unique_values) == (0.25, 3)
        swapped = cto.CoreMLWeightMetaData(self.data.astype(">f4"))
        assert (swapped.sparsity, swapped.unique_values) == (0.5, 3)
        assert cto.CoreMLWeightMetaData(np.array(3.0)).unique_values == 1
