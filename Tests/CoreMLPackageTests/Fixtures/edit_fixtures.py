"""The edit of `EditingTests`, done with Google's protobuf and coremltools' blob writer.

Of the constants that refer to a blob, counted from 0 in program order (functions by name), the odd ones are kept and the
even ones become two operations with new blobs; the specification version is raised to 10 and every opset renamed to
CoreML9. `edited/<name>.txt` is the result as text, `edited/<name>-<file>` the weight files.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from coremltools.libmilstoragepython import _BlobStorageWriter as BlobWriter
from coremltools.proto import MIL_pb2, Model_pb2
from make_fixtures import BLOBS, HERE, MODEL, blob_value, string_value, tensor_type
from program_text import model_lines

OUTPUT = HERE / "edited"
METHODS = {data_type: (method, dtype) for _, data_type, method, dtype in BLOBS}


class WeightEditor:
    """New weight files beside the old ones, one per file name."""

    def __init__(self, name: str, package: Path) -> None:
        self.name, self.package = name, package
        self.writers: dict[str, BlobWriter] = {}
        self.kept: dict[tuple[str, int], int] = {}

    def writer(self, file: str) -> BlobWriter:
        if file not in self.writers:
            target = OUTPUT / f"{self.name}-{Path(file).name}"
            target.unlink(missing_ok=True)
            self.writers[file] = BlobWriter(str(target))
        return self.writers[file]

    def keep(self, value: MIL_pb2.Value) -> int:
        file, offset = value.blobFileValue.fileName, value.blobFileValue.offset
        if (file, offset) not in self.kept:
            data = (self.package / "Data/com.apple.CoreML" / file.removeprefix("@model_path/")).read_bytes()
            _, _, size, start = struct.unpack_from("<IIQQ", data, offset)
            method, dtype = METHODS[value.type.tensorType.dataType]
            values = unpack(data[start : start + size], value, dtype)
            self.kept[file, offset] = getattr(self.writer(file), f"write_{method}_data")(values)
        return self.kept[file, offset]


def unpack(data: bytes, value: MIL_pb2.Value, dtype: str) -> np.ndarray:
    name = MIL_pb2.DataType.Name(value.type.tensorType.dataType)
    bits = int("".join(c for c in name if c.isdigit()))
    if bits >= 8:
        return np.frombuffer(data, dtype)
    count = int(np.prod([d.constant.size for d in value.type.tensorType.dimensions]))
    flags = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[: count * bits].reshape(count, bits)
    codes = (flags.astype(np.int32) << np.arange(bits)).sum(axis=1)
    if name.startswith("INT"):
        codes = np.where(codes >= 1 << (bits - 1), codes - (1 << bits), codes)
    return codes.astype(dtype)


def programs(model: Model_pb2.Model) -> Iterator[MIL_pb2.Program]:
    kind = model.WhichOneof("Type")
    inner = {"pipeline": "pipeline", "pipelineClassifier": "pipelineClassifier.pipeline"}.get(kind)
    holder = model
    for part in inner.split(".") if inner else []:
        holder = getattr(holder, part)
    found = [model.mlProgram] if kind == "mlProgram" else []
    if inner:
        found = [program for stage in holder.models for program in programs(stage)]
    if found:
        model.specificationVersion = max(10, model.specificationVersion)
    yield from found


def edit_block(block: MIL_pb2.Block, weights: WeightEditor, counter: Iterator[int]) -> None:
    operations = list(block.operations)
    del block.operations[:]
    for op in operations:
        for inner in op.blocks:
            edit_block(inner, weights, counter)
        value = op.attributes["val"] if op.type == "const" else MIL_pb2.Value()
        if value.WhichOneof("value") != "blobFileValue":
            block.operations.append(op)
            continue
        number = next(counter)
        if number % 2:
            value.blobFileValue.offset = weights.keep(value)
            block.operations.append(op)
            continue
        for new in replacement(op, value, number, weights):
            block.operations.append(new)


def replacement(
    op: MIL_pb2.Operation, value: MIL_pb2.Value, number: int, weights: WeightEditor
) -> list[MIL_pb2.Operation]:
    name = op.outputs[0].name
    writer = weights.writer(value.blobFileValue.fileName)
    codes = np.arange(number + 3, dtype=np.uint8) % 8
    shape = MIL_pb2.Value(type=tensor_type(MIL_pb2.UINT32, [2]))
    shape.immediateValue.tensor.bytes.values = struct.pack("<2I", number, 1 << 31)
    flags = MIL_pb2.Value(type=tensor_type(MIL_pb2.BOOL, []))
    flags.immediateValue.tensor.bools.values.append(True)
    axis = MIL_pb2.Value(type=tensor_type(MIL_pb2.INT32, []))
    axis.immediateValue.tensor.ints.values.append(-1 - number)
    table = MIL_pb2.Value(type=tensor_type(MIL_pb2.FLOAT32, [2, 2]))
    table.immediateValue.tensor.floats.values.extend([number, 0.5, -1, 2])
    indices = blob_value(MIL_pb2.UINT3, [number + 3], writer.write_uint3_data(codes))
    indices.blobFileValue.fileName = value.blobFileValue.fileName
    first = MIL_pb2.Operation(type="const")
    first.outputs.add(name=name + "_lut").type.CopyFrom(table.type)
    first.attributes["name"].CopyFrom(string_value(name + "_lut"))
    first.attributes["val"].CopyFrom(table)
    second = MIL_pb2.Operation(type="constexpr_lut_to_dense")
    second.inputs["indices"].arguments.add().value.CopyFrom(indices)
    second.inputs["lut"].arguments.add(name=name + "_lut")
    second.outputs.add(name=name).type.CopyFrom(value.type)
    for key, attribute in (("name", string_value(name)), ("shape", shape), ("flags", flags), ("axis", axis)):
        second.attributes[key].CopyFrom(attribute)
    return [first, second]


def edit(name: str) -> None:
    package = HERE / f"{name}.mlpackage"
    model = Model_pb2.Model()
    model.ParseFromString((package / MODEL).read_bytes())
    weights = WeightEditor(name, package)
    counter = iter(range(10**6))
    for program in programs(model):
        for _, function in sorted(program.functions.items()):
            for key in list(function.block_specializations):
                block = MIL_pb2.Block()
                block.CopyFrom(function.block_specializations[key])
                edit_block(block, weights, counter)
                del function.block_specializations[key]
                function.block_specializations["CoreML9"].CopyFrom(block)
            function.opset = "CoreML9"
    weights.writers.clear()
    text = "\n".join(line.rstrip() for line in model_lines(model)) + "\n"
    (OUTPUT / f"{name}.txt").write_text(text)


if __name__ == "__main__":
    OUTPUT.mkdir(exist_ok=True)
    for path in sorted(HERE.glob("*.mlpackage")):
        edit(path.stem)
