"""Packages of every kind of layer and model, made with coremltools for the tests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import types

from .package_factory import main_block, maker, open_model, program_for, save, since, weights

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

    @program_for(target, specs)
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

    @program_for(target, [mb.TensorSpec(shape=(1, 64))])
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
    @program_for(target, [mb.TensorSpec(shape=(1, 64))])
    def program(x: Any) -> Any:
        return mb.relu(x=x, name="out")

    save(program, target, path)


@maker
def divisibility(target: str, path: Path) -> None:
    """Channel counts that group sizes and cluster dims do not divide, one that they do."""

    @program_for(target, [mb.TensorSpec(shape=(1, 60))])
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

    @program_for(target, [mb.TensorSpec(shape=(1, 4), dtype=types.int32)])
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
    package, spec = open_model(path)
    values = {op.outputs[0].name: op.attributes["val"] for op in main_block(spec).operations if op.type == "const"}
    values["w_second"].blobFileValue.offset = values["w_first"].blobFileValue.offset
    package.write_bytes(spec.SerializeToString())


def _two_equal(target: str, path: Path) -> None:
    @program_for(target, [mb.TensorSpec(shape=(1, 64))])
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
    @program_for(target, [mb.TensorSpec(shape=(1, 64))])
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

    @program_for(target, specs)
    def program(x: Any, memory: Any) -> Any:
        value = mb.read_state(input=memory, name="read")
        x = mb.add(x=x, y=value, name="sum")
        x = mb.linear(x=x, weight=mb.const(val=weights(61, 64, 64), name="w"), name="lin")
        mb.coreml_update_state(state=memory, value=x, name="update")
        return mb.relu(x=x, name="out")

    save(program, target, path)


@maker
def classifier(target: str, path: Path) -> None:
    @program_for(target, [mb.TensorSpec(shape=(1, 64))])
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

    def from_x(x: Any) -> Any:  # coremltools names the inputs after the parameters
        return body(x)

    def from_middle(middle: Any) -> Any:
        return body(middle)

    start = {"x": from_x, "middle": from_middle}[source]
    return program_for(target, [mb.TensorSpec(shape=(1, 64))])(start)


@maker
def nested(target: str, path: Path) -> None:
    """cond and while_loop, with weights outside, inside, and outside but used inside."""

    @program_for(target, [mb.TensorSpec(shape=(1, 64))])
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
