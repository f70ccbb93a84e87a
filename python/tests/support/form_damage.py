"""Ways to damage the operations that restore compressed weights: their shapes, types, bindings, records and bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .damage import Damage, flips, model_file, weight_file
from .package_factory import open_model

Random = np.random.Generator

SIZES = [0, 1, 2, 3, 5, 7, 16, 2**20, 2**31, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
TYPES = [0, 1, 2, 10, 11, 12, 13, 21, 22, 23, 24, 25, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 777]


def pick(rng: Random, values: Any) -> Any:
    values = list(values)
    return values[int(rng.integers(len(values)))]


def blocks(spec: Any) -> Iterator[Any]:
    for stage in spec.pipeline.models:
        yield from blocks(stage)
    for function in spec.mlProgram.functions.values():
        pending = list(function.block_specializations.values())
        while pending:
            block = pending.pop()
            yield block
            for operation in block.operations:
                pending += operation.blocks


def values(operation: Any) -> list[Any]:
    """Every constant in an operation's inputs and attributes, its name aside."""
    found = [a.value for i in operation.inputs.values() for a in i.arguments if a.HasField("value")]
    return found + [v for k, v in operation.attributes.items() if k != "name"]


def tensors(operation: Any) -> list[Any]:
    """Types that are tensors: of constants, and of outputs."""
    types = [v.type for v in values(operation)] + [o.type for o in operation.outputs]
    return [t.tensorType for t in types if t.HasField("tensorType")]


def change_size(operation: Any, block: Any, rng: Random) -> None:
    tensor = pick(rng, tensors(operation))
    if not tensor.dimensions:
        tensor.rank = 1
        tensor.dimensions.add().constant.size = pick(rng, SIZES)
        return
    dimension = pick(rng, tensor.dimensions)
    old = dimension.constant.size
    dimension.constant.size = pick(rng, [*SIZES, old * 2, old + 1, max(old - 1, 0), old // 2])


def change_every_size(operation: Any, block: Any, rng: Random) -> None:
    """One axis, in everything that has it: the parts agree with each other, and with no data."""
    size = pick(rng, SIZES)
    for tensor in tensors(operation):
        if tensor.dimensions:
            tensor.dimensions[0].constant.size = size


def change_rank(operation: Any, block: Any, rng: Random) -> None:
    tensor = pick(rng, tensors(operation))
    if tensor.dimensions and rng.integers(2):
        del tensor.dimensions[-1]
    else:
        tensor.dimensions.add().constant.size = pick(rng, [0, 1, 1, 2])
    tensor.rank = len(tensor.dimensions)


def drop_shape(operation: Any, block: Any, rng: Random) -> None:
    tensor = pick(rng, tensors(operation))
    del tensor.dimensions[:]
    tensor.rank = 0


def unknown_size(operation: Any, block: Any, rng: Random) -> None:
    tensor = pick(rng, tensors(operation))
    if tensor.dimensions:
        pick(rng, tensor.dimensions).unknown.variadic = bool(rng.integers(2))


def change_type(operation: Any, block: Any, rng: Random) -> None:
    pick(rng, tensors(operation)).dataType = pick(rng, TYPES)


def swap_types(operation: Any, block: Any, rng: Random) -> None:
    """int8 for uint8, or the other way, in everything: consistent, and not what the file holds."""
    for tensor in tensors(operation):
        tensor.dataType = {21: 31, 31: 21, 25: 35, 35: 25, 10: 11, 11: 10}.get(tensor.dataType, tensor.dataType)


def change_blob(operation: Any, block: Any, rng: Random) -> None:
    blobs = [v for v in values(operation) if v.HasField("blobFileValue")]
    every = [v for o in block.operations for v in values(o) if v.HasField("blobFileValue")]
    if blobs:
        offsets = [0, 1, 63, 2**40, 2**63, 2**64 - 64, *(v.blobFileValue.offset for v in every)]
        pick(rng, blobs).blobFileValue.offset = pick(rng, offsets)


def swap_values(operation: Any, block: Any, rng: Random) -> None:
    found = values(operation)
    if len(found) > 1:
        one, other = pick(rng, found), pick(rng, found)
        copy = type(one)()
        copy.CopyFrom(one)
        one.CopyFrom(other)
        other.CopyFrom(copy)


def change_immediate(operation: Any, block: Any, rng: Random) -> None:
    found = [v.immediateValue.tensor for v in values(operation) if v.HasField("immediateValue")]
    if not found:
        return
    tensor = pick(rng, found)
    if tensor.HasField("ints") and tensor.ints.values:
        place = int(rng.integers(len(tensor.ints.values)))
        tensor.ints.values[place] = pick(rng, [-(2**31), -9, -2, -1, 0, 1, 2, 3, 9, 2**31 - 1])
    elif tensor.HasField("bytes"):
        data = bytearray(tensor.bytes.values)
        if data and rng.integers(2):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        else:
            data = data[: len(data) // 2]
        tensor.bytes.values = bytes(data)
    else:
        tensor.Clear()


def write_in_place(operation: Any, block: Any, rng: Random) -> None:
    """A constant in place of a reference to the weight file, mostly of another length."""
    value = pick(rng, values(operation)) if values(operation) else None
    if value is not None:
        value.immediateValue.tensor.bytes.values = bytes(int(rng.integers(200)))


def drop_input(operation: Any, block: Any, rng: Random) -> None:
    if operation.inputs:
        del operation.inputs[pick(rng, sorted(operation.inputs))]
    elif len(operation.attributes) > 1:
        del operation.attributes[pick(rng, sorted(set(operation.attributes) - {"name"}))]


def bind_elsewhere(operation: Any, block: Any, rng: Random) -> None:
    """To any output of the block: itself, what follows, what is no constant, the second output of something."""
    if operation.inputs:
        names = [o.name for other in block.operations for o in other.outputs] + ["nothing of this name", ""]
        arguments = operation.inputs[pick(rng, sorted(operation.inputs))].arguments
        arguments.add() if not arguments or rng.integers(4) == 0 else None
        pick(rng, arguments).name = pick(rng, names)


def bind_to_constant(operation: Any, block: Any, rng: Random) -> None:
    """A constant of its own in place of one in the operation: valid, and another form of the same."""
    keys = [k for k, i in operation.inputs.items() if i.arguments and i.arguments[0].HasField("value")]
    if not keys:
        return
    key = pick(rng, sorted(keys))
    argument = operation.inputs[key].arguments[0]
    const = type(operation)()
    const.type = "const"
    output = const.outputs.add()
    output.name = f"{operation.outputs[0].name}_{key}_apart" if operation.outputs else "apart"
    output.type.CopyFrom(argument.value.type)
    const.attributes["val"].CopyFrom(argument.value)
    argument.name = output.name
    place = list(block.operations).index(operation)
    copies = [const]
    for other in block.operations:
        copy = type(operation)()
        copy.CopyFrom(other)
        copies.append(copy)
    del block.operations[:]
    block.operations.extend([*copies[1 : place + 1], const, *copies[place + 1 :]])


def move_to_attributes(operation: Any, block: Any, rng: Random) -> None:
    for key in sorted(operation.inputs):
        arguments = operation.inputs[key].arguments
        if len(arguments) == 1 and arguments[0].HasField("value") and rng.integers(2):
            operation.attributes[key].CopyFrom(arguments[0].value)
            del operation.inputs[key]


def change_outputs(operation: Any, block: Any, rng: Random) -> None:
    if operation.outputs and rng.integers(2):
        del operation.outputs[-1]
    else:
        output = operation.outputs.add()
        output.name = pick(rng, ["one more", operation.outputs[0].name])
        output.type.CopyFrom(operation.outputs[0].type)


def make_tuple(operation: Any, block: Any, rng: Random) -> None:
    if operation.outputs:
        output = pick(rng, operation.outputs)
        copy = type(output.type)()
        copy.CopyFrom(output.type)
        output.type.tupleType.types.add().CopyFrom(copy)


def change_kind(operation: Any, block: Any, rng: Random) -> None:
    operation.type = pick(rng, [*sorted({o.type for o in block.operations}), "constexpr_of_the_future"])


def repeat(operation: Any, block: Any, rng: Random) -> None:
    block.operations.add().CopyFrom(operation)


def end_with_it(operation: Any, block: Any, rng: Random) -> None:
    if operation.outputs:
        block.outputs.append(pick(rng, operation.outputs).name)


CHANGES: list[Callable[[Any, Any, Random], None]] = [
    change_size, change_every_size, change_rank, drop_shape, unknown_size, change_type, swap_types, change_blob,
    swap_values, change_immediate, write_in_place, drop_input, bind_elsewhere, bind_to_constant, move_to_attributes,
    change_outputs, make_tuple, change_kind, repeat, end_with_it,
]  # fmt: skip


def structured(seed: int, times: int) -> Damage:
    def apply(path: Path) -> None:
        rng = np.random.default_rng(seed)
        file, spec = open_model(path)
        for _ in range(times):
            block = pick(rng, blocks(spec))
            compressed = [o for o in block.operations if o.type.startswith("constexpr_")]
            others = [o for o in block.operations if o.type in ("const", "conv", "linear", "matmul")]
            candidates = compressed if compressed and (not others or rng.integers(4)) else others
            candidates = [o for o in candidates if tensors(o)]
            if candidates:
                pick(rng, CHANGES)(pick(rng, candidates), block, rng)
        file.write_bytes(spec.SerializeToString())

    return apply


def records(seed: int) -> Damage:
    """One number of one record of the weight file, or one byte of its data."""

    def apply(path: Path) -> None:
        rng = np.random.default_rng(seed)
        file = weight_file(path)
        data = bytearray(file.read_bytes())
        starts = [at for at in range(0, len(data) - 64, 64) if data[at : at + 4] == b"\xef\xbe\xad\xde"]
        if starts and rng.integers(3):
            start = pick(rng, starts)
            if rng.integers(2):
                data[start + 4 : start + 8] = struct.pack("<I", int(rng.integers(20)))
            size = struct.unpack_from("<Q", data, start + 8)[0]
            place = pick(rng, [8, 16, 24])
            number = pick(rng, [0, 1, size - 1, size + 1, size // 2, start + 65, start + 128, 2**40, 2**63, 2**64 - 1])
            struct.pack_into("<Q", data, start + place, number % 2**64)
        else:
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        file.write_bytes(bytes(data))

    return apply


def splices(which: Callable[[Path], Path], seed: int) -> Damage:
    """A few bytes more or less in the middle, or the end cut off."""

    def apply(path: Path) -> None:
        rng = np.random.default_rng(seed)
        file = which(path)
        data = file.read_bytes()
        at, length = int(rng.integers(len(data))), int(rng.integers(1, 9))
        kind = int(rng.integers(3))
        if kind == 0:
            data = data[:at] + rng.integers(0, 256, length).astype(np.uint8).tobytes() + data[at:]
        else:
            data = data[:at] + (data[at + length :] if kind == 1 else b"")
        file.write_bytes(data)

    return apply


def every_kind(base: Path, count: int, seed: int) -> Iterator[tuple[str, Damage]]:
    """`count` cases: six of ten of the operations, the others of bytes."""
    model, weights = model_file(base), weight_file(base)
    for index in range(count):
        case = seed * 100_003 + index
        kind = index % 10
        if kind < 6:
            yield f"operations, seed {case}", structured(case, 1 + kind // 3)
        elif kind < 8 and weights.exists():
            yield f"weight file, seed {case}", records(case)
        elif kind == 8 and weights.exists():
            yield f"pieces of the weight file, seed {case}", splices(weight_file, case)
        elif index % 20 == 9:
            yield f"pieces of the model, seed {case}", splices(model_file, case)
        else:
            yield from flips(model_file, model.stat().st_size, 1, case)
