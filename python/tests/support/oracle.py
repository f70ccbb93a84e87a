"""An independent reader of Core ML packages: Google's protobuf with coremltools' descriptors, and the tests' own blob reader.

It shares no code with the library. It yields every array of every `constexpr_*` operation (iOS16 and iOS18 forms),
decodes compressed weights with plain NumPy, and compares two packages up to the intended edits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from coremltools.proto import MIL_pb2, Model_pb2

from .blobs import read_blob, unpack
from .decoding import decode

_BITS = {
    MIL_pb2.INT4: (4, True),
    MIL_pb2.UINT1: (1, False),
    MIL_pb2.UINT2: (2, False),
    MIL_pb2.UINT3: (3, False),
    MIL_pb2.UINT4: (4, False),
    MIL_pb2.UINT6: (6, False),
}
_HOLDER = {
    MIL_pb2.FLOAT16: np.float16,
    MIL_pb2.FLOAT32: np.float32,
    MIL_pb2.FLOAT64: np.float64,
    MIL_pb2.INT8: np.int8,
    MIL_pb2.UINT8: np.uint8,
    MIL_pb2.INT16: np.int16,
    MIL_pb2.UINT16: np.uint16,
    MIL_pb2.INT32: np.int32,
    MIL_pb2.UINT32: np.uint32,
    MIL_pb2.INT64: np.int64,
    MIL_pb2.UINT64: np.uint64,
    MIL_pb2.BOOL: np.bool_,
}


@dataclass
class Array:
    """One tensor as stored: the MIL type number, and its elements (sub-byte ones widened to 8 bits)."""

    data_type: int
    values: np.ndarray

    @property
    def type_name(self) -> str:
        return MIL_pb2.DataType.Name(self.data_type).lower()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Array):
            return NotImplemented
        return (
            self.data_type == other.data_type
            and self.values.shape == other.values.shape
            and self.values.dtype == other.values.dtype
            and self.values.tobytes() == other.values.tobytes()
        )

    def __repr__(self) -> str:
        return f"Array({self.type_name}{list(self.values.shape)} {self.values.ravel()[:6]}…)"


@dataclass
class Constexpr:
    """A compressed weight's operation: its type, its arrays by parameter, and names for parameters bound by name."""

    name: str
    type: str
    arrays: dict[str, Array]
    bound: dict[str, str]
    output_type: int
    output_shape: tuple[int, ...]
    outputs: tuple[str, ...]
    """All of them: operations with sparse results have the mask and the data."""


class OraclePackage:
    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.manifest = json.loads((self.path / "Manifest.json").read_text())
        entries = self.manifest["itemInfoEntries"]
        self.model_file = self.path / "Data" / entries[self.manifest["rootModelIdentifier"]]["path"]
        self.spec = Model_pb2.Model()
        self.spec.ParseFromString(self.model_file.read_bytes())
        self._hashes: dict[tuple[str, int], str] = {}

    # MARK: walking

    def programs(self) -> Iterator[tuple[str, MIL_pb2.Program, Model_pb2.Model]]:
        yield from _programs("", self.spec)

    def operations(self) -> Iterator[tuple[str, MIL_pb2.Operation]]:
        """Every operation of every program, function and nested block; the first item is where it is."""
        for prefix, program, _ in self.programs():
            for function_name in program.functions:
                function = program.functions[function_name]
                for opset in function.block_specializations:
                    for operation in _operations(function.block_specializations[opset]):
                        yield f"{prefix}{function_name}", operation

    def blob_file(self, file_name: str) -> Path:
        return self.model_file.parent / file_name.replace("@model_path/", "")

    def array(self, value: MIL_pb2.Value) -> Array:
        tensor_type = value.type.tensorType
        shape = tuple(d.constant.size for d in tensor_type.dimensions)
        count = int(np.prod(shape, dtype=np.int64))
        kind = tensor_type.dataType
        if value.WhichOneof("value") == "blobFileValue":
            reference = value.blobFileValue
            blob = read_blob(self.blob_file(reference.fileName), reference.offset)
            expected = MIL_pb2.DataType.Name(kind).lower()
            if blob.type_name != expected:
                raise AssertionError(
                    f"{self.path}: blob at {reference.offset} is {blob.type_name}, the model says {expected}"
                )
            if len(blob.data) != -(-count * blob.nbits // 8):
                raise AssertionError(
                    f"{self.path}: blob at {reference.offset} has {len(blob.data)} bytes for {shape} {expected}"
                )
            return Array(kind, blob.array(count).reshape(shape))
        tensor = value.immediateValue.tensor
        which = tensor.WhichOneof("value")
        stored = getattr(tensor, which).values
        if which == "bytes":
            if kind in _BITS:
                nbits, signed = _BITS[kind]
                return Array(kind, unpack(stored, nbits, count, signed).reshape(shape))
            return Array(kind, np.frombuffer(stored, _HOLDER[kind], count=count).reshape(shape))
        if which == "strings":
            return Array(kind, np.array(list(stored), dtype=object).reshape(shape))
        return Array(kind, np.array(list(stored), dtype=_HOLDER[kind]).reshape(shape))

    # MARK: weights

    def constexprs(self) -> dict[str, Constexpr]:
        """By output name (prefixed by the function's when there are several functions or programs)."""
        found: dict[str, Constexpr] = {}
        for where, operation in self.operations():
            if not operation.type.startswith("constexpr_"):
                continue
            arrays: dict[str, Array] = {}
            bound: dict[str, str] = {}
            for key in operation.attributes:
                if key != "name":
                    arrays[key] = self.array(operation.attributes[key])
            for key in operation.inputs:
                for binding in operation.inputs[key].arguments:
                    if binding.WhichOneof("binding") == "value":
                        arrays[key] = self.array(binding.value)
                    else:
                        bound[key] = binding.name
            output = operation.outputs[0]
            shape = tuple(d.constant.size for d in output.type.tensorType.dimensions)
            key = output.name if where == "main" else f"{where}/{output.name}"
            if key in found:
                raise AssertionError(f"{self.path}: two constexpr operations are called {key}")
            outputs = tuple(o.name for o in operation.outputs)
            found[key] = Constexpr(
                output.name, operation.type, arrays, bound, output.type.tensorType.dataType, shape, outputs
            )
        return found

    def consts(self) -> dict[str, Array]:
        """Every tensor const of a number type, by output name (prefixed as above)."""
        found: dict[str, Array] = {}
        for where, operation in self.operations():
            if operation.type != "const" or "val" not in operation.attributes:
                continue
            value = operation.attributes["val"]
            if value.type.WhichOneof("type") != "tensorType" or value.type.tensorType.dataType == MIL_pb2.STRING:
                continue
            name = operation.outputs[0].name
            found[name if where == "main" else f"{where}/{name}"] = self.array(value)
        return found

    def dense(self) -> dict[str, np.ndarray]:
        """Consts and decoded compressed weights. Intermediate results of a chain are included."""
        values = {name: array.values for name, array in self.consts().items()}
        for key, operation in self.constexprs().items():
            prefix = key[: len(key) - len(operation.name)]
            inputs = {k: a.values for k, a in operation.arrays.items()}
            inputs.update({k: values[prefix + name] for k, name in operation.bound.items()})
            results = decode(operation.type, inputs)
            values.update({prefix + name: array for name, array in zip(operation.outputs, results, strict=True)})
        return values

    # MARK: comparing

    def blob_hash(self, reference: MIL_pb2.Value.BlobFileValue) -> str:
        key = (reference.fileName, reference.offset)
        if key not in self._hashes:
            blob = read_blob(self.blob_file(reference.fileName), reference.offset)
            self._hashes[key] = f"{blob.type_name}:{hashlib.sha256(blob.data).hexdigest()}"
        return self._hashes[key]


def _programs(prefix: str, model: Model_pb2.Model) -> Iterator[tuple[str, MIL_pb2.Program, Model_pb2.Model]]:
    kind = model.WhichOneof("Type")
    if kind == "mlProgram":
        yield prefix, model.mlProgram, model
    elif kind in ("pipeline", "pipelineClassifier", "pipelineRegressor"):
        pipeline = model.pipeline if kind == "pipeline" else getattr(model, kind).pipeline
        for index, part in enumerate(pipeline.models):
            yield from _programs(f"{prefix}{index}/", part)


def _operations(block: MIL_pb2.Block) -> Iterator[MIL_pb2.Operation]:
    for operation in block.operations:
        yield operation
        for inner in operation.blocks:
            yield from _operations(inner)


# MARK: comparing everything that is not a compressed weight


def normalised(package: OraclePackage, compressed: set[str], *, original: bool | None) -> Model_pb2.Model:
    """The model with blob references replaced by their content's hash and every weight in `compressed` (keys as in
    `constexprs()`) by a marker that keeps name and type, and what only they use left out. `original` says whether the
    weights are consts; None: consts or constexpr operations."""
    copy = Model_pb2.Model()
    copy.CopyFrom(package.spec)
    seen: set[str] = set()
    for prefix, program, model in _programs("", copy):
        model.specificationVersion = 0
        for function_name in program.functions:
            function = program.functions[function_name]
            where = f"{prefix}{function_name}"
            before = function.opset
            for opset in list(function.block_specializations):
                block = function.block_specializations[opset]
                _normalise_block(package, block, where, compressed, original, seen)
            if before in function.block_specializations:
                kept = MIL_pb2.Block()
                kept.CopyFrom(function.block_specializations[before])
                del function.block_specializations[before]
                function.block_specializations["opset"].CopyFrom(kept)
                function.opset = "opset"
    copy.specificationVersion = 0
    missing = compressed - seen
    if missing:
        raise AssertionError(f"{package.path}: no such weights: {sorted(missing)}")
    return copy


def _normalise_block(
    package: OraclePackage,
    block: MIL_pb2.Block,
    where: str,
    compressed: set[str],
    original: bool | None,
    seen: set[str],
) -> None:
    kept: list[MIL_pb2.Operation] = []
    for operation in block.operations:
        name = operation.outputs[0].name if operation.outputs else ""
        key = name if where == "main" else f"{where}/{name}"
        if key in compressed:
            if operation.type != "const" and not operation.type.startswith("constexpr_"):
                raise AssertionError(f"{package.path}: {key} is {operation.type}")
            if original is not None and (operation.type == "const") != original:
                raise AssertionError(f"{package.path}: {key} is {operation.type}")
            marker = MIL_pb2.Operation(type="COMPRESSED")
            marker.outputs.add().CopyFrom(operation.outputs[0])
            seen.add(key)
            kept.append(marker)
            continue
        is_constant = operation.type == "const" or operation.type.startswith("constexpr_")
        if is_constant and any(_feeds_only(block, output.name, compressed, where) for output in operation.outputs):
            continue  # a step on the way to a compressed weight
        for value in _values(operation):
            if value.WhichOneof("value") == "blobFileValue":
                content = package.blob_hash(value.blobFileValue)
                value.blobFileValue.fileName = content
                value.blobFileValue.offset = 0
        for inner in operation.blocks:
            _normalise_block(package, inner, where, compressed, original, seen)
        kept.append(operation)
    copies = []
    for operation in kept:
        copy = MIL_pb2.Operation()
        copy.CopyFrom(operation)
        copies.append(copy)
    del block.operations[:]
    block.operations.extend(copies)


def _feeds_only(block: MIL_pb2.Block, name: str, compressed: set[str], where: str) -> bool:
    """Whether all uses of a name lead to compressed weights and nowhere else."""
    users = [
        operation
        for operation in block.operations
        for argument in operation.inputs.values()
        for binding in argument.arguments
        if binding.WhichOneof("binding") == "name" and binding.name == name
    ]
    if not users or any(not user.type.startswith("constexpr_") for user in users):
        return False
    for user in users:
        output = user.outputs[0].name
        if (output if where == "main" else f"{where}/{output}") in compressed:
            continue
        if not any(_feeds_only(block, o.name, compressed, where) for o in user.outputs):
            return False
    return True


def _values(operation: MIL_pb2.Operation) -> Iterator[MIL_pb2.Value]:
    for key in operation.attributes:
        yield operation.attributes[key]
    for key in operation.inputs:
        for binding in operation.inputs[key].arguments:
            if binding.WhichOneof("binding") == "value":
                yield binding.value


def assert_same_but(
    before: OraclePackage, after: OraclePackage, compressed: set[str], *, compressed_before: bool = False
) -> None:
    """Everything equal but the weights named: protobuf messages, blob contents, the manifest's entries and other files.

    The weights are consts before and constexpr operations after, or, where they were compressed before, either."""
    left = normalised(before, compressed, original=None if compressed_before else True)
    right = normalised(after, compressed, original=None if compressed_before else False)
    if left != right:
        a, b = str(left).splitlines(), str(right).splitlines()
        at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        raise AssertionError(
            f"{after.path} differs from {before.path} at line {at} of the text form:\n"
            + "\n".join(f"- {x}" for x in a[max(0, at - 3) : at + 4])
            + "\n"
            + "\n".join(f"+ {x}" for x in b[max(0, at - 3) : at + 4])
        )
    strip = ("rootModelIdentifier",)
    assert {k: v for k, v in before.manifest.items() if k not in strip} == {
        k: v for k, v in after.manifest.items() if k not in strip
    }
    assert before.manifest["rootModelIdentifier"] == after.manifest["rootModelIdentifier"]
    assert other_files(before) == other_files(after)


def other_files(package: OraclePackage) -> dict[str, bytes]:
    weights = package.model_file.parent / "weights"
    return {
        str(p.relative_to(package.path)): p.read_bytes()
        for p in sorted(package.path.rglob("*"))
        if p.is_file() and p != package.model_file and weights not in p.parents and p.name != "Manifest.json"
    }


def tree(path: Path) -> dict[str, bytes | None]:
    """Every file under a folder with its content (None for a folder)."""
    return {str(p.relative_to(path)): p.read_bytes() if p.is_file() else None for p in sorted(path.rglob("*"))}
