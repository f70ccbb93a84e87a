"""sc.ModelPackage: what it shows of a package, that its arrays live, and its errors."""

import gc
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import swiftcompress as sc
from swiftcompress.model_package import _elements, unique_names


def test_outline(fixtures: Path) -> None:
    package = sc.ModelPackage(fixtures / "mixed_ios18.mlpackage")
    assert package.specification_version == 9
    assert package.model_type == "mlProgram"
    assert package.functions == ("main",)
    assert package.metadata.user["com.github.apple.coremltools.version"] == "9.0"
    assert package.report is None
    types = {operation.type for operation in package.operations}
    assert {"const", "conv", "linear", "cond"} <= types
    assert max(operation.depth for operation in package.operations) == 1
    assert all(operation.outputs and operation.function == "main" for operation in package.operations)
    assert "specification version 9" in repr(package)


def test_weights_are_views_that_keep_the_package_open(fixtures: Path, tmp_path: Path) -> None:
    path = shutil.copytree(fixtures / "mixed_ios16.mlpackage", tmp_path / "a.mlpackage")
    package = sc.ModelPackage(path)
    weight = package.weights["conv_weight"]
    assert (weight.dtype, weight.shape) == (np.float16, (64, 16, 4, 4))
    again = package.weights["conv_weight"]
    assert np.shares_memory(weight, again)
    assert not weight.flags.writeable
    assert not weight.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        weight[0] = 0
    with pytest.raises(ValueError, match="WRITEABLE"):
        weight.flags.writeable = True
    expected = weight.copy()
    stored = package.weights.info("conv_weight")
    assert (stored.dtype, stored.bits, stored.size, stored.operation) == ("fp16", 16, weight.size, "const")
    raw = (path / "Data/com.apple.CoreML/weights/weight.bin").read_bytes()
    data = int.from_bytes(raw[stored.offset + 16 : stored.offset + 24], "little")
    assert raw[data : data + weight.nbytes] == weight.tobytes()
    del package, again
    gc.collect()
    shutil.rmtree(path)
    assert np.array_equal(weight, expected)


def test_weights_are_a_mapping(fixtures: Path) -> None:
    weights = sc.ModelPackage(fixtures / "mixed_ios16.mlpackage").weights
    assert len(weights) == len(list(weights)) == len(dict(weights))
    assert "conv_weight" in weights
    assert "missing" not in weights
    assert 3 not in weights
    assert weights.get("missing") is None
    with pytest.raises(KeyError, match="missing"):
        weights["missing"]
    assert repr(weights) == f"Weights({len(weights)} arrays)"


def test_functions_qualify_names(fixtures: Path) -> None:
    package = sc.ModelPackage(fixtures / "multifunction.mlpackage")
    assert package.functions == ("one", "two")
    assert {"one/weight", "two/weight"} <= set(package.weights)
    assert np.shares_memory(package.weights["one/weight"], package.weights["two/weight"])


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("main", "a"), ("main", "b")], ["a", "b"]),
        ([("f", "a"), ("g", "a"), ("g", "b")], ["f/a", "g/a", "b"]),
        ([("f", "a"), ("f", "a"), ("f", "a")], ["a", "a#2", "a#3"]),
        ([("f", "a#2"), ("f", "a"), ("f", "a"), ("f", "a")], ["a#2", "a", "a#3", "a#4"]),
        ([("f", "g/a"), ("g", "a"), ("h", "a")], ["g/a", "g/a#2", "h/a"]),
    ],
)
def test_names_are_unique(pairs: list[tuple[str, str]], expected: list[str]) -> None:
    assert unique_names(pairs) == expected


@pytest.mark.parametrize(
    "form", ["reference_ios16_uniform6", "reference_ios18_uniform3_grouped", "reference_ios18_vector"]
)
def test_compressed_weights(fixtures: Path, form: str) -> None:
    package = sc.ModelPackage(fixtures / f"{form}.mlpackage")
    entry = package.compressed["conv_weight_palettized"]
    assert (entry.operation, entry.shape) == ("constexpr_lut_to_dense", (64, 16, 4, 4))
    lut = package.weights["conv_weight_palettized.lut"]
    indices = package.weights["conv_weight_palettized.indices"]
    assert not indices.flags.writeable
    dense = package.decompressed("conv_weight_palettized")
    assert (dense.dtype, dense.shape) == (np.float16, entry.shape)
    assert dense.flags.writeable
    if lut.ndim == 6:
        nbits = int(np.log2(lut.shape[-2]))
        packed = package.weights.packed("conv_weight_palettized.indices")
        assert packed.size == -(-indices.size * nbits // 8)
        vector_axis = 0 if lut.shape[-1] > 1 else None
        assert np.array_equal(sc.Palettized(lut, indices, nbits, vector_axis).decompress(), dense)
    else:
        codes = sc.unpack_bits(indices, 6, dense.size)
        assert np.array_equal(lut[codes].reshape(dense.shape), dense)


def test_decompressed_of_a_plain_weight_is_a_copy(fixtures: Path) -> None:
    package = sc.ModelPackage(fixtures / "mixed_ios18.mlpackage")
    copy = package.decompressed("conv_weight")
    assert np.array_equal(copy, package.weights["conv_weight"])
    assert copy.flags.writeable
    with pytest.raises(KeyError, match="missing"):
        package.decompressed("missing")


def test_elements_narrower_than_a_byte() -> None:
    raw = np.array([0xF1, 0x08], np.uint8)
    assert _elements(raw, "int4", 4, (3,)).tolist() == [1, -1, -8]
    assert _elements(raw, "uint4", 4, (1, 3)).tolist() == [[1, 15, 8]]
    assert _elements(raw[:1], "uint1", 1, (2, 4)).tolist() == [[1, 0, 0, 0], [1, 1, 1, 1]]
    assert _elements(raw, "bool", 8, (2,)).dtype == np.bool_


def test_bfloat16_elements(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = np.array([0x80, 0x3F], np.uint8)
    monkeypatch.setitem(__import__("sys").modules, "ml_dtypes", None)
    assert _elements(raw, "bf16", 16, (1,)).tolist() == [0x3F80]
    monkeypatch.undo()
    pytest.importorskip("ml_dtypes")
    assert float(_elements(raw, "bf16", 16, (1,))[0]) == 1.0


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_save(fixtures: Path, tmp_path: Path) -> None:
    source = fixtures / "mixed_ios18.mlpackage"
    package = sc.ModelPackage(source)
    target = tmp_path / "copy.mlpackage"
    package.save(target)
    assert files(target) == files(source)
    package.save(str(target))
    sc.ModelPackage(target).save(target)
    assert files(target) == files(source)
    assert [p.name for p in tmp_path.iterdir()] == ["copy.mlpackage"]


@pytest.mark.parametrize("kind", ["pipeline", "neural_network", "weightless"])
def test_other_kinds_open(fixtures: Path, kind: str) -> None:
    package = sc.ModelPackage(fixtures / f"{kind}.mlpackage")
    assert isinstance(package.operations, tuple)
    assert isinstance(dict(package.weights), dict)


class TestErrors:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError) as caught:
            sc.ModelPackage(tmp_path / "missing.mlpackage")
        assert caught.value.filename == str(tmp_path / "missing.mlpackage")

    def test_what_is_no_package(self, fixtures: Path, tmp_path: Path) -> None:
        for path in (tmp_path, fixtures / "old.mlmodel", Path(__file__)):
            with pytest.raises(sc.ModelFormatError, match=str(path)):
                sc.ModelPackage(path)

    @pytest.mark.parametrize("path", [3, None, 2.5, []])
    def test_what_is_no_path(self, path: Any) -> None:
        with pytest.raises(TypeError, match="path"):
            sc.ModelPackage(path)

    def test_nul_in_a_path(self) -> None:
        with pytest.raises(ValueError, match="null"):
            sc.ModelPackage("a\0b.mlpackage")

    def test_damage_says_where(self, fixtures: Path, tmp_path: Path) -> None:
        path = shutil.copytree(fixtures / "mixed_ios16.mlpackage", tmp_path / "a.mlpackage")
        weights = path / "Data/com.apple.CoreML/weights/weight.bin"
        weights.write_bytes(weights.read_bytes()[:1000])
        with pytest.raises(sc.ModelFormatError, match=r"weight\.bin.*at byte \d+"):
            dict(sc.ModelPackage(path).weights)
        model = path / "Data/com.apple.CoreML/model.mlmodel"
        model.write_bytes(model.read_bytes()[:5000])
        with pytest.raises(sc.ModelFormatError, match=r"model\.mlmodel.*at byte \d+"):
            sc.ModelPackage(path)

    def test_it_is_a_value_error(self) -> None:
        assert issubclass(sc.ModelFormatError, ValueError)
        assert sc.ModelFormatError.__module__ == "swiftcompress"

    def test_saving_where_it_cannot(self, fixtures: Path, tmp_path: Path) -> None:
        package = sc.ModelPackage(fixtures / "weightless.mlpackage")
        with pytest.raises(FileNotFoundError):
            package.save(tmp_path / "missing" / "a.mlpackage")
        ordinary = tmp_path / "ordinary.mlpackage"
        ordinary.mkdir()
        (ordinary / "precious").write_text("data")
        with pytest.raises(FileExistsError):
            package.save(ordinary)
        assert (ordinary / "precious").read_text() == "data"
