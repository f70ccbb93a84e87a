"""ModelPackage: open, look, save. Saving what was opened gives the same bytes in every file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import swiftcompress as sc
from support.oracle import OraclePackage, tree
from support.package_factory import names
from support.reference import TARGETS

ALL = [
    (n, t) for t in TARGETS for n in names(t) if n in ("small", "layers", "nested") or t in ("iOS16", "iOS18", "iOS26")
]


@pytest.mark.parametrize("name, target", ALL)
def test_open_and_save_is_lossless(packages: Any, tmp_path: Path, name: str, target: str) -> None:
    path, output = packages(name, target), tmp_path / "out.mlpackage"
    before = tree(path)
    sc.ModelPackage(str(path)).save(str(output))
    assert tree(path) == before, "the input was changed"
    after = tree(output)
    listed = set(before) - {"Data/com.apple.CoreML/unlisted.txt"}
    assert set(after) - {"Data/com.apple.CoreML/unlisted.txt"} == listed
    for key in listed:
        assert after[key] == before[key], key


@pytest.mark.parametrize("name", ["basic_pitch", "crepe_tiny", "crepe_full", "minilm"])
def test_open_and_save_real_models(real_model: Any, tmp_path: Path, name: str) -> None:
    path, output = real_model(name), tmp_path / "out.mlpackage"
    sc.ModelPackage(str(path)).save(str(output))
    assert tree(output) == tree(path)


@pytest.mark.parametrize("name, target", [*ALL])
def test_what_it_shows(packages: Any, name: str, target: str) -> None:
    path = packages(name, target)
    oracle, package = OraclePackage(path), sc.ModelPackage(str(path))
    assert package.specification_version == oracle.spec.specificationVersion
    assert len(list(package.operations)) == len(list(oracle.operations()))
    types = [operation.type for operation in package.operations]
    assert sorted(types) == sorted(o.type for _, o in oracle.operations())


@pytest.mark.parametrize("name, target", [*((n, t) for n, t in ALL if n not in ("multifunction", "pipeline"))])
def test_weights_are_read_right(packages: Any, name: str, target: str) -> None:
    """Every float const of 10 or more elements: dtype, shape and bits, read-only, without a copy of the file's data."""
    path = packages(name, target)
    package, consts = sc.ModelPackage(str(path)), OraclePackage(path).consts()
    for key, array in consts.items():
        if array.values.dtype.kind != "f" or array.values.size < 10:
            continue
        ours = package.weights[key]
        assert ours.dtype == array.values.dtype
        assert ours.shape == array.values.shape
        assert ours.tobytes() == array.values.tobytes()
        assert not ours.flags.writeable
        with pytest.raises(ValueError):
            ours[...] = 0


def test_a_view_outlives_its_package(packages: Any) -> None:
    path = packages("layers", "iOS16")
    expected = OraclePackage(path).consts()["conv_w"].values
    weight = sc.ModelPackage(str(path)).weights["conv_w"]
    for _ in range(20):
        sc.ModelPackage(str(path)).weights["linear_w"].sum()
    assert weight.tobytes() == expected.tobytes()


def test_weights_do_not_cost_memory(packages: Any, tmp_path: Path) -> None:
    """Zero-copy: two arrays of one weight share their memory."""
    package = sc.ModelPackage(str(packages("layers", "iOS16")))
    assert np.shares_memory(package.weights["conv_w"], package.weights["conv_w"])


def test_metadata(packages: Any) -> None:
    package = sc.ModelPackage(str(packages("extra_items", "iOS18")))
    text = repr(package.metadata)
    assert "Ünïcode Author" in text
    assert "välue" in text


def test_functions(packages: Any) -> None:
    package = sc.ModelPackage(str(packages("multifunction", "iOS18")))
    assert {getattr(f, "name", f) for f in package.functions} == {"first", "second"}
    assert [getattr(f, "name", f) for f in sc.ModelPackage(str(packages("small", "iOS16"))).functions] == ["main"]


def test_saving_over_the_input(packages: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.mlpackage"
    shutil.copytree(packages("layers", "iOS16"), path)
    before = tree(path)
    package = sc.ModelPackage(str(path))
    weight = package.weights["conv_w"]
    content = weight.tobytes()
    package.save(str(path))
    assert tree(path) == before
    assert weight.tobytes() == content, "a view taken before the save changed"
    assert [p.name for p in tmp_path.iterdir()] == ["model.mlpackage"]


def test_pathlib_and_relative_paths(packages: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(packages("small", "iOS16"), tmp_path / "ünï cøde.mlpackage")
    monkeypatch.chdir(tmp_path)
    sc.ModelPackage(Path("ünï cøde.mlpackage")).save(Path("out.mlpackage"))
    sc.ModelPackage("ünï cøde.mlpackage/").save("again.mlpackage/")
    assert (
        tree(tmp_path / "out.mlpackage") == tree(tmp_path / "ünï cøde.mlpackage") == tree(tmp_path / "again.mlpackage")
    )
