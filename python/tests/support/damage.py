"""Ways to damage a package. Each yields a name and a function that edits a fresh copy in place."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .package_factory import main_block, open_model

Damage = Callable[[Path], None]


def model_file(path: Path) -> Path:
    return path / "Data" / "com.apple.CoreML" / "model.mlmodel"


def weight_file(path: Path) -> Path:
    return path / "Data" / "com.apple.CoreML" / "weights" / "weight.bin"


def truncate(which: Callable[[Path], Path], size: int) -> Damage:
    def apply(path: Path) -> None:
        file = which(path)
        file.write_bytes(file.read_bytes()[:size])

    return apply


def patch(which: Callable[[Path], Path], at: int, data: bytes) -> Damage:
    def apply(path: Path) -> None:
        file = which(path)
        content = bytearray(file.read_bytes())
        content[at : at + len(data)] = data
        file.write_bytes(bytes(content))

    return apply


def replace(which: Callable[[Path], Path], data: bytes) -> Damage:
    def apply(path: Path) -> None:
        which(path).write_bytes(data)

    return apply


def edit(change: Callable[[Any], None]) -> Damage:
    """`change` gets the value of the const `w`, or the whole model when its name starts with `model`."""

    def apply(path: Path) -> None:
        file, spec = open_model(path)
        if change.__code__.co_varnames[0] == "model":
            change(spec)
        else:
            change(next(o.attributes["val"] for o in main_block(spec).operations if o.outputs[0].name == "w"))
        file.write_bytes(spec.SerializeToString())

    return apply


# MARK: weight file. The package `small` holds w (40 x 64 float16) first: record at 64, data at 128; then b


def weight_file_damage() -> Iterator[tuple[str, Damage]]:
    for size in (0, 1, 63, 64, 65, 100, 127, 128, 129, 3000, 128 + 5119):
        yield f"weight.bin cut to {size} bytes", truncate(weight_file, size)
    yield "weight.bin empty of data", replace(weight_file, bytes(64))
    yield "weight.bin is text", replace(weight_file, b"hello, world\n" * 600)
    record = 64
    words = {
        "sentinel": (0, struct.pack("<I", 0xDEADBEE0)),
        "no record at all": (0, bytes(64)),
        "type unknown": (4, struct.pack("<I", 99)),
        "type zero": (4, struct.pack("<I", 0)),
        "type float32": (4, struct.pack("<I", 2)),
        "type int8": (4, struct.pack("<I", 4)),
        "type huge": (4, struct.pack("<I", 0xFFFFFFFF)),
        "size zero": (8, struct.pack("<Q", 0)),
        "size one too small": (8, struct.pack("<Q", 5119)),
        "size past the end": (8, struct.pack("<Q", 10**6)),
        "size 2^40": (8, struct.pack("<Q", 2**40)),
        "size 2^63": (8, struct.pack("<Q", 2**63)),
        "size 2^64-1": (8, struct.pack("<Q", 2**64 - 1)),
        "data offset past the end": (16, struct.pack("<Q", 10**6)),
        "data offset 2^63": (16, struct.pack("<Q", 2**63)),
        "data offset wraps": (16, struct.pack("<Q", 2**64 - 64)),
        "data offset at the end": (16, struct.pack("<Q", 5376)),
    }
    for name, (at, data) in words.items():
        yield f"record: {name}", patch(weight_file, record + at, data)

    def gone(path: Path) -> None:
        weight_file(path).unlink()

    def folder(path: Path) -> None:
        weight_file(path).unlink()
        weight_file(path).mkdir()

    yield "weight.bin missing", gone
    yield "weight.bin is a folder", folder


# MARK: model file


def model_file_damage() -> Iterator[tuple[str, Damage]]:
    for offset in (1, 63, 65, 66, 5312, 10**6, 2**31, 2**63, 2**64 - 1, 2**64 - 64):
        yield f"blob offset {offset}", edit(lambda value, offset=offset: setattr(value.blobFileValue, "offset", offset))
    for name in (
        "", "weight.bin", "@model_path/weights/other.bin", "@model_path/../../../../../../../../etc/passwd", "/etc/passwd",
        "@model_path/weights", "@model_path/weights/weight.bin/x", "\x00", "@model_path/weights/wei\x00ght.bin", "@model_path/" + "x" * 5000,
        "/dev/zero",
    ):  # fmt: skip
        yield f"blob file {name[:40]!r}", edit(lambda value, name=name: setattr(value.blobFileValue, "fileName", name))

    def dims(*sizes: int) -> Damage:
        def change(value: Any) -> None:
            tensor = value.type.tensorType
            del tensor.dimensions[:]
            tensor.rank = len(sizes)
            for size in sizes:
                tensor.dimensions.add().constant.size = size

        return edit(change)

    yield "shape too large", dims(40, 65)
    yield "shape too small", dims(40, 63)
    yield "shape overflows", dims(2**32, 2**32)
    yield "shape overflows to the right size", dims(2**62 + 10, 4, 64)
    yield "shape huge", dims(2**63 - 1, 2**63 - 1, 2**63 - 1)
    yield "shape with zero", dims(0, 64)
    yield "shape of rank 0", dims()
    yield "shape of rank 1000", dims(*([1] * 998), 40, 65)
    yield "rank disagrees", edit(lambda value: setattr(value.type.tensorType, "rank", 3))
    yield "type int8 with a float16 blob", edit(lambda value: setattr(value.type.tensorType, "dataType", 21))
    yield "type float32 with a float16 blob", edit(lambda value: setattr(value.type.tensorType, "dataType", 11))
    yield "type unknown", edit(lambda value: setattr(value.type.tensorType, "dataType", 777))
    yield "unknown dimension", edit(lambda value: value.type.tensorType.dimensions[0].unknown.SetInParent())

    def immediate(value: Any) -> None:
        value.immediateValue.tensor.bytes.values = bytes(100)

    yield "immediate bytes of the wrong size", edit(immediate)

    def floats(value: Any) -> None:
        value.type.tensorType.dataType = 11
        value.immediateValue.tensor.floats.values.extend([1.0] * 7)

    yield "immediate floats of the wrong count", edit(floats)


def wire_damage(model: bytes) -> Iterator[tuple[str, Damage]]:
    """Byte strings that are no protobuf, or one that costs a careless reader its stack or memory."""
    yield "model empty", replace(model_file, b"")
    for size in sorted(
        {1, 2, 3, 10, len(model) // 4, len(model) // 2, len(model) - 100, len(model) - 2, len(model) - 1}
    ):
        yield f"model cut to {size} bytes", truncate(model_file, size)
    yield "length past the end", replace(model_file, model + b"\xb2\x1f\xff\xff\xff\xff\x0f")
    yield "length 2^63", replace(model_file, model + b"\x12" + b"\xff" * 9 + b"\x01")
    yield "varint of 11 bytes", replace(model_file, model + b"\x08" + b"\xff" * 10 + b"\x01")
    yield "varint without end", replace(model_file, model + b"\x08" + b"\x80" * 5)
    yield "field number 0", replace(model_file, model + b"\x00\x00")
    yield "wire type 6", replace(model_file, model + b"\x0e\x00")
    yield "wire type 7", replace(model_file, model + b"\x0f\x00")
    yield "end of a group that never began", replace(model_file, model + b"\x0c")
    yield "half a fixed64", replace(model_file, model + b"\x09\x00\x00")
    yield (
        "random bytes",
        replace(model_file, np.random.default_rng(3).integers(0, 256, 5000).astype(np.uint8).tobytes()),
    )
    yield "zeros", replace(model_file, bytes(5000))
    yield "text", replace(model_file, b"this is not a model\n" * 100)
    for depth in (200, 5_000, 100_000):
        yield f"blocks nested {depth} deep", replace(model_file, deep_blocks(depth))
        yield f"pipelines nested {depth} deep", replace(model_file, deep_pipelines(depth))
        yield f"list types nested {depth} deep", replace(model_file, deep_types(depth))
        yield f"groups nested {depth} deep", replace(model_file, model + b"\x0b" * depth + b"\x0c" * depth)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def nested(inner: bytes, depth: int, wrap: tuple[int, ...]) -> bytes:
    """`inner` wrapped `depth` times in messages of these field numbers, built from the inside in linear time."""
    heads: list[bytes] = []
    size = len(inner)
    for level in range(depth):
        head = varint(wrap[level % len(wrap)] << 3 | 2) + varint(size)
        heads.append(head)
        size += len(head)
    return b"".join(reversed(heads)) + inner


def in_program(block: bytes) -> bytes:
    """Model { specificationVersion 7, mlProgram { functions { main { opset CoreML6, block } } } }"""
    entry = field(1, b"CoreML6") + field(2, block)
    function = field(2, b"CoreML6") + field(3, entry)
    program = varint(1 << 3) + varint(1) + field(2, field(1, b"main") + field(2, function))
    return varint(1 << 3) + varint(7) + field(502, program)


def deep_blocks(depth: int) -> bytes:
    operation = field(1, b"cond")
    return in_program(field(3, nested(operation, depth * 2, (4, 3))))  # Operation.blocks, Block.operations


def deep_pipelines(depth: int) -> bytes:
    return (
        varint(1 << 3) + varint(7) + nested(varint(1 << 3) + varint(7), depth * 2, (1, 202))
    )  # Pipeline.models, Model.pipeline


def deep_types(depth: int) -> bytes:
    # ValueType.listType = 2, ListType.type = 1, inside NamedValueType.type = 2 of Operation.outputs = 3
    value_type = nested(b"", depth * 2, (1, 2))
    operation = field(1, b"const") + field(3, field(1, b"deep") + field(2, value_type))
    return in_program(field(3, operation))


# MARK: manifest


def manifest_damage() -> Iterator[tuple[str, Damage]]:
    def file(path: Path) -> Path:
        return path / "Manifest.json"

    for name, data in {
        "empty": b"", "text": b"hello", "cut": b'{"fileFormatVersion": "1.0.0", "itemInfo', "a list": b"[]", "a number": b"1",
        "null": b"null", "not UTF-8": b'{"\xff\xfe": 1}', "an empty object": b"{}", "binary": bytes(range(256)),
        "deep": b"[" * 100_000 + b"]" * 100_000, "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        "entries are a list": b'{"fileFormatVersion": "1.0.0", "itemInfoEntries": [], "rootModelIdentifier": "x"}',
        "no such root": b'{"fileFormatVersion": "1.0.0", "itemInfoEntries": {}, "rootModelIdentifier": "x"}',
        "root is a number": b'{"fileFormatVersion": "1.0.0", "itemInfoEntries": {}, "rootModelIdentifier": 5}',
    }.items():  # fmt: skip
        yield f"manifest: {name}", replace(file, data)

    def gone(path: Path) -> None:
        file(path).unlink()

    yield "manifest missing", gone

    def change(key: str, value: Any) -> Damage:
        def apply(path: Path) -> None:
            manifest = json.loads(file(path).read_text())
            manifest["itemInfoEntries"][manifest["rootModelIdentifier"]][key] = value
            file(path).write_text(json.dumps(manifest))

        return apply

    for value in (
        "",
        "no/such.mlmodel",
        "com.apple.CoreML",
        "../../../../etc/passwd",
        "/etc/passwd",
        7,
        None,
        "a\x00b",
        "x" * 5000,
    ):
        yield f"model path {str(value)[:30]!r}", change("path", value)


# MARK: flips


def flips(which: Callable[[Path], Path], size: int, count: int, seed: int) -> Iterator[tuple[str, Damage]]:
    rng = np.random.default_rng(seed)
    for index in range(count):
        at = int(rng.integers(size))
        byte = int(rng.integers(256))
        yield f"byte {at} becomes {byte:#04x} ({index})", patch(which, at, bytes([byte]))
