"""What `coremltools.convert` makes of each kind of result: a package with exactly our tables, codes and scales.

Weights are looked for by their values: the operation whose expansion is the module's weight, bit for bit, must have the
table, the codes and the scales of the buffers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from support.modules import Tied, buffer, torch

ct = pytest.importorskip("coremltools", reason="coremltools is not installed")

from swiftcompress.torch.palettization import (
    PostTrainingPalettizer,
    PostTrainingPalettizerConfig,
    SKMPalettizer,
    SKMPalettizerConfig,
)
from swiftcompress.torch.quantization import PostTrainingQuantizer, PostTrainingQuantizerConfig


class Network(torch.nn.Module):
    """A convolution of each kind, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Conv2d(3, 32, 3)
        self.line = torch.nn.Conv1d(32, 32, 3)
        self.back = torch.nn.ConvTranspose2d(32, 16, 2)
        self.last = torch.nn.Linear(16 * 3 * 18, 24)

    def forward(self, image: Any) -> Any:
        line = self.line(torch.relu(self.first(image)).reshape(-1, 32, 36))
        return self.last(self.back(line.reshape(-1, 32, 2, 17)).reshape(-1, 16 * 3 * 18))


def convert(model: Any, example: Any) -> Any:
    traced = torch.jit.trace(model.eval(), example)
    kind = np.int32 if example.dtype in (torch.int32, torch.int64) else np.float32
    return ct.convert(
        traced,
        inputs=[ct.TensorType(shape=example.shape, dtype=kind)],
        minimum_deployment_target=ct.target.iOS18,
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
    )


def operations(model: Any, kind: str) -> list[Any]:
    return model._mil_program.functions["main"].find_ops(op_type=kind)


def one_with_shape(found: list[Any], shape: Any) -> Any:
    fitting = [operation for operation in found if tuple(operation.outputs[0].shape) == tuple(shape)]
    assert len(fitting) == 1, [tuple(operation.outputs[0].shape) for operation in found]
    return fitting[0]


def check_palette(package: Any, module: Any, weight: Any, parameter: str = "weight") -> None:
    lut = buffer(module, "lut", parameter)
    operation = one_with_shape(operations(package, "constexpr_lut_to_dense"), weight.shape)
    stored = operation.lut.val
    if stored is not None:  # otherwise the table is quantized
        np.testing.assert_array_equal(np.asarray(stored), lut.numpy())
    scale = dict(module.named_buffers()).get(f"_COREML_/{parameter}/palettization_scale")
    flat = lut.numpy()
    indices = np.asarray(operation.indices.val)
    axis = next((axis for axis in range(weight.ndim) if flat.shape[axis] > 1), 0)
    size = indices.shape[axis] // flat.shape[axis]
    groups = np.arange(indices.shape[axis]) // size
    tables = np.moveaxis(flat, axis, 0).reshape(flat.shape[axis], *flat.shape[-2:])
    place = [1] * indices.ndim
    place[axis] = indices.shape[axis]
    dense = tables[np.broadcast_to(groups.reshape(place), indices.shape), indices]
    if flat.shape[-1] > 1:
        vector = int(operation.vector_axis.val)
        dense = np.moveaxis(dense, -1, vector + 1).reshape(weight.shape)
    else:
        dense = dense[..., 0]
    if scale is not None:
        dense = dense * scale.numpy()
    np.testing.assert_array_equal(dense.astype(np.float32), weight.detach().numpy())


SETTINGS: list[dict[str, Any]] = [
    {"n_bits": 4},
    {"n_bits": 2, "granularity": "per_grouped_channel", "group_size": 8},
    {"n_bits": 3, "granularity": "per_grouped_channel", "group_size": 4, "enable_fast_kmeans_mode": False},
    {"n_bits": 4, "cluster_dim": 2},
    {"n_bits": 4, "enable_per_channel_scale": True},
    {"n_bits": 6, "lut_dtype": "int8"},
    {"n_bits": 4, "lut_dtype": "uint8", "granularity": "per_grouped_channel", "group_size": 8},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_palettes(settings: dict[str, Any]) -> None:
    config = PostTrainingPalettizerConfig.from_dict({"global_config": settings})
    palettizer = PostTrainingPalettizer(Network(), config)
    model = palettizer.compress()
    assert len(palettizer.report.compressed) == 4
    package = convert(model, torch.rand(1, 3, 8, 8))
    for module in (model.first, model.line, model.back, model.last):
        check_palette(package, module, module.weight)
    quantized = operations(package, "constexpr_blockwise_shift_scale")
    assert len(quantized) == (4 if "lut_dtype" in settings or "enable_per_channel_scale" in settings else 0)
    if "lut_dtype" in settings:
        check_quantized_tables(quantized, model)


def check_quantized_tables(found: list[Any], model: Any) -> None:
    """Each table is stored as codes that decode to ours."""
    for module in (model.first, model.line, model.back, model.last):
        lut, scale = buffer(module, "lut").numpy(), buffer(module, "quantization_scale").numpy()
        matching = [each for each in found if tuple(each.outputs[0].shape) == lut.shape and decodes_to(each, lut)]
        assert matching, lut.shape
        scales = [np.asarray(each.scale.val).ravel() for each in matching]
        assert any(np.array_equal(each, scale.astype(np.float32).ravel()) for each in scales)


def decodes_to(operation: Any, lut: Any) -> bool:
    data = np.asarray(operation.data.val).astype(np.float64)
    offset = 0.0 if operation.offset is None else np.asarray(operation.offset.val).astype(np.float64)
    decoded = ((data - offset) * np.asarray(operation.scale.val).astype(np.float64)).astype(np.float32)
    return bool(np.allclose(decoded, lut, rtol=1e-6, atol=0))


def test_sensitive_k_means() -> None:
    torch.manual_seed(0)
    data = [(torch.rand(2, 3, 8, 8), torch.randn(2, 24)) for _ in range(2)]
    config = SKMPalettizerConfig.from_dict({"global_config": {"n_bits": 3}})
    model = SKMPalettizer(Network(), config).compress(
        data_loader=data, loss_function=lambda model, pair: torch.nn.functional.mse_loss(model(pair[0]), pair[1])
    )
    package = convert(model, torch.rand(1, 3, 8, 8))
    for module in (model.first, model.line, model.back, model.last):
        check_palette(package, module, module.weight)


@pytest.mark.parametrize("scheme", ["symmetric", "affine"])
@pytest.mark.parametrize("weight_dtype", ["int8", "uint4", "int4"])
@pytest.mark.parametrize(("granularity", "block"), [("per_tensor", None), ("per_channel", None), ("per_block", 8)])
def test_quantized_weights(weight_dtype: str, scheme: str, granularity: str, block: int | None) -> None:
    settings = {
        "weight_dtype": weight_dtype,
        "quantization_scheme": scheme,
        "granularity": granularity,
        "block_size": block,
    }
    quantizer = PostTrainingQuantizer(Network(), PostTrainingQuantizerConfig.from_dict({"global_config": settings}))
    model = quantizer.compress()
    package = convert(model, torch.rand(1, 3, 8, 8))
    found = operations(package, "constexpr_blockwise_shift_scale")
    modules = [model.line, model.back, model.last] + ([model.first] if granularity != "per_block" else [])
    assert len(found) == len(quantizer.report.compressed) == len(modules)
    for module in modules:
        operation = one_with_shape(found, module.weight.shape)
        scale = buffer(module, "quantization_scale").numpy()
        np.testing.assert_array_equal(np.asarray(operation.scale.val), scale)
        data = np.asarray(operation.data.val).astype(np.float32)
        if operation.offset is not None:
            zero = np.asarray(operation.offset.val)
            np.testing.assert_array_equal(zero, buffer(module, "zero_point").numpy())
            data = data - stretched(zero, data.shape)
        decoded = data * stretched(scale, data.shape)
        np.testing.assert_array_equal(decoded, module.weight.detach().numpy())


def stretched(blocks: Any, shape: tuple[int, ...]) -> Any:
    for axis, size in enumerate(shape):
        blocks = np.repeat(blocks, size // blocks.shape[axis], axis=axis)
    return blocks.astype(np.float32)


def test_tied_weights_are_compressed_in_both_places() -> None:
    config = PostTrainingPalettizerConfig.from_dict({"global_config": {"n_bits": 4}})
    model = PostTrainingPalettizer(Tied(), config).compress()
    package = convert(model, torch.randint(0, 64, (1, 5), dtype=torch.int32))
    # Both uses of the one weight, and the layer between.
    stored = operations(package, "constexpr_lut_to_dense")
    tied = [each for each in stored if tuple(each.outputs[0].shape) == (64, 32)]
    assert tied
    for operation in tied:
        np.testing.assert_array_equal(np.asarray(operation.lut.val), buffer(model.embedding, "lut").numpy())
    check_palette(package, model.middle, model.middle.weight)
    dense = [each for each in operations(package, "const") if each.outputs[0].val is not None]
    assert not [
        each for each in dense if np.shape(each.outputs[0].val) == (64, 32) and each.val.val.dtype == np.float32
    ]
