"""`LayerwiseCompressor` beside coremltools' class: equal codes and zeros, and outputs that are no farther off.

There are more inputs than columns: then the order of sums in float32 does not decide about a code.
"""

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
    return [torch.randn(128, 4, 9, 9, generator=rng) for _ in range(count)]


def both(model: Any, values: dict[str, Any], data: list[Any]) -> tuple[Any, Any]:
    found = []
    for room in (ours, theirs):
        compressor = room.LayerwiseCompressor(model, room.LayerwiseCompressorConfig.from_dict(values))
        found.append(compressor.compress(data, device="cpu"))
    return found[0], found[1]


def buffer(layer: Any, name: str) -> Any:
    return dict(layer.named_buffers()).get(f"_COREML_/weight/{name}")


def codes(layer: Any) -> Any:
    """Whole numbers, or the places of table entries; None where there is no grid."""
    weight, scale, lut = layer.weight.detach().double(), buffer(layer, "quantization_scale"), buffer(layer, "lut")
    if lut is not None:
        steps = buffer(layer, "palettization_scale").double().reshape(-1, *[1] * weight.dim())
        return (weight[..., None] / steps - lut.flatten().double()).abs().argmin(-1)
    if scale is None:
        return None
    zero, columns = buffer(layer, "zero_point"), weight.flatten(1)
    each = columns.shape[1] // scale.shape[1]
    scale, zero = (numbers.double().repeat_interleave(each, 1) for numbers in (scale, zero))
    return torch.round(columns / scale + zero)


def output_error(layer: Any, weight: Any, seen: list[Any]) -> float:
    """The squared error of a compressed layer's outputs for what it saw."""
    gap, total = (layer.weight.detach() - weight).double(), 0.0
    for x in seen:
        if isinstance(layer, torch.nn.Conv2d):
            options = {"padding": layer.padding, "stride": layer.stride, "dilation": layer.dilation}
            out = torch.nn.functional.conv2d(x.double(), gap, **options)
        else:
            out = torch.nn.functional.linear(x.double(), gap)
        total += float(out.square().sum())
    return total


def assert_alike(model: Any, mine: Any, expected: Any, data: list[Any]) -> int:
    """Equal codes and zeros, no greater error of the outputs. Returns how many weights were compared."""
    __tracebackhide__ = True
    first, second = mine.state_dict(), expected.state_dict()
    assert list(first) == list(second)
    for name, value in second.items():
        assert first[name].dtype == value.dtype, name
        torch.testing.assert_close(first[name], value, rtol=1e-5, atol=float("inf") if name.endswith("weight") else 0)
    seen: dict[str, list[Any]] = {}
    handles, layers = [], {}
    for name, layer in expected.named_modules():
        if buffer(layer, "compression_type") is not None:
            layers[name], seen[name] = layer, []
            handles.append(layer.register_forward_pre_hook(lambda _, given, name=name: seen[name].append(given[0])))
    with torch.no_grad():
        for batch in data:
            expected(batch)
    for handle in handles:
        handle.remove()
    for name, theirs_ in layers.items():
        ours_, before = mine.get_submodule(name), model.get_submodule(name).weight.detach()
        found, wanted = codes(ours_), codes(theirs_)
        if wanted is None:
            assert torch.equal(ours_.weight == 0, theirs_.weight == 0), name
            gap = (ours_.weight - theirs_.weight).abs().max()
            assert float(gap) <= 2e-5 * float(theirs_.weight.abs().max()), name
        else:
            assert torch.equal(found, wanted), name
        errors = [output_error(layer, before, seen[name]) for layer in (ours_, theirs_)]
        assert errors[0] <= errors[1] * (1 + 1e-5), (name, errors)
    return len(layers)


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
    assert assert_alike(model, mine, expected, images()[:4]) == 4
    if "block_size" in settings and "use_activation_order_heuristic" not in settings:
        assert_same_state(mine, expected)
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
    assert assert_alike(chain(), mine, expected, images()[:4]) == 3
    assert torch.equal(mine[2].weight, chain()[2].weight)


def test_other_types() -> None:
    for dtype in (torch.bfloat16, torch.float64):
        values = {"global_config": {"algorithm": "gptq", "weight_dtype": "uint4"}}
        data = [each.to(dtype) for each in images()]
        mine, expected = both(chain().to(dtype), values, data)
        assert assert_alike(chain().to(dtype), mine, expected, data) == 4


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
    assert assert_alike(model, mine, expected, data[:3]) == 6
    assert not torch.equal(mine.layers[2].down.weight, model.layers[2].down.weight)
    assert torch.equal(mine.head.weight, model.head.weight)
    # The same without the cacher, which coremltools needs: then the model is run up to each layer.
    config = ours.LayerwiseCompressorConfig.from_dict({**values, "input_cacher": "default"})
    compressor = ours.LayerwiseCompressor(model, config)
    assert_same_state(compressor.compress(data), mine)
    (head,) = (record for record in compressor.report.declined if record.name == "head.weight")
    assert head.reason == "not in one of the configured layers"
