#!/usr/bin/env python3
"""Measures how the cost of swiftcompress grows, and draws it.

    ./dev bench --growth [--quick]

Weights from 1 million to 1 billion (float16, in a mapped file that is made on the fly and removed), one thread and all,
clusters from 2 to 256, groups of channels from 1 to all; beside each curve the law that is expected. Then packages of 5 and 10
GB: opening, compressing, and the peak memory of a process of its own. Results go to benchmarks/results/growth-COMMIT.json
and docs/performance.svg (quick runs: not written).
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import machine
import swiftcompress as sc
from models import make_large

CHUNK = 1 << 24


def best(call: Callable[[], Any], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def mapped_weights(folder: Path, count: int) -> Any:
    """Gaussian float16 weights in a mapped file, as rows of 1024."""
    path = folder / "weights.bin"
    random = np.random.default_rng(count)
    with path.open("wb") as file:
        for start in range(0, count, CHUNK):
            file.write(
                (random.standard_normal(min(CHUNK, count - start), np.float32) * 0.02).astype(np.float16).tobytes()
            )
    return np.memmap(path, np.float16, "r", shape=(count // 1024, 1024))


def by_size(folder: Path, quick: bool) -> Iterator[dict[str, Any]]:
    """4 bits per tensor and int8 per channel: one pass to count, one to write; linear in the weights."""
    for power in (20, 22, 24) if quick else (20, 22, 24, 26, 28, 30):
        weight = mapped_weights(folder, 1 << power)
        rounds = 3 if power <= 26 else 1
        row: dict[str, Any] = {"weights": 1 << power}
        for threads in sorted({1, machine.usable_cores()}):
            row[f"4 bits per tensor, {threads} threads"] = best(
                partial(sc.palettize, weight, 4, num_threads=threads), rounds
            )
            row[f"int8 per channel, {threads} threads"] = best(
                partial(sc.quantize, weight, "int8", num_threads=threads), rounds
            )
        yield row


def by_clusters(quick: bool) -> Iterator[dict[str, Any]]:
    """The exact solver alone: the short way needs a few passes over the values whatever k is."""
    random = np.random.default_rng(7)
    values = np.sort(random.standard_normal(100_000 if quick else 1_000_000).astype(np.float32).astype(np.float64))
    half = (random.standard_normal(1 << 22) * 0.02).astype(np.float16).reshape(2048, 2048)
    for bits in range(1, 9):
        row = {
            "clusters": 1 << bits,
            f"kmeans_1d of {len(values):,} float32": best(partial(sc.kmeans_1d, values, 1 << bits), 3),
        }
        if bits in (1, 2, 3, 4, 6, 8):
            row["4 M float16 per tensor"] = best(partial(sc.palettize, half, bits), 3)
        yield row


def by_group(quick: bool) -> Iterator[dict[str, Any]]:
    """4 bits, 2048 x 2048 float16: the solver runs for each group, over fewer and fewer distinct values."""
    weight = (np.random.default_rng(9).standard_normal((2048, 2048)) * 0.02).astype(np.float16)
    for size in (16, 256, 2048) if quick else (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048):
        grouped: dict[str, Any] = {"granularity": "per_grouped_channel", "group_size": size}
        yield {
            "group size": size,
            "all threads": best(partial(sc.palettize, weight, 4, **grouped), 3),
            "1 thread": best(partial(sc.palettize, weight, 4, num_threads=1, **grouped), 3),
        }


# --- Large packages --------------------------------------------------------------------------------------------------

CHILD = """
import json, sys, time
from pathlib import Path
import swiftcompress.coreml as cto

def peak():  # of this program; ru_maxrss would begin at the parent's
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

source, output, work, settings = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
before, started = peak(), time.perf_counter()
kinds = {"palettize": cto.OpPalettizerConfig, "quantize": cto.OpLinearQuantizerConfig, "prune": cto.OpMagnitudePrunerConfig}
calls = {"palettize": cto.palettize_weights, "quantize": cto.linear_quantize_weights, "prune": cto.prune_weights}
options = {"output": output, "progress": False}
if work == "decompress":
    cto.decompress_weights(source, **options)
else:
    calls[work](source, cto.OptimizationConfig(global_config=kinds[work](**settings)), **options)
print(json.dumps({"seconds": time.perf_counter() - started, "grown": peak() - before}))
"""


def in_own_process(source: Path, output: Path, work: str, settings: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-c", CHILD, str(source), str(output), work, json.dumps(settings)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{work} failed in a process of its own:\n{result.stderr}")
    answer: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return answer


def large_packages(folder: Path, quick: bool) -> dict[str, Any]:
    """A package of weights of 256 MiB; opening it, and every operation with its time and peak memory."""
    count, rows = (4, 2048) if quick else (40, 16384)
    source, output = folder / "large.mlpackage", folder / "out.mlpackage"
    make_large(source, count, rows, 8192)
    size = sum(file.stat().st_size for file in source.rglob("*") if file.is_file())
    found: dict[str, Any] = {"bytes": size, "largest weight": rows * 8192 * 2, "operations": {}}
    command = [str(Path(sys.executable).with_name("swiftcompress")), "info", str(source)]
    found["info seconds"] = best(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), 5)
    work: dict[str, tuple[str, dict[str, Any]]] = {
        "4 bits per tensor": ("palettize", {"nbits": 4}),
        "int8 per channel": ("quantize", {"dtype": "int8"}),
        "int4 blocks of 32": ("quantize", {"dtype": "int4", "granularity": "per_block", "block_size": 32}),
        "half pruned": ("prune", {"target_sparsity": 0.5}),
    }
    for name, (operation, settings) in work.items():
        found["operations"][name] = in_own_process(source, output, operation, settings)
        if name == "4 bits per tensor":
            again = folder / "again.mlpackage"
            found["operations"]["decompressed from 4 bits"] = in_own_process(output, again, "decompress", {})
            shutil.rmtree(again)
        shutil.rmtree(output)
    return found


# --- Output ----------------------------------------------------------------------------------------------------------


def draw(results: dict[str, Any], target: Path) -> None:
    try:
        import matplotlib
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "swiftcompress"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
    panels = (("by size", "weights", 1), ("by clusters", "clusters", 0), ("by group", "group size", None))
    for axis, (key, x, slope) in zip(axes, panels, strict=True):
        rows = results[key]
        for name in [name for name in rows[0] if name != x]:
            points = [(row[x], row[name]) for row in rows if name in row]
            axis.plot(*zip(*points, strict=True), marker="o", label=name)
        if slope is not None:  # the law, through the first curve's last point
            xs = np.array([row[x] for row in rows], float)
            first = next(name for name in rows[0] if name != x)
            last = rows[-1][first]
            axis.plot(xs, last * (xs / xs[-1]) ** slope, "k:", label="linear" if slope else "constant")
        axis.set(xscale="log", yscale="log", xlabel=x, ylabel="seconds")
        axis.legend(fontsize=8)
        axis.grid(alpha=0.3)
    figure.savefig(target, metadata={"Date": None})


def show(title: str, rows: list[dict[str, Any]]) -> None:
    print(f"\n{title}")
    for row in rows:
        print(
            "  " + "   ".join(f"{k} {v:.4g} s" if isinstance(v, float) else f"{k} {v:,}" for k, v in row.items()),
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench --growth")
    parser.add_argument("--quick", action="store_true", help="small sizes; nothing is written")
    quick = parser.parse_args().quick
    about = machine.description()
    results: dict[str, Any] = {"machine": about}
    print(f"{about['cpu']}, {about['cores']} cores; commit {about['commit']}")
    with tempfile.TemporaryDirectory(prefix="swiftcompress-growth-") as name:
        folder = Path(name)
        results["by size"] = list(by_size(folder, quick))
        show("weights", results["by size"])
        (folder / "weights.bin").unlink()
        results["by clusters"] = list(by_clusters(quick))
        show("clusters", results["by clusters"])
        results["by group"] = list(by_group(quick))
        show("groups of channels", results["by group"])
        results["large"] = large_packages(folder, quick)
    large = results["large"]
    print(f"\npackage of {large['bytes'] / 1e9:.1f} GB, weights of {large['largest weight'] / 2**20:.0f} MiB")
    print(f"  info: {large['info seconds'] * 1e3:.0f} ms")
    for name, row in large["operations"].items():
        print(f"  {name:<26} {row['seconds']:.2f} s, memory grows by {row['grown'] / 2**20:.0f} MiB")
    if not quick:
        target = HERE / "results" / f"growth-{about['commit']}.json"
        target.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        draw(results, HERE.parent / "docs" / "performance.svg")
        print(f"\nwritten: {target.relative_to(HERE.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
