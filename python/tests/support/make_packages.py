"""Packages made with coremltools for the tests: every kind of model the library must read and compress.

Each maker writes one package; `Factory` makes each at most once per session.
"""

from __future__ import annotations

import inspect
import json
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import types
from coremltools.proto import Model_pb2

from . import reference
from .blobs import BlobWriter, read_blob

Maker = Callable[[str, Path], None]
_makers: dict[str, Maker] = {}


_since: dict[str, str] = {}


def maker(function: Maker) -> Maker:
    _makers[function.__name__] = function
    return function


def since(target: str) -> Callable[[Maker], Maker]:
    """The first deployment target that has such models."""

    def mark(function: Maker) -> Maker:
        _since[function.__name__] = target
        return function

    return mark


def names(target: str) -> list[str]:
    """Makers that can make a package for this deployment target; the big one for benchmarks is left out."""
    order = list(reference.TARGETS)
    possible = (n for n in _makers if order.index(target) >= order.index(_since.get(n, "iOS15")))
    return sorted(n for n in possible if n != "benchmark_25m")


class Factory:
    """`factory("layers", "iOS16")` is the path of that package, made on first use. Tests must not change it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str, target: str = "iOS18") -> Path:
        path = self.folder / f"{name}_{target}.mlpackage"
        if not path.exists():
            _makers[name](target, path)
            if not path.exists():
                raise AssertionError(f"the maker of {name} wrote nothing")
        return path


def weights(seed: int, *shape: int, dtype: Any = np.float16, scale: float = 0.05) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(dtype)


def _program(target: str, specs: list[Any]) -> Callable[[Callable[..., Any]], Any]:
    return mb.program(input_specs=specs, opset_version=reference.TARGETS[target])


def convert(program: Any, target: str, **options: Any) -> Any:
    """No optimisation passes: operations and names stay as written above."""
    return ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=reference.TARGETS[target],
        pass_pipeline=ct.PassPipeline.EMPTY,
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
        **options,
    )


def save(program: Any, target: str, path: Path, **options: Any) -> None:
    convert(program, target, **options).save(str(path))


# MARK: layers of every kind that picks its axis differently


def _layers(target: str, path: Path, dtype: Any) -> None:
    fp16 = dtype == np.float16
    name = "fp16" if fp16 else "fp32"

    def w(seed: int, *shape: int) -> np.ndarray:
        return weights(seed, *shape, dtype=dtype)

    specs = [
        mb.TensorSpec(shape=(1, 32, 12, 12)),
        mb.TensorSpec(shape=(1, 8, 96)),
        mb.TensorSpec(shape=(4,), dtype=types.int32),
    ]

    @_program(target, specs)
    def program(image: Any, rows: Any, tokens: Any) -> Any:
        x = mb.cast(x=image, dtype=name, name="image_cast")
        r = mb.cast(x=rows, dtype=name, name="rows_cast")
        x = mb.conv(
            x=x,
            weight=mb.const(val=w(1, 64, 32, 3, 3), name="conv_w"),
            bias=mb.const(val=w(2, 64), name="conv_b"),
            pad_type="same",
            name="conv_1",
        )
        x = mb.conv(
            x=x, weight=mb.const(val=w(3, 64, 16, 3, 3), name="grouped_w"), groups=4, pad_type="same", name="grouped"
        )
        t = mb.conv_transpose(x=x, weight=mb.const(val=w(4, 64, 24, 3, 3), name="transpose_w"), name="deconv")
        t2 = mb.conv_transpose(
            x=x, weight=mb.const(val=w(5, 64, 8, 3, 3), name="grouped_transpose_w"), groups=4, name="grouped_deconv"
        )
        a = mb.linear(
            x=r,
            weight=mb.const(val=w(6, 128, 96), name="linear_w"),
            bias=mb.const(val=w(7, 128), name="linear_b"),
            name="lin",
        )
        b = mb.matmul(x=a, y=mb.const(val=w(8, 128, 80), name="matmul_y_w"), name="mm_y")
        b = mb.matmul(x=b, y=mb.const(val=w(9, 96, 80), name="matmul_yt_w"), transpose_y=True, name="mm_yt")
        c = mb.matmul(x=mb.const(val=w(10, 48, 8), name="matmul_x_w"), y=b, name="mm_x")
        d = mb.matmul(x=mb.const(val=w(11, 1, 8, 512), name="matmul_xt_w"), y=b, transpose_x=True, name="mm_xt")
        e = mb.gather(x=mb.const(val=w(12, 300, 64), name="embedding_w"), indices=tokens, axis=0, name="embed")
        f = mb.add(x=r, y=mb.const(val=w(13, 1, 8, 96), name="small_w"), name="small_add")
        g = mb.mul(x=e, y=mb.const(val=w(14, 64), name="vector_w"), name="vector_mul")
        outs = [t, t2, c, d, f, g]
        return tuple(mb.cast(x=o, dtype="fp32", name=f"out_{i}") for i, o in enumerate(outs))

    save(program, target, path)


@maker
def layers(target: str, path: Path) -> None:
    _layers(target, path, np.float16)


@maker
def layers_float32(target: str, path: Path) -> None:
    _layers(target, path, np.float32)


@maker
def small(target: str, path: Path) -> None:
    """One linear layer of 40 x 64: the cheapest package with a weight to compress."""

    @_program(target, [mb.TensorSpec(shape=(1, 64))])
    def program(x: Any) -> Any:
        x = mb.cast(x=x, dtype="fp16", name="x_cast")
        x = mb.linear(
            x=x,
            weight=mb.const(val=weights(21, 40, 64), name="w"),
            bias=mb.const(val=weights(22, 40), name="b"),
            name="lin",
        )
        return mb.cast(x=x, dtype="fp32", name="out")

    save(program, target, path)


@maker
def no_weights(target: str, path: Path) -> None:
    @_program(target, [mb.TensorSpec(shape=(1, 64))])
    def program(x: Any) -> Any:
        return mb.relu(x=x, name="out")

    save(program, target, path)


@maker
def divisibility(target: str, path: Path) -> None:
    """Channel counts that group sizes and cluster dims do not divide, one that they do."""

    @_program(target, [mb.TensorSpec(shape=(1, 60))])
    def program(x: Any) -> Any:
        x = mb.cast(x=x, dtype="fp16", name="x_cast")
        x = mb.linear(x=x, weight=mb.const(val=weights(31, 64, 60), name="w_64"), name="lin_64")
        x = mb.linear(x=x, weight=mb.const(val=weights(32, 60, 64), name="w_60"), name="lin_60")
        x = mb.linear(x=x, weight=mb.const(val=weights(33, 59, 60), name="w_59"), name="lin_59")
        return mb.cast(x=x, dtype="fp32", name="out")

    save(program, target, path)


# MARK: one weight, several uses


@maker
def tied(target: str, path: Path) -> None:
    """An embedding whose table is also the output head (axes agree), and a weight used by linear and matmul (they do not)."""

    @_program(target, [mb.TensorSpec(shape=(1, 4), dtype=types.int32)])
    def program(tokens: Any) -> Any:
        table = mb.const(val=weights(41, 200, 64), name="table")
        x = mb.gather(x=table, indices=tokens, axis=0, name="embed")
        square = mb.const(val=weights(42, 64, 64), name="square")
        x = mb.linear(x=x, weight=square, name="lin")
        x = mb.matmul(x=x, y=square, name="mm")
        x = mb.linear(x=x, weight=table, name="head")
        return mb.cast(x=x, dtype="fp32", name="out")

    save(program, target, path)


@maker
def shared_blobs(target: str, path: Path) -> None:
    """Two consts of one function that point at the same blob."""
    _two_equal(target, path)
    package, spec = _open(path)
    values = {op.outputs[0].name: op.attributes["val"] for op in _main(spec).operations if op.type == "const"}
    values["w_second"].blobFileValue.offset = values["w_first"].blobFileValue.offset
    package.write_bytes(spec.SerializeToString())


def _two_equal(target: str, path: Path) -> None:
    @_program(target, [mb.TensorSpec(shape=(1, 64))])
    def program(x: Any) -> Any:
        x = mb.cast(x=x, dtype="fp16", name="x_cast")
        x = mb.linear(x=x, weight=mb.const(val=weights(43, 64, 64), name="w_first"), name="lin_1")
        x = mb.linear(x=x, weight=mb.const(val=weights(43, 64, 64), name="w_second"), name="lin_2")
        return mb.cast(x=x, dtype="fp32", name="out")

    save(program, target, path)


@maker
def multifunction(target: str, path: Path) -> None:
    """Two functions over one weight file: one weight shared, one of their own each."""
    scratch = path.parent / f".{path.stem}_parts"
    scratch.mkdir()
    descriptor = ct.utils.MultiFunctionDescriptor()
    for index in range(2):
        part = scratch / f"part_{index}.mlpackage"
        save(_function_part(target, index), target, part)
        descriptor.add_function(str(part), src_function_name="main", target_function_name=("first", "second")[index])
    descriptor.default_function_name = "first"
    ct.utils.save_multifunction(descriptor, str(path))
    shutil.rmtree(scratch)


def _function_part(target: str, index: int) -> Any:
    @_program(target, [mb.TensorSpec(shape=(1, 64))])
    def program(x: Any) -> Any:
        x = mb.cast(x=x, dtype="fp16", name="x_cast")
        x = mb.linear(x=x, weight=mb.const(val=weights(51, 96, 64), name="shared"), name="lin_shared")
        x = mb.linear(x=x, weight=mb.const(val=weights(52 + index, 48, 96), name="own"), name="lin_own")
        return mb.cast(x=x, dtype="fp32", name="out")

    return program


# MARK: other kinds of model


@maker
@since("iOS18")
def stateful(target: str, path: Path) -> None:
    """Reads and updates a state, and multiplies by a weight between."""
    specs = [mb.TensorSpec(shape=(1, 64), dtype=types.fp16), mb.StateTensorSpec(shape=(1, 64), dtype=types.fp16)]

    @_program(target, specs)
    def program(x: Any, memory: Any) -> Any:
        value = mb.read_state(input=memory, name="read")
        x = mb.add(x=x, y=value, name="sum")
        x = mb.linear(x=x, weight=mb.const(val=weights(61, 64, 64), name="w"), name="lin")
        mb.coreml_update_state(state=memory, value=x, name="update")
        return mb.relu(x=x, name="out")

    save(program, target, path)


@maker
def classifier(target: str, path: Path) -> None:
    @_program(target, [mb.TensorSpec(shape=(1, 64))])
    def program(x: Any) -> Any:
        h = mb.cast(x=x, dtype="fp16", name="x_cast")
        h = mb.linear(x=h, weight=mb.const(val=weights(62, 48, 64), name="w"), name="lin")
        h = mb.cast(x=h, dtype="fp32", name="h_cast")
        return mb.softmax(x=h, axis=-1, name="probabilities")

    labels = ct.ClassifierConfig([f"label {i}" for i in range(48)])
    save(program, target, path, classifier_config=labels)


@maker
def pipeline(target: str, path: Path) -> None:
    """Two ML programs one after the other, each with its weight file."""
    scratch = path.parent / f".{path.stem}_parts"
    scratch.mkdir()
    parts = []
    for index, (source, result) in enumerate((("x", "middle"), ("middle", "out"))):
        program = _pipeline_part(target, source, result, index)
        save(program, target, scratch / f"part_{index}.mlpackage")
        parts.append(ct.models.MLModel(str(scratch / f"part_{index}.mlpackage"), skip_model_load=True))
    ct.utils.make_pipeline(*parts).save(str(path))
    shutil.rmtree(scratch)


def _pipeline_part(target: str, source: str, result: str, index: int) -> Any:
    table = weights(63 + index, 64, 64)

    def body(value: Any) -> Any:
        h = mb.cast(x=value, dtype="fp16", name="cast_in")
        h = mb.linear(x=h, weight=mb.const(val=table, name="w"), name="lin")
        return mb.cast(x=h, dtype="fp32", name=result)

    def program(*values: Any) -> Any:
        return body(*values)

    # coremltools names the inputs after the parameters.
    parameter = inspect.Parameter(source, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    program.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]
    return _program(target, [mb.TensorSpec(shape=(1, 64))])(program)


@maker
def nested(target: str, path: Path) -> None:
    """cond and while_loop, with weights outside, inside, and outside but used inside."""

    @_program(target, [mb.TensorSpec(shape=(1, 64))])
    def program(x: Any) -> Any:
        x = mb.cast(x=x, dtype="fp16", name="x_cast")
        outside = mb.const(val=weights(71, 64, 64), name="w_outside")
        total = mb.reduce_sum(x=x, axes=[0, 1], keep_dims=False, name="total")
        positive = mb.greater(x=total, y=np.float16(0), name="positive")

        def yes() -> Any:
            return mb.linear(x=x, weight=mb.const(val=weights(72, 64, 64), name="w_inside_cond"), name="lin_yes")

        def no() -> Any:
            return mb.linear(x=x, weight=outside, name="lin_no")

        y = mb.cond(pred=positive, _true_fn=yes, _false_fn=no, name="choice")
        count = mb.const(val=np.int32(0), name="start")

        def more(i: Any, v: Any) -> Any:
            return mb.less(x=i, y=3, name="more")

        def body(i: Any, v: Any) -> Any:
            inner = mb.linear(x=v, weight=mb.const(val=weights(73, 64, 64), name="w_inside_loop"), name="lin_loop")
            inner = mb.linear(x=inner, weight=outside, name="lin_loop_outside")
            return mb.add(x=i, y=1, name="next"), inner

        _, y = mb.while_loop(_cond=more, _body=body, loop_vars=(count, y), name="loop")
        y = mb.linear(x=y, weight=outside, name="lin_outside")
        return mb.cast(x=y, dtype="fp32", name="out")

    save(program, target, path)


@maker
def used_symbol(target: str, path: Path) -> None:
    """Nested loops whose list elements carry a symbolic size called like a symbol that coremltools makes up while loading:
    a valid package that coremltools cannot load ("Symbol `is3` is used already")."""

    @_program(target, [mb.TensorSpec(shape=(1, 64))])
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
    package, spec = _open(path)
    data = spec.SerializeToString()
    if b"placeholder" not in data:
        raise AssertionError("the symbol's name is not in the model")
    _rename_string(spec, "placeholder", "is3")
    package.write_bytes(spec.SerializeToString())


# MARK: unusual values


@maker
def immediates(target: str, path: Path) -> None:
    """Every weight an immediate value in the model file; there is no weight file at all."""

    small(target, path)
    package, spec = _open(path)
    for operation in _main(spec).operations:
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

    @_program(target, [mb.TensorSpec(shape=(1, 64, 64))])
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


@maker
def few_values(target: str, path: Path) -> None:
    """Weights that the mode `unique` can hold: 2, 5, 16 and 200 distinct values; and one it cannot."""
    rng = np.random.default_rng(85)

    def pick(count: int) -> np.ndarray:
        return rng.choice(rng.standard_normal(count).astype(np.float16), (64, 64))

    tables = {f"w_{count}": pick(count) for count in (2, 5, 16, 200, 2000)}

    @_program(target, [mb.TensorSpec(shape=(1, 64))])
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

    @_program(target, [mb.TensorSpec(shape=(1, 64))])
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
    layers(target, path.with_name(path.stem + "_plain.mlpackage"))
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
    layers(target, plain)
    config = reference.cto.coreml.OptimizationConfig(
        op_type_configs={"linear": reference.cto.coreml.OpPalettizerConfig(nbits=4)}
    )
    reference.palettize_package(plain, config, path)


@maker
def scalar_output(target: str, path: Path) -> None:
    """A const that only feeds the function's output, beside a weight."""

    @_program(target, [mb.TensorSpec(shape=(1, 64))])
    def program(x: Any) -> Any:
        kept = mb.const(val=weights(88, 64, 64, dtype=np.float32), name="returned")
        x = mb.linear(x=x, weight=mb.const(val=weights(89, 64, 64, dtype=np.float32), name="w"), name="lin")
        return mb.relu(x=x, name="out"), kept

    save(program, target, path)


# MARK: unusual files


@maker
def extra_items(target: str, path: Path) -> None:
    """Manifest items beyond the model and its weights, as Xcode adds them, and metadata of the user's own."""
    small(target, path)
    package, spec = _open(path)
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
    small(target, path)
    package, spec = _open(path)
    file = package.parent / "weights" / "weight.bin"
    writer = BlobWriter(garbage=True)
    last = 0
    for operation in _main(spec).operations:
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
    small(target, path)
    package, spec = _open(path)
    unknown = bytes([0xFA, 0xFF, 0x0F, 0x05]) + b"extra"  # field 32767, length-delimited
    for message in (spec, spec.description, spec.mlProgram.functions["main"], *_main(spec).operations):
        message.MergeFromString(unknown)
    data = spec.SerializeToString()
    if data.count(unknown) != 3 + len(_main(spec).operations):
        raise AssertionError("protobuf dropped the unknown fields")
    package.write_bytes(data)


@maker
def every_blob_type(target: str, path: Path) -> None:
    """A const of every MIL type that a blob can hold, the sub-byte ones included."""
    from coremltools.proto import MIL_pb2

    small(target, path)
    package, spec = _open(path)
    file = package.parent / "weights" / "weight.bin"
    block = _main(spec)
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

    @_program(target, [mb.TensorSpec(shape=(1, 2048))])
    def program(x: Any) -> Any:
        x = mb.cast(x=x, dtype="fp16", name="x_cast")
        for index in range(6):
            x = mb.linear(
                x=x, weight=mb.const(val=weights(100 + index, 2048, 2048), name=f"w_{index}"), name=f"lin_{index}"
            )
        return mb.cast(x=x, dtype="fp32", name="out")

    save(program, target, path)


# MARK: editing the protobuf


def _open(path: Path) -> tuple[Path, Model_pb2.Model]:
    file = path / "Data" / "com.apple.CoreML" / "model.mlmodel"
    spec = Model_pb2.Model()
    spec.ParseFromString(file.read_bytes())
    return file, spec


def _main(spec: Model_pb2.Model) -> Any:
    function = spec.mlProgram.functions["main"]
    return function.block_specializations[function.opset]


def _rename_string(message: Any, old: str, new: str) -> None:
    """Every string value `old` anywhere below a protobuf message becomes `new`."""
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            for key in value:
                if field.message_type.fields_by_name["value"].message_type is not None:
                    _rename_string(value[key], old, new)
            continue
        repeated = isinstance(value, list) or hasattr(value, "append") or hasattr(value, "add")
        if field.message_type is not None:
            for item in value if repeated else [value]:
                _rename_string(item, old, new)
        elif field.type == field.TYPE_STRING:
            if repeated:
                for index, item in enumerate(value):
                    if item == old:
                        value[index] = new
            elif value == old:
                setattr(message, field.name, new)
