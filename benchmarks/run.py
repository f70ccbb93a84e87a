#!/usr/bin/env python3
"""Measures swiftcompress beside coremltools 9.0, in one process and one run.

    ./dev bench [--quick] [--rounds N] [--no-peak]

For every case the answers are compared first; a case whose answers are worse is reported as failed and makes the run
fail. Then both contenders run in turns, each going first in every other round, what is short up to five times in a
turn; medians and their ratio are printed.
coremltools is timed twice over: "call" is its function on a model already in memory, "whole" adds loading and saving. swiftcompress reads and writes (with fsync) within its one call. The ratio is against "call", so it favours
coremltools. Peak memory comes from a process of its own for each contender.
Results go to benchmarks/results/COMMIT.json (quick runs: not written).
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import machine
from contenders import CoreMLTools, SwiftCompress, Work


@dataclass
class Case:
    name: str
    model: str  # crepe_full, or gaussian
    work: Work
    goal: float | None = None  # times faster than coremltools' call
    first: Work | None = None  # what is done to the model before
    peak: bool = False  # also measured in processes of their own


def palettize(nbits: int, group_size: int | None = None) -> Work:
    grouped = (("granularity", "per_grouped_channel"), ("group_size", group_size)) if group_size else ()
    return Work("palettize", (("mode", "kmeans"), ("nbits", nbits), *grouped))


UNIFORM = Work("palettize", (("mode", "uniform"), ("nbits", 4)))
INT8 = Work("quantize", (("dtype", "int8"), ("granularity", "per_channel")))
INT4 = Work("quantize", (("dtype", "int4"), ("granularity", "per_block"), ("block_size", 32)))
PRUNE = Work("prune", (("target_sparsity", 0.5),))
DECOMPRESS = Work("decompress")
METADATA = Work("metadata")

CASES = [
    Case("crepe_full, 4 bits, per tensor", "crepe_full", palettize(4), 20),
    Case("crepe_full, 6 bits, per tensor", "crepe_full", palettize(6)),
    Case("crepe_full, 8 bits, per tensor", "crepe_full", palettize(8)),
    Case("crepe_full, int8 per channel", "crepe_full", INT8, 15),
    Case("crepe_full, half pruned", "crepe_full", PRUNE, 15),
    Case("crepe_full, decompressed from 4 bits", "crepe_full", DECOMPRESS, first=palettize(4)),
    Case("crepe_full, metadata", "crepe_full", METADATA, 30),
    Case("67M float16, 4 bits, per tensor", "gaussian", palettize(4), 40, peak=True),
    Case("67M float16, 6 bits, per tensor", "gaussian", palettize(6), 40),
    Case("67M float16, 8 bits, per tensor", "gaussian", palettize(8), 40),
    Case("67M float16, 4 bits, group size 16", "gaussian", palettize(4, 16), 50),
    Case("67M float16, 4 bits, group size 4", "gaussian", palettize(4, 4), 50),
    Case("67M float16, uniform 4 bits", "gaussian", UNIFORM, 20),
    Case("67M float16, int8 per channel", "gaussian", INT8, 20, peak=True),
    Case("67M float16, int4 blocks of 32", "gaussian", INT4, 20),
    Case("67M float16, half pruned", "gaussian", PRUNE, 20, peak=True),
    Case("67M float16, decompressed from 4 bits", "gaussian", DECOMPRESS, 30, first=palettize(4), peak=True),
    Case("67M float16, decompressed from int8", "gaussian", DECOMPRESS, 30, first=INT8),
    Case("67M float16, decompressed from int4", "gaussian", DECOMPRESS, 30, first=INT4),
    Case("67M float16, decompressed from half pruned", "gaussian", DECOMPRESS, 30, first=PRUNE),
    Case("67M float16, metadata", "gaussian", METADATA, 30),
]
QUICK = [CASES[0], *CASES[10:15], CASES[16], CASES[20]]


# What takes a fraction of a second is repeated within a turn: the disk alone makes single runs differ by half.
TURN_RUNS, TURN_SECONDS = 5, 0.75


class Workshop:
    """The folder that a run works in: copies of the inputs, and the outputs."""

    def __init__(self, folder: Path, models: Path, quick: bool) -> None:
        self.folder, self.models, self.quick = folder, models, quick

    def source(self, model: str) -> Path:
        """A copy of the input: coremltools rewrites the Manifest.json of packages that it opens."""
        path = self.folder / f"{model}.mlpackage"
        if not path.exists():
            if model == "gaussian":
                from models import LAYERS, make_gaussian

                make_gaussian(path, 1 if self.quick else LAYERS)
            else:
                shutil.copytree(self.models / path.name, path)
        return path

    def prepared(self, case: Case) -> Path:
        """The input of a case: the model after what is done to it first."""
        source = self.source(case.model)
        if case.first is None:
            return source
        path = self.folder / f"{case.model}-{CASES.index(case)}.mlpackage"
        if not path.exists():
            SwiftCompress().run(case.first, source, path)
        return path

    def output(self, contender: str) -> Path:
        path = self.folder / f"out-{contender}.mlpackage"
        shutil.rmtree(path, ignore_errors=True)
        return path


def measure_case(case: Case, shop: Workshop, rounds: int) -> dict[str, Any]:
    """One row: checked answers, then both contenders in turns."""
    from answers import compare, compare_metadata

    contenders: list[Any] = [SwiftCompress(), CoreMLTools()]
    source = shop.prepared(case)
    times: dict[str, list[Any]] = {contender.name: [] for contender in contenders}
    outputs = {contender.name: shop.output(contender.name) for contender in contenders}
    agreement = None
    for turn in range(rounds):
        for contender in contenders if turn % 2 == 0 else reversed(contenders):
            turn_times: list[Any] = []
            while not turn_times or (len(turn_times) < TURN_RUNS and sum(t.whole for t in turn_times) < TURN_SECONDS):
                output = shop.output(contender.name)
                turn_times.append(contender.run(case.work, source, output))
            times[contender.name] += turn_times
        if agreement is None:
            agreement = (
                compare(source, outputs["swiftcompress"], outputs["coremltools"])
                if case.work.writes
                else compare_metadata(source)
            )
    ours = statistics.median(t.call for t in times["swiftcompress"])
    call = statistics.median(t.call for t in times["coremltools"])
    whole = statistics.median(t.whole for t in times["coremltools"])
    return {
        "case": case.name.replace("67M", "4M") if shop.quick else case.name,
        "swiftcompress_seconds": ours,
        "coremltools_call_seconds": call,
        "coremltools_whole_seconds": whole,
        "ratio": call / ours,
        "whole_ratio": whole / ours,
        "goal": case.goal,
        "answers": str(agreement),
        "answers_good": bool(agreement and agreement.good),
        "all_seconds": {name: [round(t.call, 4) for t in runs] for name, runs in times.items()},
        "cpu_seconds": {name: statistics.median(t.cpu for t in runs) for name, runs in times.items()},
    }


def measure_copies(shop: Workshop, rounds: int) -> dict[str, float]:
    """Seconds that copying the largest package takes, without and with waiting for the disk, and its weights in memory."""
    source, target = shop.source("gaussian"), shop.folder / "copy.mlpackage"
    found: dict[str, float] = {}

    def copy(*, wait: bool) -> float:
        shutil.rmtree(target, ignore_errors=True)
        started = time.perf_counter()
        shutil.copytree(source, target)
        if wait:
            os.sync()
        return time.perf_counter() - started

    found["a copy of that package"] = min(copy(wait=False) for _ in range(max(rounds, 3)))
    found["the same, until it is on the disk"] = min(copy(wait=True) for _ in range(max(rounds, 3)))
    weights = next(source.rglob("weight.bin")).read_bytes()
    found["its weights, in memory"] = repeated(lambda: bytearray(weights))
    shutil.rmtree(target)
    return found


def repeated(function: Callable[[], Any], least_seconds: float = 0.05) -> float:
    """Seconds of one call, from as many calls as fill `least_seconds`."""
    count, started = 0, time.perf_counter()
    while True:
        function()
        count += 1
        elapsed = time.perf_counter() - started
        if elapsed >= least_seconds:
            return elapsed / count


def measure_kernels(rounds: int, quick: bool) -> list[dict[str, Any]]:
    from kernels import all_kernels

    rows = []
    for kernel in all_kernels(quick):
        good = bool(kernel.same(kernel.ours(), kernel.theirs()))
        ours: list[float] = []
        theirs: list[float] = []
        for turn in range(rounds):
            for mine in (True, False) if turn % 2 == 0 else (False, True):
                (ours if mine else theirs).append(repeated(kernel.ours if mine else kernel.theirs))
        row: dict[str, Any] = {
            "case": kernel.name,
            "swiftcompress_seconds": statistics.median(ours),
            "coremltools_call_seconds": statistics.median(theirs),
            "answers": "same bits" if good else "DIFFERENT",
            "answers_good": good,
        }
        row["ratio"] = row["coremltools_call_seconds"] / row["swiftcompress_seconds"]
        rows.append(row)
    return rows


# --- Peak memory: one process for each contender ---------------------------------------------------------------------


def peak_memory() -> int:
    """Bytes of this process's largest resident set so far."""
    if sys.platform == "linux":  # its ru_maxrss starts with what the parent process had
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def child(contender: str, workers: int, source: Path, output: Path, case: int) -> None:
    """Runs in a process of its own; prints its time, and its peak memory before and after the work."""
    runner: Any = SwiftCompress(workers or None) if contender == "swiftcompress" else CoreMLTools(workers)
    before = peak_memory()
    times = runner.run(CASES[case].work, source, output)
    print(json.dumps({"seconds": times.call, "before": before, "peak": peak_memory()}))


def in_own_process(case: Case, shop: Workshop, contender: str, workers: int) -> dict[str, Any]:
    output = shop.output("peak")
    # fmt: off
    command = [
        sys.executable, str(HERE / "run.py"), "--child", contender, str(workers), str(shop.prepared(case)),
        str(output), str(CASES.index(case)),
    ]
    # fmt: on
    result = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900)
    if result.returncode:
        sys.exit(f"{contender} failed in a process of its own:\n{result.stderr}")
    answer: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return {"case": case.name, "contender": contender, "workers": workers or machine.usable_cores(), **answer}


def measure_peaks(cases: list[Case], shop: Workshop) -> list[dict[str, Any]]:
    rows = []
    for case in cases:
        rows.append(in_own_process(case, shop, "swiftcompress", 0))
        rows.append(in_own_process(case, shop, "swiftcompress", 1))
        rows.append(in_own_process(case, shop, "coremltools", 1))
        if "group_size" in dict(case.work.arguments):  # its workers share the groups of one weight: no use per tensor
            rows.append(in_own_process(case, shop, "coremltools", machine.usable_cores()))
    return rows


# --- Tables ----------------------------------------------------------------------------------------------------------


def seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.1f} ms" if value >= 1e-3 else f"{value * 1e6:.0f} us"


def package_row(row: dict[str, Any]) -> str:
    goal = f"{row['goal']:.0f}x" if row["goal"] else ""
    return (
        f"{row['case']:<36} {seconds(row['swiftcompress_seconds']):>10} {seconds(row['coremltools_call_seconds']):>10} "
        f"{seconds(row['coremltools_whole_seconds']):>10} {row['ratio']:>6.1f}x {goal:>5}  {row['answers']}"
    )


def kernel_row(row: dict[str, Any]) -> str:
    return (
        f"{row['case']:<48} {seconds(row['swiftcompress_seconds']):>10} {seconds(row['coremltools_call_seconds']):>11} "
        f"{row['ratio']:>6.1f}x  {row['answers']}"
    )


def peak_row(row: dict[str, Any]) -> str:
    return (
        f"{row['case']:<36} {row['contender']:<14} {row['workers']:>7} {seconds(row['seconds']):>10} "
        f"{row['before'] / 2**20:>7.0f} MiB {row['peak'] / 2**20:>7.0f} MiB"
    )


def peers_missing() -> list[str]:
    return [name for name in ("coremltools", "scikit-learn") if machine.version(name) is None]


def run(quick: bool, rounds: int, peaks: bool, models: Path) -> int:
    about = machine.description()
    print(f"{about['cpu']}, {about['cores']} cores, {about['system']}, Python {about['python']}")
    print(
        f"commit {about['commit']}{' with uncommitted changes' if about['uncommitted_changes'] else ''}; {rounds} rounds"
    )
    missing = peers_missing()
    if missing:
        print(f"Nothing to measure beside: {', '.join(missing)} not installed. Run `./dev bench`.")
        return 1
    cases = QUICK if quick else CASES
    results: dict[str, Any] = {"machine": about, "rounds": rounds, "quick": quick}
    with tempfile.TemporaryDirectory(prefix="swiftcompress-bench-") as folder:
        shop = Workshop(Path(folder), models, quick)
        header = ("package", "ours", "call", "whole", "ratio", "goal", "answers")
        print("\n{:<36} {:>10} {:>10} {:>10} {:>7} {:>5}  {}".format(*header), flush=True)
        results["copies"] = measure_copies(shop, rounds)
        for name, spent in results["copies"].items():
            print(f"{name:<36} {seconds(spent):>10}", flush=True)
        results["packages"] = []
        for case in cases:
            results["packages"].append(measure_case(case, shop, rounds))
            print(package_row(results["packages"][-1]), flush=True)
        print("\n{:<48} {:>10} {:>11} {:>7}  {}".format("kernel", "ours", "coremltools", "ratio", "answers"))
        results["kernels"] = measure_kernels(rounds, quick)
        for row in results["kernels"]:
            print(kernel_row(row), flush=True)
        if peaks:
            columns = ("own process", "contender", "workers", "call", "before", "peak")
            print("\n{:<36} {:<14} {:>7} {:>10} {:>11} {:>11}".format(*columns), flush=True)
            results["own_process"] = measure_peaks([case for case in cases if case.peak], shop)
            for row in results["own_process"]:
                print(peak_row(row), flush=True)
    if not quick:
        target = HERE / "results" / f"{about['commit']}.json"
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        print(f"\nwritten: {target.relative_to(HERE.parent)}")
    rows = [*results["packages"], *results["kernels"]]
    return 0 if all(row["answers_good"] for row in rows) else 1


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        contender, workers, source, output, case = sys.argv[2:]
        child(contender, int(workers), Path(source), Path(output), int(case))
        return 0
    parser = argparse.ArgumentParser(description="Measures swiftcompress beside coremltools 9.0.")
    parser.add_argument("--quick", action="store_true", help="few and small cases; no result file")
    parser.add_argument("--rounds", type=int, help="turns of each contender (default 3; quick 1)")
    parser.add_argument("--no-peak", action="store_true", help="skip the processes that measure peak memory")
    parser.add_argument("--models-folder", type=Path, default=HERE.parent / ".models")
    arguments = parser.parse_args()
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    return run(arguments.quick, rounds, not (arguments.no_peak or arguments.quick), arguments.models_folder)


if __name__ == "__main__":
    sys.exit(main())
