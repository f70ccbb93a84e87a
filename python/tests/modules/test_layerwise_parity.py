"""`LayerwiseCompressor` beside coremltools' class: every buffer and weight, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest

from support.modules import assert_same_state, torch

pytest.importorskip("coremltools", reason="coremltools is not installed")
import coremltools.optimize.torch.layerwise_compression as theirs

import swiftcompress.torch.layerwise_compression as ours

GPTQ: list[dict[str, Any]] = [
    {"weight_dtype": "uint4"},
    {"weight_dtype": "uint8", "quantization_scheme": "affine"},
    {"weight_dtype": "uint3", "granularity": "per_tensor", "hessian_dampening": 0.2},
    {"weight_dtype": "uint4", "granularity": "per_block", "block_size": 4},
    {"weight_dtype": "uint4", "granularity": "per_block", "block_size": 12, "processing_group_size": 20},
    {"weight_dtype": "uint4", "use_activation_order_heuristic": True},
    {"weight_dtype": "uint4", "block_size": 4, "use_activation_order_heuristic": True, "quantization_scheme": "affine"},
    {"weight_dtype": "uint4", "enable_normal_float": True},
    {"weight_dtype": "uint3", "enable_normal_float": True, "processing_group_size": 9},
    {"weight_dtype": "float32"},
]
SPARSE_GPT: list[dict[str, Any]] = [
    {"weight_dtype": "float32"},
    {"weight_dtype": "float32", "target_sparsity": 0.8, "processing_group_size": 30},
    {"weight_dtype": "float32", "n_m_ratio": (2, 4)},
    {},
    {"weight_dtype": "uint4", "quantization_scheme": "affine", "n_m_ratio": [1, 4]},
    {"weight_dtype": "uint4", "enable_normal_float": True},
]


def chain() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(4, 24, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(24, 36, 3, stride=2, dilation=2),
        torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(36 * 9, 48), torch.nn.Linear(48, 20)),
    )


def images(count: int = 5) -> list[Any]:
    rng = torch.Generator().manual_seed(1)
    return [torch.randn(6, 4, 9, 9, generator=rng) for _ in range(count)]


def both(model: Any, values: dict[str, Any], data: list[Any]) -> tuple[Any, Any]:
    found = []
    for room in (ours, theirs):
        compressor = room.LayerwiseCompressor(model, room.LayerwiseCompressorConfig.from_dict(values))
        found.append(compressor.compress(data, device="cpu"))
    return found[0], found[1]


def check(settings: dict[str, Any], algorithm: str) -> None:
    __tracebackhide__ = True
    model = chain()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    values = {"global_config": {"algorithm": algorithm, **settings}, "calibration_nsamples": 4}
    if settings.get("weight_dtype") == "float32" and algorithm == "gptq":
        # coremltools fails; it means what it means elsewhere: the weight stays.
        config = ours.LayerwiseCompressorConfig.from_dict(values)
        compressor = ours.LayerwiseCompressor(model, config)
        assert torch.equal(compressor.compress(images())[0].weight, model[0].weight)
        assert {record.reason for record in compressor.report.declined} >= {"weight_dtype is float32"}
        return
    mine, expected = both(model, values, images())
    assert assert_same_state(mine, expected) >= 12
    assert not torch.equal(mine[0].weight, model[0].weight)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("settings", GPTQ, ids=str)
def test_gptq(settings: dict[str, Any]) -> None:
    check(settings, "gptq")


@pytest.mark.parametrize("settings", SPARSE_GPT, ids=str)
def test_sparse_gpt(settings: dict[str, Any]) -> None:
    check(settings, "sparse_gpt")


def test_names_and_types() -> None:
    values = {
        "module_type_configs": {"Linear": {"algorithm": "sparse_gpt", "weight_dtype": "float32"}},
        "module_name_configs": {"2": None, r"3\.3": {"algorithm": "gptq", "weight_dtype": "uint4"}},
        "global_config": {"algorithm": "gptq", "weight_dtype": "uint8"},
    }
    mine, expected = both(chain(), values, images())
    assert_same_state(mine, expected)
    assert torch.equal(mine[2].weight, chain()[2].weight)


def test_other_types() -> None:
    for dtype in (torch.bfloat16, torch.float64):
        values = {"global_config": {"algorithm": "gptq", "weight_dtype": "uint4"}}
        mine, expected = both(chain().to(dtype), values, [each.to(dtype) for each in images()])
        assert_same_state(mine, expected)


class Decoder(torch.nn.Module):
    """Embeddings, layers with a mask by name, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(50, 32)
        self.layers = torch.nn.ModuleList(Block() for _ in range(3))
        self.head = torch.nn.Linear(32, 50)

    def forward(self, tokens: Any) -> Any:
        hidden, mask = self.embedding(tokens), torch.ones(32)
        for layer in self.layers:
            (hidden,) = layer(hidden, mask=mask)
        return self.head(hidden)


class Block(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = torch.nn.Linear(32, 64), torch.nn.Linear(64, 32)

    def forward(self, hidden: Any, mask: Any) -> Any:
        return (hidden + self.down(torch.relu(self.up(hidden))) * mask,)


def test_the_layers_of_a_decoder() -> None:
    torch.manual_seed(0)
    model = Decoder().eval()
    rng = torch.Generator().manual_seed(2)
    data = [torch.randint(0, 50, (4, 20), generator=rng) for _ in range(4)]
    values = {
        "global_config": {"algorithm": "gptq", "weight_dtype": "uint4"},
        "layers": [r"layers\.\d+"],
        "input_cacher": "gpt",
        "calibration_nsamples": 3,
    }
    mine, expected = both(model, values, data)
    assert_same_state(mine, expected)
    assert not torch.equal(mine.layers[2].down.weight, model.layers[2].down.weight)
    assert torch.equal(mine.head.weight, model.head.weight)
    # The same without the cacher, which coremltools needs: then the model is run up to each layer.
    config = ours.LayerwiseCompressorConfig.from_dict({**values, "input_cacher": "default"})
    compressor = ours.LayerwiseCompressor(model, config)
    assert_same_state(compressor.compress(data), mine)
    (head,) = (record for record in compressor.report.declined if record.name == "head.weight")
    assert head.reason == "not in one of the configured layers"
