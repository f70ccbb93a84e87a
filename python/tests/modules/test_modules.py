"""What every compressor of torch modules does with a model: copies, types, tied parameters, the report. Needs torch alone."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from typing import Any

import pytest

import swiftcompress.torch as sct
from support.modules import ALL_FLOATS, Tied, buffer, convolutions, layers, state, torch
from swiftcompress.torch.palettization import (
    PostTrainingPalettizer,
    PostTrainingPalettizerConfig,
    SKMPalettizer,
    SKMPalettizerConfig,
)
from swiftcompress.torch.quantization import PostTrainingQuantizer, PostTrainingQuantizerConfig

COMPRESSORS = {
    "palettizer": lambda model, values={}: PostTrainingPalettizer(
        model, PostTrainingPalettizerConfig.from_dict(values)
    ),
    "quantizer": lambda model, values={}: PostTrainingQuantizer(model, PostTrainingQuantizerConfig.from_dict(values)),
}
BOTH = pytest.mark.parametrize("make", COMPRESSORS.values(), ids=COMPRESSORS.keys())


def equal(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@BOTH
def test_the_model_is_not_changed(make: Any) -> None:
    model = layers()
    before, pointers = state(model), [parameter.data_ptr() for parameter in model.parameters()]
    done = make(model).compress()
    assert equal(state(model), before)
    assert pointers == [parameter.data_ptr() for parameter in model.parameters()]
    assert not set(pointers) & {parameter.data_ptr() for parameter in done.parameters()}
    assert all(not name.startswith("_COREML_") for name, _ in model.named_buffers())


@BOTH
def test_what_is_declined_is_copied_too(make: Any) -> None:
    """Also where it turns out late that a weight cannot be compressed."""
    model = layers()
    with torch.no_grad():
        model[1].weight[0, 0] = math.nan
    compressor = make(model)
    done = compressor.compress()
    assert done[1].weight.data_ptr() != model[1].weight.data_ptr()
    with torch.no_grad():
        done[1].weight.fill_(1)
    assert math.isnan(float(model[1].weight[0, 0]))
    reasons = {record.name: record.reason for record in compressor.report.declined}
    assert "NaN" in reasons["1.weight"] or "nan" in reasons["1.weight"]


@BOTH
def test_inplace(make: Any) -> None:
    model = layers()
    expected = state(make(model).compress())
    pointers = [parameter.data_ptr() for parameter in model.parameters()]
    done = make(model).compress(inplace=True)
    assert done is model
    assert equal(state(model), expected)
    assert pointers == [parameter.data_ptr() for parameter in model.parameters()]


@BOTH
def test_a_second_run_starts_from_the_same_model(make: Any) -> None:
    compressor = make(layers())
    assert equal(state(compressor.compress()), state(compressor.compress()))


@BOTH
@pytest.mark.parametrize("dtype", ALL_FLOATS, ids=str)
def test_types(make: Any, dtype: Any) -> None:
    model = convolutions().to(dtype)
    compressor = make(model)
    done = compressor.compress()
    assert [parameter.dtype for parameter in done.parameters()] == [dtype] * len(list(done.parameters()))
    for record in compressor.report.compressed:
        assert record.snr_db is not None
        assert record.snr_db > 15, record
    for name in ("lut", "quantization_scale"):
        found = dict(done[3].named_buffers()).get(f"_COREML_/weight/{name}")
        assert found is None or found.dtype == dtype


def test_bfloat16_weights_are_what_the_buffers_say() -> None:
    model = torch.nn.Linear(64, 48).to(torch.bfloat16)
    palettized = COMPRESSORS["palettizer"](model).compress()
    assert set(palettized.weight.unique().tolist()) == set(buffer(palettized, "lut").flatten().tolist())
    quantized = COMPRESSORS["quantizer"](model).compress()
    codes = quantized.weight.double() / buffer(quantized, "quantization_scale").double()
    exact = codes.round() * buffer(quantized, "quantization_scale").double()
    assert torch.equal(exact.to(torch.bfloat16), quantized.weight)


@BOTH
def test_tied_parameters_stay_tied(make: Any) -> None:
    model = Tied()
    compressor = make(model)
    done = compressor.compress()
    assert done.head.weight is done.embedding.weight
    assert done.head.weight is not model.head.weight
    record = compressor.report.weights[0]
    assert record.name == "embedding.weight"
    assert record.note == "tied to head.weight"
    for module in (done.head, done.embedding):
        assert any(name.startswith("_COREML_/weight/") for name, _ in module.named_buffers())
    assert [record.name for record in compressor.report.weights].count("embedding.weight") == 1


@BOTH
def test_tied_memory_stays_tied(make: Any) -> None:
    """Two parameters of the same memory."""
    model = Tied()
    model.head.weight = torch.nn.Parameter(model.embedding.weight.data)
    done = make(model).compress()
    assert done.head.weight.data_ptr() == done.embedding.weight.data_ptr()
    assert torch.equal(done.head.weight, done.embedding.weight)


@BOTH
def test_tied_parameters_with_different_configurations_are_left_alone(make: Any) -> None:
    compressor = make(Tied(), {"global_config": {}, "module_name_configs": {"head": None}})
    done = compressor.compress()
    assert done.head.weight is done.embedding.weight
    record = compressor.report.weights[0]
    assert record.action == "declined"
    assert record.reason == "tied to 'head.weight', and their configurations differ"


def test_configurations_that_no_module_matches_are_a_warning() -> None:
    palettizer = COMPRESSORS["palettizer"](
        layers(), {"module_type_configs": {"Lineer": {}}, "module_name_configs": {"heads.*": {"n_bits": 2}}}
    )
    palettizer.compress()
    assert palettizer.report.warnings == (
        "module_type_configs: no module of the model is a Lineer",
        "module_name_configs: 'heads.*' matches no module of the model",
    )
    assert not palettizer.report.compressed


@BOTH
def test_what_is_compressed_already_is_left_alone(make: Any) -> None:
    once = make(layers()).compress()
    compressor = make(once)
    again = compressor.compress()
    assert equal(state(once), state(again))
    assert not compressor.report.compressed


def test_what_cannot_be_read() -> None:
    from torch.nn.utils import prune

    parametrized = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(8, 8))
    pruned = prune.random_unstructured(torch.nn.Linear(8, 8), "weight", 0.5)
    model = torch.nn.ModuleList(
        [parametrized, pruned, torch.nn.LazyLinear(4), torch.nn.Linear(8, 8, device="meta"), torch.nn.Linear(0, 4)]
    )
    for make in COMPRESSORS.values():
        compressor = make(model)
        compressor.compress(inplace=True)  # torch cannot copy what its pruning has not finished
        reasons = {record.name: str(record.reason) for record in compressor.report.weights}
        assert not compressor.report.compressed
        assert "make its parametrization or pruning permanent" in reasons["0.parametrizations.weight.original0"]
        assert "make its parametrization or pruning permanent" in reasons["1.weight_orig"]
        assert "not initialized yet" in reasons["2.weight"]
        assert "meta device" in reasons["3.weight"]
        assert "no elements" in reasons["4.weight"]


@BOTH
def test_layouts_of_memory(make: Any) -> None:
    """channels_last weights have the same numbers, and stay channels_last."""
    model = torch.nn.Conv2d(8, 16, 3)
    expected = make(model).compress()
    turned = copy.deepcopy(model).to(memory_format=torch.channels_last)
    done = make(turned).compress()
    assert torch.equal(done.weight, expected.weight)
    assert done.weight.stride() == turned.weight.stride()
    make(turned).compress(inplace=True)
    assert torch.equal(turned.weight, expected.weight)


def test_every_kind_of_module_is_palettized() -> None:
    palettizer = COMPRESSORS["palettizer"](
        convolutions(), {"global_config": {"granularity": "per_grouped_channel", "group_size": 4, "n_bits": 3}}
    )
    palettizer.compress()
    done = [record.module_type for record in palettizer.report.compressed]
    for kind in ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "Linear"):
        assert kind in done
    assert done.count("MultiheadAttention") == 4


def test_the_scale_of_a_transposed_convolution_is_for_its_output_channels() -> None:
    model = torch.nn.ConvTranspose2d(8, 12, 3)
    done = COMPRESSORS["palettizer"](model, {"global_config": {"enable_per_channel_scale": True}}).compress()
    scale = buffer(done, "palettization_scale")
    assert torch.equal(scale.flatten(), model.weight.detach().abs().amax((0, 2, 3)))
    assert tuple(scale.shape) == (1, 12, 1, 1)


def loss_fn(model: Any, data: Any) -> Any:
    return torch.nn.functional.mse_loss(model(data[0]), data[1])


def samples(count: int = 3) -> list[Any]:
    torch.manual_seed(2)
    return [(torch.randn(4, 16), torch.randn(4, 8)) for _ in range(count)]


def test_both_forms_of_the_call() -> None:
    model, data = torch.nn.Linear(16, 8), samples()
    palettizer = SKMPalettizer(model)
    first = palettizer.compress(dataloader=data, loss_fn=loss_fn)
    second = palettizer.compress(data_loader=data, loss_function=loss_fn)
    third = palettizer.compress(data, loss_fn)
    assert equal(state(first), state(second))
    assert equal(state(first), state(third))
    with pytest.raises(TypeError, match="dataloader, data_loader"):
        palettizer.compress(dataloader=data, data_loader=data, loss_fn=loss_fn)


def test_sensitivity_leaves_the_model_as_it_was() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(16, 12), torch.nn.BatchNorm1d(12), torch.nn.Linear(12, 8))
    model[2].weight.requires_grad_(False)
    gradient = torch.full_like(model[0].weight, 3.0)
    model[0].weight.grad = gradient
    before = state(model)
    sensitivities = SKMPalettizer(model).compute_sensitivity(samples(), loss_fn)
    assert equal(state(model), before)
    assert model[0].weight.grad is gradient
    assert model[2].weight.grad is None
    assert not model[2].weight.requires_grad
    # A frozen weight is compressed, so its sensitivity is found too.
    assert set(sensitivities) == {name for name, _ in model.named_parameters()}
    for value in sensitivities.values():
        assert float(value.max()) == 1
        assert float(value.min()) >= 1e-12


def test_sensitive_weights_are_kept_better() -> None:
    """Two inputs of which one is always zero: only the weights of the other matter."""
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 64, bias=False)
    data = [(torch.stack([torch.randn(16), torch.zeros(16)], 1), torch.randn(16, 64)) for _ in range(4)]
    config = SKMPalettizerConfig.from_dict({"global_config": {"n_bits": 3}})
    done = SKMPalettizer(model, config).compress(data, loss_fn)
    plain = COMPRESSORS["palettizer"](model, {"global_config": {"n_bits": 3}}).compress()
    errors = [float((each.weight - model.weight)[:, 0].square().sum()) for each in (done, plain)]
    assert errors[0] < errors[1]


def test_only_so_many_samples_are_used() -> None:
    used = []

    def counting(model: Any, data: Any) -> Any:
        used.append(data)
        return loss_fn(model, data)

    config = SKMPalettizerConfig(calibration_nsamples=2)
    SKMPalettizer(torch.nn.Linear(16, 8), config).compress(iter(samples(5)), counting)
    assert len(used) == 2


def test_sensitivities_that_are_missing(tmp_path: Any) -> None:
    palettizer = SKMPalettizer(torch.nn.Linear(16, 8))
    path = tmp_path / "sensitivity.pt"
    torch.save({"bias": torch.ones(8)}, path)
    with pytest.raises(ValueError, match="nothing for 'weight'"):
        palettizer.compress(sensitivity_path=path)
    torch.save({"weight": torch.ones(8)}, path)
    with pytest.raises(ValueError, match=r"allowed a tensor of shape \(8, 16\)"):
        palettizer.compress(sensitivity_path=path)
    with pytest.raises(FileNotFoundError):
        palettizer.compress(sensitivity_path=tmp_path / "nowhere.pt")
    with pytest.raises(ValueError, match="found no sample"):
        palettizer.compress([], loss_fn)
    with pytest.raises(ValueError, match="found neither"):
        palettizer.compress()
    with pytest.warns(UserWarning, match="have no effect"):
        palettizer.compress(samples(), loss_fn, num_sensitivity_workers=2)


@BOTH
def test_wrong_arguments(make: Any) -> None:
    compressor = make(layers())
    with pytest.raises(TypeError, match="inplace"):
        compressor.compress(inplace=1)
    with pytest.raises(TypeError, match=r"allowed a torch\.nn\.Module"):
        type(compressor)(torch.zeros(3))
    with pytest.raises(TypeError, match="config"):
        type(compressor)(layers(), {"global_config": {}})


def test_wrong_numbers_of_workers() -> None:
    for value, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="num_kmeans_workers"):
            PostTrainingPalettizer(layers()).compress(num_kmeans_workers=value)


def test_imports() -> None:
    """Neither coremltools nor PyYAML is imported; `import swiftcompress` does not import torch."""
    code = (
        "import sys, swiftcompress; assert 'torch' not in sys.modules; import swiftcompress.torch; "
        "assert not {'coremltools', 'yaml', 'sklearn', 'attr'} & set(sys.modules) - before"
    )
    code = "import sys, torch; before = set(sys.modules); " + code.replace("assert 'torch' not in sys.modules; ", "")
    subprocess.run([sys.executable, "-c", code], check=True)
    plain = "import sys, swiftcompress; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", plain], check=True)
    assert sct.palettization.PostTrainingPalettizer is PostTrainingPalettizer
