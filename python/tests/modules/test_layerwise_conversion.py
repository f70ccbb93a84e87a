"""What `coremltools.convert` makes of layerwise compressed models: a package whose weights are the module's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from support.modules import torch

ct = pytest.importorskip("coremltools", reason="coremltools is not installed")
import coremltools.optimize.coreml as cto

from swiftcompress.torch.layerwise_compression import LayerwiseCompressor, LayerwiseCompressorConfig

GPTQ: dict[str, Any] = {"algorithm": "gptq", "weight_dtype": "uint4"}
SPARSE_GPT: dict[str, Any] = {"algorithm": "sparse_gpt", "weight_dtype": "float32"}


def network() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(4, 32, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(32 * 16, 64)
    )


@pytest.mark.parametrize(
    "settings, kinds",
    [
        (GPTQ, {"constexpr_blockwise_shift_scale"}),
        ({**GPTQ, "quantization_scheme": "affine", "weight_dtype": "uint8"}, {"constexpr_blockwise_shift_scale"}),
        ({**GPTQ, "granularity": "per_block", "block_size": 4}, {"constexpr_blockwise_shift_scale"}),
        ({**GPTQ, "enable_palettization": True}, {"constexpr_lut_to_dense"}),
        ({**GPTQ, "enable_palettization": True, "palettization_group_size": 16}, {"constexpr_lut_to_dense"}),
        (SPARSE_GPT, {"constexpr_sparse_to_dense"}),
    ],
    ids=str,
)
def test_conversion(settings: dict[str, Any], kinds: set[str]) -> None:
    example = torch.randn(2, 4, 6, 6)
    config = LayerwiseCompressorConfig.from_dict({"global_config": settings})
    model = LayerwiseCompressor(network(), config).compress([example, torch.randn(8, 4, 6, 6)])
    package = ct.convert(
        torch.jit.trace(model.eval(), example),
        inputs=[ct.TensorType(shape=example.shape)],
        minimum_deployment_target=ct.target.iOS18,
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
    )
    found = {op.op_type for op in package._mil_program.functions["main"].operations if "constexpr" in op.op_type}
    assert found == kinds
    dense = cto.decompress_weights(package)
    weights = {op.outputs[0].shape: op.val.val for op in dense._mil_program.functions["main"].find_ops(op_type="const")}
    # Of a sparse weight coremltools stores no element below 1e-3.
    least = 1e-3 if "constexpr_sparse_to_dense" in kinds else 0.0
    for layer in (model[0], model[3]):
        expected = layer.weight.detach().numpy()
        np.testing.assert_allclose(weights[tuple(layer.weight.shape)], expected, rtol=1e-6, atol=least)
