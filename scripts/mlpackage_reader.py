"""A second, independent reader of Core ML packages: plain Python and NumPy, none of this project's engine.

It exists to check the engine. It knows as much of the format as that takes: it walks the protobuf wire format of
model.mlmodel, reads weight blobs, and decodes compressed weights by the definition of every `constexpr_*` operation, in
the form of iOS16 (packed bytes in attributes) and that of iOS18 (in inputs), in chains of any order. It is slow and keeps
everything in memory.

Field numbers: mlmodel/format/{Model,MIL}.proto in Apple's coremltools; the blob layout: MILBlob/Blob/StorageFormat.hpp.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# MIL data type -> (bits, NumPy type of an element once it is unpacked)
DTYPES: dict[int, tuple[int, str]] = {
    1: (8, "bool"),
    10: (16, "float16"),
    11: (32, "float32"),
    12: (64, "float64"),
    21: (8, "int8"),
    22: (16, "int16"),
    23: (32, "int32"),
    24: (64, "int64"),
    25: (4, "int8"),
    31: (8, "uint8"),
    32: (16, "uint16"),
    33: (32, "uint32"),
    34: (64, "uint64"),
    35: (4, "uint8"),
    36: (2, "uint8"),
    37: (1, "uint8"),
    38: (6, "uint8"),
    39: (3, "uint8"),
}
# The types of a weight.bin record have numbers of their own: file number -> MIL number.
BLOB_DTYPES = {1: 10, 2: 11, 3: 31, 4: 21, 6: 22, 7: 32, 8: 25, 9: 37, 10: 36, 11: 35, 12: 39, 13: 38, 14: 23, 15: 33}
SENTINEL = 0xDEADBEEF
CONSTEXPRS = (
    "constexpr_lut_to_dense",
    "constexpr_affine_dequantize",
    "constexpr_blockwise_shift_scale",
    "constexpr_sparse_to_dense",
    "constexpr_lut_to_sparse",
    "constexpr_sparse_blockwise_shift_scale",
    "constexpr_cast",
)


# --- The protobuf wire format ----------------------------------------------------------------------------------------

Message = dict[int, list[Any]]  # field number -> its values in order: integers, or bytes


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def message(data: bytes) -> Message:
    fields: Message = {}
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value: Any
            value, at = varint(data, at)
        elif wire == 1:
            value, at = data[at : at + 8], at + 8
        elif wire == 2:
            size, at = varint(data, at)
            value, at = data[at : at + size], at + size
        elif wire == 5:
            value, at = data[at : at + 4], at + 4
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        fields.setdefault(number, []).append(value)
    return fields


def one(fields: Message, number: int, default: Any = b"") -> Any:
    return fields[number][-1] if number in fields else default


def varints(data: bytes) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = varint(data, at)
        values.append(value)
    return values


# --- What a program holds --------------------------------------------------------------------------------------------


@dataclass
class Value:
    dtype: int = 0
    shape: tuple[int, ...] = ()
    blob: tuple[str, int] | None = None  # file name and offset of the record
    payload: Message = field(default_factory=dict)  # TensorValue


@dataclass
class Operation:
    function: str
    type: str
    inputs: dict[str, list[str | Value]]
    outputs: list[str]
    attributes: dict[str, Value]


def parse_value(data: bytes) -> Value:
    fields = message(data)
    tensor = message(one(message(one(fields, 2)), 1))
    shape = tuple(one(message(one(message(d), 1)), 1, 0) for d in tensor.get(3, []))
    value = Value(one(tensor, 1, 0), shape)
    if 5 in fields:
        blob = message(fields[5][-1])
        value.blob = (one(blob, 1).decode(), one(blob, 2, 0))
    elif 3 in fields:
        value.payload = message(one(message(fields[3][-1]), 1))
    return value


def parse_argument(data: bytes) -> list[str | Value]:
    bindings = [message(b) for b in message(data).get(1, [])]
    return [parse_value(b[2][-1]) if 2 in b else one(b, 1).decode() for b in bindings]


def operations_of_block(data: bytes, function: str) -> Iterator[Operation]:
    for raw in message(data).get(3, []):
        fields = message(raw)
        entries = [message(e) for e in fields.get(2, [])]
        attributes = [message(e) for e in fields.get(5, [])]
        yield Operation(
            function,
            one(fields, 1).decode(),
            {one(e, 1).decode(): parse_argument(one(e, 2)) for e in entries},
            [one(message(o), 1).decode() for o in fields.get(3, [])],
            {one(e, 1).decode(): parse_value(one(e, 2)) for e in attributes},
        )
        for block in fields.get(4, []):
            yield from operations_of_block(block, function)


class Package:
    """A package with one ML Program: its operations in order, nested blocks included, and the arrays they hold."""

    def __init__(self, path: Path) -> None:
        self.data_folder = path / "Data" / "com.apple.CoreML"
        model = message((self.data_folder / "model.mlmodel").read_bytes())
        self.specification_version = int(one(model, 1, 0))
        self.operations: list[Operation] = []
        for entry in message(one(model, 502)).get(2, []):
            named = message(entry)
            for specialization in message(one(named, 2)).get(3, []):
                block = one(message(specialization), 2)
                self.operations += operations_of_block(block, one(named, 1).decode())
        self.files: dict[str, bytes] = {}
        self.producers = {(op.function, name): op for op in self.operations for name in op.outputs}

    def blob(self, name: str, offset: int) -> tuple[int, bytes]:
        """The data type (as MIL numbers it) and the bytes of the record at an offset."""
        if name not in self.files:
            relative = name.removeprefix("@model_path/")
            self.files[name] = (self.data_folder / relative).read_bytes()
        data = self.files[name]
        sentinel, dtype, size, start = struct.unpack_from("<IIQQ", data, offset)
        if sentinel != SENTINEL or start + size > len(data):
            raise ValueError(f"{name}: no blob record at offset {offset}")
        return BLOB_DTYPES[dtype], data[start : start + size]

    def array(self, value: Value) -> Array:
        """A value's elements, one per array element however many bits each takes in the file."""
        bits, name = DTYPES[value.dtype]
        count = int(np.prod(value.shape, dtype=np.int64))
        if value.blob:
            dtype, raw = self.blob(*value.blob)
            if dtype != value.dtype:
                raise ValueError(f"the blob at {value.blob[1]} has type {dtype}, its value {value.dtype}")
        else:
            raw = immediate_bytes(value)
        if bits < 8:
            return unpack(raw, bits, count, signed=name == "int8").reshape(value.shape)
        return np.frombuffer(raw, name, count).reshape(value.shape)

    def input_array(self, operation: Operation, name: str) -> Array | None:
        """An operation's array argument: an attribute, a value in place, or another constant operation's output."""
        if name in operation.attributes:
            return self.array(operation.attributes[name])
        if name not in operation.inputs:
            return None
        binding = operation.inputs[name][0]
        if isinstance(binding, Value):
            return self.array(binding)
        producer = self.producers[(operation.function, binding)]
        return self.constant(producer, producer.outputs.index(binding))

    def required(self, operation: Operation, name: str) -> Array:
        array = self.input_array(operation, name)
        if array is None:
            raise ValueError(f"{operation.outputs[0]}: {operation.type} without {name}")
        return array

    def constant(self, operation: Operation, output: int = 0) -> Array:
        """The array that an output of a constant operation stands for, decoded."""
        if operation.type == "const":
            return self.array(operation.attributes["val"])
        if operation.type == "constexpr_lut_to_dense":
            return self.decode_lut(operation)[0]
        if operation.type == "constexpr_affine_dequantize":
            return self.decode_affine(operation)
        if operation.type == "constexpr_blockwise_shift_scale":
            data, scale = self.required(operation, "data"), self.required(operation, "scale")
            return shift_scale(data, scale, self.input_array(operation, "offset"))
        if operation.type == "constexpr_sparse_to_dense":
            return self.decode_sparse(operation)
        if operation.type == "constexpr_lut_to_sparse":
            return self.decode_sparse_lut(operation)[output]
        if operation.type == "constexpr_sparse_blockwise_shift_scale":
            mask = self.required(operation, "data_mask")
            codes = scatter(self.required(operation, "nonzero_data"), mask)
            scale, offset = self.required(operation, "scale"), self.input_array(operation, "offset")
            return (mask, shift_scale(codes, scale, offset)[mask != 0])[output]
        if operation.type == "constexpr_cast":  # of fp16 to fp32, the only one that there is
            return self.required(operation, "source_val").astype(np.float32)
        raise ValueError(f"{operation.outputs[0]}: {operation.type} is not a constant operation that is read here")

    def float_constants(self) -> dict[tuple[str, str], tuple[str, Array]]:
        """(function, name) -> (operation type, array) of every floating-point tensor that the program's other
        operations use; of a chain of constant operations the last one alone."""
        inner = {
            (operation.function, binding)
            for operation in self.operations
            if operation.type in CONSTEXPRS
            for argument in operation.inputs.values()
            for binding in argument
            if isinstance(binding, str)
        }
        found: dict[tuple[str, str], tuple[str, Array]] = {}
        for operation in self.operations:
            if any((operation.function, name) in inner for name in operation.outputs):
                continue
            is_float = operation.type == "const" and operation.attributes["val"].dtype in (10, 11, 12)
            if is_float or operation.type in CONSTEXPRS:
                found[(operation.function, operation.outputs[0])] = (operation.type, self.constant(operation))
        return found

    def decode_lut(self, operation: Operation) -> tuple[Array, Array, Array]:
        """(decoded weight, lut in its iOS18 shape, indices) of a `constexpr_lut_to_dense`."""
        lut, indices = self.input_array(operation, "lut"), self.input_array(operation, "indices")
        if lut is None or indices is None:
            raise ValueError(f"{operation.outputs[0]}: no lut or no indices")
        if "shape" in operation.attributes or "shape" in operation.inputs:  # the iOS16 form: packed bytes
            given = self.input_array(operation, "shape")
            shape = tuple(int(n) for n in given) if given is not None else ()
            indices = unpack(indices.tobytes(), int(lut.size - 1).bit_length(), int(np.prod(shape))).reshape(shape)
            lut = lut.reshape((1,) * len(shape) + (lut.size, 1))
        axis = self.input_array(operation, "vector_axis")
        return lut_to_dense(lut, indices, 0 if axis is None else int(axis)), lut, indices

    def decode_affine(self, operation: Operation) -> Array:
        """A `constexpr_affine_dequantize`: scale and zero point are scalars, or vectors along one axis."""
        data = self.required(operation, "quantized_data")
        axis = int(self.required(operation, "axis"))
        along = [1] * data.ndim
        if data.ndim:
            along[axis] = -1
        scale = self.required(operation, "scale").reshape(along)
        return shift_scale(data, scale, self.required(operation, "zero_point").reshape(along))

    def decode_sparse(self, operation: Operation) -> Array:
        """A `constexpr_sparse_to_dense`; the form of iOS16 has the mask in bytes and the shape beside it."""
        mask, shape = self.required(operation, "mask"), self.input_array(operation, "shape")
        if shape is not None:
            lengths = tuple(int(n) for n in shape)
            mask = unpack(mask.tobytes(), 1, int(np.prod(lengths, dtype=np.int64))).reshape(lengths)
        return scatter(self.required(operation, "nonzero_data"), mask)

    def decode_sparse_lut(self, operation: Operation) -> tuple[Array, Array]:
        """Mask and non-zero elements of a `constexpr_lut_to_sparse`: of vectors every element has the mask of its code."""
        mask, lut = self.required(operation, "indices_mask"), self.required(operation, "lut")
        given = self.input_array(operation, "vector_axis")
        axis = 0 if given is None else int(given) % mask.ndim
        dense = lut_to_dense(lut, scatter(self.required(operation, "indices_nonzero_data"), mask), axis)
        wide: Array = np.repeat(mask, lut.shape[-1], axis)
        return wide, dense[wide != 0]


def shift_scale(data: Array, scale: Array, offset: Array | None) -> Array:
    """(data - offset) * scale, both repeated over their blocks; the product is rounded once, to the scale's type."""
    difference = data.astype(np.float64)
    for axis, whole in enumerate(data.shape):
        scale = np.repeat(scale, whole // scale.shape[axis], axis)
        if offset is not None:
            offset = np.repeat(offset, whole // offset.shape[axis], axis)
    if offset is not None:
        difference = difference - offset
    product: Array = (difference * scale.astype(np.float64)).astype(scale.dtype)
    return product


def scatter(nonzero: Array, mask: Array) -> Array:
    """The elements in their places, zeros where the mask has none."""
    dense: Array = np.zeros(mask.shape, nonzero.dtype)
    dense[mask != 0] = nonzero
    return dense


def immediate_bytes(value: Value) -> bytes:
    """The elements of a TensorValue as little-endian bytes of the value's own type."""
    _, name = DTYPES[value.dtype]
    for number, nested in ((1, "<f4"), (6, "<f8")):
        if number in value.payload:
            raw = b"".join(message(one(value.payload, number)).get(1, []))
            return np.frombuffer(raw, nested).astype(name).tobytes()
    for number in (2, 3, 5):
        if number in value.payload:
            values: list[int] = []
            for packed in message(one(value.payload, number)).get(1, []):
                values += varints(packed) if isinstance(packed, bytes) else [packed]
            return np.array(values, np.uint64).astype(name).tobytes()
    return bytes(one(message(one(value.payload, 7)), 1))


def unpack(raw: bytes, bits: int, count: int, *, signed: bool = False) -> Array:
    """Codes of fewer than 8 bits, least significant bit first, without gaps; signed ones in two's complement."""
    single = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")[: count * bits].reshape(count, bits)
    codes: Array = (single << np.arange(bits, dtype=np.uint8)).sum(axis=1, dtype=np.uint8)
    if signed:
        half = 1 << (bits - 1)
        return (codes.astype(np.int16) - ((codes >= half) << bits)).astype(np.int8)
    return codes


def lut_to_dense(lut: Array, indices: Array, vector_axis: int) -> Array:
    """dense[.., v * D + d, ..] = lut[group of the position, indices[.., v, ..], d], D the length of a LUT entry."""
    rank = indices.ndim
    entries, cluster_dim = lut.shape[rank:]
    groups = lut.shape[:rank]
    group = np.zeros(indices.shape, np.int64)
    for axis in range(rank):
        position = np.arange(indices.shape[axis]) * groups[axis] // indices.shape[axis]
        group = group * groups[axis] + position.reshape([-1 if a == axis else 1 for a in range(rank)])
    vectors = lut.reshape(-1, entries, cluster_dim)[group, indices]
    moved = np.moveaxis(vectors, -1, vector_axis + 1)
    shape = list(indices.shape)
    shape[vector_axis] *= cluster_dim
    return moved.reshape(shape)
