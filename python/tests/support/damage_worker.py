"""Run in a process of its own: opens and compresses every package named on standard input, one line of JSON each.

A crash then shows as a missing line, and memory as the growth of the peak.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import swiftcompress as sc
from swiftcompress import coreml


def peak() -> int:
    """The most memory this program ever held, in KiB. (ru_maxrss would begin at the parent's.)"""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def use(path: str, output: str, target: str | None) -> None:
    package = sc.ModelPackage(path)
    for weight in package.weights.values():
        weight.max(initial=0) if weight.dtype.kind == "f" else weight.tobytes()
    for operation in package.operations:
        repr(operation)
    config = coreml.OptimizationConfig(global_config=coreml.OpPalettizerConfig(nbits=2, weight_threshold=0))
    coreml.palettize_weights(path, config, output=output, progress=False, minimum_deployment_target=target)


def main() -> None:
    output, target = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    for line in sys.stdin:
        path = line.rstrip("\n")
        before = peak()
        try:
            use(path, output, target)
            outcome, message = "ok", ""
        except BaseException as error:  # noqa: BLE001  (whatever it is, it is the answer)
            outcome, message = type(error).__name__, str(error)
            if isinstance(error, sc.ModelFormatError):
                outcome = "ModelFormatError"
            elif isinstance(error, OSError):
                outcome = "OSError"
        left = [p.name for p in Path(output).parent.iterdir()]
        shutil.rmtree(output, ignore_errors=True)
        grown = peak() - before
        print(
            json.dumps({"path": path, "outcome": outcome, "message": message, "left": left, "kib": grown}), flush=True
        )


main()
