"""Run in a process of its own: does everything that the library can do with the packages named on standard input.

One line of JSON for each package: what came out of every step. A crash shows as a missing line, and more memory than the
limit as an error of a kind that no step may give.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import swiftcompress as sc
from swiftcompress import coreml

LIMIT = 4 << 30


def config(kind: Any, **options: Any) -> coreml.OptimizationConfig:
    return coreml.OptimizationConfig(global_config=kind(**options))


CONFIGS: dict[str, tuple[Callable[..., Any], coreml.OptimizationConfig]] = {
    "quantize": (
        coreml.linear_quantize_weights,
        config(coreml.OpLinearQuantizerConfig, weight_threshold=0),
    ),
    "quantize per tensor": (
        coreml.linear_quantize_weights,
        config(coreml.OpLinearQuantizerConfig, granularity="per_tensor", mode="linear", weight_threshold=0),
    ),
    "prune": (
        coreml.prune_weights,
        config(coreml.OpMagnitudePrunerConfig, target_sparsity=0.4, weight_threshold=0),
    ),
    "palettize": (
        coreml.palettize_weights,
        config(coreml.OpPalettizerConfig, mode="uniform", nbits=2, weight_threshold=0),
    ),
}


def look(path: str) -> None:
    package = sc.ModelPackage(path)
    for operation in package.operations:
        repr(operation)
    repr(package.metadata)


def read(path: str) -> None:
    package = sc.ModelPackage(path)
    for weight in package.weights.values():
        weight.tobytes()
    for name in package.compressed:
        package.decompressed(name)


def command(*arguments: str) -> None:
    run = subprocess.run([COMMAND, *arguments], check=False, capture_output=True, text=True)
    if run.returncode not in (0, 1) or (run.returncode == 1 and "error" not in run.stderr.lower()):
        raise AssertionError(f"{arguments[0]} ended with {run.returncode}: {run.stderr[-300:]}")


def steps(path: str, source: str, output: str) -> dict[str, Callable[[], Any]]:
    shared: dict[str, Any] = {"output": output, "progress": False, "num_threads": 2}
    found: dict[str, Callable[[], Any]] = {
        "read": lambda: read(path),
        "metadata": lambda: str(coreml.get_weights_metadata(path, weight_threshold=0)),
        "save": lambda: sc.ModelPackage(path).save(output),
        "decompress": lambda: coreml.decompress_weights(path, **shared),
        "raise": lambda: coreml.palettize_weights(
            path, CONFIGS["palettize"][1], minimum_deployment_target="iOS18", **shared
        ),
        "info": lambda: command("info", path, "--weights"),
        "compare": lambda: command("compare", source, path),
    }
    for name, (function, options) in CONFIGS.items():
        found[name] = lambda f=function, o=options: f(path, o, **shared)
        found[f"joint {name}"] = lambda f=function, o=options: f(path, o, joint_compression=True, **shared)
    return found


def outcome(step: Callable[[], Any], output: str) -> tuple[str, str]:
    try:
        step()
    except BaseException as error:  # noqa: BLE001  (whatever it is, it is the answer)
        kind = type(error).__name__
        if isinstance(error, sc.ModelFormatError):
            kind = "ModelFormatError"
        elif isinstance(error, OSError):
            kind = "OSError"
        return kind, str(error)
    if Path(output).exists():
        try:
            look(output)
        except Exception as error:  # noqa: BLE001
            return "written, but does not load", str(error)
    return "ok", ""


def main() -> None:
    source, output = sys.argv[2], sys.argv[3]
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    for line in sys.stdin:
        path, *wanted = line.rstrip("\n").split("\t")
        answers = {}
        for name, step in steps(path, source, output).items():
            if name not in wanted:
                continue
            print(json.dumps({"begins": name}), flush=True)
            answers[name] = outcome(step, output)
            shutil.rmtree(output, ignore_errors=True)
        left = [p.name for p in Path(output).parent.iterdir()]
        print(json.dumps({"answers": answers, "left": left}), flush=True)


COMMAND = sys.argv[1]
main()
