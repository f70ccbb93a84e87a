#!/usr/bin/env python3
"""Measures an unchanged coremltools pipeline with and without `swiftcompress.accelerate_coremltools()`, in one process.

    ./dev bench --accelerator [--quick] [--rounds N] [--only TEXT]

Every case is coremltools' own call. It runs without and with the accelerator in turns, each going first in every other
round; the best times and their ratio are printed, and under "directly" what swiftcompress.coreml takes from file to
file. The answers are compared: the packages' programs and weights byte for
byte (every tensor of these cases is one that coremltools clusters exactly), the torch models tensor for tensor. A case
whose answers differ makes the run fail. The cases of coremltools.optimize.torch run where torch is installed.
"""

import argparse
import copy
import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import machine
import swiftcompress as sc
from contenders import import_coremltools
from models import SIDE, make_gaussian


@dataclass
class Case:
    name: str
    call: Callable[[], Any]
    content: Callable[[Any], Any]
    direct: Callable[[], Any] | None = None  # the same with swiftcompress.coreml, from file to file


def package_cases(folder: Path, layers: int) -> Iterator[Case]:
    """Calls of coremltools.optimize.coreml on a model in memory."""
    ct = import_coremltools()
    import coremltools.optimize.coreml as cto

    source = folder / "source.mlpackage"
    make_gaussian(source, layers)
    model = ct.models.MLModel(str(source), skip_model_load=True)

    def content(result: Any) -> dict[str, bytes]:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            path = Path(place) / "result.mlpackage"
            result.save(str(path))
            return {file.name: file.read_bytes() for file in path.rglob("*") if file.suffix in (".bin", ".mlmodel")}

    def case(name: str, function: str, *settings: Any) -> Case:
        configs = [cto.OptimizationConfig(global_config=setting) for setting in settings]
        theirs, ours = getattr(cto, function), getattr(sc.coreml, function)
        output = folder / "direct.mlpackage"
        return Case(
            name,
            lambda: theirs(model, *configs),
            content,
            lambda: ours(source, *configs, output=output, progress=False),
        )

    kmeans = cto.OpPalettizerConfig(mode="kmeans", nbits=4)
    grouped = cto.OpPalettizerConfig(mode="kmeans", nbits=4, granularity="per_grouped_channel", group_size=16)
    blocks = cto.OpLinearQuantizerConfig(dtype="int4", granularity="per_block", block_size=32)
    yield case("k-means, 4 bits, per tensor", "palettize_weights", kmeans)
    yield case("k-means, 4 bits, group size 16", "palettize_weights", grouped)
    yield case("k-means, 8 bits", "palettize_weights", cto.OpPalettizerConfig(mode="kmeans", nbits=8))
    yield case("int8 per channel", "linear_quantize_weights", cto.OpLinearQuantizerConfig())
    yield case("int4, blocks of 32", "linear_quantize_weights", blocks)
    yield case("half pruned", "prune_weights", cto.OpMagnitudePrunerConfig(target_sparsity=0.5))
    yield case("2 of 4 pruned", "prune_weights", cto.OpMagnitudePrunerConfig(n_m_ratio=(2, 4)))
    with sc.accelerate_coremltools():
        palettized = cto.palettize_weights(model, cto.OptimizationConfig(kmeans))
        quantized = cto.linear_quantize_weights(model, cto.OptimizationConfig(blocks))
    yield Case("decompressed from 4 bits", lambda: cto.decompress_weights(palettized), content)
    yield Case("decompressed from int4", lambda: cto.decompress_weights(quantized), content)

    def counted() -> Any:
        return cto.get_weights_metadata(model, weight_threshold=2048)

    # Not the number of different values: NumPy's, by its sort of float16, can be wrong for millions of them.
    yield Case("metadata", counted, lambda found: {name: data.sparsity for name, data in found.items()})


def torch_cases(side: int) -> Iterator[Case]:
    """Calls of coremltools.optimize.torch."""
    import torch
    from coremltools.optimize.torch.palettization import PostTrainingPalettizer, PostTrainingPalettizerConfig

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(side, side), torch.nn.Linear(side, side))

    def case(name: str, workers: int, **settings: Any) -> Case:
        config = PostTrainingPalettizerConfig.from_dict({"global_config": {"n_bits": 4, **settings}})

        def call() -> Any:
            return PostTrainingPalettizer(copy.deepcopy(model), config).compress(num_kmeans_workers=workers)

        def content(result: Any) -> dict[str, bytes]:
            return {key: value.numpy().tobytes() for key, value in result.state_dict().items()}

        return Case(f"torch: k-means, 4 bits, {name}", call, content)

    grouped = {"granularity": "per_grouped_channel", "group_size": 16}
    yield case("per tensor", 1)
    yield case("group size 16", 1, **grouped)
    yield case("group size 16, 2 workers", 2, **grouped)


def layerwise_cases(side: int) -> Iterator[Case]:
    """GPTQ and SparseGPT of one linear layer, from its Hessian on; of what comes before nothing is replaced."""
    import torch
    from coremltools.optimize.torch.layerwise_compression import (
        GPTQ,
        ModuleGPTQConfig,
        ModuleSparseGPTConfig,
        SparseGPT,
    )

    torch.manual_seed(0)
    layer = torch.nn.Linear(side, side)
    inputs = torch.randn(4 * side, side) @ (torch.eye(side) + 0.3 * torch.randn(side, side) / side**0.5)
    hessian = 2 * inputs.T @ inputs / len(inputs)

    def case(name: str, algorithm: Any, config: Any) -> Case:
        def call() -> Any:
            found = algorithm(copy.deepcopy(layer), config)
            found._hessian, found._inp1, found._out1 = hessian.clone(), inputs[:1], layer(inputs[:1])
            found.compress()
            return found._layer

        def content(result: Any) -> dict[str, bytes]:
            return {key: value.numpy().tobytes() for key, value in result.state_dict().items()}

        return Case(f"torch: {name}", call, content)

    yield case("GPTQ, uint4", GPTQ, ModuleGPTQConfig(weight_dtype="uint4"))
    blocks = {"weight_dtype": "uint4", "granularity": "per_block", "block_size": 32}
    yield case("GPTQ, uint4, blocks of 32", GPTQ, ModuleGPTQConfig(**blocks))
    yield case("GPTQ, nf4", GPTQ, ModuleGPTQConfig(weight_dtype="uint4", enable_normal_float=True))
    yield case("SparseGPT, half", SparseGPT, ModuleSparseGPTConfig(weight_dtype="float32"))
    yield case("SparseGPT, 2 of 4", SparseGPT, ModuleSparseGPTConfig(weight_dtype="float32", n_m_ratio=(2, 4)))


def timed(call: Callable[[], Any], accelerated: bool) -> tuple[float, Any]:
    """Seconds, and the result."""
    accelerator = sc.accelerate_coremltools() if accelerated else None
    try:
        start = time.perf_counter()
        result = call()
        return time.perf_counter() - start, result
    finally:
        if accelerator is not None:
            accelerator.restore()


def measure(case: Case, rounds: int) -> bool:
    """Print one line; tell whether the answers are the same."""
    best, answers = {False: float("inf"), True: float("inf")}, {}
    direct = float("inf")
    for number in range(rounds):
        for accelerated in (number % 2 == 0, number % 2 == 1):
            spent, result = timed(case.call, accelerated)
            best[accelerated] = min(best[accelerated], spent)
            if number == 0:
                answers[accelerated] = case.content(result)
        if case.direct is not None:
            direct = min(direct, timed(case.direct, accelerated=False)[0])
    same = bool(answers[False] == answers[True])
    print(
        f"{case.name:<46} {best[False]:>8.2f} s {best[True]:>9.2f} s {best[False] / best[True]:>7.1f} x "
        f"{f'{direct:.2f} s' if case.direct else '':>10}   {'same bytes' if same else 'DIFFERENT'}",
        flush=True,
    )
    return same


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench --accelerator")
    parser.add_argument("--quick", action="store_true", help="one layer, one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose name has this text")
    options = parser.parse_args()
    layers, rounds = (1, 1) if options.quick else (3, options.rounds)
    print(f"{machine.cpu_model()}, {machine.usable_cores()} cores; {layers} x {SIDE} x {SIDE} float16 weights")
    print(f"{'coremltools 9.0':<46} {'as it is':>10} {'accelerated':>11} {'':>9} {'directly':>10}")
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for case in package_cases(Path(folder), layers):
            good = (options.only not in case.name or measure(case, rounds)) and good
    if importlib.util.find_spec("torch"):
        side = 512 if options.quick else 1024
        for case in (*torch_cases(side), *layerwise_cases(side)):
            good = (options.only not in case.name or measure(case, rounds)) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
