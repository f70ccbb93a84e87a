"""Writes the packages the CoreMLPackage tests read, each with the oracle's view of it in `<name>.txt`.

Run with a Python that has coremltools 9.0: `python make_fixtures.py`. Names and identifiers are fixed, so a second run
changes only what coremltools itself writes differently (its map order, mostly).
"""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import coremltools as ct
import numpy as np
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import types
from coremltools.libmilstoragepython import _BlobStorageWriter as BlobWriter
from coremltools.proto import MIL_pb2, Model_pb2
from program_text import model_text

HERE = Path(__file__).parent
WEIGHTS = "@model_path/weights/weight.bin"
MODEL = "Data/com.apple.CoreML/model.mlmodel"
rng = np.random.default_rng(7)


# --- packages written by coremltools


def save(model: ct.models.MLModel, name: str) -> Path:
    path = HERE / f"{name}.mlpackage"
    shutil.rmtree(path, ignore_errors=True)
    model.save(str(path))
    fix_identifiers(path)
    return path


def fix_identifiers(path: Path) -> None:
    manifest = path / "Manifest.json"
    text = manifest.read_text()
    entries = json.loads(text)["itemInfoEntries"]
    for number, identifier in enumerate(sorted(entries, key=lambda key: entries[key]["path"])):
        text = text.replace(identifier, f"00000000-0000-4000-8000-{number:012d}")
    manifest.write_text(text)


def dense(x, rows: int, columns: int, name: str, dtype=np.float32):
    weight = rng.standard_normal((rows, columns)).astype(dtype)
    bias = rng.standard_normal(rows).astype(dtype)
    return mb.linear(x=x, weight=weight, bias=bias, name=name)


def plain_program(target):
    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 4, 6, 6))], opset_version=target)
    def prog(x):
        x = mb.conv(x=x, weight=rng.standard_normal((8, 4, 3, 3)).astype(np.float32), name="conv_1")
        x = mb.relu(x=x, name="relu_1")
        x = mb.reshape(x=x, shape=(8, 16), name="flat")
        return dense(x, 5, 16, "linear_1")

    return prog


def convert(prog, target, **options) -> ct.models.MLModel:
    return ct.convert(
        prog, convert_to="mlprogram", minimum_deployment_target=target, skip_model_load=True, **options
    )


def opsets() -> None:
    for name in ("iOS15", "iOS16", "iOS17", "iOS18", "iOS26"):
        target = getattr(ct.target, name)
        precision = ct.precision.FLOAT32 if name == "iOS16" else ct.precision.FLOAT16
        model = convert(plain_program(target), target, compute_precision=precision)
        model.author, model.license, model.short_description = "A. Uthor", "MIT", "Grüße 日本"
        model.version = "1.2"
        model.user_defined_metadata["key"] = "value"
        save(model, name.lower())


def stateful() -> None:
    state = mb.StateTensorSpec((2, 3), dtype=types.fp16)

    @mb.program(
        input_specs=[mb.TensorSpec((2, 3), dtype=types.fp16), state], opset_version=ct.target.iOS18
    )
    def prog(x, cache):
        old = mb.read_state(input=cache)
        new = mb.add(x=old, y=x)
        mb.coreml_update_state(state=cache, value=new)
        return dense(new, 4, 3, "linear_1", np.float16)

    save(convert(prog, ct.target.iOS18), "stateful")


def classifier() -> None:
    @mb.program(input_specs=[mb.TensorSpec((1, 12))], opset_version=ct.target.iOS17)
    def prog(x):
        return mb.softmax(x=dense(x, 3, 12, "scores"), axis=-1, name="probabilities")

    labels = ct.ClassifierConfig(["cat", "dog", "bird"])
    save(convert(prog, ct.target.iOS17, classifier_config=labels), "classifier")


def two_functions() -> None:
    shared = rng.standard_normal((6, 12)).astype(np.float32)

    def one(name: str, factor: float):
        @mb.program(input_specs=[mb.TensorSpec((1, 12))], opset_version=ct.target.iOS18)
        def prog(x):
            return mb.mul(x=mb.linear(x=x, weight=shared, name="shared_linear"), y=np.float32(factor), name=name)

        return prog

    with tempfile.TemporaryDirectory() as folder:
        descriptor = ct.utils.MultiFunctionDescriptor()
        for name, factor in (("first", 1.5), ("second", 2.5)):
            path = str(Path(folder) / f"{name}.mlpackage")
            convert(one(name, factor), ct.target.iOS18).save(path)
            descriptor.add_function(path, src_function_name="main", target_function_name=name)
        descriptor.default_function_name = "second"
        target = HERE / "multifunction.mlpackage"
        shutil.rmtree(target, ignore_errors=True)
        ct.utils.save_multifunction(descriptor, str(target))
        fix_identifiers(target)


def pipeline() -> None:
    def stage(source: str, result: str, columns: int, rows: int):
        @mb.program(input_specs=[mb.TensorSpec((1, columns))], opset_version=ct.target.iOS16)
        def prog(x):
            return dense(x, rows, columns, result)

        model = convert(prog, ct.target.iOS16)
        ct.utils.rename_feature(model._spec, "x", source)
        ct.utils.rename_feature(model._spec, result, result + "_out")
        return ct.models.MLModel(model._spec, weights_dir=model.weights_dir, skip_model_load=True)

    first = stage("a", "b", 12, 10)
    second = stage("b_out", "c", 10, 8)
    save(ct.utils.make_pipeline(first, second), "pipeline")


def loops() -> None:
    @mb.program(input_specs=[mb.TensorSpec((2, 12))], opset_version=ct.target.iOS17)
    def prog(x):
        def body(i, value):
            def inner_body(j, inner):
                return mb.add(x=j, y=np.float32(1)), dense(inner, 12, 12, "inner_linear")

            def inner_condition(j, inner):
                return mb.less(x=j, y=np.float32(2))

            _, value = mb.while_loop(_cond=inner_condition, _body=inner_body, loop_vars=(np.float32(0), value))
            value = mb.cond(
                pred=mb.less(x=i, y=np.float32(1)),
                _true_fn=lambda: dense(value, 12, 12, "true_linear"),
                _false_fn=lambda: mb.relu(x=value),
            )
            return mb.add(x=i, y=np.float32(1)), value

        def condition(i, value):
            return mb.less(x=i, y=np.float32(3))

        _, result = mb.while_loop(_cond=condition, _body=body, loop_vars=(np.float32(0), x))
        return result

    save(convert(prog, ct.target.iOS17), "loops")


# --- packages put together by hand


class HandMade:
    """A package around one program: operations as protobuf, blobs by coremltools' writer."""

    def __init__(self, name: str, version: int = 9, opset: str = "CoreML8") -> None:
        self.path = HERE / f"{name}.mlpackage"
        shutil.rmtree(self.path, ignore_errors=True)
        (self.path / "Data/com.apple.CoreML/weights").mkdir(parents=True)
        self.weights = self.path / "Data/com.apple.CoreML/weights/weight.bin"
        self.writer = BlobWriter(str(self.weights))
        self.model = Model_pb2.Model(specificationVersion=version)
        self.model.description.input.add(name="x").type.multiArrayType.shape.append(4)
        self.model.description.output.add(name="y").type.multiArrayType.shape.append(4)
        function = self.model.mlProgram.functions["main"]
        self.model.mlProgram.version = 1
        function.opset = opset
        function.inputs.add(name="x").type.CopyFrom(tensor_type(MIL_pb2.FLOAT16, [4]))
        self.block = function.block_specializations[opset]
        self.block.outputs.append("y")

    def const(self, name: str, value: MIL_pb2.Value, block: MIL_pb2.Block | None = None) -> None:
        op = (block or self.block).operations.add(type="const")
        op.outputs.add(name=name).type.CopyFrom(value.type)
        op.attributes["name"].CopyFrom(string_value(name))
        op.attributes["val"].CopyFrom(value)

    def finish(self) -> Path:
        op = self.block.operations.add(type="identity")
        op.inputs["x"].arguments.add(name="x")
        op.outputs.add(name="y").type.CopyFrom(tensor_type(MIL_pb2.FLOAT16, [4]))
        del self.writer
        (self.path / MODEL).write_bytes(self.model.SerializeToString(deterministic=True))
        items = [("model.mlmodel", "CoreML Model Specification"), ("weights", "CoreML Model Weights")]
        write_manifest(self.path, items)
        return self.path


def write_manifest(path: Path, items: list[tuple[str, str]]) -> None:
    entries = {
        f"00000000-0000-4000-8000-{number:012d}": {
            "author": "com.apple.CoreML",
            "description": text,
            "name": name,
            "path": f"com.apple.CoreML/{name}",
        }
        for number, (name, text) in enumerate(items)
    }
    manifest = {"fileFormatVersion": "1.0.0", "itemInfoEntries": entries}
    manifest["rootModelIdentifier"] = next(iter(entries))
    (path / "Manifest.json").write_text(json.dumps(manifest, indent=4) + "\n")


def tensor_type(data_type: int, shape: list[int]) -> MIL_pb2.ValueType:
    result = MIL_pb2.ValueType()
    result.tensorType.dataType = data_type
    result.tensorType.rank = len(shape)
    for size in shape:
        result.tensorType.dimensions.add().constant.size = size
    return result


def string_value(text: str) -> MIL_pb2.Value:
    value = MIL_pb2.Value(type=tensor_type(MIL_pb2.STRING, []))
    value.immediateValue.tensor.strings.values.append(text)
    return value


def blob_value(data_type: int, shape: list[int], offset: int) -> MIL_pb2.Value:
    value = MIL_pb2.Value(type=tensor_type(data_type, shape))
    value.blobFileValue.fileName = WEIGHTS
    value.blobFileValue.offset = offset
    return value


BLOBS: list[tuple[str, int, str, str]] = [
    ("float16", MIL_pb2.FLOAT16, "fp16", "u2"),
    ("float32", MIL_pb2.FLOAT32, "float", "f4"),
    ("uint8", MIL_pb2.UINT8, "uint8", "u1"),
    ("int8", MIL_pb2.INT8, "int8", "i1"),
    ("int16", MIL_pb2.INT16, "int16", "i2"),
    ("uint16", MIL_pb2.UINT16, "uint16", "u2"),
    ("int32", MIL_pb2.INT32, "int32", "i4"),
    ("uint32", MIL_pb2.UINT32, "uint32", "u4"),
    ("int4", MIL_pb2.INT4, "int4", "i1"),
    ("uint4", MIL_pb2.UINT4, "uint4", "u1"),
    ("uint1", MIL_pb2.UINT1, "uint1", "u1"),
    ("uint2", MIL_pb2.UINT2, "uint2", "u1"),
    ("uint3", MIL_pb2.UINT3, "uint3", "u1"),
    ("uint6", MIL_pb2.UINT6, "uint6", "u1"),
]


def every_dtype() -> None:
    """Blobs of every type coremltools can write, with 13 and 0 elements, and an immediate tensor of every type."""
    made = HandMade("dtypes")
    for name, data_type, method, dtype in BLOBS:
        values = (np.arange(13) % (2 if name == "uint1" else 4)).astype(dtype)
        for count in (13, 0):
            offset = getattr(made.writer, f"write_{method}_data")(values[:count])
            made.const(f"{name}_{count}", blob_value(data_type, [count], offset))
    for name, data_type, field, values in (
        ("i_bool", MIL_pb2.BOOL, "bools", [True, False, True]),
        ("i_float32", MIL_pb2.FLOAT32, "floats", [0.5, -1.0, 3e38]),
        ("i_float64", MIL_pb2.FLOAT64, "doubles", [0.1, -2.0, 1e300]),
        ("i_int16", MIL_pb2.INT16, "ints", [1, -2, 32767]),
        ("i_uint16", MIL_pb2.UINT16, "ints", [1, 2, 65535]),
        ("i_int32", MIL_pb2.INT32, "ints", [1, -2, 2**31 - 1]),
        ("i_int64", MIL_pb2.INT64, "longInts", [1, -2, 2**62]),
    ):
        value = MIL_pb2.Value(type=tensor_type(data_type, [3]))
        getattr(value.immediateValue.tensor, field).values.extend(values)
        made.const(name, value)
    for name, data_type, payload in (
        ("i_float16", MIL_pb2.FLOAT16, np.array([1.5, -2, 7], np.float16).tobytes()),
        ("i_bfloat16", MIL_pb2.BFLOAT16, b"\x80\x3f\x00\x40\x40\x40"),
        ("i_int8", MIL_pb2.INT8, b"\x01\xff\x7f"),
        ("i_uint8", MIL_pb2.UINT8, b"\x01\xff\x7f"),
        ("i_uint32", MIL_pb2.UINT32, struct.pack("<3I", 1, 2, 2**32 - 1)),
        ("i_int4", MIL_pb2.INT4, b"\x21\x0f"),
        ("i_uint1", MIL_pb2.UINT1, b"\x05"),
        ("i_uint3", MIL_pb2.UINT3, b"\xd1\x01"),
        ("i_float8", MIL_pb2.FLOAT8E4M3FN, b"\x01\x02\x03"),
    ):
        value = MIL_pb2.Value(type=tensor_type(data_type, [3]))
        value.immediateValue.tensor.bytes.values = payload
        made.const(name, value)
    containers(made)
    made.finish()


def containers(made: HandMade) -> None:
    """Values and types that are no tensors."""
    pair = MIL_pb2.Value()
    pair.type.dictionaryType.keyType.CopyFrom(tensor_type(MIL_pb2.STRING, []))
    pair.type.dictionaryType.valueType.listType.type.CopyFrom(tensor_type(MIL_pb2.STRING, []))
    pair.type.dictionaryType.valueType.listType.length.unknown.variadic = True
    entry = pair.immediateValue.dictionary.values.add()
    entry.key.CopyFrom(string_value("key"))
    entry.value.type.CopyFrom(pair.type.dictionaryType.valueType)
    for text in ("", "ü", "日本"):
        entry.value.immediateValue.list.values.add().CopyFrom(string_value(text))
    made.const("dictionary", pair)
    both = MIL_pb2.Value()
    both.type.tupleType.types.add().CopyFrom(tensor_type(MIL_pb2.STRING, []))
    state = both.type.tupleType.types.add().stateType.wrappedType
    state.CopyFrom(tensor_type(MIL_pb2.FLOAT16, [2]))
    state.tensorType.dimensions[0].unknown.variadic = False
    both.immediateValue.tuple.values.add().CopyFrom(string_value("one"))
    made.const("tuple", both)


def reused_symbol() -> None:
    """A loop whose nested blocks use one name twice: valid Core ML that coremltools cannot load as a program."""
    made = HandMade("reused_symbol", version=8, opset="CoreML7")
    offset = made.writer.write_fp16_data(np.arange(16, dtype=np.uint16))
    loop = made.block.operations.add(type="while_loop")
    loop.inputs["loop_vars"].arguments.add(name="x")
    loop.outputs.add(name="looped").type.CopyFrom(tensor_type(MIL_pb2.FLOAT16, [4]))
    loop.attributes["name"].CopyFrom(string_value("loop"))
    for _ in range(2):
        inner = loop.blocks.add()
        inner.inputs.add(name="is58").type.CopyFrom(tensor_type(MIL_pb2.FLOAT16, [4]))
        made.const("reused", blob_value(MIL_pb2.FLOAT16, [16], offset), inner)
        inner.outputs.append("is58")
    made.finish()


def shared_and_garbage() -> None:
    """Two constants on one blob, an unused blob, garbage where older coremltools left some, an odd file size."""
    made = HandMade("garbage", version=6, opset="CoreML5")
    first = made.writer.write_fp16_data(np.arange(1000, 1020, dtype=np.uint16))
    made.writer.write_float_data(np.arange(7, dtype=np.float32))
    last = made.writer.write_float_data(np.arange(5, dtype=np.float32))
    made.const("one", blob_value(MIL_pb2.FLOAT16, [4, 5], first))
    made.const("other", blob_value(MIL_pb2.FLOAT16, [20], first))
    made.const("last", blob_value(MIL_pb2.FLOAT32, [5], last))
    large = MIL_pb2.Value(type=tensor_type(MIL_pb2.FLOAT32, [700]))
    large.immediateValue.tensor.floats.values.extend(np.linspace(0, 1, 700))
    made.const("large", large)
    path = made.finish()
    data = bytearray(made.weights.read_bytes())
    for offset in (first, last):
        data[offset + 24 : offset + 64] = bytes(range(200, 240))
    data[8:64] = bytes(range(56))
    assert len(data) % 64 != 0
    made.weights.write_bytes(data)
    items = [
        ("model.mlmodel", "CoreML Model Specification"),
        ("weights", "CoreML Model Weights"),
        ("Metadata.json", "External Metadata Overlay"),
        ("FeatureDescriptions.json", "External FeatureDescription Overlay"),
    ]
    write_manifest(path, items)
    (path / "Data/com.apple.CoreML/Metadata.json").write_text('{ "com.example" : 1 }')
    (path / "Data/com.apple.CoreML/FeatureDescriptions.json").write_text("{}\n")


def classifier_pipeline() -> None:
    """A pipeline classifier around a plain pipeline around a program: three levels of spec models."""
    made = HandMade("nested_pipeline", version=7, opset="CoreML6")
    offset = made.writer.write_fp16_data(np.arange(12, dtype=np.uint16))
    made.const("w", blob_value(MIL_pb2.FLOAT16, [12], offset))
    path = made.finish()
    outer = Model_pb2.Model(specificationVersion=7)
    middle = outer.pipelineClassifier.pipeline.models.add(specificationVersion=6)
    middle.pipeline.models.add(specificationVersion=1).neuralNetwork.SetInParent()
    middle.pipeline.models.add().CopyFrom(made.model)
    outer.pipelineClassifier.pipeline.names.append("middle")
    (path / MODEL).write_bytes(outer.SerializeToString(deterministic=True))


def every_blob_sequence() -> None:
    """What coremltools' writer makes of a sequence of blobs; `BlobWriterTests` must make the same bytes."""
    target = HERE / "blob_sequence.bin"
    target.unlink(missing_ok=True)
    writer = BlobWriter(str(target))
    for count in (1, 5, 0, 3, 64, 7):
        for name, _, method, dtype in BLOBS:
            bits = min(8, int("".join(c for c in name if c.isdigit())))
            values = [(i * 7 + count) % (1 << min(bits, 7)) for i in range(count)]
            if name == "int4":
                values = [v - 8 for v in values]
            getattr(writer, f"write_{method}_data")(np.array(values, dtype=dtype))
    del writer


def main() -> None:
    makers: list[Callable[[], None]] = [
        opsets, stateful, classifier, two_functions, pipeline, loops, every_dtype, reused_symbol,
        shared_and_garbage, classifier_pipeline, every_blob_sequence,
    ]
    for make in makers:
        make()
    for package in sorted(HERE.glob("*.mlpackage")):
        (HERE / f"{package.stem}.txt").write_text(model_text(package / MODEL))


if __name__ == "__main__":
    main()
