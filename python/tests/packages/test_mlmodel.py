"""coremltools' MLModel in, an MLModel out: what it knows is kept, and what was temporary goes away."""

from __future__ import annotations

import gc
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import coremltools as ct
import coremltools.optimize.coreml as theirs
import numpy as np
import pytest
from coremltools.models.utils import MultiFunctionDescriptor, save_multifunction

import swiftcompress as sc
import swiftcompress.coreml as cto
from support.mlmodels import COMPRESSORS, PALETTIZE, convert


def digest(folder: str | Path) -> str:
    total = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            total.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary packages of ours are made."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def leftovers(scratch: Path) -> list[Path]:
    gc.collect()
    return list(scratch.glob("swiftcompress-*"))


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("given", ["fresh", "fresh, not loaded", "from a file"])
def test_a_model(name: str, given: str, scratch: Path, tmp_path: Path) -> None:
    model = convert(skip_model_load=given == "fresh, not loaded", compute_units=ct.ComputeUnit.CPU_AND_NE)
    if given == "from a file":
        model.save(str(tmp_path / "model.mlpackage"))
        model = ct.models.MLModel(
            str(tmp_path / "model.mlpackage"), skip_model_load=True, compute_units=ct.ComputeUnit.CPU_AND_NE
        )
    before = digest(model.package_path), model.get_spec().SerializeToString(deterministic=True)
    result = COMPRESSORS[name](model)
    assert type(result) is ct.models.MLModel
    assert result.compute_unit == ct.ComputeUnit.CPU_AND_NE
    assert len(result.report.compressed) == 2
    assert sorted(sc.ModelPackage(result.package_path).compressed) == ["first", "second"]
    assert (digest(model.package_path), model.get_spec().SerializeToString(deterministic=True)) == before
    # It is a model like any other: coremltools can read it, save it and take its weights out again.
    result.save(str(tmp_path / "saved.mlpackage"))
    again = ct.models.MLModel(str(tmp_path / "saved.mlpackage"), skip_model_load=True)
    dense = theirs.decompress_weights(again)
    assert sorted(cto.get_weights_metadata(dense)) == ["first", "second"]
    del result
    assert not leftovers(scratch)


def test_one_after_the_other(scratch: Path) -> None:
    model = convert("iOS18")
    pruned = COMPRESSORS["prune"](model)
    both = cto.palettize_weights(pruned, PALETTIZE, joint_compression=True)
    assert "constexpr_lut_to_sparse" in {operation.type for operation in sc.ModelPackage(both.package_path).operations}
    dense = cto.decompress_weights(both)
    assert not sc.ModelPackage(dense.package_path).compressed
    zeros = {name: data.sparsity for name, data in cto.get_weights_metadata(dense).items()}
    assert zeros == {"first": pytest.approx(0.5, abs=0.01), "second": pytest.approx(0.5, abs=0.01)}
    del pruned, both, dense
    assert not leftovers(scratch)


def test_the_numbers_are_those_of_the_package(tmp_path: Path) -> None:
    model = convert()
    model.save(str(tmp_path / "model.mlpackage"))
    from_model = sc.ModelPackage(COMPRESSORS["palettize"](model, output=tmp_path / "a.mlpackage").package_path)
    from_path = COMPRESSORS["palettize"](tmp_path / "model.mlpackage")
    assert set(from_model.weights) == set(from_path.weights)
    assert all(np.array_equal(from_model.weights[name], from_path.weights[name]) for name in from_path.weights)


def test_what_its_author_said_since_it_was_read(tmp_path: Path) -> None:
    model = convert()
    model.author = "An author"
    model.license = "A license"
    model.short_description = "What it does"
    model.version = "7"
    model.user_defined_metadata["key"] = "value"
    model.input_description["x"] = "What goes in"
    output = next(iter(model.output_description))
    model.output_description[output] = "What comes out"
    result = COMPRESSORS["palettize"](model, output=tmp_path / "out.mlpackage")
    for found in (result, ct.models.MLModel(str(tmp_path / "out.mlpackage"), skip_model_load=True)):
        assert found.author == "An author"
        assert found.license == "A license"
        assert found.short_description == "What it does"
        assert found.version == "7"
        assert found.user_defined_metadata["key"] == "value"
        assert found.input_description["x"] == "What goes in"
        assert found.output_description[output] == "What comes out"
        assert found.get_spec().description == model.get_spec().description
    # The package of the unsaved model does not know.
    assert ct.models.MLModel(model.package_path, skip_model_load=True).author == ""


@pytest.mark.parametrize("loaded", [False, True])
def test_it_is_loaded_into_core_ml_only_if_it_was(loaded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = convert(skip_model_load=True)
    if loaded:
        model.__proxy__ = object()  # only on macOS is there a real one
    found = []
    initialize = ct.models.MLModel.__init__

    def call(self: Any, *arguments: Any, **options: Any) -> None:
        found.append(options["skip_model_load"])
        initialize(self, *arguments, **{**options, "skip_model_load": True})

    monkeypatch.setattr(ct.models.MLModel, "__init__", call)
    COMPRESSORS["palettize"](model)
    assert found == [not loaded]


def test_optimization_hints(tmp_path: Path) -> None:
    convert().save(str(tmp_path / "model.mlpackage"))
    hints: dict[str, Any] = {}
    if ct.utils._macos_version() >= (15, 0):  # coremltools refuses others elsewhere
        hints = {"allowLowPrecisionAccumulationOnGPU": True, "reshapeFrequency": ct.ReshapeFrequency.Infrequent}
    model = ct.models.MLModel(str(tmp_path / "model.mlpackage"), skip_model_load=True, optimization_hints=hints)
    assert COMPRESSORS["palettize"](model).optimization_hints == hints


@pytest.mark.parametrize("function", [None, "second"])
@pytest.mark.parametrize("name", COMPRESSORS)
def test_several_functions(name: str, function: str | None, scratch: Path, tmp_path: Path) -> None:
    convert("iOS18").save(str(tmp_path / "one.mlpackage"))
    descriptor = MultiFunctionDescriptor()
    for target in ("first", "second"):
        descriptor.add_function(str(tmp_path / "one.mlpackage"), "main", target)
    descriptor.default_function_name = "first"
    save_multifunction(descriptor, str(tmp_path / "several.mlpackage"))
    model = ct.models.MLModel(str(tmp_path / "several.mlpackage"), skip_model_load=True, function_name=function)
    result = COMPRESSORS[name](model)
    assert result.function_name == (function or "first")
    assert result._is_multifunction()
    package = sc.ModelPackage(result.package_path)
    assert sorted(package.functions) == ["first", "second"]  # a map has no order of its own
    assert sorted(package.compressed) == ["first/first", "first/second", "second/first", "second/second"]
    # What the functions share is still stored once.
    stored = {
        (entry.file, entry.offset)
        for entry in map(package.weights.info, package.weights)
        if entry.name.startswith("first.")
    }
    assert len(stored) == sum(name.startswith("first/first.") for name in package.weights)
    dense = cto.decompress_weights(result)
    assert sorted(sc.ModelPackage(dense.package_path).functions) == ["first", "second"]
    assert sorted(cto.get_weights_metadata(model)) == ["first/first", "first/second", "second/first", "second/second"]
    del package, result, dense
    assert not leftovers(scratch)


def test_a_pipeline(packages: Any, tmp_path: Path) -> None:
    model = ct.models.MLModel(str(packages("pipeline", "iOS16")), skip_model_load=True)
    result = COMPRESSORS["palettize"](model)
    assert result.get_spec().WhichOneof("Type") == model.get_spec().WhichOneof("Type") == "pipeline"
    assert sc.ModelPackage(result.package_path).compressed


def test_a_model_of_the_old_kind() -> None:
    from coremltools.models import datatypes
    from coremltools.models.neural_network import NeuralNetworkBuilder

    builder = NeuralNetworkBuilder([("x", datatypes.Array(4))], [("y", datatypes.Array(4))])
    builder.add_activation("relu", "RELU", "x", "y")
    model = ct.models.MLModel(builder.spec, skip_model_load=True)
    for function in (*COMPRESSORS.values(), cto.decompress_weights, cto.get_weights_metadata):
        with pytest.raises(TypeError, match="mlprogram"):
            function(model)
    for name in ("palettize_weights", "decompress_weights", "get_weights_metadata"):  # as there
        arguments = [theirs.OptimizationConfig()] if name == "palettize_weights" else []
        with pytest.raises(TypeError, match="mlprogram"):
            getattr(theirs, name)(model, *arguments)


def test_the_weights_of_a_model_that_was_never_saved() -> None:
    model = convert()
    ours, reference_result = cto.get_weights_metadata(model), theirs.get_weights_metadata(model)
    assert list(ours) == list(reference_result) == ["first", "second"]
    assert all(np.array_equal(ours[name].val, reference_result[name].val) for name in ours)


# Temporary packages


def test_nothing_is_left_after_an_error(scratch: Path) -> None:
    config = cto.OptimizationConfig(cto.OpLinearQuantizerConfig(dtype="int4"))
    model = convert()
    with pytest.raises(ValueError, match="iOS18"):
        cto.linear_quantize_weights(model, config)
    with pytest.raises(RuntimeError, match="stop"):
        COMPRESSORS["palettize"](model, progress=stop)
    assert not leftovers(scratch)


def stop(done: int, total: int, name: str) -> None:
    raise RuntimeError("stop")


def test_a_package_that_was_asked_for_stays(scratch: Path, tmp_path: Path) -> None:
    model = convert()
    result = COMPRESSORS["palettize"](model, output=tmp_path / "out.mlpackage")
    assert result.package_path == str(tmp_path / "out.mlpackage")
    assert not list(scratch.glob("swiftcompress-*"))  # already, not only when the result goes away
    del result
    gc.collect()
    assert sc.ModelPackage(tmp_path / "out.mlpackage").compressed


def test_onto_itself(tmp_path: Path) -> None:
    path = tmp_path / "model.mlpackage"
    convert().save(str(path))
    model = ct.models.MLModel(str(path), skip_model_load=True)
    model.author = "An author"
    result = COMPRESSORS["palettize"](model, output=path)
    assert result.author == "An author"
    assert len(sc.ModelPackage(path).compressed) == 2


@pytest.mark.parametrize("end", ["", "import sys; sys.exit(3)", "raise RuntimeError"])
def test_nothing_is_left_when_python_ends(end: str, tmp_path: Path) -> None:
    convert().save(str(tmp_path / "model.mlpackage"))
    (tmp_path / "scratch").mkdir()
    script = f"""
import coremltools as ct
import swiftcompress.coreml as cto

model = ct.models.MLModel({str(tmp_path / "model.mlpackage")!r}, skip_model_load=True)
config = cto.OptimizationConfig(cto.OpPalettizerConfig(nbits=4))
kept = [cto.palettize_weights(model, config), cto.palettize_weights(model.package_path, config)]
{end}
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path / "scratch")}
    subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=False)
    assert not list((tmp_path / "scratch").glob("swiftcompress-*"))
