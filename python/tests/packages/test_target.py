"""Raising a model's deployment target in place: what coremltools makes of the result, and what is refused.

Over 400 lines: what is raised and what is refused are two sides of the same rules, checked on the same programs.
"""

from __future__ import annotations

import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coremltools as ct
import coremltools.optimize.coreml as cto
import numpy as np
import pytest
from coremltools.converters.mil.frontend.milproto import load as milproto
from coremltools.converters.mil.mil import Builder as mb

from conftest import ROOT
from support import operation_zoo, ours, package_factory, reference
from support.oracle import OraclePackage
from support.reference import SPECIFICATION

sys.path.insert(0, str(ROOT / "scripts"))
import opset_table

TARGETS = list(SPECIFICATION)
RAISES = [(old, new) for old in TARGETS for new in TARGETS if TARGETS.index(old) < TARGETS.index(new)]
GUARD = Counter({"greater_equal": 1, "add": 1, "select": 1})
KINDS = ("layers", "tied", "shared_blobs", "classifier", "pipeline", "nested", "no_weights", "small")


def raised(path: Path, target: str, output: Path) -> Any:
    """The model at a later target, with nothing compressed."""
    return ours.compress(path, output, nbits=8, weight_threshold=10**12, minimum_deployment_target=target)


def operations(path: Path, scratch: Path, version: int | None = None) -> dict[str, Any]:
    """By output name: the operations of the package as coremltools loads them, at the package's own target or a later one.

    Loading runs every operation class's checks and type inference, compares the inferred types with those in the file,
    and computes what follows from constants.
    """
    found: dict[str, Any] = {}

    def visit(block: Any) -> None:
        for operation in block.operations:
            for inner in operation.blocks:
                visit(inner)
            for output in operation.outputs:
                found[f"{name}/{output.name}"] = operation

    copy = scratch / f"{path.stem}_loaded.mlpackage"
    model = reference.load(path, copy)
    for index, spec in enumerate(_programs(model.get_spec())):
        program = milproto.load(spec, version or spec.specificationVersion, model.weights_dir)
        for function, block in program.functions.items():
            assert block.opset_version == (version or spec.specificationVersion)
            name = f"{index}/{function}"
            visit(block)
    shutil.rmtree(copy)
    return found


def _programs(spec: Any) -> Iterator[Any]:
    if spec.WhichOneof("Type") == "mlProgram":
        yield spec
    elif spec.WhichOneof("Type").startswith("pipeline"):
        for stage in spec.pipeline.models:
            yield from _programs(stage)


def value(variable: Any) -> np.ndarray | None:
    """What coremltools knows the variable to be; compressed weights are expanded."""
    if variable.val is not None:
        return np.asarray(variable.val)
    if variable.op is not None and variable.op.op_type.startswith("constexpr_"):
        return np.asarray(variable.op.materialized_val_inference())
    return None


def assert_equal_programs(before: Path, after: Path, scratch: Path) -> int:
    """Every operation is still there under its name, with equal type and value. Gives the number of values."""
    __tracebackhide__ = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old, new = operations(before, scratch), operations(after, scratch)
    stored = {output.name for _, o in OraclePackage(before).operations() for output in o.outputs}
    values = 0
    for key, operation in old.items():
        name = key.split("/", 2)[2]
        if name not in stored:  # coremltools makes constants for values that are written inside operations
            continue
        assert key in new, f"{name} is gone"
        if not operation.op_type.startswith("constexpr_"):
            assert new[key].op_type == operation.op_type
        (variable,) = (v for v in operation.outputs if v.name == name)
        (result,) = (v for v in new[key].outputs if v.name == name)
        assert result.dtype == variable.dtype and len(result.shape) == len(variable.shape), name
        for one, other in zip(variable.shape, result.shape, strict=True):
            assert str(one) == str(other) or not isinstance(one, int), name
        expected = value(variable)
        if expected is not None:
            found = value(result)
            assert found is not None, f"coremltools no longer knows the value of {name}"
            assert found.dtype == expected.dtype and found.tobytes() == expected.tobytes(), name
            values += 1
    return values


def added_operations(before: Path, after: Path) -> Counter[str]:
    def types(path: Path) -> Counter[str]:
        return Counter(o.type for _, o in OraclePackage(path).operations())

    return types(after) - types(before)


def assert_like_reference(before: Path, after: Path, target: str, scratch: Path) -> None:
    """Every operation has the parameters that coremltools gives it when it loads the old package at the new target."""
    theirs = operations(before, scratch, SPECIFICATION[target])
    found = {f"0/{w}/{o.outputs[0].name}": o for w, o in OraclePackage(after).operations() if o.outputs}
    compared = 0
    for where, old in OraclePackage(before).operations():
        if old.type == "const" or old.type.startswith("constexpr_"):
            continue
        key = f"0/{where}/{old.outputs[0].name}"
        assert found[key].type == old.type
        assert sorted(found[key].inputs) == sorted(theirs[key].inputs)
        compared += 1
    assert compared > 0


# MARK: what is raised


@pytest.mark.parametrize(("old", "new"), [(o, n) for o, n in RAISES if o in ("iOS15", "iOS16", "iOS17")])
@pytest.mark.parametrize("constant", [False, True], ids=["runtime", "constant"])
def test_every_changed_operation(tmp_path: Path, old: str, new: str, constant: bool) -> None:
    path, output = tmp_path / "in.mlpackage", tmp_path / "out.mlpackage"
    operation_zoo.zoo(old, path, constant=constant)
    result = raised(path, new, output)
    assert result.report.specification_version == (SPECIFICATION[old], SPECIFICATION[new])
    values = assert_equal_programs(path, output, tmp_path)
    if constant:
        assert values > 150
    assert_like_reference(path, output, new, tmp_path)


def test_the_zoo_has_every_changed_operation(tmp_path: Path) -> None:
    for old in ("iOS15", "iOS16", "iOS17"):
        path = tmp_path / f"{old}.mlpackage"
        operation_zoo.zoo(old, path)
        there = {o.type for _, o in OraclePackage(path).operations()}
        order = list(opset_table.OPSETS)
        for target, operation, _, _ in opset_table.changes():
            known = opset_table.variants(operation)[old] is not None
            later = order.index(target) > order.index(old)
            if known and later and operation not in operation_zoo.BLOCKED and not operation.startswith("constexpr_"):
                assert operation in there, f"{operation} changed in {target} and is not in the program of {old}"


def test_the_table_is_that_of_coremltools() -> None:
    assert opset_table.FILE.read_text(encoding="utf-8") == opset_table.generate()


def test_only_indices_that_may_be_negative_are_guarded(tmp_path: Path) -> None:
    path, output = tmp_path / "in.mlpackage", tmp_path / "out.mlpackage"
    operation_zoo.zoo("iOS15", path)
    raised(path, "iOS17", output)
    guarded = {o.outputs[0].name for _, o in OraclePackage(output).operations() if o.type == "select"}
    names = {name.removesuffix("_indices_from_front") for name in guarded}
    assert {"embedding", "last", "along_axis", "by_vectors"} <= names
    assert not names & {"in_front", "of_shape", "of_argmax"}
    added = added_operations(path, output)
    assert added["select"] == len(names) == added["greater_equal"] == added["add"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("old", "new"), [("iOS15", "iOS16"), ("iOS15", "iOS18"), ("iOS16", "iOS18"), ("iOS17", "iOS26")]
)
def test_every_kind_of_package(packages: Any, tmp_path: Path, kind: str, old: str, new: str) -> None:
    path, output = packages(kind, old), tmp_path / "out.mlpackage"
    raised(path, new, output)
    assert_equal_programs(path, output, tmp_path)
    after = OraclePackage(output)
    opsets = {f.opset for _, program, _ in after.programs() for f in program.functions.values()}
    assert opsets == {f"CoreML{SPECIFICATION[new] - 1}"}
    assert after.spec.specificationVersion == SPECIFICATION[new]
    before = OraclePackage(path)
    assert before.consts().keys() <= after.consts().keys()


def test_functions_of_different_opsets(packages: Any, tmp_path: Path) -> None:
    path, output = tmp_path / "in.mlpackage", tmp_path / "out.mlpackage"
    shutil.copytree(packages("multifunction", "iOS18"), path)
    file, spec = package_factory.open_model(path)
    first = spec.mlProgram.functions["first"]
    first.block_specializations["CoreML6"].CopyFrom(first.block_specializations["CoreML8"])
    del first.block_specializations["CoreML8"]
    first.opset = "CoreML6"
    file.write_bytes(spec.SerializeToString())
    raised(path, "iOS18", output)
    functions = OraclePackage(output).spec.mlProgram.functions
    assert [functions[n].opset for n in ("first", "second")] == ["CoreML8"] * 2
    assert [list(functions[n].block_specializations) for n in ("first", "second")] == [["CoreML8"]] * 2
    raised(path, "iOS17", output)
    functions = OraclePackage(output).spec.mlProgram.functions
    assert [functions[n].opset for n in ("first", "second")] == ["CoreML7", "CoreML8"]


@pytest.mark.parametrize("target", ["iOS16", "iOS17", "iOS18"])
def test_a_model_that_has_the_target_stays(packages: Any, tmp_path: Path, target: str) -> None:
    path, output = packages("layers", "iOS18"), tmp_path / "out.mlpackage"
    result = raised(path, target, output)
    assert result.report.specification_version == (9, 9)
    assert OraclePackage(path).model_file.read_bytes() == OraclePackage(output).model_file.read_bytes()


@pytest.mark.parametrize("name", ["basic_pitch", "crepe_tiny", "crepe_full", "minilm"])
@pytest.mark.parametrize("target", ["iOS16", "iOS17", "iOS18", "iOS26"])
def test_real_models(real_model: Any, tmp_path: Path, name: str, target: str) -> None:
    path, output = real_model(name), tmp_path / "out.mlpackage"
    raised(path, target, output)
    assert_equal_programs(path, output, tmp_path)
    assert_like_reference(path, output, target, tmp_path)


def test_coremltools_guards_indices_too(real_model: Any, tmp_path: Path) -> None:
    """Its own way to a later target, which goes through its passes, puts the same operations before an embedding."""
    path, output = real_model("minilm"), tmp_path / "out.mlpackage"
    raised(path, "iOS18", output)
    theirs = reference.raise_target(path, "iOS18", tmp_path / "theirs.mlpackage")
    assert added_operations(path, output) - Counter(const=100) == GUARD
    assert added_operations(path, theirs) & GUARD == GUARD


# MARK: compressed weights


def quantized_weights(path: Path, old: str, how: str, scratch: Path) -> None:
    """A package compressed by coremltools in the form of iOS16."""
    source = package_factory.Factory(scratch)("layers", old)
    model = reference.load(source, scratch / "copy.mlpackage")
    global_config: Any
    if how.startswith("palettized"):
        global_config = cto.OpPalettizerConfig(mode="uniform", nbits=int(how[-1]), weight_threshold=100)
        model = cto.palettize_weights(model, cto.OptimizationConfig(global_config))
    elif how.startswith("pruned"):
        global_config = cto.OpMagnitudePrunerConfig(target_sparsity=0.6, weight_threshold=100)
        model = cto.prune_weights(model, cto.OptimizationConfig(global_config))
    else:
        dtype, mode = how.split(" ")
        global_config = cto.OpLinearQuantizerConfig(mode=mode, dtype=dtype, weight_threshold=100)
        model = cto.linear_quantize_weights(model, cto.OptimizationConfig(global_config))
    model.save(str(path))


PALETTIZED = [f"palettized {n}" for n in (1, 2, 4, 6, 8)]
COMPRESSED = [*PALETTIZED, "pruned", "int8 linear", "uint8 linear", "int8 linear_symmetric"]


@pytest.mark.parametrize("how", COMPRESSED)
@pytest.mark.parametrize("new", ["iOS17", "iOS18", "iOS26"])
def test_compressed_weights_keep_every_number(tmp_path: Path, how: str, new: str) -> None:
    path, output = tmp_path / "in.mlpackage", tmp_path / "out.mlpackage"
    quantized_weights(path, "iOS16", how, tmp_path)
    raised(path, new, output)
    count = sum(o.type.startswith("constexpr_") for _, o in OraclePackage(path).operations())
    assert count >= 10
    assert assert_equal_programs(path, output, tmp_path) > count
    for _, operation in OraclePackage(output).operations():
        if operation.type.startswith("constexpr_") and new != "iOS17":
            assert list(operation.attributes) == ["name"]
            assert operation.type != "constexpr_affine_dequantize"
    before, after = (p / "Data/com.apple.CoreML/weights/weight.bin" for p in (path, output))
    assert after.stat().st_size <= before.stat().st_size + 64 * count


@pytest.mark.parametrize("new", ["iOS17", "iOS18", "iOS26"])
def test_weights_in_the_program_itself(tmp_path: Path, new: str) -> None:
    path, output = tmp_path / "in.mlpackage", tmp_path / "out.mlpackage"
    operation_zoo.compressed("iOS16", path)
    raised(path, new, output)
    assert assert_equal_programs(path, output, tmp_path) >= 6


ZERO_POINTS: list[tuple[Any, Any]] = [
    (np.int8(0), np.float16(0.5)),
    (np.int8(-7), np.float32(0.5)),
    (np.arange(6).astype(np.int8), np.float16(0.25)),
    (np.int8(3), np.linspace(0.1, 1, 6).astype(np.float16)),
    (np.zeros(6, np.int8), np.linspace(0.1, 1, 6).astype(np.float32)),
    (np.arange(6).astype(np.int8), np.linspace(0.1, 1, 6).astype(np.float32)),
    (np.float32(5), np.float32(0.5)),
]


def affine(path: Path, zero_point: Any, scale: Any, axis: int = 1) -> None:
    data = np.random.default_rng(3).integers(-128, 128, (4, 6, 3)).astype(np.int8)

    @package_factory.program_for("iOS16", [mb.TensorSpec(shape=(1,))])
    def program(x: Any) -> Any:
        weight = mb.constexpr_affine_dequantize(
            quantized_data=data, zero_point=zero_point, scale=scale, axis=np.int32(axis), name="w"
        )
        return mb.relu(x=x, name="out"), mb.identity(x=weight, name="weight")

    package_factory.save(program, "iOS16", path)


@pytest.mark.parametrize("axis", [1, -2])
@pytest.mark.parametrize("number", range(len(ZERO_POINTS)))
def test_zero_points(tmp_path: Path, number: int, axis: int) -> None:
    path, output = tmp_path / "in.mlpackage", tmp_path / "out.mlpackage"
    zero_point, scale = ZERO_POINTS[number]
    affine(path, zero_point, scale, axis)
    raised(path, "iOS18", output)
    assert assert_equal_programs(path, output, tmp_path) > 0
    (weight,) = (o for _, o in OraclePackage(output).operations() if o.type.startswith("constexpr_"))
    assert weight.type == "constexpr_blockwise_shift_scale"
    assert ("offset" in weight.inputs) == bool(np.any(zero_point))


def test_weights_that_share_their_codes_still_do(packages: Any, tmp_path: Path) -> None:
    first, output = tmp_path / "first.mlpackage", tmp_path / "out.mlpackage"
    ours.compress(packages("shared_blobs", "iOS16"), first, nbits=4)
    raised(first, "iOS18", output)
    places = {
        o.inputs["indices"].arguments[0].value.blobFileValue.offset
        for _, o in OraclePackage(output).operations()
        if o.type == "constexpr_lut_to_dense"
    }
    assert len(places) == 1


@pytest.mark.parametrize("old", ["iOS15", "iOS16", "iOS17"])
def test_raising_makes_the_form_of_the_later_target(packages: Any, tmp_path: Path, old: str) -> None:
    """Grouped palettization of a model converted for an earlier target: the bits are those of a model of iOS18."""
    options: dict[str, Any] = {"nbits": 3, "granularity": "per_grouped_channel", "group_size": 8}
    with pytest.raises(ValueError, match="needs deployment target iOS18"):
        ours.compress(packages("layers", old), tmp_path / "refused.mlpackage", **options)
    assert not (tmp_path / "refused.mlpackage").exists()
    output, expected = tmp_path / "out.mlpackage", tmp_path / "expected.mlpackage"
    ours.compress(packages("layers", old), output, minimum_deployment_target=ct.target.iOS18, **options)
    ours.compress(packages("layers", "iOS18"), expected, **options)
    assert OraclePackage(output).constexprs() == OraclePackage(expected).constexprs()
    operations(output, tmp_path)


def test_everything_else_is_copied(packages: Any, tmp_path: Path) -> None:
    path, output = packages("unknown_fields", "iOS16"), tmp_path / "out.mlpackage"
    raised(path, "iOS18", output)
    file, spec = package_factory.open_model(output)
    function = spec.mlProgram.functions["main"]
    data = file.read_bytes().replace(b"CoreML8", b"CoreML6")
    original = OraclePackage(path).model_file.read_bytes()
    assert len(data) == len(original) and function.opset == "CoreML8"
    assert sum(a != b for a, b in zip(data, original, strict=True)) == 1  # the specification version


# MARK: what is refused


def refused(path: Path, target: str, output: Path) -> str:
    with pytest.raises(ValueError) as caught:
        raised(path, target, output)
    assert not output.exists()
    assert [p.name for p in output.parent.iterdir() if ".tmp-" in p.name] == []
    return str(caught.value)


@pytest.mark.parametrize("old", ["iOS15", "iOS16"])
def test_what_has_no_equal_form_is_named(tmp_path: Path, old: str) -> None:
    path = tmp_path / "in.mlpackage"
    operation_zoo.blocking(old, path)
    for target in ("iOS17", "iOS18", "iOS26"):
        text = refused(path, target, tmp_path / "out.mlpackage")
        assert f"minimum_deployment_target: found {target}" in text
        assert "4 of its operations have no equal form there" in text
        assert "'crop' (crop_resize, roi): iOS17 takes boxes and box_indices" in text
        assert "'nms' (non_maximum_suppression, score_threshold): iOS17 has no score_threshold" in text
        assert "'flat' (clip, alpha): iOS17 wants alpha below beta, and these are 1.0 and 1.0" in text
        assert "'row' (gather, indices): iOS17 no longer counts negative indices from the end" in text
    if old == "iOS15":
        raised(path, "iOS16", tmp_path / "out.mlpackage")
        assert_equal_programs(path, tmp_path / "out.mlpackage", tmp_path)
        assert_like_reference(path, tmp_path / "out.mlpackage", "iOS16", tmp_path)


def edited(source: Path, path: Path, change: Any) -> Path:
    shutil.copytree(source, path)
    file, spec = package_factory.open_model(path)
    change(spec, package_factory.main_block(spec))
    file.write_bytes(spec.SerializeToString())
    return path


def test_operations_that_are_not_known(packages: Any, tmp_path: Path) -> None:
    def rename(_: Any, block: Any) -> None:
        next(o for o in block.operations if o.type == "linear").type = "custom_layer"

    path = edited(packages("small", "iOS16"), tmp_path / "in.mlpackage", rename)
    text = refused(path, "iOS18", tmp_path / "out.mlpackage")
    assert "'lin' (custom_layer): an operation of this type is not known" in text


def test_operations_of_later_opsets(packages: Any, tmp_path: Path) -> None:
    def rename(_: Any, block: Any) -> None:
        next(o for o in block.operations if o.type == "linear").type = "scaled_dot_product_attention"

    path = edited(packages("small", "iOS16"), tmp_path / "in.mlpackage", rename)
    text = refused(path, "iOS18", tmp_path / "out.mlpackage")
    assert "this operation begins with iOS18, and its function has the opset of iOS16" in text


def test_blocks_that_would_become_one(packages: Any, tmp_path: Path) -> None:
    def double(spec: Any, block: Any) -> None:
        spec.mlProgram.functions["main"].block_specializations["CoreML8"].CopyFrom(block)

    path = edited(packages("small", "iOS16"), tmp_path / "in.mlpackage", double)
    text = refused(path, "iOS18", tmp_path / "out.mlpackage")
    assert "'main' (function): it has blocks for both" in text


def test_opsets_that_are_not_known(packages: Any, tmp_path: Path) -> None:
    def rename(spec: Any, block: Any) -> None:
        function = spec.mlProgram.functions["main"]
        function.block_specializations["Other3"].CopyFrom(block)
        del function.block_specializations["CoreML6"]
        function.opset = "Other3"

    path = edited(packages("small", "iOS16"), tmp_path / "in.mlpackage", rename)
    assert "its opset Other3 is not known" in refused(path, "iOS18", tmp_path / "out.mlpackage")


@pytest.mark.parametrize("zero_point", [np.float32(0.5), np.float32(300)])
def test_zero_points_that_are_no_integers(tmp_path: Path, zero_point: Any) -> None:
    affine(tmp_path / "in.mlpackage", zero_point, np.float32(0.5))
    text = refused(tmp_path / "in.mlpackage", "iOS18", tmp_path / "out.mlpackage")
    assert f"'w' (constexpr_affine_dequantize, zero_point): found {float(zero_point)}, which is not in int8" in text


@pytest.mark.parametrize("value", ["iOS14", "", "tvOS15.1"])
def test_targets_that_do_not_exist(packages: Any, tmp_path: Path, value: str) -> None:
    text = refused(packages("small", "iOS16"), value, tmp_path / "out.mlpackage")
    assert "iOS15, iOS16, iOS17, iOS18, iOS26" in text


def test_targets_of_another_type(packages: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="minimum_deployment_target: found 9"):
        raised(packages("small", "iOS16"), 9, tmp_path / "out.mlpackage")  # type: ignore[arg-type]
