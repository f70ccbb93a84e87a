"""Programs that no converter writes today, and that the rewrites must still leave the same functions."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import swiftcompress as sc
import swiftcompress.coreml as cto
from conftest import ROOT
from support.package_factory import main_block, open_model

FIXTURES = ROOT / "Tests" / "ModelCompressionTests" / "Fixtures"


class Edited:
    """A copy of a fixture whose main block is changed, then written."""

    def __init__(self, name: str, path: Path) -> None:
        self.path = path
        shutil.copytree(FIXTURES / f"{name}.mlpackage", path)
        self.file, self.spec = open_model(path)
        self.block = main_block(self.spec)

    def operation(self, output: str) -> Any:
        return next(o for o in self.block.operations if any(out.name == output for out in o.outputs))

    def insert(self, before: str, *operations: Any) -> None:
        copies = []
        for old in self.block.operations:
            if any(out.name == before for out in old.outputs):
                copies += operations
            copies.append(copy(old))
        del self.block.operations[:]
        self.block.operations.extend(copies)

    def write(self) -> Path:
        self.file.write_bytes(self.spec.SerializeToString())
        return self.path


def copy(message: Any) -> Any:
    other = type(message)()
    other.CopyFrom(message)
    return other


def constant(operation: Any, key: str, name: str) -> Any:
    """A constant with the value of an input, to which the input is bound from then on."""
    argument = operation.inputs[key].arguments[0]
    const = type(operation)(type="const")
    const.outputs.add(name=name).type.CopyFrom(argument.value.type)
    const.attributes["name"].immediateValue.tensor.strings.values.append(name)
    const.attributes["name"].type.tensorType.dataType = 2
    const.attributes["val"].CopyFrom(argument.value)
    argument.name = name
    return const


def written(path: Path) -> Any:
    return main_block(open_model(path)[1])


def types(block: Any) -> list[str]:
    return [o.type for o in block.operations]


def renamed(operation: Any, name: str) -> Any:
    other = copy(operation)
    other.outputs[0].name = name
    other.attributes["name"].immediateValue.tensor.strings.values[0] = name
    return other


PER_CHANNEL = cto.OptimizationConfig(
    cto.OpPalettizerConfig(mode="uniform", nbits=4, enable_per_channel_scale=True, weight_threshold=0)
)


def scaled(block: Any, output: str) -> bool:
    return next(o for o in block.operations if o.outputs[0].name == output).type == "mul"


def test_one_scale_follows_an_operation_with_two_equal_weights(tmp_path: Path) -> None:
    """w times its own transpose: two constants of one blob. Both have a scale, of which one can be after the operation."""
    model = Edited("mixed_ios18", tmp_path / "in.mlpackage")
    product = model.operation("transposed")
    model.insert("matmul_yt", renamed(model.operation("matmul_yt"), "second"))
    product = model.operation("transposed")
    product.inputs["x"].arguments[0].name = "second"
    product.outputs[0].type.tensorType.dimensions[0].constant.size = 48
    result = cto.palettize_weights(model.write(), PER_CHANNEL, output=tmp_path / "out.mlpackage", progress=False)
    records = {r.name: r for r in result.report.weights}
    assert "another weight of matmul 'transposed' has a scale too" in str(records["second"].note)
    assert not scaled(written(tmp_path / "out.mlpackage"), "transposed")


def test_no_scale_follows_a_product_with_a_vector(tmp_path: Path) -> None:
    """w times a vector is a vector: a column of scales would make a matrix of it."""
    model = Edited("mixed_ios18", tmp_path / "in.mlpackage")
    product = model.operation("transposed")
    product.inputs["x"].arguments[0].name, product.inputs["y"].arguments[0].name = "matmul_yt", "vector"
    product.inputs["transpose_y"].arguments[0].name = product.inputs["transpose_x"].arguments[0].name
    shape = product.outputs[0].type.tensorType
    del shape.dimensions[0]
    shape.rank = 1
    result = cto.palettize_weights(model.write(), PER_CHANNEL, output=tmp_path / "out.mlpackage", progress=False)
    note = {r.name: r.note for r in result.report.weights}["matmul_yt"]
    assert "the results of matmul 'transposed' have fp16[48], not the weight's channels" in str(note)
    assert not scaled(written(tmp_path / "out.mlpackage"), "transposed")


@pytest.mark.parametrize("joint", [True, False])
def test_constants_of_a_chain_that_equal_weights_name_differently(tmp_path: Path, joint: bool) -> None:
    """Two weights of the same blobs, each with a mask of its own name. The new operations use the names of their own."""
    name = "linear_weight_sparsified"
    model = Edited("reference_ios18_threshold", tmp_path / "in.mlpackage")
    model.insert(name, renamed(model.operation(name), "again"))
    model.operation("transposed").inputs["y"].arguments[0].name = "again"
    masks = [constant(model.operation(o), "mask", f"{o}_apart") for o in (name, "again")]
    # The first one's mask comes behind the second weight.
    model.insert(name, masks[0])
    model.insert("again", masks[1])
    path, out = model.write(), tmp_path / "out.mlpackage"
    before = sc.ModelPackage(path)
    expected = before.decompressed(name)
    if joint:
        config = cto.OptimizationConfig(cto.OpLinearQuantizerConfig(weight_threshold=0))
        after = cto.linear_quantize_weights(path, config, joint_compression=True, output=out, progress=False)
        block = written(out)
        seen: set[str] = set()
        for operation in block.operations:
            for key in operation.inputs:
                for argument in operation.inputs[key].arguments:
                    if argument.name.endswith("_apart"):
                        assert argument.name in seen
                        assert argument.name.startswith(operation.outputs[-1].name.removesuffix("_sparse"))
            seen.update(o.name for o in operation.outputs)
        for weight in (name, "again"):
            assert np.allclose(after.decompressed(weight), expected, atol=0.05)
    else:
        after = cto.decompress_weights(path, output=out, progress=False)
        for weight in (name, "again"):
            assert np.array_equal(after.weights[weight], expected)
        assert not [o for o in written(out).operations if o.outputs[0].name.endswith("_apart")]


def test_a_mask_of_two_weights_goes_with_the_last_of_them(tmp_path: Path) -> None:
    name = "linear_weight_sparsified"
    model = Edited("reference_ios18_threshold", tmp_path / "in.mlpackage")
    model.insert(name, constant(model.operation(name), "mask", "mask_apart"))
    model.insert("linear", renamed(model.operation(name), "again"))
    model.operation("transposed").inputs["y"].arguments[0].name = "again"
    after = cto.decompress_weights(model.write(), output=tmp_path / "out.mlpackage", progress=False)
    assert not after.compressed
    assert "mask_apart" not in [o.outputs[0].name for o in written(tmp_path / "out.mlpackage").operations]


def test_a_compressed_weight_that_is_part_of_another_too(tmp_path: Path) -> None:
    """It is a weight of its own: listed, decompressed, and left alone by joint compression."""
    name = "linear_weight_palettized"
    model = Edited("reference_ios16_uniform6", tmp_path / "in.mlpackage")
    cast = type(model.operation(name))(type="constexpr_cast")
    cast.outputs.add(name="wide").type.CopyFrom(model.operation(name).outputs[0].type)
    cast.outputs[0].type.tensorType.dataType = 11
    cast.inputs["source_val"].arguments.add(name=name)
    dtype = cast.inputs["output_dtype"].arguments.add().value
    dtype.type.tensorType.dataType = 2
    dtype.immediateValue.tensor.strings.values.append("fp32")
    model.insert("linear", cast)
    path = model.write()
    assert set(sc.ModelPackage(path).compressed) >= {name, "wide"}
    after = cto.decompress_weights(path, output=tmp_path / "out.mlpackage", progress=False)
    block = written(tmp_path / "out.mlpackage")
    assert not [t for t in types(block) if t.startswith("constexpr_")]
    assert np.array_equal(after.weights["wide"], after.weights[name].astype(np.float32))


def test_outputs_of_a_sparse_operation_that_are_used_as_they_are(tmp_path: Path) -> None:
    """No constant can take the place of an operation with two outputs."""
    name = "linear_weight_sparsified"
    model = Edited("reference_ios18_sparse_int8", tmp_path / "in.mlpackage")
    inner = model.operation(name).inputs["nonzero_data"].arguments[0].name
    model.block.outputs.append(inner)
    model.operation("linear").inputs["weight"].arguments[0].name = model.operation(inner).outputs[0].name
    result = cto.decompress_weights(model.write(), output=tmp_path / "out.mlpackage", progress=False)
    reasons = [r.reason for r in result.report.weights if r.reason and "has 2 outputs" in r.reason]
    assert reasons, result.report.weights
    assert types(written(tmp_path / "out.mlpackage")).count("constexpr_sparse_blockwise_shift_scale") == 1


def test_operations_of_later_systems_are_left_alone(tmp_path: Path) -> None:
    name = "linear_weight_sparsified"
    model = Edited("reference_ios18_threshold", tmp_path / "in.mlpackage")
    model.operation(name).type = "constexpr_of_the_future"
    result = cto.decompress_weights(model.write(), output=tmp_path / "out.mlpackage", progress=False)
    reason = {r.name: r.reason for r in result.report.weights}[name]
    assert reason == "constexpr_of_the_future is no operation of iOS16 or iOS18"
    assert "constexpr_of_the_future" in types(written(tmp_path / "out.mlpackage"))
