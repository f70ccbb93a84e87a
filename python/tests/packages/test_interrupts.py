"""Signals in the middle of the work: it ends soon, says so, and leaves nothing behind."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import ours

SCRIPT = """
import sys
from swiftcompress import coreml
config = coreml.OptimizationConfig(global_config=coreml.OpPalettizerConfig(nbits=8))
print("started", flush=True)
coreml.palettize_weights(sys.argv[1], config, output=sys.argv[2], progress=False)
"""

PROMPT = 15
"""Seconds an interrupted run may take to end. It takes a fraction of one; test machines are shared and noisy."""


@pytest.fixture(scope="module")
def slow_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One float32 weight with 6 million distinct values: seconds of work at 8 bits."""
    from support.package_factory import mb, program_for, save

    path = tmp_path_factory.mktemp("slow") / "slow.mlpackage"
    table = np.random.default_rng(1).standard_normal((2000, 3000)).astype(np.float32)

    @program_for("iOS16", [mb.TensorSpec(shape=(1, 3000))])
    def program(x: Any) -> Any:
        x = mb.linear(x=x, weight=mb.const(val=table, name="w"), name="lin")
        return mb.relu(x=x, name="out")

    save(program, "iOS16", path)
    return path


def default_signals() -> None:
    """Whoever runs the tests may ignore a signal (nohup and shells' `&` do), and a command would go on ignoring it."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(arguments: list[str], until: str = "") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=default_signals,  # noqa: PLW1509 (no threads here)
    )
    if until:
        assert process.stdout is not None
        assert process.stdout.readline() == until
    return process


def files(package: Path) -> dict[str, bytes]:
    """What a package on disk holds, by the path inside it."""
    return {str(path.relative_to(package)): path.read_bytes() for path in package.rglob("*") if path.is_file()}


def stopped(
    arguments: list[str], output: Path | None, fraction: float, *, number: int = signal.SIGINT, until: str = ""
) -> tuple[int, str]:
    """The exit status and standard error of a run that a signal stops at a fraction of the time of a whole run.

    How long a run takes depends on the machine and on the engine, so a whole run is timed first; where the
    signal still comes too late, the next try sends it sooner. It may come after the output has appeared and
    before the process has ended: that output must be whole, byte for byte, and the signal was too late.
    """
    process = start(arguments, until)
    began = time.monotonic()
    _, errors = process.communicate(timeout=120)
    whole = time.monotonic() - began
    assert process.returncode == 0, errors
    whole_output = {} if output is None else files(output)
    for _ in range(6):
        if output is not None:
            shutil.rmtree(output, ignore_errors=True)
        process = start(arguments, until)
        time.sleep(fraction * whole)
        in_time = process.poll() is None
        process.send_signal(number)
        sent = time.monotonic()
        _, errors = process.communicate(timeout=60)
        took = time.monotonic() - sent
        assert took < PROMPT, f"{took:.1f} s"
        finished = output is not None and output.exists()
        if output is not None and finished:
            assert files(output) == whole_output
        if in_time and process.returncode != 0 and not finished:
            return process.returncode, errors
        fraction /= 1.5
    raise AssertionError(f"six runs of {whole:.2f} s finished before they could be interrupted")


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.8])
def test_interrupt(slow_package: Path, tmp_path: Path, fraction: float) -> None:
    """Ctrl-C in the middle: KeyboardInterrupt soon, nothing left behind."""
    output = tmp_path / "out.mlpackage"
    arguments = [sys.executable, "-c", SCRIPT, str(slow_package), str(output)]
    _, errors = stopped(arguments, output, fraction, until="started\n")
    assert "KeyboardInterrupt" in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_the_command(slow_package: Path, tmp_path: Path, number: signal.Signals) -> None:
    output = tmp_path / "out.mlpackage"
    arguments = [ours.command(), "palettize", str(slow_package), "-o", str(output), "--nbits", "8"]
    status, _ = stopped(arguments, output, 0.5, number=number)
    assert status in (128 + number, -number, 1)
    assert list(tmp_path.iterdir()) == []


def test_the_array_door_can_be_interrupted() -> None:
    script = (
        "import numpy as np, swiftcompress as sc\n"
        "w = np.random.default_rng(0).standard_normal((3000, 3000)).astype(np.float32)\n"
        "print('started', flush=True)\n"
        "sc.palettize(w, 8)\n"
    )
    _, errors = stopped([sys.executable, "-c", script], None, 0.5, until="started\n")
    assert "KeyboardInterrupt" in errors
