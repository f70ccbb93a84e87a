"""Packages with unusual values or unusual files, made with coremltools and by editing what it wrote."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.proto import MIL_pb2

from . import make_packages, reference
from .blobs import BlobWriter, read_blob
from .package_factory import main_block, maker, open_model, program_for, rename_string, save, weights


@maker
def used_symbol(target: str, path: Path) -> None:
    """Nested loops whose list elements carry a symbolic size called like a symbol that coremltools makes up while loading:
    a valid package that coremltools cannot load ("Symbol `is3` is used already")."""

    @program_for(target, [mb.TensorSpec(shape=(1, 64))])
    def program(x: Any) -> Any:
        w = mb.const(val=weights(74, 64, 64), name="w")
        h = mb.cast(x=x, dtype="fp16", name="x_cast")
        h = mb.linear(x=h, weight=w, name="lin")
        h = mb.cast(x=h, dtype="fp32", name="h_cast")
        start = mb.const(val=np.int32(0), name="start")

        def more(i: Any, v: Any) -> Any:
            return mb.less(x=i, y=3, name="more")

        def body(i: Any, v: Any) -> Any:
            def inner_more(j: Any, u: Any) -> Any:
                return mb.less(x=j, y=2, name="inner_more")

            def inner_body(j: Any, u: Any) -> Any:
                items = mb.make_list(init_length=1, dynamic_length=True, elem_shape=("placeholder", 64), name="items")
                items = mb.list_write(ls=items, index=0, value=u, name="write")
                value = mb.list_read(ls=items, index=0, name="read")
                for index in range(8):  # each makes coremltools invent a symbol
                    mb.shape(x=mb.non_zero(x=value, name=f"picked_{index}"), name=f"picked_shape_{index}")
                return mb.add(x=j, y=1, name="inner_next"), mb.relu(x=u, name="inner_relu")

            inner_start = mb.const(val=np.int32(0), name="inner_start")
            _, v = mb.while_loop(_cond=inner_more, _body=inner_body, loop_vars=(inner_start, v), name="inner_loop")
            return mb.add(x=i, y=1, name="next"), v

        _, h = mb.while_loop(_cond=more, _body=body, loop_vars=(start, h), name="loop")
        return mb.relu(x=h, name="out")

    save(program, target, path)
    package, spec = open_model(path)
    data = spec.SerializeToString()
    if b"placeholder" not in data:
        raise AssertionError("the symbol's name is not in the model")
    rename_string(spec, "placeholder", "is3")
    package.write_bytes(spec.SerializeToString())


# MARK: unusual values


@maker
def immediates(target: str, path: Path) -> None:
    """Every weight an immediate value in the model file; there is no weight file at all."""

    make_packages.small(target, path)
    package, spec = open_model(path)
    for operation in main_block(spec).operations:
        if operation.type == "const" and operation.attributes["val"].WhichOneof("value") == "blobFileValue":
            value = operation.attributes["val"]
            data = read_blob(package.parent / "weights" / "weight.bin", value.blobFileValue.offset).data
            value.immediateValue.tensor.bytes.values = data
    package.write_bytes(spec.SerializeToString())
    shutil.rmtree(package.parent / "weights")
    manifest_file = path / "Manifest.json"
    manifest = json.loads(manifest_file.read_text())
    entries = manifest["itemInfoEntries"]
    manifest["itemInfoEntries"] = {k: v for k, v in entries.items() if not v["path"].endswith("weights")}
    manifest_file.write_text(json.dumps(manifest, indent=4))


@maker
def special_values(target: str, path: Path) -> None:
    """A -inf mask, a weight with NaN, a constant weight, one with few values, one of subnormals, and an ordinary one."""
    mask = np.triu(np.full((1, 64, 64), -np.inf, np.float16), 1)
    spoilt = weights(81, 64, 64)
    spoilt[3, 5] = np.nan
    few = np.random.default_rng(82).choice(np.array([-0.5, -0.0, 0.0, 0.25, 1], np.float16), (64, 64))
    tiny = (np.random.default_rng(83).integers(-1023, 1024, (64, 64)) * 2.0**-24).astype(np.float16)

    @program_for(target, [mb.TensorSpec(shape=(1, 64, 64))])
    def program(x: Any) -> Any:
        x = mb.cast(x=x, dtype="fp16", name="x_cast")
        x = mb.add(x=x, y=mb.const(val=mask, name="mask"), name="masked")
        x = mb.linear(x=x, weight=mb.const(val=spoilt, name="w_nan"), name="lin_nan")
        x = mb.linear(
            x=x, weight=mb.const(val=np.full((64, 64), 0.125, np.float16), name="w_constant"), name="lin_constant"
        )
        x = mb.linear(x=x, weight=mb.const(val=few, name="w_few"), name="lin_few")
        x = mb.linear(x=x, weight=mb.const(val=tiny, name="w_subnormal"), name="lin_subnormal")
        x = mb.linear(x=x, weight=mb.const(val=weights(84, 64, 64), name="w_plain"), name="lin_plain")
        return mb.cast(x=x, dtype="fp32", name="out")

    save(program, target, path)


def odd_ranges_of(dtype: Any) -> np.ndarray:
    """Rows whose range is hard to quantize: zeros, so small that a scale underflows, so wide that a difference overflows."""
    rng = np.random.default_rng(91)
    normal = rng.standard_normal((16, 256))
    rows = normal * 0.05
    biggest = float(np.finfo(dtype).max)
    tiny = float(np.finfo(dtype).smallest_subnormal)
    rows[0] = 0
    rows[1] = rng.integers(-9, 10, 256) * tiny
    rows[2] = rng.integers(-400, 401, 256) * tiny
    rows[3] = rng.uniform(-0.62, 0.62, 256) * biggest
    rows[4] = rng.uniform(-0.9, 0.9, 256) * biggest
    rows[5, ::2], rows[5, 1::2] = -biggest, biggest
    rows[6] = np.abs(rows[6])
    rows[7] = -np.abs(rows[7])
    rows[8] = 0.125
    rows[9] = -0.0
    rows[10] = normal[10] * 1e-6
    rows[11] = np.abs(normal[11]).clip(0, 4) / 4 * biggest
    rows[12, 0], rows[12, 1:] = tiny, 0
    return np.ascontiguousarray(rows.astype(dtype))


@maker
def odd_ranges(target: str, path: Path) -> None:
    @program_for(target, [mb.TensorSpec(shape=(1, 256))])
    def program(x: Any) -> Any:
        h = mb.cast(x=x, dtype="fp16", name="x_cast")
        h = mb.linear(x=h, weight=mb.const(val=odd_ranges_of(np.float16), name="w_half"), name="lin_half")
        h = mb.cast(x=h, dtype="fp32", name="h_cast")
        g = mb.linear(x=x, weight=mb.const(val=odd_ranges_of(np.float32), name="w_single"), name="lin_single")
        return mb.add(x=h, y=g, name="out")

    save(program, target, path)


@maker
def few_values(target: str, path: Path) -> None:
    """Weights that the mode `unique` can hold: 2, 5, 16 and 200 distinct values; and one it cannot."""
    rng = np.random.default_rng(85)

    def pick(count: int) -> np.ndarray:
        return rng.choice(rng.standard_normal(count).astype(np.float16), (64, 64))

    tables = {f"w_{count}": pick(count) for count in (2, 5, 16, 200, 2000)}

    @program_for(target, [mb.TensorSpec(shape=(1, 64))])
    def program(x: Any) -> Any:
        x = mb.cast(x=x, dtype="fp16", name="x_cast")
        for name, table in tables.items():
            x = mb.linear(x=x, weight=mb.const(val=table, name=name), name=f"lin_{name}")
        return mb.cast(x=x, dtype="fp32", name="out")

    save(program, target, path)


@maker
def integer_consts(target: str, path: Path) -> None:
    """Large consts of integer types beside a float weight: nothing to compress in them."""
    rng = np.random.default_rng(86)

    @program_for(target, [mb.TensorSpec(shape=(1, 64))])
    def program(x: Any) -> Any:
        x = mb.cast(x=x, dtype="fp16", name="x_cast")
        whole = mb.const(val=rng.integers(-100, 100, (64, 64)).astype(np.int32), name="w_int32")
        as_float = mb.cast(x=whole, dtype="fp16", name="as_float")
        x = mb.matmul(x=x, y=as_float, name="mm_int")
        x = mb.linear(x=x, weight=mb.const(val=weights(87, 64, 64), name="w"), name="lin")
        return mb.cast(x=x, dtype="fp32", name="out")

    save(program, target, path)


@maker
def int8_consts(target: str, path: Path) -> None:
    """Int8 and uint8 data behind constexpr operations: already compressed weights beside an ordinary one."""
    make_packages.layers(target, path.with_name(path.stem + "_plain.mlpackage"))
    plain = path.with_name(path.stem + "_plain.mlpackage")
    model = reference.load(plain, plain.with_name(plain.stem + "_copy.mlpackage"))
    config = reference.cto.coreml.OptimizationConfig(
        op_type_configs={
            "conv": reference.cto.coreml.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=0)
        }
    )
    reference.cto.coreml.linear_quantize_weights(model, config).save(str(path))


@maker
def already_palettized(target: str, path: Path) -> None:
    plain = path.with_name(path.stem + "_plain.mlpackage")
    make_packages.layers(target, plain)
    config = reference.cto.coreml.OptimizationConfig(
        op_type_configs={"linear": reference.cto.coreml.OpPalettizerConfig(nbits=4)}
    )
    reference.palettize_package(plain, config, path)


@maker
def scalar_output(target: str, path: Path) -> None:
    """A const that only feeds the function's output, beside a weight."""

    @program_for(target, [mb.TensorSpec(shape=(1, 64))])
    def program(x: Any) -> Any:
        kept = mb.const(val=weights(88, 64, 64, dtype=np.float32), name="returned")
        x = mb.linear(x=x, weight=mb.const(val=weights(89, 64, 64, dtype=np.float32), name="w"), name="lin")
        return mb.relu(x=x, name="out"), kept

    save(program, target, path)


# MARK: unusual files


@maker
def extra_items(target: str, path: Path) -> None:
    """Manifest items beyond the model and its weights, as Xcode adds them, and metadata of the user's own."""
    make_packages.small(target, path)
    package, spec = open_model(path)
    spec.description.metadata.author = "Ünïcode Author"
    spec.description.metadata.license = "none"
    spec.description.metadata.userDefined["key"] = "välue"
    package.write_bytes(spec.SerializeToString())
    manifest_file = path / "Manifest.json"
    manifest = json.loads(manifest_file.read_text())
    folder = path / "Data" / "com.apple.CoreML"
    for name in ("Metadata.json", "FeatureDescriptions.json"):
        (folder / name).write_text(json.dumps({"of": name}))
        manifest["itemInfoEntries"][str(uuid.uuid5(uuid.NAMESPACE_URL, name)).upper()] = {
            "author": "com.apple.CoreML",
            "description": "External Metadata Overlay",
            "name": name,
            "path": f"com.apple.CoreML/{name}",
        }
    manifest_file.write_text(json.dumps(manifest, indent=4))
    (folder / "unlisted.txt").write_text("not in the manifest")


@maker
def garbage_words(target: str, path: Path) -> None:
    """A weight file whose reserved words hold garbage, whose padding is not a multiple of anything, and which ends early."""
    make_packages.small(target, path)
    package, spec = open_model(path)
    file = package.parent / "weights" / "weight.bin"
    writer = BlobWriter(garbage=True)
    last = 0
    for operation in main_block(spec).operations:
        value = operation.attributes["val"] if operation.type == "const" else None
        if value is not None and value.WhichOneof("value") == "blobFileValue":
            blob = read_blob(file, value.blobFileValue.offset)
            last = len(writer.content) + 64 + len(blob.data)
            value.blobFileValue.offset = writer.append(blob.type_name, blob.data)
    file.write_bytes(writer.finish()[:last])
    package.write_bytes(spec.SerializeToString())


@maker
def unknown_fields(target: str, path: Path) -> None:
    """Fields that today's descriptors do not know, at the top, in a function and in an operation."""
    make_packages.small(target, path)
    package, spec = open_model(path)
    unknown = bytes([0xFA, 0xFF, 0x0F, 0x05]) + b"extra"  # field 32767, length-delimited
    for message in (spec, spec.description, spec.mlProgram.functions["main"], *main_block(spec).operations):
        message.MergeFromString(unknown)
    data = spec.SerializeToString()
    if data.count(unknown) != 3 + len(main_block(spec).operations):
        raise AssertionError("protobuf dropped the unknown fields")
    package.write_bytes(data)


@maker
def every_blob_type(target: str, path: Path) -> None:
    """A const of every MIL type that a blob can hold, the sub-byte ones included."""
    make_packages.small(target, path)
    package, spec = open_model(path)
    file = package.parent / "weights" / "weight.bin"
    block = main_block(spec)
    writer = BlobWriter()
    for operation in block.operations:
        value = operation.attributes["val"] if operation.type == "const" else None
        if value is not None and value.WhichOneof("value") == "blobFileValue":
            blob = read_blob(file, value.blobFileValue.offset)
            value.blobFileValue.offset = writer.append(blob.type_name, blob.data)
    rng = np.random.default_rng(90)
    kinds = {
        "float16": 2, "float32": 4, "uint8": 1, "int8": 1, "bfloat16": 2, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4,
        "int4": 0.5, "uint4": 0.5, "uint6": 0.75, "uint3": 0.375, "uint2": 0.25, "uint1": 0.125,
    }  # fmt: skip
    for place, (name, width) in enumerate(kinds.items()):
        count = 77
        size = int(np.ceil(count * width))
        data = rng.integers(0, 128, size).astype(np.uint8)
        if name in ("float16", "float32"):
            data = np.frombuffer(rng.standard_normal(count).astype(name).tobytes(), np.uint8)
        operation = MIL_pb2.Operation(type="const")
        operation.attributes["name"].type.tensorType.dataType = MIL_pb2.STRING
        operation.attributes["name"].immediateValue.tensor.strings.values.append(f"blob_{name}")
        value = operation.attributes["val"]
        value.type.tensorType.dataType = MIL_pb2.DataType.Value(name.upper())
        value.type.tensorType.rank = 2
        for size in (7, 11):
            value.type.tensorType.dimensions.add().constant.size = size
        value.blobFileValue.fileName = "@model_path/weights/weight.bin"
        value.blobFileValue.offset = writer.append(name, data.tobytes())
        output = operation.outputs.add(name=f"blob_{name}")
        output.type.CopyFrom(value.type)
        block.operations.insert(place, operation)
    file.write_bytes(writer.finish())
    package.write_bytes(spec.SerializeToString())


@maker
def benchmark_25m(target: str, path: Path) -> None:
    """25 million float16 weights in six linear layers (about 50 MB)."""

    @program_for(target, [mb.TensorSpec(shape=(1, 2048))])
    def program(x: Any) -> Any:
        x = mb.cast(x=x, dtype="fp16", name="x_cast")
        for index in range(6):
            x = mb.linear(
                x=x, weight=mb.const(val=weights(100 + index, 2048, 2048), name=f"w_{index}"), name=f"lin_{index}"
            )
        return mb.cast(x=x, dtype="fp32", name="out")

    save(program, target, path)
