"""`PostTrainingQuantizer` beside coremltools' class: every buffer and weight, bit for bit."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from support.modules import assert_same_state, buffer, compressed, convolutions, torch

pytest.importorskip("coremltools", reason="coremltools is not installed")
import coremltools.optimize.torch.quantization as theirs

import swiftcompress.torch.quantization as ours

BLOCKS = [
    ("per_channel", None),
    ("per_tensor", None),
    ("per_block", 8),
    ("per_block", (4,)),
    ("per_block", (4, 8)),
    ("per_block", (0, 4)),
    ("per_block", (8, 0)),
    ("per_block", 7),
    ("per_block", 1000),
    ("per_block", (2, 4, 3)),
    ("per_block", (2, 4, 1)),
    ("per_block", (2, 4, 0, 0, 0, 0)),
]


def both(model: Any, values: dict[str, Any]) -> tuple[Any, Any]:
    return (
        compressed(ours.PostTrainingQuantizer, ours.PostTrainingQuantizerConfig, model, values),
        compressed(theirs.PostTrainingQuantizer, theirs.PostTrainingQuantizerConfig, model, values),
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("scheme", ["symmetric", "affine"])
@pytest.mark.parametrize("weight_dtype", ["int8", "uint8", "int4", "uint4"])
def test_everything(weight_dtype: str, scheme: str, dtype: Any) -> None:
    for granularity, block_size in BLOCKS:
        settings = {
            "weight_dtype": weight_dtype,
            "quantization_scheme": scheme,
            "granularity": granularity,
            "block_size": block_size,
        }
        mine, expected = both(convolutions().to(dtype), {"global_config": settings})
        assert assert_same_state(mine, expected) >= 20, settings


def test_float64() -> None:
    """Scales and zero points are equal; the weights are products in float64, where coremltools rounds to float32."""
    for scheme, granularity in itertools.product(("symmetric", "affine"), ("per_tensor", "per_channel")):
        settings = {"quantization_scheme": scheme, "granularity": granularity}
        mine, expected = both(convolutions().double(), {"global_config": settings})
        weights = tuple(name for name in expected.state_dict() if name.endswith("weight"))
        assert_same_state(mine, expected, except_for=weights)
        for name in weights:
            assert torch.equal(mine.state_dict()[name].float(), expected.state_dict()[name].float()), name


def test_which_modules() -> None:
    """The output projection of an attention goes with it, whatever is said of the projection."""
    values = {
        "global_config": {"weight_dtype": "int8"},
        "module_type_configs": {"Linear": {"weight_dtype": "int4"}, torch.nn.Conv1d: None},
        "module_name_configs": {"7": None, "8.out_proj": None, "[12]": {"granularity": "per_tensor"}},
    }
    mine, expected = both(convolutions(), values)
    assert_same_state(mine, expected)
    assert "_COREML_/weight/quantization_scale" not in dict(mine[7].out_proj.named_buffers())
    assert buffer(mine[8].out_proj, "quantization_n_bits") == 8


def test_blocks_of_a_transposed_convolution_that_fit_only_the_axis_they_are_for() -> None:
    """coremltools looks at the wrong axis, and leaves the weight alone."""
    model = torch.nn.ConvTranspose1d(8, 15, 3)
    mine, expected = both(model, {"global_config": {"granularity": "per_block", "block_size": 4}})
    assert tuple(buffer(mine, "quantization_scale").shape) == (2, 15, 1)
    assert torch.equal(expected.weight, model.weight)


def test_zeros_and_float16_limits() -> None:
    """Where coremltools' arithmetic breaks down ours has a finite scale; a channel of zeros is the same in both."""
    model = torch.nn.Linear(8, 4)
    with torch.no_grad():
        model.weight[1] = 0
    mine, expected = both(model, {"global_config": {}})
    assert_same_state(mine, expected)
    large = torch.nn.Linear(8, 4).half()
    with torch.no_grad():
        large.weight[2] = 60000
    quantized = compressed(ours.PostTrainingQuantizer, ours.PostTrainingQuantizerConfig, large, {})
    assert bool(quantized.weight.isfinite().all())
    assert float((quantized.weight[2] - 60000).abs().max()) <= 300
