"""An error in the middle of `compress(inplace=True)` leaves the model as it was. Needs torch alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.modules import layers, torch
from swiftcompress.torch import _optimizer
from swiftcompress.torch._before import Before
from swiftcompress.torch.layerwise_compression import (
    GPTQ,
    LayerwiseCompressionAlgorithm,
    LayerwiseCompressionAlgorithmConfig,
    LayerwiseCompressor,
    LayerwiseCompressorConfig,
    layerwise_compressor,
)
from swiftcompress.torch.palettization import PostTrainingPalettizer, SKMPalettizer, post_training, sensitive_k_means
from swiftcompress.torch.quantization import PostTrainingQuantizer
from swiftcompress.torch.quantization import post_training as quantization

ERRORS = pytest.mark.parametrize(
    "error", [RuntimeError, MemoryError, KeyboardInterrupt], ids=lambda each: each.__name__
)
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs", "_forward_pre_hooks_with_kwargs")


class Network(torch.nn.Module):
    """Layers that are a chain or not; modes that differ; buffers that a run changes, replaces or makes."""

    def __init__(self, is_chain: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = torch.nn.Linear(16, 24), torch.nn.Linear(24, 24)
        self.norm, self.head = torch.nn.BatchNorm1d(24), torch.nn.Linear(24, 8)
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("wide", torch.zeros(2, 1).expand(2, 5))
        self.register_buffer("last", torch.full((2,), math.nan), persistent=False)
        self.is_chain = is_chain
        self.second.eval()
        self.head.weight.requires_grad_(False)
        self.first.weight.grad = torch.ones_like(self.first.weight)

    def forward(self, x: Any) -> Any:
        self.calls += 1
        self.last = x[0, :2].clone()
        hidden = torch.relu(self.second(self.first(x)))
        return self.head(self.norm(hidden if self.is_chain else hidden + self.first(x)))


def seen(model: Any) -> list[Any]:
    """Everything about a model: which objects, where in memory, which bits, which modes, gradients and hooks."""
    found: list[Any] = [list(model.state_dict())]
    for name, module in model.named_modules():
        found.append((name, module.training, [len(getattr(module, hooks)) for hooks in HOOKS]))
        for key, tensor in (*module._parameters.items(), *module._buffers.items()):
            bits = None if tensor is None else tensor.detach().numpy().tobytes()
            found.append((key, id(tensor), None if tensor is None else tensor.data_ptr(), bits))
        found += [
            (key, each.requires_grad, id(each.grad), each._post_accumulate_grad_hooks or None)
            for key, each in module._parameters.items()
            if each is not None
        ]
    return found


def failing(call: Callable[..., Any], number: int, error: Any) -> Callable[..., Any]:
    """The same function, but for the call of this number."""
    count = 0

    def instead(*arguments: Any, **keywords: Any) -> Any:
        nonlocal count
        count += 1
        if count == number:
            raise error("on purpose")
        return call(*arguments, **keywords)

    return instead


def rows(count: int = 3) -> list[Any]:
    rng = torch.Generator().manual_seed(1)
    return [torch.randn(32, 16, generator=rng) for _ in range(count)]


def loss_fn(model: Any, data: Any) -> Any:
    return model(data).square().mean()


def layerwise(model: Any, **values: Any) -> LayerwiseCompressor:
    config = {"global_config": {"algorithm": "gptq", "weight_dtype": "uint4"}, **values}
    return LayerwiseCompressor(model, LayerwiseCompressorConfig.from_dict(config))


def check(model: Any, compressor: Any, error: Any, *arguments: Any, **keywords: Any) -> None:
    before, report = seen(model), compressor.report
    with pytest.raises(error):
        compressor.compress(*arguments, inplace=True, **keywords)
    assert seen(model) == before
    assert compressor.report is report


@ERRORS
@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_weight_of_a_palettizer_or_quantizer(error: Any, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, room, name in (
        (PostTrainingPalettizer, post_training, "palettize"),
        (PostTrainingQuantizer, quantization, "_quantize"),
    ):
        model = layers()
        with monkeypatch.context() as patch:
            patch.setattr(room, name, failing(getattr(room, name), number, error))
            check(model, kind(model), error)
        assert kind(model).compress(inplace=True) is model
        assert "_COREML_/weight/compression_type" in model[1].state_dict()


@ERRORS
@pytest.mark.parametrize("kind", [PostTrainingPalettizer, PostTrainingQuantizer])
def test_between_the_values_and_what_is_said_of_them(kind: Any, error: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third weight is written, its buffers are not."""
    model = layers()
    monkeypatch.setattr(_optimizer.copy, "copy", failing(_optimizer.copy.copy, 3, error))
    check(model, kind(model), error)


@ERRORS
def test_a_weight_of_sensitive_k_means(error: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Network()
    with monkeypatch.context() as patch:
        patch.setattr(sensitive_k_means, "palettize", failing(sensitive_k_means.palettize, 2, error))
        check(model, SKMPalettizer(model), error, rows(), loss_fn)
        patch.undo()
        patch.setattr(sensitive_k_means, "register_metadata_version", failing(print, 1, error))
        check(model, SKMPalettizer(model), error, rows(), loss_fn)


def broken(data: list[Any], error: Any) -> Iterator[Any]:
    """A loader that fails after two batches."""
    yield from data[:2]
    raise error("on purpose")


@ERRORS
@pytest.mark.parametrize("inplace", [True, False])
def test_a_loss_a_loader_or_a_model_that_fails(error: Any, inplace: bool) -> None:
    model = Network()
    before = seen(model)
    with pytest.raises(error):
        SKMPalettizer(model).compress(rows(), failing(loss_fn, 2, error), inplace=inplace)
    assert seen(model) == before
    for compressor in (SKMPalettizer(model), layerwise(model)):
        given = (loss_fn,) if isinstance(compressor, SKMPalettizer) else ()
        with pytest.raises(error):
            compressor.compress(broken(rows(), error), *given, inplace=inplace)
        assert seen(model) == before
        handle = model.second.register_forward_hook(failing(lambda *_: None, 3, error))
        with pytest.raises(error):
            compressor.compress(rows(), *given, inplace=inplace)
        handle.remove()
        assert seen(model) == before


def test_a_loss_that_changes_modes() -> None:
    def changing(model: Any, data: Any) -> Any:
        model.eval()
        raise RuntimeError("on purpose")

    model = Network()
    check(model, SKMPalettizer(model), RuntimeError, rows(), changing)


@ERRORS
@pytest.mark.parametrize("is_chain", [True, False])
@pytest.mark.parametrize("number", [1, 3])
def test_a_layer_of_the_layerwise_compressor(
    error: Any, is_chain: bool, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Network(is_chain)
    monkeypatch.setattr(GPTQ, "_quantized", failing(GPTQ._quantized, number, error))
    check(model, layerwise(model), error, rows())


@ERRORS
def test_the_end_of_the_layerwise_compressor(error: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Network()
    compressor = layerwise(model)
    with monkeypatch.context() as patch:
        patch.setattr(layerwise_compressor, "register_metadata_version", failing(print, 1, error))
        check(model, compressor, error, rows())
    assert compressor.losses == {}
    assert compressor.compress(rows(), inplace=True) is model
    assert set(compressor.losses) == {"first.weight", "second.weight", "head.weight"}


def test_a_model_that_is_elsewhere() -> None:
    """Moved for the run, here to a device without values, where nothing can be computed."""
    model = Network()
    check(model, layerwise(model), (NotImplementedError, RuntimeError), rows(), device="meta")


def test_an_algorithm_that_somebody_registered() -> None:
    """It may change anything about its layer before it fails."""

    @LayerwiseCompressionAlgorithmConfig.register("vandal")
    class VandalConfig(LayerwiseCompressionAlgorithmConfig):
        algorithm = "vandal"

        @classmethod
        def from_dict(cls, config_dict: Any) -> Any:
            return cls()

    @LayerwiseCompressionAlgorithm.register("vandal")
    class Vandal(LayerwiseCompressionAlgorithm):
        def __init__(self, layer: Any, config: Any) -> None:
            self.layer = layer

        def add_batch(self, inp: Any, out: Any) -> None:
            pass

        def compress(self) -> None:
            self.layer.weight.data *= 0.5
            self.layer.bias = torch.nn.Parameter(self.layer.bias * 2)
            self.layer.register_buffer("scale", torch.ones(1))
            if self.layer.in_features == 24:
                raise RuntimeError("on purpose")

        def cleanup(self) -> None:
            pass

    model = Network()
    check(model, layerwise(model, global_config={"algorithm": "vandal"}), RuntimeError, rows())


def test_what_a_model_makes_while_it_runs_stays() -> None:
    """It may count on that."""

    class Lazy(torch.nn.Linear):
        def forward(self, x: Any) -> Any:
            if not hasattr(self, "table"):
                self.register_buffer("table", torch.ones(1))
            return super().forward(x) * self.table

    class Hidden(Lazy):
        def forward(self, x: Any) -> Any:
            if not hasattr(self, "table"):
                self.register_buffer("table", torch.ones(1), persistent=False)
            return super().forward(x)

    for kind, names in ((Lazy, ["weight", "bias", "table"]), (Hidden, ["weight", "bias"])):
        model = torch.nn.Sequential(kind(16, 8), torch.nn.Linear(8, 4))
        with pytest.raises(RuntimeError):
            layerwise(model).compress([*rows(), torch.randn(3, 7)], inplace=True)
        assert list(model[0].state_dict()) == names
        assert model(rows()[0]).shape == (32, 4)


def test_gradients_are_where_they_were() -> None:
    """Also where the model was moved, and so were they."""
    model = Network()
    gradient = model.first.weight.grad
    before = Before(model)
    place, values = gradient.data_ptr(), gradient.clone()
    model.double()
    gradient.data = gradient.data * 2
    model.second.weight.grad = torch.ones(24, 24).double()
    before.restore()
    assert model.first.weight.grad is gradient
    assert gradient.data_ptr() == place
    assert torch.equal(gradient, values)
    assert model.second.weight.grad is None
    assert model.first.weight.dtype == torch.float32
