"""`LayerwiseCompressor` where coremltools has nothing to compare with: models that are no chain, tables, reports, errors."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest

from support.modules import ALL_FLOATS, torch
from swiftcompress.torch.layerwise_compression import (
    GPTQ,
    FirstLayerInputCacher,
    LayerwiseCompressionAlgorithm,
    LayerwiseCompressionAlgorithmConfig,
    LayerwiseCompressor,
    LayerwiseCompressorConfig,
    ModuleGPTQConfig,
    ModuleSparseGPTConfig,
    SparseGPT,
)

UINT4 = {"algorithm": "gptq", "weight_dtype": "uint4"}


class Residual(torch.nn.Module):
    """Two inputs, a sum around a layer, a layer that is called twice, one that is not called."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = torch.nn.Linear(24, 32), torch.nn.Linear(16, 32)
        self.twice = torch.nn.Linear(32, 32)
        self.unused = torch.nn.Linear(32, 32)
        self.head = torch.nn.Linear(32, 10)

    def forward(self, a: Any, b: Any) -> Any:
        hidden = self.left(a) + torch.relu(self.right(b))
        hidden = hidden + self.twice(torch.relu(hidden))
        return self.head(hidden + self.twice(hidden))


def pairs(count: int = 3) -> list[tuple[Any, Any]]:
    rng = torch.Generator().manual_seed(0)
    return [(torch.randn(64, 24, generator=rng), torch.randn(64, 16, generator=rng)) for _ in range(count)]


def residual() -> Any:
    torch.manual_seed(0)
    return Residual()


def run(model: Any, values: dict[str, Any], data: list[Any], **keywords: Any) -> tuple[Any, LayerwiseCompressor]:
    compressor = LayerwiseCompressor(model, LayerwiseCompressorConfig.from_dict(values))
    return compressor.compress(data, **keywords), compressor


def rounded(weight: Any, bits: int) -> Any:
    """The nearest codes of each row's range, without looking at inputs."""
    top = weight.abs().amax(1, keepdim=True)
    scale, zero = 2 * top / (2**bits - 1), 2 ** (bits - 1)
    return scale * ((weight / scale).round().add(zero).clamp(0, 2**bits - 1) - zero)


def test_models_that_are_no_chain() -> None:
    model, data = residual(), pairs()
    compressed, compressor = run(model, {"global_config": UINT4}, data)
    by_name = {record.name: record for record in compressor.report.weights}
    assert by_name["unused.weight"].reason == "no input reached the module"
    for name in ("left", "right", "twice", "head"):
        assert by_name[f"{name}.weight"].action == "compressed"
        assert 0 < compressor.losses[f"{name}.weight"].relative < 0.05
    # The outputs are nearer than those of plain rounding.
    plain = copy.deepcopy(model)
    for name in ("left", "right", "twice", "head"):
        layer = getattr(plain, name)
        layer.weight.data = rounded(layer.weight.data, 4)
    with torch.no_grad():
        errors = [
            float(sum(((each(*pair) - model(*pair)) ** 2).sum() for pair in data)) for each in (compressed, plain)
        ]
    assert errors[0] < 0.9 * errors[1]


def test_each_layer_sees_the_compressed_ones_before_it() -> None:
    """The Hessian of the last layer is that of the inputs it has in the compressed model."""
    model, data = residual(), pairs()
    compressed, _ = run(model, {"global_config": UINT4}, data)
    alone = copy.deepcopy(compressed)
    alone.head = copy.deepcopy(model.head)
    algorithm = GPTQ(alone.head, ModuleGPTQConfig(weight_dtype="uint4"))
    handle = alone.head.register_forward_hook(lambda _, inp, out: algorithm.add_batch(inp[0], out))
    with torch.no_grad():
        for pair in data:
            alone(*pair)
    handle.remove()
    algorithm.compress()
    assert torch.equal(alone.head.weight, compressed.head.weight)


def test_data_by_name_and_in_lists() -> None:
    expected, _ = run(residual(), {"global_config": UINT4}, pairs())
    for data in ([{"a": a, "b": b} for a, b in pairs()], [[a, b] for a, b in pairs()]):
        found, _ = run(residual(), {"global_config": UINT4}, data)
        assert torch.equal(found.head.weight, expected.head.weight)


@pytest.mark.parametrize("group", [None, 8])
@pytest.mark.parametrize("order", [False, True])
def test_palettized_gptq(group: int | None, order: bool) -> None:
    """Weights are entries of their tables, and outputs nearer than those of the same tables without GPTQ."""
    from swiftcompress.torch.palettization import PostTrainingPalettizer, PostTrainingPalettizerConfig

    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(48, 32), torch.nn.ReLU(), torch.nn.Linear(32, 24))
    mixed = torch.randn(48, 48)
    data = [torch.randn(100, 48) @ mixed for _ in range(3)]
    values = {**UINT4, "weight_dtype": "uint3", "enable_palettization": True, "use_activation_order_heuristic": order}
    compressed, compressor = run(model, {"global_config": {**values, "palettization_group_size": group}}, data)
    for number, rows in ((0, 32), (2, 24)):
        layer = compressed[number]
        lut = layer.get_buffer("_COREML_/weight/lut")
        groups = 1 if group is None else rows // group
        assert lut.shape == (groups, 1, 8, 1)
        assert layer.get_buffer("_COREML_/weight/compression_type").tolist() == [2]
        for part, entries in zip(layer.weight.chunk(groups), lut, strict=True):
            assert torch.isin(part, entries).all()
    settings: dict[str, Any] = {"n_bits": 3}
    if group is not None:
        settings |= {"granularity": "per_grouped_channel", "group_size": group}
    config = PostTrainingPalettizerConfig.from_dict({"global_config": settings})
    plain = PostTrainingPalettizer(model, config).compress()
    with torch.no_grad():
        errors = [float(sum(((each(x) - model(x)) ** 2).sum() for x in data)) for each in (compressed, plain)]
    assert errors[0] < 0.7 * errors[1]
    assert compressor.losses["0.weight"].relative < 0.05


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8])
def test_widths_of_tables(bits: int) -> None:
    torch.manual_seed(bits)
    model = torch.nn.Sequential(torch.nn.Linear(48, 32))
    values = {**UINT4, "weight_dtype": f"uint{bits}", "enable_palettization": True}
    compressed, compressor = run(model, {"global_config": values}, [torch.randn(100, 48)])
    lut = compressed[0].get_buffer("_COREML_/weight/lut")
    assert lut.shape == (1, 1, 2**bits, 1)
    assert torch.isin(compressed[0].weight, lut).all()
    assert compressor.report.compressed[0].nbits == bits


@pytest.mark.parametrize("dtype", ALL_FLOATS, ids=str)
@pytest.mark.parametrize(
    "settings",
    [
        UINT4,
        {**UINT4, "enable_palettization": True},
        {"algorithm": "sparse_gpt"},
        {"algorithm": "sparse_gpt", "weight_dtype": "float16"},
    ],
    ids=str,
)
def test_types_and_the_original(dtype: Any, settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(32, 40), torch.nn.ReLU(), torch.nn.Linear(40, 8)).to(dtype).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    data = [torch.randn(50, 32).to(dtype) for _ in range(2)]
    compressed, compressor = run(model, {"global_config": settings}, data)
    assert model.training and compressed.training
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert compressed[0].weight.dtype == dtype
    assert not torch.equal(compressed[0].weight, model[0].weight)
    assert torch.equal(compressed[0].bias, model[0].bias)
    if settings["algorithm"] == "sparse_gpt":
        assert (compressed[0].weight == 0).float().mean() >= 0.5
    assert len(compressor.report.compressed) == 2
    returned = LayerwiseCompressor(model, compressor._config).compress(data, inplace=True)
    assert returned is model
    assert torch.equal(model[0].weight, compressed[0].weight)


def test_tied_parameters_stay_tied() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(20, 20), torch.nn.ReLU(), torch.nn.Linear(20, 20))
    model[2].weight = model[0].weight
    compressed, compressor = run(model, {"global_config": UINT4}, [torch.randn(60, 20)])
    assert compressed[0].weight is compressed[2].weight
    assert not torch.equal(compressed[0].weight, model[0].weight)
    assert len(compressor.report.compressed) == 1
    for layer in (compressed[0], compressed[2]):
        assert "_COREML_/weight/quantization_scale" in layer.state_dict()


def test_what_is_left_alone() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(4, 8, 3, groups=2),
        torch.nn.BatchNorm2d(8),
        torch.nn.Conv2d(8, 6, 3, padding="same", padding_mode="circular"),
        torch.nn.Flatten(),
        torch.nn.Linear(6 * 36, 10),
        torch.nn.Linear(10, 10),
    )
    model[5].weight.data[0, 0] = float("nan")
    values = {
        "global_config": {**UINT4, "block_size": 5, "granularity": "per_block"},
        "module_name_configs": {"2": UINT4},
    }
    _, compressor = run(model, values, [torch.randn(5, 4, 8, 8)])
    reasons = {record.name: record.reason for record in compressor.report.weights}
    assert "2 groups" in str(reasons["0.weight"])
    assert reasons["1.weight"] == "modules of type BatchNorm2d are not compressed"
    assert reasons["2.weight"] is None
    assert "216 % 5" in str(reasons["4.weight"])
    assert "not finite" in str(reasons["5.weight"])
    assert "output error" in str(next(r.note for r in compressor.report.weights if r.name == "2.weight"))


class Attention(torch.nn.Module):
    """Three layers of one input, and one of an input that is changed in between."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (torch.nn.Linear(24, 24) for _ in range(4))

    def forward(self, x: Any) -> Any:
        x = x.clone()
        hidden = self.q(x) * self.k(x) + self.v(x)
        x += 1
        return hidden + self.out(x)


@pytest.mark.parametrize("settings", [UINT4, {"algorithm": "sparse_gpt", "weight_dtype": "float32"}], ids=str)
def test_layers_that_share_their_inputs(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The product of the inputs is computed once, as long as they stay the same."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(Attention(), torch.nn.ReLU())
    data = [torch.randn(4, 30, 24) for _ in range(3)]
    seen, inputs = [], GPTQ._inputs
    for kind in (GPTQ, SparseGPT):
        monkeypatch.setattr(kind, "_inputs", lambda self, inp: seen.append(self) or inputs(self, inp))
    compressed, compressor = run(model, {"global_config": settings}, data)
    assert len(seen) == 2 * len(data)
    kinds = {"gptq": (GPTQ, ModuleGPTQConfig), "sparse_gpt": (SparseGPT, ModuleSparseGPTConfig)}
    kind, config = kinds[settings["algorithm"]]
    for name in ("q", "k", "v", "out"):
        alone = copy.deepcopy(getattr(model[0], name))
        algorithm = kind(alone, config(weight_dtype=settings["weight_dtype"]))
        for x in data:
            algorithm.add_batch(x + (name == "out"), None)
        algorithm.compress()
        assert torch.equal(alone.weight, getattr(compressed[0], name).weight)
        assert compressor.losses[f"0.{name}.weight"].loss == algorithm.loss


def test_a_hessian_that_is_not_definite() -> None:
    """Channels that depend on each other, and no dampening: float32 fails, double precision with a little more does."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(16, 8))
    data = torch.randn(40, 5) @ torch.randn(5, 16)
    data[:, 2] = 0
    compressed, compressor = run(model, {"global_config": {**UINT4, "hessian_dampening": 0.0}}, [data])
    (record,) = compressor.report.compressed
    assert "double precision" in str(record.note)
    assert (compressed[0].weight[:, 2] == 0).all()


def test_a_registered_algorithm_and_cacher() -> None:
    seen = []

    @LayerwiseCompressionAlgorithmConfig.register("halve")
    class HalveConfig(LayerwiseCompressionAlgorithmConfig):
        algorithm = "halve"

        @classmethod
        def from_dict(cls, config_dict: Any) -> Any:
            return cls()

    @LayerwiseCompressionAlgorithm.register("halve")
    class Halve(LayerwiseCompressionAlgorithm):
        def __init__(self, layer: Any, config: Any) -> None:
            self.layer = layer

        def add_batch(self, inp: Any, out: Any) -> None:
            seen.append(inp.shape)

        def compress(self) -> None:
            self.layer.weight.data *= 0.5

        def cleanup(self) -> None:
            seen.append("cleanup")

    @FirstLayerInputCacher.register("first")
    class First(FirstLayerInputCacher):
        def cache(self, dataloader: Any, nsamples: int, device: Any) -> Any:
            return [next(iter(dataloader))], {}

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5))
    before = model[0].weight.detach().clone()
    values = {"global_config": {"algorithm": "halve"}, "input_cacher": "first"}
    compressed, compressor = run(model, values, [torch.randn(9, 6), torch.randn(3, 6)])
    assert torch.equal(compressed[0].weight, before * 0.5)
    assert torch.equal(model[0].weight, before)
    assert seen == [(9, 6), "cleanup"]
    assert compressor.report.compressed[0].scheme == "halve"


def test_configurations() -> None:
    config = ModuleGPTQConfig(weight_dtype="uint4")
    config.block_size = 32
    config.enable_normal_float = True
    assert (config.weight_n_bits, config.block_size, config.weight_dtype) == (4, 32, torch.uint8)
    config.enable_normal_float = False
    config.weight_dtype = "uint8"
    assert config.weight_n_bits == 8
    config = ModuleGPTQConfig(weight_dtype="uint2", enable_palettization=True)
    config.palettization_group_size = 16
    assert (config.weight_n_bits, config.weight_dtype) == (2, torch.uint8)
    pytest.importorskip("yaml")
    text = "global_config: {algorithm: sparse_gpt, n_m_ratio: [2, 4], weight_dtype: float32}\ncalibration_nsamples: 3\n"
    read = LayerwiseCompressorConfig.from_yaml(io.StringIO(text))
    assert read.global_config == ModuleSparseGPTConfig(n_m_ratio=(2, 4), weight_dtype="float32")
    assert read.calibration_nsamples == 3
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Sequential(torch.nn.Linear(2, 2)))
    assert [name for name, _ in LayerwiseCompressorConfig(layers=[r"1\.\d", model[0]]).get_layers(model)] == [
        "0",
        "1.0",
    ]


@pytest.mark.parametrize(
    "make, error, text",
    [
        (lambda: ModuleGPTQConfig(weight_dtype="int4"), ValueError, "weight_dtype: found 'int4'"),
        (lambda: ModuleGPTQConfig(weight_dtype="uint2"), ValueError, "weight_dtype: found 'uint2'"),
        (lambda: ModuleSparseGPTConfig(weight_dtype="uint6"), ValueError, "weight_dtype: found 'uint6'"),
        (lambda: ModuleGPTQConfig(block_size=0), ValueError, "block_size: found 0"),
        (lambda: ModuleGPTQConfig(enable_normal_float=True), ValueError, "enable_normal_float"),
        (lambda: ModuleGPTQConfig(hessian_dampening=-1.0), ValueError, "hessian_dampening: found -1.0"),
        (lambda: ModuleGPTQConfig(hessian_dampening="1"), TypeError, "hessian_dampening"),
        (lambda: ModuleGPTQConfig(processing_group_size=0), ValueError, "processing_group_size: found 0"),
        (lambda: ModuleGPTQConfig(palettization_group_size=4), ValueError, "palettization_group_size: found 4"),
        (lambda: ModuleGPTQConfig(enable_palettization=True, block_size=4), ValueError, "block_size: found 4"),
        (lambda: ModuleGPTQConfig(algorithm="sparse_gpt"), ValueError, "algorithm"),
        (lambda: ModuleSparseGPTConfig(target_sparsity=1.0), ValueError, "target_sparsity: found 1.0"),
        (lambda: ModuleSparseGPTConfig(n_m_ratio=(3, 2)), ValueError, "n_m_ratio"),
        (lambda: ModuleSparseGPTConfig(n_m_ratio=2), TypeError, "n_m_ratio: found 2"),
        (lambda: LayerwiseCompressorConfig(calibration_nsamples=0), ValueError, "calibration_nsamples: found 0"),
        (lambda: LayerwiseCompressorConfig(layers=3), TypeError, "layers: found 3"),
        (lambda: LayerwiseCompressorConfig(input_cacher="nobody"), NotImplementedError, "'nobody'"),
        (lambda: LayerwiseCompressorConfig.from_dict({"global_config": {}}), ValueError, "algorithm"),
        (
            lambda: LayerwiseCompressorConfig.from_dict({"global_config": {**UINT4, "bits": 3}}),
            ValueError,
            "unrecognized key bits",
        ),
        (lambda: LayerwiseCompressor(torch.nn.Linear(2, 2), {}), TypeError, "config: found a dict"),
        (lambda: run(residual(), {}, []), ValueError, "dataloader: found no batch"),
        (lambda: run(residual(), {}, pairs(), device="nowhere"), ValueError, "device: found 'nowhere'"),
        (lambda: run(residual(), {}, pairs(), inplace=1), TypeError, "inplace: found 1"),
    ],
)
def test_errors(make: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        make()
