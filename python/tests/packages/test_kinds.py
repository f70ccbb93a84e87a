"""Models the reference refuses or cannot load: several functions, pipelines, loops that reuse a symbol; and shared weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import HERE
from support import ours, reference
from support.oracle import OraclePackage, assert_same_but
from support.reference import Palette

GROUPED = {"granularity": "per_grouped_channel", "group_size": 8}


def palette_of(weight: np.ndarray, target: str, nbits: int = 4, group_size: int = 0) -> Palette:
    found = reference.palettize_array(weight, nbits, group_size=group_size)
    assert found is not None
    if target in ("iOS18", "iOS26"):
        return found
    packed = reference.passes.optimize_utils.ios18_lut_params_to_ios16(
        reference.passes.optimize_utils.LutParams(found.indices, found.lut, None)
    )
    return Palette(packed.lut, packed.indices, None)


def assert_all(path: Path, output: Path, keys: set[str], target: str, group_size: int = 0) -> None:
    __tracebackhide__ = True
    before, after = OraclePackage(path), OraclePackage(output)
    operations = ours.new_constexprs(before, after)
    assert ours.final_names(operations) == keys
    for key in keys:
        weight = before.consts()[key].values
        ours.assert_palette(
            operations, key, palette_of(weight, target, group_size=group_size), weight.dtype, weight.shape
        )
    assert_same_but(before, after, keys)


@pytest.mark.parametrize("target", ["iOS18", "iOS26"])
@pytest.mark.parametrize("options", [{"nbits": 4}, {"nbits": 4, **GROUPED}], ids=str)
def test_several_functions(packages: Any, tmp_path: Path, target: str, options: dict[str, Any]) -> None:
    """The reference refuses these. A weight both functions use is stored once before and once after."""
    path, output = packages("multifunction", target), tmp_path / "out.mlpackage"
    ours.compress(path, output, **options)
    keys = {"first/shared", "first/own", "second/shared", "second/own"}
    assert_all(path, output, keys, target, options.get("group_size", 0))
    assert len(blob_offsets(path, keys)) == 3
    indices = blob_offsets(output, keys)
    assert len(indices) == 3, "the shared weight's indices were written twice"


def blob_offsets(path: Path, keys: set[str]) -> set[tuple[str, int]]:
    """Where the const data, or the indices, of these weights lie."""
    found = set()
    for where, operation in OraclePackage(path).operations():
        if f"{where}/{operation.outputs[0].name}" not in keys:
            continue
        if operation.type == "const":
            value = operation.attributes["val"]
        else:
            value = operation.inputs["indices"].arguments[0].value
        found.add((value.blobFileValue.fileName, value.blobFileValue.offset))
    return found


@pytest.mark.parametrize("target", ["iOS16", "iOS17", "iOS18"])
def test_pipeline(packages: Any, tmp_path: Path, target: str) -> None:
    path, output = packages("pipeline", target), tmp_path / "out.mlpackage"
    ours.compress(path, output, nbits=4)
    assert_all(path, output, {"0/main/w", "1/main/w"}, target)


@pytest.mark.parametrize("target", ["iOS16", "iOS18"])
def test_shared_blob(packages: Any, tmp_path: Path, target: str) -> None:
    """Two consts that point at one blob: both compressed, the tables written once."""
    path, output = packages("shared_blobs", target), tmp_path / "out.mlpackage"
    result = ours.compress(path, output, nbits=4)
    assert_all(path, output, {"w_first", "w_second"}, target)
    assert len(ours.records(result)) == 4
    places = set()
    for _, operation in OraclePackage(output).operations():
        if operation.type == "constexpr_lut_to_dense":
            value = (
                operation.attributes["indices"] if target == "iOS16" else operation.inputs["indices"].arguments[0].value
            )
            places.add((value.blobFileValue.fileName, value.blobFileValue.offset))
    assert len(places) == 1


@pytest.mark.parametrize("target", ["iOS16", "iOS18"])
def test_loops_that_reuse_a_symbol(packages: Any, tmp_path: Path, target: str) -> None:
    """coremltools cannot load this package at all (shown first, in a process of its own); we compress it."""
    path, output = packages("used_symbol", target), tmp_path / "out.mlpackage"
    script = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "from pathlib import Path\nfrom support import reference\n"
        "c = reference.cto.coreml\n"
        "config = c.OptimizationConfig(global_config=c.OpPalettizerConfig(nbits=4))\n"
        f"reference.palettize_program(Path({str(path)!r}), config, Path({str(tmp_path / 'copy.mlpackage')!r}))\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, text=True)
    assert run.returncode != 0
    assert "is used already" in run.stderr
    ours.compress(path, output, nbits=4)
    assert_all(path, output, {"w"}, target)


@pytest.mark.parametrize("target", ["iOS16", "iOS18"])
def test_every_blob_type_and_unknown_fields_survive(packages: Any, tmp_path: Path, target: str) -> None:
    for name in ("every_blob_type", "unknown_fields"):
        path, output = packages(name, target), tmp_path / f"{name}.mlpackage"
        ours.compress(path, output, nbits=4)
        assert_all(path, output, {"w"}, target)
    data = OraclePackage(tmp_path / "unknown_fields.mlpackage").model_file.read_bytes()
    original = OraclePackage(packages("unknown_fields", target)).model_file.read_bytes()
    unknown = bytes([0xFA, 0xFF, 0x0F, 0x05]) + b"extra"
    assert data.count(unknown) == original.count(unknown) - 1  # the replaced const had one


def test_no_weights(packages: Any, tmp_path: Path) -> None:
    path, output = packages("no_weights", "iOS16"), tmp_path / "out.mlpackage"
    result = ours.compress(path, output, nbits=4)
    assert ours.records(result) == []
    assert_same_but(OraclePackage(path), OraclePackage(output), set())


def test_names_that_collide(packages: Any, tmp_path: Path) -> None:
    """A package that already has the names we would invent for steps in between."""
    from support.package_factory import main_block, open_model

    path = tmp_path / "in.mlpackage"
    import shutil

    shutil.copytree(packages("small", "iOS18"), path)
    first = tmp_path / "first.mlpackage"
    ours.compress(path, first, nbits=4, enable_per_channel_scale=True, compat="coremltools")
    made = [o.outputs[0].name for _, o in OraclePackage(first).operations() if o.type.startswith("constexpr_")]
    invented = [name for name in made if name != "w"]
    assert len(invented) == 1
    file, spec = open_model(path)
    block = main_block(spec)
    taken = next(o for o in block.operations if o.type == "const" and o.outputs[0].name == "b")
    old = taken.outputs[0].name
    taken.outputs[0].name = invented[0]
    for operation in block.operations:
        for argument in operation.inputs.values():
            for binding in argument.arguments:
                if binding.WhichOneof("binding") == "name" and binding.name == old:
                    binding.name = invented[0]
    file.write_bytes(spec.SerializeToString())
    output = tmp_path / "out.mlpackage"
    ours.compress(path, output, nbits=4, enable_per_channel_scale=True, compat="coremltools")
    names = [o.outputs[0].name for _, o in OraclePackage(output).operations()]
    assert len(names) == len(set(names))
    assert_same_but(OraclePackage(path), OraclePackage(output), {"w"})
    reference.decompress(output, tmp_path / "decompressed.mlpackage")


def test_compressing_twice_changes_nothing_more(packages: Any, tmp_path: Path) -> None:
    for target in ("iOS16", "iOS18"):
        once, twice = tmp_path / f"{target}_1.mlpackage", tmp_path / f"{target}_2.mlpackage"
        ours.compress(packages("layers", target), once, nbits=4)
        result = ours.compress(once, twice, nbits=2)
        assert ours.palettized(result) == set()
        assert_same_but(OraclePackage(once), OraclePackage(twice), set())


@pytest.mark.parametrize("options", [{"nbits": 4}, {"nbits": 3, **GROUPED}, {"nbits": 4, "cluster_dim": 2}], ids=str)
def test_threads_do_not_change_a_byte(packages: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    path = packages("layers", "iOS18")
    trees = []
    for threads in (1, 2, 3, 8):
        output = tmp_path / f"{threads}.mlpackage"
        ours.compress(path, output, num_threads=threads, **options)
        model = OraclePackage(output).model_file
        trees.append((model.read_bytes(), (model.parent / "weights" / "weight.bin").read_bytes()))
    assert all(t == trees[0] for t in trees)
