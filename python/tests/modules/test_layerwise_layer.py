"""GPTQ and SparseGPT of one layer: its Hessian, factor and losses. Needs torch alone."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest

from support.modules import torch
from swiftcompress.torch.layerwise_compression import GPTQ, ModuleGPTQConfig, ModuleSparseGPTConfig, SparseGPT


@pytest.mark.parametrize("dampening", [0.01, 10.0])
@pytest.mark.parametrize("block", [None, 8])
@pytest.mark.parametrize("order", [False, True])
def test_the_loss_is_that_of_the_outputs(dampening: float, block: int | None, order: bool) -> None:
    """Whatever was added to the Hessian, and with inputs that are always zero."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(48, 32, bias=False)
    before, x = layer.weight.detach().double(), torch.randn(200, 48)
    x[:, 5] = 0
    settings: dict[str, Any] = {} if block is None else {"granularity": "per_block", "block_size": block}
    config = ModuleGPTQConfig(
        weight_dtype="uint4",
        hessian_dampening=dampening,
        quantization_scheme="affine",
        use_activation_order_heuristic=order,
        **settings,
    )
    algorithm = GPTQ(layer, config)
    algorithm.add_batch(x, None)
    algorithm.compress()
    outputs = [x.double() @ weight.T for weight in (before, layer.weight.detach().double())]
    loss, signal = 2 * (outputs[0] - outputs[1]).square().sum(), 2 * outputs[0].square().sum()
    assert algorithm.loss == pytest.approx(float(loss), rel=1e-4)
    assert algorithm.relative_loss == pytest.approx(float(loss / signal), rel=1e-4)


def test_ragged_groups() -> None:
    """The last group of columns, and the last block of a convolution, may be smaller."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(50, 30)
    x = torch.randn(200, 50)
    losses = []
    for size in (1, 7, 49, 50, 1000):
        algorithm = GPTQ(copy.deepcopy(layer), ModuleGPTQConfig(weight_dtype="uint4", processing_group_size=size))
        algorithm.add_batch(x, layer(x))
        algorithm.compress()
        losses.append(algorithm.loss)
    assert max(losses) < 1.02 * min(losses)
    algorithm = SparseGPT(layer, ModuleSparseGPTConfig(weight_dtype="float32", n_m_ratio=(2, 4)))
    algorithm.add_batch(x, layer(x))
    with pytest.raises(ValueError, match="n_m_ratio: found m = 4"):
        algorithm.compress()


def test_the_relative_loss_is_computed_when_asked_for() -> None:
    """Of the Hessian and the weight that there were, whatever became of them since."""
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(24, 16), torch.randn(50, 24)
    found = []
    for ask in ("at once", "after more", "after cleanup"):
        algorithm = GPTQ(copy.deepcopy(layer), ModuleGPTQConfig(weight_dtype="uint4"))
        algorithm.add_batch(x, None)
        algorithm.compress()
        if ask == "after more":
            algorithm.add_batch(x * 2, None)
        if ask == "after cleanup":
            algorithm.cleanup()
        found.append(algorithm.relative_loss)
    assert 0 < found[0] == found[1]
    assert math.isnan(found[2])


def test_a_factor_is_not_used_for_a_hessian_that_grew() -> None:
    torch.manual_seed(0)
    layers, data = [torch.nn.Linear(24, 16) for _ in range(2)], [torch.randn(50, 24) for _ in range(2)]
    config = ModuleGPTQConfig(weight_dtype="uint4")
    again = GPTQ(layers[0], config)
    again.add_batch(data[0], None)
    again.compress()
    again.add_batch(data[1], None)
    again._layer.weight.data = layers[1].weight.detach().clone()
    again.compress()
    once = GPTQ(layers[1], config)
    for x in data:
        once.add_batch(x, None)
    once.compress()
    assert torch.equal(layers[0].weight, layers[1].weight)
