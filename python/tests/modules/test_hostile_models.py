"""Models that share memory in odd ways, do odd things when they run, or fail."""

from __future__ import annotations

from typing import Any

import pytest

from support.modules import Tied, torch
from swiftcompress.torch.layerwise_compression import (
    GPTQ,
    LayerwiseCompressor,
    LayerwiseCompressorConfig,
    ModuleGPTQConfig,
)
from swiftcompress.torch.palettization import (
    PostTrainingPalettizer,
    PostTrainingPalettizerConfig,
    SKMPalettizer,
    SKMPalettizerConfig,
)
from swiftcompress.torch.quantization import PostTrainingQuantizer, PostTrainingQuantizerConfig

FOUR_BITS = PostTrainingPalettizerConfig.from_dict({"global_config": {"n_bits": 4}})
UINT4 = {"algorithm": "gptq", "weight_dtype": "uint4"}
NF4 = {**UINT4, "enable_normal_float": True}


def layerwise(model: Any, settings: dict[str, Any], data: list[Any], **keywords: Any) -> tuple[Any, Any]:
    compressor = LayerwiseCompressor(model, LayerwiseCompressorConfig.from_dict({"global_config": settings}))
    return compressor.compress(data, **keywords), compressor


def linear(rows: int = 32, columns: int = 16) -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(columns, rows))


# Memory


def test_weights_that_overlap_are_left_alone() -> None:
    first, second = torch.nn.Linear(16, 32), torch.nn.Linear(16, 8)
    second.weight.data = first.weight.data[:8]
    model = torch.nn.Sequential(first, second, torch.nn.Linear(16, 8))
    before = first.weight.detach().clone()
    palettizer = PostTrainingPalettizer(model, FOUR_BITS)
    palettizer.compress(inplace=True)
    assert torch.equal(first.weight, before)
    reasons = {record.name: record.reason for record in palettizer.report.declined}
    assert reasons["0.weight"] == "a part of its memory is that of '1.weight'"
    assert reasons["1.weight"] == "a part of its memory is that of '0.weight'"
    assert [record.name for record in palettizer.report.compressed] == ["2.weight"]


def test_weights_side_by_side_in_one_memory_are_compressed() -> None:
    memory = torch.randn(2 * 16 * 32)
    model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.Linear(16, 32))
    model[0].weight.data = memory[: 16 * 32].view(32, 16)
    model[1].weight.data = memory[16 * 32 :].view(32, 16)
    palettizer = PostTrainingPalettizer(model, FOUR_BITS)
    palettizer.compress()
    assert len(palettizer.report.compressed) == 2


def test_a_weight_that_repeats_itself_is_left_alone() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(16, 32))
    model[0].weight.data = torch.randn(1, 16).expand(32, 16)
    palettizer = PostTrainingPalettizer(model, FOUR_BITS)
    palettizer.compress(inplace=True)
    (record,) = (record for record in palettizer.report.declined if record.name == "0.weight")
    assert record.reason == "several of its elements are one place in memory"


def test_buffers_are_their_modules_own() -> None:
    tied = PostTrainingQuantizer(Tied(), PostTrainingQuantizerConfig()).compress()
    name = "_COREML_/weight/quantization_scale"
    first, second = tied.embedding.get_buffer(name), tied.head.get_buffer(name)
    assert torch.equal(first, second)
    assert first.data_ptr() != second.data_ptr()


def test_normal_floats_are_not_given_away() -> None:
    data = [torch.randn(64, 16)]
    before, _ = layerwise(linear(), NF4, data)
    spoilt, _ = layerwise(linear(), NF4, data)
    spoilt[0].get_buffer("_COREML_/weight/lut").zero_()
    after, _ = layerwise(linear(), NF4, data)
    assert torch.equal(before[0].weight, after[0].weight)
    assert torch.equal(before[0].get_buffer("_COREML_/weight/lut"), after[0].get_buffer("_COREML_/weight/lut"))


def test_hessians_and_factors_are_forgotten() -> None:
    algorithm = GPTQ(linear()[0], ModuleGPTQConfig(weight_dtype="uint4"))
    algorithm.add_batch(torch.randn(64, 16), None)
    algorithm.result()
    used = algorithm.factors
    algorithm.cleanup()
    assert not algorithm.has_batches
    assert algorithm._hessian is None
    assert algorithm.factors is not used


# Running


class Counter(torch.nn.Module):
    """Puts another tensor in the place of its buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(16, 8)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Any) -> Any:
        self.calls = self.calls + 1
        return self.layer(x)


def test_buffers_that_are_replaced_come_back() -> None:
    model = Counter()
    buffer = model.calls
    config = SKMPalettizerConfig.from_dict({"global_config": {"n_bits": 2}})
    SKMPalettizer(model, config).compress(
        dataloader=[torch.randn(4, 16)] * 3, loss_fn=lambda model, data: model(data).square().sum()
    )
    assert model.calls is buffer
    assert float(buffer) == 0


def test_an_error_of_the_model_is_not_hidden() -> None:
    class Broken(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(16, 8)

        def forward(self, x: Any, scale: Any) -> Any:
            return self.layer(x) * scale

    with pytest.raises(TypeError, match="scale"):
        layerwise(Broken(), UINT4, [torch.randn(4, 16)])


def test_a_batch_without_rows() -> None:
    data = [torch.zeros(0, 16), torch.randn(64, 16)]
    model, compressor = layerwise(linear(), UINT4, data)
    assert len(compressor.report.compressed) == 1
    other, _ = layerwise(linear(), UINT4, data[1:])
    assert torch.equal(model[0].weight, other[0].weight)


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_another_default_type(dtype: str) -> None:
    data = [torch.randn(64, 16)]
    expected, _ = layerwise(linear(), UINT4, data)
    model = linear()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        found, compressor = layerwise(model, UINT4, data)
    finally:
        torch.set_default_dtype(torch.float32)
    assert len(compressor.report.compressed) == 1
    assert torch.equal(found[0].weight, expected[0].weight)


# Order


def test_what_convert_cannot_read_is_not_made() -> None:
    quantized = PostTrainingQuantizer(linear(), PostTrainingQuantizerConfig()).compress()
    palettizer = PostTrainingPalettizer(quantized, FOUR_BITS)
    palettizer.compress()
    assert next(record.reason for record in palettizer.report.declined) == "it is quantized already"
    palettized = PostTrainingPalettizer(linear(), FOUR_BITS).compress()
    quantizer = PostTrainingQuantizer(palettized, PostTrainingQuantizerConfig())
    quantizer.compress()
    assert next(record.reason for record in quantizer.report.declined) == "it is palettized already"


def test_scripts_are_refused() -> None:
    with pytest.raises(TypeError, match=r"model.*ScriptModule"):
        PostTrainingPalettizer(torch.jit.script(linear()), FOUR_BITS)
