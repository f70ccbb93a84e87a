"""GPTQ and SparseGPT of coremltools.optimize.torch with and without: every number the same."""

from __future__ import annotations

import copy
import gc
import os
from typing import Any

import pytest

pytest.importorskip("coremltools", reason="coremltools is not installed")
if os.environ.get("SWIFTCOMPRESS_TEST_TORCH", "1") == "0":
    pytest.skip("torch is left out: ./dev test --torch runs these tests", allow_module_level=True)
torch = pytest.importorskip("torch", reason="torch is not installed", exc_type=ImportError)

from coremltools.optimize.torch.layerwise_compression import (
    GPTQ,
    LayerwiseCompressor,
    LayerwiseCompressorConfig,
    ModuleGPTQConfig,
    ModuleSparseGPTConfig,
    SparseGPT,
)

import swiftcompress as sc
from support.accelerated import both
from swiftcompress.accelerate import layerwise


def linear(rows: int = 70, columns: int = 300, seed: int = 0) -> tuple[Any, Any]:
    """A layer and inputs whose channels depend on each other; one channel is always 0."""
    rng = torch.Generator().manual_seed(seed)
    layer = torch.nn.Linear(columns, rows)
    layer.weight.data = torch.randn(rows, columns, generator=rng) * 0.1
    mixed = torch.eye(columns) + 0.3 * torch.randn(columns, columns, generator=rng) / columns**0.5
    inputs = torch.randn(2, 256, columns, generator=rng) @ mixed
    inputs[..., 5] = 0
    return layer, inputs


def convolution() -> tuple[Any, Any]:
    rng = torch.Generator().manual_seed(7)
    layer = torch.nn.Conv2d(16, 40, 3, padding=1, stride=2)
    layer.weight.data = torch.randn(40, 16, 3, 3, generator=rng) * 0.1
    return layer, torch.randn(4, 16, 20, 20, generator=rng)


def compressed(algorithm: Any, config: Any, layer: Any, inputs: Any) -> dict[str, Any]:
    """The layer's state with its metadata, and the algorithm's own after compression."""
    layer = copy.deepcopy(layer)
    found = algorithm(layer, config)
    found.add_batch(inputs, layer(inputs))
    found.compress()
    assert not hasattr(found, "_hessian")
    state = {name: value.detach().clone() for name, value in layer.state_dict().items()}
    if found._quantizer is not None:
        state |= {"scale now": found._quantizer.scale, "zero point now": found._quantizer.zero_point}
    return state


def check(algorithm: Any, config: Any, layer: Any, inputs: Any, *, answered: bool = True) -> dict[str, Any]:
    __tracebackhide__ = True
    ours, theirs, status = both(
        f"{algorithm.__name__}._compress_impl", lambda: compressed(algorithm, config, layer, inputs)
    )
    assert status.state == "replaced", status.reason
    assert bool(status.ours) == answered, status.declined
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        assert ours[name].dtype == expected.dtype and ours[name].shape == expected.shape, name
        assert torch.equal(ours[name], expected), name
    assert not torch.equal(ours["weight"], layer.weight.data)
    return ours


GPTQ_SETTINGS: list[dict[str, Any]] = [
    {"weight_dtype": "uint4"},
    {"weight_dtype": "uint8"},
    {"weight_dtype": "uint4", "quantization_scheme": "affine"},
    {"weight_dtype": "uint4", "granularity": "per_tensor"},
    {"weight_dtype": "uint4", "granularity": "per_block", "block_size": 30},
    {"weight_dtype": "uint4", "granularity": "per_block", "block_size": 100, "processing_group_size": 64},
    {"weight_dtype": "uint3", "granularity": "per_tensor", "block_size": 20, "quantization_scheme": "affine"},
    {"weight_dtype": "uint4", "use_activation_order_heuristic": True},
    {
        "weight_dtype": "uint4",
        "use_activation_order_heuristic": True,
        "granularity": "per_block",
        "block_size": 30,
        "quantization_scheme": "affine",
    },
    {"weight_dtype": "uint4", "enable_normal_float": True},
    {"weight_dtype": "uint3", "enable_normal_float": True, "granularity": "per_block", "block_size": 50},
    {"weight_dtype": "uint3", "processing_group_size": 7, "hessian_dampening": 0.1},
    {"weight_dtype": "uint8", "processing_group_size": 1000},
]


@pytest.mark.parametrize("settings", GPTQ_SETTINGS, ids=str)
def test_gptq(settings: dict[str, Any]) -> None:
    check(GPTQ, ModuleGPTQConfig.from_dict(settings), *linear())


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 25, 26])
def test_gptq_of_few_rows(rows: int) -> None:
    for normal_float in (False, True):
        config = ModuleGPTQConfig(weight_dtype="uint4", enable_normal_float=normal_float)
        check(GPTQ, config, *linear(rows, 90))


@pytest.mark.parametrize(
    "settings",
    [{}, {"granularity": "per_block", "block_size": 4}, {"granularity": "per_block", "block_size": 18}],
    ids=str,
)
@pytest.mark.parametrize("order", [False, True])
def test_gptq_of_a_convolution(settings: dict[str, Any], order: bool) -> None:
    """A block is one of input channels, and is multiplied by the kernel's size; the last one is then smaller."""
    config = ModuleGPTQConfig(weight_dtype="uint4", use_activation_order_heuristic=order, **settings)
    check(GPTQ, config, *convolution())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_gptq_of_other_types(dtype: Any) -> None:
    layer, inputs = linear()
    check(GPTQ, ModuleGPTQConfig(weight_dtype="uint4"), layer.to(dtype), inputs.to(dtype))


@pytest.mark.parametrize(
    "settings",
    [
        {"weight_dtype": "float32"},
        {"weight_dtype": "float32", "target_sparsity": 0.0},
        {"weight_dtype": "float32", "target_sparsity": 0.93, "processing_group_size": 50},
        {"weight_dtype": "float32", "n_m_ratio": (2, 4)},
        {"weight_dtype": "float32", "n_m_ratio": (3, 10), "processing_group_size": 60},
        {"weight_dtype": "uint8"},
        {"weight_dtype": "uint4", "quantization_scheme": "affine", "target_sparsity": 0.3},
        {"weight_dtype": "uint4", "n_m_ratio": (1, 4), "quantization_granularity": "per_tensor"},
        {"weight_dtype": "uint4", "enable_normal_float": True},
    ],
    ids=str,
)
def test_sparse_gpt(settings: dict[str, Any]) -> None:
    found = check(SparseGPT, ModuleSparseGPTConfig.from_dict(settings), *linear())
    ratio = settings.get("n_m_ratio")
    share = ratio[0] / ratio[1] if ratio else settings.get("target_sparsity", 0.5)
    assert (found["weight"] == 0).float().mean() >= share - 1e-3


def test_sparse_gpt_of_a_convolution() -> None:
    check(SparseGPT, ModuleSparseGPTConfig(weight_dtype="float32"), *convolution())


class Attention(torch.nn.Module):
    """Three layers with the same inputs, one with others."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleList(torch.nn.Linear(40, 40) for _ in range(4))

    def forward(self, x: Any) -> Any:
        query, key, value = (part(x) for part in self.parts[:3])
        return self.parts[3](torch.softmax(query @ key.mT, -1) @ value)


@pytest.mark.parametrize("algorithm", ["gptq", "sparse_gpt"])
def test_layers_with_the_same_inputs_share_a_factor(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(Attention())
    data = [torch.randn(3, 20, 40) for _ in range(4)]
    config = LayerwiseCompressorConfig.from_dict({"global_config": {"algorithm": algorithm, "weight_dtype": "uint4"}})
    factored = []
    cholesky = torch.linalg.cholesky

    def counted(matrix: Any, **keywords: Any) -> Any:
        factored.append(len(matrix))
        return cholesky(matrix, **keywords)

    def call() -> dict[str, Any]:
        factored.clear()
        with monkeypatch.context() as patched:
            patched.setattr(torch.linalg, "cholesky", counted)
            return dict(LayerwiseCompressor(model, config).compress(data, device="cpu").state_dict())

    name = "GPTQ" if algorithm == "gptq" else "SparseGPT"
    ours, theirs, status = both(f"{name}._compress_impl", call)
    assert status.ours == 4
    assert len(factored) == 4, "two for each of two Hessians"
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    gc.collect()
    assert len(layerwise._kept) == 0


def test_threads_do_not_matter() -> None:
    layer, inputs = linear(200, 64)
    for algorithm, config in (
        (GPTQ, ModuleGPTQConfig(weight_dtype="uint4")),
        (SparseGPT, ModuleSparseGPTConfig(weight_dtype="float32")),
    ):
        expected = compressed(algorithm, config, layer, inputs)
        for threads in (1, 2, 5):
            with sc.accelerate_coremltools(num_threads=threads):
                found = compressed(algorithm, config, layer, inputs)
            assert torch.equal(found["weight"], expected["weight"])


def test_left_to_the_original() -> None:
    layer, _ = linear()
    check(
        SparseGPT,
        ModuleSparseGPTConfig(weight_dtype="uint8", target_sparsity=0.5),
        *convolution(),
    )
    # Equal elements: what topk chooses is up to the C++ library.
    layer.weight.data = torch.ones_like(layer.weight.data)
    identical = torch.eye(300).repeat(2, 1).unsqueeze(0)
    check(SparseGPT, ModuleSparseGPTConfig(weight_dtype="float32", n_m_ratio=(2, 4)), layer, identical, answered=False)


def test_errors_are_the_originals() -> None:
    layer, inputs = linear()
    for algorithm, config in (
        (GPTQ, ModuleGPTQConfig(weight_dtype="float32")),
        (SparseGPT, ModuleSparseGPTConfig(weight_dtype="float32", target_sparsity=1.0)),
        (GPTQ, ModuleGPTQConfig(weight_dtype="uint8", enable_normal_float=True)),
    ):
        said = []
        for accelerated in (False, True):
            accelerator = sc.accelerate_coremltools() if accelerated else None
            with pytest.raises((AttributeError, IndexError, ValueError)) as caught:
                compressed(algorithm, config, layer, inputs)
            said.append((type(caught.value), str(caught.value)))
            if accelerator:
                accelerator.restore()
        assert said[0] == said[1]


def test_a_hessian_that_is_not_definite() -> None:
    layer, inputs = linear()
    bad = torch.nn.Linear(300, 70)
    bad.weight.data = layer.weight.data.clone()
    with sc.accelerate_coremltools():
        found = GPTQ(bad, ModuleGPTQConfig(weight_dtype="uint4"))
        found.add_batch(inputs, inputs[..., :70])
        found._hessian -= 10 * torch.eye(300)
        with pytest.raises(torch.linalg.LinAlgError):
            found.compress()
    assert torch.equal(bad.weight.data, layer.weight.data)


def test_a_whole_model(caplog: pytest.LogCaptureFixture) -> None:
    rng = torch.Generator().manual_seed(3)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 20, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(20 * 36, 30)
    )
    batches = [torch.randn(4, 1, 8, 8, generator=rng) for _ in range(4)]
    config = LayerwiseCompressorConfig.from_dict(
        {"global_config": {"algorithm": "gptq", "weight_dtype": "uint4"}, "calibration_nsamples": 4}
    )

    def call() -> dict[str, Any]:
        return dict(LayerwiseCompressor(model, config).compress(batches, device="cpu").state_dict())

    with caplog.at_level("DEBUG", "coremltools.optimize.torch.layerwise_compression.algorithms"):
        ours, theirs, status = both("GPTQ._compress_impl", call)
    assert status.ours == 2
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    # The original says its errors, and so do we: two layers each, twice.
    said = [record.message.split("error")[1] for record in caplog.records if "error" in record.message]
    assert len(said) == 8 and said[:4] == said[4:]
