#!/usr/bin/env python3
"""Measures functions on arrays beside other libraries that do the same work, in one process and one run.

    ./dev bench --peers [--quick] [--rounds N]

Every race checks the answers first: how far the decoded weights are from the original, or the sum of squared errors of a
clustering. A peer that is worse than us is still timed, and its error is in the table; a race in which we are worse fails
the run. Then everybody runs in turns, each going first in turn, and medians are printed with their ratio to ours; a peer
that takes minutes is timed once, while it makes the answer. Peers use their own default number of threads. One that is
not installed, or cannot do the work, is in the table with the reason.
"""

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import machine
import swiftcompress as sc

Call = Callable[[], Any]


@dataclass
class Race:
    """One piece of work. A peer is a call, or the text that says why there is none."""

    name: str
    ours: Call
    error: Callable[[str, Any], float]  # of a contender's answer
    peers: dict[str, Call | str] = field(default_factory=dict)
    goals: dict[str, float] = field(default_factory=dict)
    slack: float = 1e-6  # relative; how much more than a peer's our error may be
    repeats: int = 1  # of the work in one call; seconds are of one
    slow: str = ""  # a peer that does the work once, and is timed while it makes the answer


def optional(name: str) -> Any:
    """A module, or the reason why there is none."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        return f"not installed ({error.name or name})"


def when(module: Any, make: Callable[[Any], Call]) -> Call | str:
    return module if isinstance(module, str) else make(module)


# --- Clustering ------------------------------------------------------------------------------------------------------


def scalar_kmeans(count: int) -> Race:
    """Exact k-means of float32 numbers, 16 clusters."""
    values = np.random.default_rng(count).standard_normal(count).astype(np.float32)
    column = values[:, np.newaxis]

    def error(who: str, answer: Any) -> float:
        if who == "ours":
            table, codes = answer.centroids, answer.labels
        elif who == "kmeans1d":
            table, codes = np.array(answer.centroids), np.array(answer.clusters)
        else:
            table, codes = answer.cluster_centers_[:, 0], answer.labels_
        return float(np.square(values - table[codes], dtype=np.float64).sum())

    return Race(
        f"k-means of {count / 1e6:g} M float32, k=16",
        lambda: sc.kmeans_1d(values, 16),
        error,
        {
            "kmeans1d": when(optional("kmeans1d"), lambda m: lambda: m.cluster(values, 16)),
            "scikit-learn": when(
                optional("sklearn.cluster"),
                lambda m: lambda: m.KMeans(16, n_init=1, random_state=0).fit(column),
            ),
        },
        {"kmeans1d": 10, "scikit-learn": 5},
    )


SEEDS = 5


def vector_kmeans(side: int, dim: int) -> Race:
    """K-means of vectors, 16 clusters: the mean error and the time of five seeds, which all contenders draw differently.
    Of `_EfficientKMeans` one seed, as it takes minutes.
    """
    weight = (np.random.default_rng(dim).standard_normal((side, side)) * 0.02).astype(np.float32)
    points = weight.reshape(-1, dim)

    def seeds(call: Callable[[int], Any]) -> Call:
        return lambda: [call(seed) for seed in range(SEEDS)]

    def faiss_run(faiss: Any, seed: int) -> Any:
        solver = faiss.Kmeans(dim, 16, niter=25, seed=seed + 1, max_points_per_centroid=1 << 30)
        solver.train(points)
        return solver.centroids

    def torch_run(module: Any) -> Any:
        import torch

        torch.manual_seed(0)
        solver = module._EfficientKMeans(n_clusters=16, init="kmeans++", n_init=1, max_iter=100)
        return solver.fit(torch.from_numpy(points)).cluster_centers_.numpy()

    def error(who: str, answer: Any) -> float:
        return float(np.mean([squared_distance(points, np.asarray(centroids)) for centroids in answer]))

    return Race(
        f"k-means of {points.size / 1e6:g} M weights as vectors of {dim}, k=16, mean of {SEEDS} seeds",
        seeds(lambda seed: sc.kmeans(points, 16, seed=seed).centroids),
        error,
        {
            "scikit-learn as coremltools calls it": when(
                optional("sklearn.cluster"),
                lambda m: seeds(
                    lambda s: (
                        m.KMeans(16, init="k-means++", n_init=1, tol=1e-2, random_state=s).fit(points).cluster_centers_
                    )
                ),
            ),
            "coremltools' _EfficientKMeans (torch)": when(
                optional("coremltools.optimize.torch.palettization._efficient_kmeans"),
                lambda m: lambda: [torch_run(m)],
            ),
            "faiss": when(optional("faiss"), lambda m: seeds(lambda s: faiss_run(m, s))),
        },
        {"scikit-learn as coremltools calls it": 20, "coremltools' _EfficientKMeans (torch)": 20, "faiss": 2},
        slack=0.005,  # of five random starts each
        repeats=SEEDS,
        slow="coremltools' _EfficientKMeans (torch)",
    )


def squared_distance(points: Any, centroids: Any) -> float:
    """The sum of squared distances to the nearest centroid."""
    total = 0.0
    for start in range(0, len(points), 1 << 16):
        part = points[start : start + (1 << 16), np.newaxis, :].astype(np.float64)
        total += float(np.square(part - centroids).sum(axis=2).min(axis=1).sum())
    return total


# --- Linear quantization ---------------------------------------------------------------------------------------------


def int4_blocks(side: int, dtype: Any) -> Race:
    """4 bits in blocks of 32: codes and scales. The schemes differ a little; the errors say how much."""
    weight = (np.random.default_rng(side).standard_normal((side, side)) * 0.02).astype(dtype)
    block = 32

    def numpy_quantize() -> Any:
        blocks = weight.reshape(side, -1, block)
        scale = np.abs(blocks).max(axis=-1, keepdims=True) * 2 / 14
        codes = np.clip(np.round(blocks / scale), -7, 7).astype(np.int8)
        return codes, scale

    decode = {
        "ours": lambda answer: answer.decompress(),
        "NumPy": lambda answer: (answer[0] * answer[1]).reshape(side, side),
        "gguf Q4_0 (Python)": lambda answer: gguf_decode(answer),
        "torchao": lambda answer: torchao_decode(answer),
        "mlx (CPU)": lambda answer: mlx_decode(answer),
        "coremltools": lambda answer: (answer.data.reshape(side, -1, block) * answer.scale[..., None]).reshape(
            side, side
        ),
    }

    def error(who: str, answer: Any) -> float:
        difference = np.asarray(decode[who](answer), dtype=np.float64) - weight.astype(np.float64)
        return float(np.square(difference).mean())

    single = weight.astype(np.float32)
    peers: dict[str, Call | str] = {
        "coremltools": when(
            optional("coremltools.optimize.coreml._quantization_passes"), lambda m: lambda: reference(m, weight)
        ),
        "NumPy": numpy_quantize,
        "gguf Q4_0 (Python)": when(optional("gguf.quants"), lambda m: lambda: m.quantize(single, gguf_type())),
        "torchao": when(optional("torchao.quantization.quant_primitives"), lambda m: torchao_quantize(m, weight)),
        "mlx (CPU)": when(optional("mlx.core"), lambda m: mlx_quantize(m, weight)),
        "llama.cpp (native)": "no wheel on PyPI: it would have to be built, with a compiler and its sources",
    }
    # Ours is symmetric with 15 levels, as coremltools'; an offset or a 16th level gives the others a little less error.
    return Race(
        f"int4, blocks of 32, {weight.size / 1e6:.0f} M {np.dtype(dtype).name}",
        lambda: sc.quantize(weight, "int4", granularity="per_block", block_size=block, axis=1),
        error,
        peers,
        dict.fromkeys(("coremltools", "NumPy", "gguf Q4_0 (Python)", "torchao", "mlx (CPU)"), 1.0),
        slack=0.5,
    )


def reference(module: Any, weight: Any) -> Any:
    return module.linear_quantize_weights.blockwise_compress(weight, 4, "LINEAR_SYMMETRIC", True, [1, 32])


def gguf_type() -> Any:
    return importlib.import_module("gguf").GGMLQuantizationType.Q4_0


def gguf_decode(answer: Any) -> Any:
    return importlib.import_module("gguf.quants").dequantize(answer, gguf_type())


def torchao_quantize(module: Any, weight: Any) -> Call:
    import torch

    tensor = torch.from_numpy(weight)

    def call() -> Any:
        scale, zero = module.choose_qparams_affine(
            tensor, module.MappingType.SYMMETRIC, (1, 32), torch.int8, quant_min=-7, quant_max=7, eps=1e-9
        )
        codes = module.quantize_affine(tensor, (1, 32), scale, zero, torch.int8, quant_min=-7, quant_max=7)
        return module, codes, scale, zero

    return call


def torchao_decode(answer: Any) -> Any:
    import torch

    module, codes, scale, zero = answer
    decoded = module.dequantize_affine(
        codes, (1, 32), scale, zero, torch.int8, quant_min=-7, quant_max=7, output_dtype=torch.float32
    )
    return decoded.numpy()


def mlx_quantize(mx: Any, weight: Any) -> Call:
    mx.set_default_device(mx.cpu)
    array = mx.array(weight)
    mx.eval(array)

    def call() -> Any:
        answer = mx.quantize(array, group_size=32, bits=4)
        mx.eval(*answer)
        return mx, answer

    return call


def mlx_decode(answer: Any) -> Any:
    mx, parts = answer
    return np.array(mx.dequantize(*parts, group_size=32, bits=4).astype(mx.float32))


# --- Starting --------------------------------------------------------------------------------------------------------


def start_times(rounds: int) -> dict[str, Any]:
    """Seconds of `import numpy` and of `import swiftcompress` in a fresh interpreter, and of the command."""
    times: dict[str, list[float]] = {"python, numpy": [], "python, swiftcompress": []}
    for _ in range(max(rounds, 5)):
        for name, values in times.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", f"import {name.split()[1]}"], check=True)
            values.append(time.perf_counter() - started)
    found = {name: min(values) for name, values in times.items()}
    found["beyond numpy"] = found["python, swiftcompress"] - found["python, numpy"]
    return found


# --- The run ---------------------------------------------------------------------------------------------------------


def timed(call: Call) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def measure(race: Race, rounds: int) -> dict[str, Any]:
    calls = {"ours": race.ours, **{name: peer for name, peer in race.peers.items() if not isinstance(peer, str)}}
    errors, failed = {}, {name: peer for name, peer in race.peers.items() if isinstance(peer, str)}
    first: dict[str, float] = {}
    for name, call in list(calls.items()):
        try:
            started = time.perf_counter()
            answer = call()
            first[name] = time.perf_counter() - started
            errors[name] = race.error(name, answer)
        except Exception as error:  # a peer of another version: say so, and go on
            if name == "ours":
                raise
            failed[name] = f"failed: {type(error).__name__}: {error}"[:160]
            del calls[name]
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = [name for name in calls if name != race.slow]
    for _ in range(rounds):
        for name in order:
            times[name].append(timed(calls[name]))
        order = order[1:] + order[:1]
    seconds = {
        name: first[name] if name == race.slow else statistics.median(values) / race.repeats
        for name, values in times.items()
    }
    good = all(errors["ours"] <= error * (1 + race.slack) for error in errors.values())
    return {
        "race": race.name,
        "seconds": seconds,
        "errors": errors,
        "ratios": {name: value / seconds["ours"] for name, value in seconds.items() if name != "ours"},
        "goals": race.goals,
        "left_out": failed,
        "answers_good": good,
    }


def show(row: dict[str, Any]) -> None:
    print(f"\n{row['race']}{'' if row['answers_good'] else '   OUR ERROR IS HIGHER'}")
    for name, seconds in row["seconds"].items():
        ratio = f"{row['ratios'][name]:8.1f}x" if name in row["ratios"] else " " * 9
        goal = f"goal {row['goals'][name]:g}x" if name in row["goals"] else ""
        print(f"  {name:<40} {seconds * 1e3:>10.1f} ms {ratio}  error {row['errors'][name]:.6g}  {goal}", flush=True)
    for name, reason in row["left_out"].items():
        print(f"  {name:<40} {reason}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench --peers")
    parser.add_argument("--quick", action="store_true", help="small arrays, one round; no result file")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    about = machine.description()
    print(f"{about['cpu']}, {about['cores']} cores; commit {about['commit']}")
    quick, rounds = options.quick, 1 if options.quick else options.rounds
    races: list[Callable[[], Race]] = [
        lambda: scalar_kmeans(500_000 if quick else 10_000_000),
        lambda: vector_kmeans(512 if quick else 2048, 2),
        lambda: vector_kmeans(512 if quick else 2048, 4),
        lambda: int4_blocks(1024 if quick else 4096, np.float32),
        lambda: int4_blocks(1024 if quick else 4096, np.float16),
    ]
    rows = []
    for make in races:
        rows.append(measure(make(), rounds))
        show(rows[-1])
    starts = start_times(rounds)
    print("\n" + "\n".join(f"{name:<42} {value * 1e3:>10.1f} ms" for name, value in starts.items()))
    if not quick:
        target = HERE / "results" / f"peers-{about['commit']}.json"
        about["peers"] = {
            name: machine.version(name) for name in ("kmeans1d", "faiss-cpu", "gguf", "mlx", "torch", "torchao")
        }
        target.write_text(json.dumps({"machine": about, "races": rows, "start": starts}, indent=2) + "\n")
        print(f"\nwritten: {target.relative_to(HERE.parent)}")
    return 0 if all(row["answers_good"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
