#!/usr/bin/env python3
"""Measures `swiftcompress.torch` beside `coremltools.optimize.torch`, in one process; needs torch.

    ./dev bench --torch [--quick] [--rounds N] [--only TEXT]

The model is four linear layers of 1024 by 1024 float32 weights, as torch initializes them. Each case is one call of
`compress`, copy of the model included. Answers are compared before a time counts: every weight and buffer, bit for bit, or,
where the methods are not the same (vectors, weighted k-means), the squared error, which must not be greater; of GPTQ and
SparseGPT the squared errors of each layer's outputs, which may be 0.001 % greater; where a layer's inputs come from compressed
ones 1 %, as one code that rounding decides changes all that follows. A worse answer fails the run. Times are the best of the
rounds; short calls are repeated for half a second at a time (coremltools' twice that). The table goes to
benchmarks/results/torch-COMMIT.json and to docs/performance.md.
"""

import argparse
import contextlib
import copy
import io
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
os.environ.setdefault("TQDM_DISABLE", "1")

import torch

import machine
import swiftcompress.torch as sct

RESULTS = HERE / "results"
PAGE = machine.ROOT / "docs" / "performance.md"
# Seconds for which what is short is repeated.
REPEATED = 0.5
MARKS = ("<!-- torch: written by benchmarks/torch_modules.py -->\n", "<!-- end of torch -->\n")


@dataclass
class Case:
    name: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    wanted: float
    """The ratio that this is to reach."""
    importance: dict[str, Any] | None = None
    is_same_method: bool = True
    inputs: Any = None
    """What the outputs are compared for, layer by layer, instead of the weights."""


@dataclass
class Row:
    name: str
    ours: float
    coremltools: float
    ratio: float
    wanted: float
    answers: str


def cases(model: Any, folder: Path) -> Iterator[Case]:
    import coremltools.optimize.torch as reference

    def compress(room: Any, kind: str, values: dict[str, Any], **keywords: Any) -> Callable[[], Any]:
        config = getattr(room, f"{kind}Config").from_dict({"global_config": values})
        return lambda: getattr(room, kind)(model, config).compress(**keywords)

    def case(name: str, room: str, kind: str, values: dict[str, Any], wanted: float, **more: Any) -> Case:
        importance = more.pop("importance", None)
        is_same = more.pop("is_same_method", True)
        ours = compress(getattr(sct, room), kind, values, **more)
        return Case(name, ours, compress(getattr(reference, room), kind, values, **more), wanted, importance, is_same)

    grouped = {"n_bits": 4, "granularity": "per_grouped_channel", "group_size": 16}
    exact = {**grouped, "enable_fast_kmeans_mode": False}
    blocks = {"weight_dtype": "int4", "granularity": "per_block", "block_size": 32}
    palettizer = ("palettization", "PostTrainingPalettizer")
    yield case("PostTrainingPalettizer, 4 bits, group 16, fast mode", *palettizer, grouped, 20)
    yield case("PostTrainingPalettizer, 4 bits, group 16, exact mode", *palettizer, exact, 50)
    vectors = {"n_bits": 4, "cluster_dim": 4}
    yield case("PostTrainingPalettizer, 4 bits, vectors of 4", *palettizer, vectors, 20, is_same_method=False)
    sensitivity = sensitivities(model)
    path = str(folder / "sensitivity.pt")
    torch.save(sensitivity, path)
    weighted = {"importance": sensitivity, "sensitivity_path": path, "is_same_method": False}
    yield case("SKMPalettizer, 4 bits, per tensor", "palettization", "SKMPalettizer", {"n_bits": 4}, 20, **weighted)
    yield case("SKMPalettizer, 4 bits, group 16", "palettization", "SKMPalettizer", grouped, 20, **weighted)
    yield case("PostTrainingQuantizer, int4, blocks of 32", "quantization", "PostTrainingQuantizer", blocks, 5)
    yield from layerwise(model, reference)


def layerwise(model: Any, reference: Any) -> Iterator[Case]:
    """GPTQ and SparseGPT: what follows on the Hessians, and all of `compress` with 4096 samples."""
    data = [torch.randn(512, model[0].in_features) for _ in range(8)]
    rows = torch.cat(data)
    hessian = 2 / len(data) * rows.t().mm(rows)
    ours, theirs = sct.layerwise_compression, reference.layerwise_compression

    def columns(room: Any, kind: str, values: dict[str, Any]) -> Callable[[], Any]:
        config = getattr(room, f"Module{kind}Config").from_dict(values)
        algorithm = getattr(room.algorithms, kind)

        def call() -> Any:
            done = copy.deepcopy(model)
            with torch.no_grad():
                for layer in done:
                    each = algorithm(layer, config)
                    each._hessian, each._nsamples = hessian.clone(), len(data)
                    # Those of one sample: coremltools computes an output error that nobody sees.
                    each._inp1, each._out1 = rows[:1], layer(rows[:1])
                    each.compress()
            return done

        return call

    def whole(room: Any, name: str, values: dict[str, Any]) -> Callable[[], Any]:
        settings = {"global_config": {"algorithm": name, **values}, "calibration_nsamples": len(data)}
        config = room.LayerwiseCompressorConfig.from_dict(settings)
        return lambda: room.LayerwiseCompressor(model, config).compress(data, device="cpu")

    gptq, sparse = {"weight_dtype": "uint4"}, {"weight_dtype": "float32", "target_sparsity": 0.5}
    for text, kind, name, values, wanted in (
        ("GPTQ, uint4", "GPTQ", "gptq", gptq, 5),
        ("SparseGPT, 50 %", "SparseGPT", "sparse_gpt", sparse, 20),
    ):
        calls = columns(ours, kind, values), columns(theirs, kind, values)
        yield Case(f"{text}, Hessians given", *calls, wanted, inputs=[rows] * len(model))
        calls = whole(ours, name, values), whole(theirs, name, values)
        yield Case(f"LayerwiseCompressor, {text}", *calls, 1, inputs=rows)


def sensitivities(model: Any) -> dict[str, Any]:
    """Those of a regression on random numbers."""
    side = model[0].in_features
    samples = [(torch.randn(8, side), torch.randn(8, side)) for _ in range(4)]

    def loss(network: Any, sample: Any) -> Any:
        return torch.nn.functional.mse_loss(network(sample[0]), sample[1])

    return sct.palettization.SKMPalettizer(model).compute_sensitivity(samples, loss)


def squared_error(model: Any, done: Any, importance: dict[str, Any] | None) -> float:
    total = 0.0
    for name, weight in model.named_parameters():
        difference = (weight - dict(done.named_parameters())[name]).detach().double().square()
        if importance is not None:
            difference *= importance[name].double()
        total += float(difference.sum())
    return total


def output_errors(model: Any, done: Any, inputs: Any) -> list[float]:
    """The squared errors of the outputs of each layer, for inputs of its own or for what the layers before it make of them."""
    x, errors = inputs, []
    for number, layer in enumerate(model):
        x = inputs[number] if isinstance(inputs, list) else x
        gap = (done[number].weight - layer.weight).detach().double()
        errors.append(float(x.double().mm(gap.t()).square().sum()))
        x = done[number](x).detach()
    return errors


def compare(model: Any, case: Case, ours: Any, theirs: Any) -> tuple[bool, str]:
    """Whether our answer is as good, and what to print."""
    if case.inputs is not None:
        pairs = zip(*(output_errors(model, done, case.inputs) for done in (ours, theirs)), strict=True)
        change = max(mine / expected - 1 for mine, expected in pairs)
        return change <= (1e-5 if isinstance(case.inputs, list) else 1e-2), f"output error {100 * change:+.4f} %"
    if case.is_same_method:
        first, second = ours.state_dict(), theirs.state_dict()
        same = first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in second)
        return same, "same bits" if same else "DIFFERENT"
    mine, expected = (squared_error(model, done, case.importance) for done in (ours, theirs))
    change = mine / expected - 1
    # Below that it is rounding.
    return change <= 1e-6, f"squared error {100 * change:+.2f} %"


def best_time(call: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    best, result = float("inf"), None
    first = time.perf_counter()
    done = 0
    while done < rounds or time.perf_counter() - first < REPEATED:
        start = time.perf_counter()
        with contextlib.redirect_stderr(io.StringIO()):
            result = call()
        best = min(best, time.perf_counter() - start)
        done += 1
    return best, result


def measure(model: Any, case: Case, rounds: int) -> tuple[Row, bool]:
    mine, ours = best_time(case.ours, max(rounds, 3))
    # The slow one is measured once where it takes long.
    expected, theirs = best_time(case.theirs, 1)
    if expected < 5:
        expected = min(expected, best_time(case.theirs, max(rounds - 1, 1))[0])
    good, text = compare(model, case, ours, theirs)
    row = Row(case.name, mine, expected, expected / mine, case.wanted, text)
    print(
        f"{row.name:<54} {1e3 * row.ours:>8.1f} ms {row.coremltools:>8.2f} s {row.ratio:>7.1f} x "
        f"{f'(wanted {row.wanted:g})':>13}   {row.answers}",
        flush=True,
    )
    return row, good


def document(description: dict[str, Any], rows: list[Row]) -> None:
    """Write the table into the page on performance."""
    place = f"{description['cpu']}, {description['cores']} cores; Python {description['python']}"
    lines = [
        f"{place}, torch {torch.__version__}, coremltools 9.0; commit {description['commit']}.",
        "",
        "| four linear layers, 4 million float32 weights | ours | coremltools | ratio | answers |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    lines += [
        f"| {row.name} | {1e3 * row.ours:.1f} ms | {row.coremltools:.2f} s | **{row.ratio:.1f}** | {row.answers} |"
        for row in rows
    ]
    before, rest = PAGE.read_text(encoding="utf-8").split(MARKS[0])
    text = "\n".join(lines)
    PAGE.write_text(f"{before}{MARKS[0]}\n{text}\n\n{MARKS[1]}{rest.split(MARKS[1])[1]}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench --torch")
    parser.add_argument("--quick", action="store_true", help="layers of 256 by 256, nothing stored")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose name has this text; nothing stored")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    torch.manual_seed(0)
    side = 256 if options.quick else 1024
    model = torch.nn.Sequential(*(torch.nn.Linear(side, side) for _ in range(4)))
    print(f"{machine.cpu_model()}, {machine.usable_cores()} cores; 4 x {side} x {side} float32 weights")
    print(f"{'':<54} {'ours':>11} {'coremltools':>10}")
    rows, good = [], True
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(model, Path(folder)):
            if options.only in case.name:
                row, same = measure(model, case, options.rounds)
                rows.append(row)
                good = good and same
    if not options.quick and not options.only and good:
        description = machine.description()
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"torch-{description['commit']}.json"
        content = {"machine": description, "torch": torch.__version__, "results": [asdict(row) for row in rows]}
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        document(description, rows)
        print(f"written to {path.relative_to(machine.ROOT)} and {PAGE.relative_to(machine.ROOT)}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
