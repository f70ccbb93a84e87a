"""The report of the compressors of torch modules: what is in it, and its errors. Needs torch alone."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from support.modules import ALL_FLOATS, torch
from swiftcompress.torch.palettization import PostTrainingPalettizer, PostTrainingPalettizerConfig
from swiftcompress.torch.quantization import PostTrainingQuantizer, PostTrainingQuantizerConfig


def palettizer_of(model: Any, values: dict[str, Any]) -> PostTrainingPalettizer:
    return PostTrainingPalettizer(model, PostTrainingPalettizerConfig.from_dict(values))


def assert_errors(record: Any, before: Any, after: Any) -> None:
    """Those in the record are those of the weights."""
    old = before.detach().double()
    difference = after.detach().double() - old
    assert record.mse == pytest.approx(float(difference.square().mean()), rel=1e-5)
    assert record.max_error == pytest.approx(float(difference.abs().max()), rel=1e-6)
    signal = float(old.square().mean())
    assert record.snr_db == pytest.approx(10 * math.log10(signal / record.mse), abs=1e-3)


def test_every_parameter_is_in_the_report() -> None:
    class Own(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Parameter(torch.randn(8, 8))

    model = torch.nn.ModuleDict(
        {
            "linear": torch.nn.Linear(16, 8),
            "norm": torch.nn.LayerNorm(8),
            "lstm": torch.nn.LSTM(8, 8),
            "own": Own(),
            "left": torch.nn.Linear(8, 8),
        }
    )
    palettizer = palettizer_of(model, {"global_config": {"n_bits": 2}, "module_name_configs": {"left": None}})
    assert len(palettizer.report) == 0
    palettizer.compress()
    report = palettizer.report
    assert [record.name for record in report.weights] == [name for name, _ in model.named_parameters()]
    reasons = {record.name: record.reason for record in report.weights}
    assert reasons["linear.weight"] is None
    assert reasons["linear.bias"] == "of a Linear only weight is compressed"
    assert reasons["norm.weight"] == "modules of type LayerNorm are not compressed"
    assert reasons["lstm.weight_ih_l0"] == "modules of type LSTM are not compressed"
    assert reasons["own.table"] == "modules of type Own are not compressed"
    assert reasons["left.weight"] == "no configuration applies to the module"


def test_the_report_says_how_much_and_how_well() -> None:
    model = torch.nn.Linear(64, 32)
    palettizer = palettizer_of(model, {"global_config": {"n_bits": 4}})
    done = palettizer.compress()
    record = palettizer.report.weights[0]
    assert (record.module, record.parameter, record.module_type) == ("", "weight", "Linear")
    assert (record.shape, record.dtype, record.nbits) == ((32, 64), "float32", 4)
    assert (record.bytes_before, record.bytes_after) == (8192, 1024 + 64)
    assert record.bits_per_weight == 8 * record.bytes_after / 2048
    assert_errors(record, model.weight, done.weight)
    text = str(palettizer.report)
    assert "palettized: 4 bits, per tensor" in text
    assert "1 of 2 parameters compressed" in text
    assert json.loads(json.dumps(palettizer.report.to_dict()))["weights"][0]["shape"] == [32, 64]
    assert palettizer.report()["weight"]["error"] == pytest.approx(record.mse**0.5)
    assert "palettization_mode" in repr(palettizer.report())


@pytest.mark.parametrize("dtype", ALL_FLOATS, ids=str)
@pytest.mark.parametrize(
    "settings",
    [
        {"weight_dtype": "int4", "granularity": "per_block", "block_size": 16},
        {"weight_dtype": "uint8", "quantization_scheme": "affine"},
        {"weight_dtype": "int8", "granularity": "per_tensor"},
    ],
    ids=str,
)
def test_errors_of_quantized_weights(settings: dict[str, Any], dtype: Any) -> None:
    model = torch.nn.Linear(512, 256).to(dtype)
    quantizer = PostTrainingQuantizer(model, PostTrainingQuantizerConfig.from_dict({"global_config": settings}))
    done = quantizer.compress()
    assert_errors(quantizer.report.weights[0], model.weight, done.weight)


def test_errors_of_numbers_that_float32_cannot_square() -> None:
    for factor in (1e-30, 1e30):
        model = torch.nn.Linear(64, 32)
        with torch.no_grad():
            model.weight *= factor
        values = {"global_config": {"n_bits": 2, "enable_fast_kmeans_mode": False}}
        palettizer = palettizer_of(model, values)
        palettizer.compress()
        snr = palettizer.report.weights[0].snr_db
        assert snr is not None
        assert 5 < snr < 20
