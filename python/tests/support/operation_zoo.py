"""Programs that hold every operation that some opset changed, built by coremltools at the opset asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import types

from .package_factory import program_for, save

# Refused on the way to iOS17, so they are not in `zoo`.
BLOCKED = ("crop_resize", "non_maximum_suppression")

_rng = np.random.default_rng(5)
_INPUTS: dict[str, np.ndarray] = {
    "image": _rng.standard_normal((2, 4, 8, 8)).astype(np.float32),
    "rows": _rng.uniform(0.5, 2, (3, 2, 6)).astype(np.float32),
    "tokens": np.array([2, -1, 0, -5], np.int32),
    "places": np.array([[0, -1], [-2, 1]], np.int32),
}


def _activations(x: Any) -> list[Any]:
    four = np.linspace(0.1, 0.9, 4).astype(np.float32)
    return [
        mb.clamped_relu(x=x, alpha=0.5, beta=2.0),
        mb.elu(x=x, alpha=0.5),
        mb.leaky_relu(x=x, alpha=0.1),
        mb.linear_activation(x=x, alpha=2.0, beta=0.5),
        mb.prelu(x=x, alpha=four),
        mb.scaled_tanh(x=x, alpha=2.0, beta=0.5),
        mb.sigmoid_hard(x=x, alpha=0.2, beta=0.5),
        mb.softplus_parametric(x=x, alpha=four, beta=four),
        mb.thresholded_relu(x=x, alpha=0.3),
        mb.clip(x=x, alpha=-1.0, beta=1.0),
        mb.inverse(x=x, epsilon=0.25),
    ]


def _layers(x: Any, rows: Any) -> list[Any]:
    four = np.linspace(0.1, 0.9, 4).astype(np.float32)
    weight = _rng.standard_normal((4, 4, 3, 3)).astype(np.float32)
    return [
        mb.batch_norm(x=x, mean=four, variance=four, gamma=four, beta=four, epsilon=1e-3),
        mb.instance_norm(x=x, gamma=four, beta=four, epsilon=1e-3),
        mb.l2_norm(x=x, epsilon=1e-3),
        mb.layer_norm(x=rows, axes=[-1], epsilon=1e-3),
        mb.local_response_norm(x=x, size=3),
        mb.conv(x=x, weight=weight, bias=four),
        mb.conv_transpose(x=x, weight=weight, bias=four),
        mb.linear(x=rows, weight=_rng.standard_normal((5, 6)).astype(np.float32)),
        mb.matmul(x=rows, y=_rng.standard_normal((6, 5)).astype(np.float32)),
        mb.log(x=rows, epsilon=1e-3),
        mb.rsqrt(x=rows, epsilon=1e-3),
        mb.upsample_bilinear(x=x, scale_factor_height=2, scale_factor_width=2, align_corners=False),
        mb.resample(
            x=x,
            coordinates=np.zeros((2, 3, 3, 2), np.float32),
            sampling_mode="bilinear",
            padding_mode="constant",
            padding_value=0.0,
            coordinates_mode="unnormalized",
            align_corners=True,
        ),
    ]


def _recurrent(rows: Any) -> list[Any]:
    def w(*shape: int) -> np.ndarray:
        return _rng.standard_normal(shape).astype(np.float32)

    state = np.zeros((2, 5), np.float32)
    lstm = {"initial_c": state, "weight_ih": w(20, 6), "weight_hh": w(20, 5), "bias": w(20)}
    return [
        *mb.rnn(x=rows, initial_h=state, weight_ih=w(5, 6), weight_hh=w(5, 5), bias=w(5)),
        *mb.gru(x=rows, initial_h=state, weight_ih=w(15, 6), weight_hh=w(15, 5), bias=w(15)),
        *mb.lstm(x=rows, initial_h=state, **lstm),
    ]


def _shapes(x: Any, rows: Any) -> list[Any]:
    return [
        mb.cast(x=rows, dtype="int32"),
        mb.expand_dims(x=rows, axes=[0]),
        mb.reshape(x=rows, shape=[0, -1, 3]),
        mb.reverse(x=rows, axes=[1]),
        mb.reverse_sequence(x=rows, lengths=np.array([1, 2], np.int32), seq_axis=0, batch_axis=1),
        mb.slice_by_index(x=rows, begin=[0, 0, 1], end=[3, 2, 5], stride=[1, 1, 2]),
        mb.slice_by_size(x=rows, begin=[1, 0, 2], size=[2, 2, 3]),
        mb.sliding_windows(x=rows, axis=0, size=2),
        mb.squeeze(x=mb.expand_dims(x=rows, axes=[0]), axes=[0]),
        mb.transpose(x=x, perm=[0, 2, 3, 1]),
        mb.reduce_argmax(x=rows, axis=2),
        mb.reduce_argmin(x=rows, axis=1, keep_dims=True),
        *mb.topk(x=rows, k=2, axis=2),
    ]


def _indexed(x: Any, rows: Any, tokens: Any, places: Any) -> list[Any]:
    table = mb.const(val=_rng.standard_normal((5, 6)).astype(np.float32), name="table")
    along = mb.const(val=np.array([[[-1] * 6, [1] * 6]], np.int32), name="along")
    updates = np.ones((2, 6), np.float32)
    return [
        mb.gather(x=table, indices=tokens, axis=0, name="embedding"),
        mb.gather(x=rows, indices=np.array([1, 0], np.int32), axis=-1, name="in_front"),
        mb.gather(x=rows, indices=np.int32(-1), axis=2, name="last"),
        mb.gather(x=mb.shape(x=x), indices=np.array([0, 1], np.int32), axis=0, name="of_shape"),
        mb.gather(x=table, indices=mb.reduce_argmax(x=rows, axis=1), axis=0, name="of_argmax"),
        mb.gather_along_axis(x=rows, indices=along, axis=0, name="along_axis"),
        mb.gather_nd(x=rows, indices=places, name="by_vectors"),
        mb.scatter(data=table, indices=mb.slice_by_size(x=tokens, begin=[0], size=[2]), updates=updates, axis=0),
        mb.scatter_along_axis(data=rows, indices=along, updates=np.ones((1, 2, 6), np.float32), axis=0),
        mb.scatter_nd(data=rows, indices=places, updates=updates),
    ]


def _since_ios16(target: str, x: Any, rows: Any, tokens: Any) -> list[Any]:
    if target == "iOS15":
        return []
    return [
        mb.fill_like(ref_tensor=rows, value=2.0),
        mb.reshape_like(x=rows, ref_tensors=(rows,), begins=(0,), ends=(0,), end_masks=(True,)),
        mb.pixel_unshuffle(x=x, downscale_factor=np.uint32(2)),
        mb.topk(x=rows, k=2, axis=2, return_indices=False, name="values_only"),
        mb.gather(x=rows, indices=np.zeros((3, 2), np.int32), axis=1, batch_dims=1, name="in_batches"),
        mb.gather_nd(x=rows, indices=np.full((3, 1, 1), -1, np.int32), batch_dims=1, name="vectors_in_batches"),
        mb.constexpr_cast(source_val=np.linspace(0, 1, 12).astype(np.float16), output_dtype="fp32", name="from_fp16"),
    ]


def _outputs(target: str, image: Any, rows: Any, tokens: Any, places: Any) -> tuple[Any, ...]:
    outputs = _activations(image) + _layers(image, rows) + _recurrent(rows) + _shapes(image, rows)
    outputs += _indexed(image, rows, tokens, places) + _since_ios16(target, image, rows, tokens)
    return tuple(mb.identity(x=value, name=f"out_{index}") for index, value in enumerate(outputs))


def zoo(target: str, path: Path, *, constant: bool = False) -> None:
    """Every operation that can be raised. With `constant` what the operations work on is constant too, so that
    coremltools computes results when it loads the program.
    """
    if constant:

        @program_for(target, [mb.TensorSpec(shape=(1,))])
        def fixed(unused: Any) -> Any:
            values = {name: mb.const(val=value, name=name) for name, value in _INPUTS.items()}
            return (*_outputs(target, **values), mb.relu(x=unused, name="nothing"))

        save(fixed, target, path)
        return

    specs = [
        mb.TensorSpec(shape=value.shape, dtype=types.int32 if value.dtype == np.int32 else types.fp32)
        for value in _INPUTS.values()
    ]

    @program_for(target, specs)
    def program(image: Any, rows: Any, tokens: Any, places: Any) -> Any:
        return _outputs(target, image, rows, tokens, places)

    save(program, target, path)


def cropping(target: str, path: Path) -> None:
    """crop_resize in the form before iOS17."""

    @program_for(target, [mb.TensorSpec(shape=(1, 3, 8, 8))])
    def program(x: Any) -> Any:
        boxes = np.array([0, 0, 0, 4, 4], np.float32).reshape(1, 1, 5, 1, 1)
        return mb.crop_resize(x=x, roi=boxes, target_height=4, target_width=4, name="crop")

    save(program, target, path)


def blocking(target: str, path: Path) -> None:
    """One operation for each thing that iOS17 has no equal form of."""
    specs = [
        mb.TensorSpec(shape=(1, 3, 8, 8)),
        mb.TensorSpec(shape=(1, 10, 4)),
        mb.TensorSpec(shape=(1, 10, 2)),
        mb.TensorSpec(shape=(2,), dtype=types.int32),
    ]

    @program_for(target, specs)
    def program(x: Any, boxes: Any, scores: Any, tokens: Any) -> Any:
        roi = np.array([0, 0, 0, 4, 4], np.float32).reshape(1, 1, 5, 1, 1)
        crop = mb.crop_resize(x=x, roi=roi, target_height=4, target_width=4, name="crop")
        kept = mb.non_maximum_suppression(
            boxes=boxes, scores=scores, iou_threshold=0.5, score_threshold=0.1, max_boxes=3, name="nms"
        )
        flat = mb.clip(x=x, alpha=1.0, beta=1.0, name="flat")
        # An axis whose size only a run knows.
        several = mb.non_zero(x=x, name="several")
        row = mb.gather(x=several, indices=tokens, axis=0, name="row")
        return (crop, *kept, flat, row)

    save(program, target, path)


def compressed(target: str, path: Path) -> None:
    """Each kind of compressed weight that iOS16 has, small enough to lie in the program itself and large enough not to."""

    @program_for(target, [mb.TensorSpec(shape=(1,))])
    def program(x: Any) -> Any:
        weights = []
        for size in (2, 16):
            codes = np.arange(size * 4 // 2).astype(np.uint8)
            shape = np.array([size, 4], np.uint32)
            weights.append(mb.constexpr_lut_to_dense(indices=codes, lut=np.arange(16).astype(np.float16), shape=shape))
            mask = np.full(size * 4 // 8, 0x5A, np.uint8)
            data = np.arange(size * 2).astype(np.float16)
            weights.append(mb.constexpr_sparse_to_dense(nonzero_data=data, mask=mask, shape=shape))
            quantized = np.arange(size * 4).reshape(size, 4).astype(np.int8)
            scale, zero_point = np.linspace(0.1, 1, size).astype(np.float16), np.int8(3)
            weights.append(
                mb.constexpr_affine_dequantize(
                    quantized_data=quantized, zero_point=zero_point, scale=scale, axis=np.int32(0)
                )
            )
        return (mb.relu(x=x), *(mb.identity(x=weight) for weight in weights))

    save(program, target, path)
