"""The wheel's command beside the one that SwiftPM builds plainly.

On Linux the wheel's ArgumentParser is a copy without Foundation (setup.py), and its metadata is linked differently. What
could be lost that way is lost at run time: a dynamic cast that fails, a description that changes. So both commands must
print the same.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from support import ours

PLAIN = Path(__file__).resolve().parents[3] / ".build-test" / "release" / "swiftcompress"

pytestmark = pytest.mark.skipif(not PLAIN.exists(), reason="no plain command: `./dev test` builds it")


@pytest.mark.parametrize("arguments", [
    [],
    ["--help"], ["-h"], ["--version"], ["help"], ["help", "palettize"], ["palettize", "--help"], ["info", "--help"],
    ["--help-hidden"], ["palettize", "--help-hidden"], ["--experimental-dump-help"],
    ["--generate-completion-script", "bash"], ["--generate-completion-script", "zsh"],
    ["--generate-completion-script", "fish"], ["--generate-completion-script", "tcsh"],
    ["---completion", "palettize", "--", "--mode"],
    ["palettise"], ["info"], ["info", "IN", "more"], ["info", "--jsno", "IN"], ["--nbits"],
    ["palettize"], ["palettize", "IN"], ["palettize", "IN", "-o"], ["palettize", "IN", "-o", "OUT", "--nbits", "five"],
    ["palettize", "IN", "-o", "OUT", "--nbits", "5"], ["palettize", "IN", "-o", "OUT", "--nbits", "4", "--nbits", "x"],
    ["palettize", "IN", "-o", "OUT", "--nbits", "4", "--mode", "kmean"],
    ["palettize", "IN", "-o", "OUT", "--nbits", "4", "--granularity", "per-channel"],
    ["palettize", "IN", "-o", "OUT", "--nbits", "4", "--threads", "-1"], ["palettize", "-o", "OUT", "--", "--in"],
    ["info", "IN"], ["info", "IN", "--weights"], ["info", "IN", "--json"], ["info", "MISSING"],
    ["palettize", "MISSING", "-o", "OUT", "--nbits", "4"], ["palettize", "IN", "-o", "NO/OUT", "--nbits", "4"],
], ids=" ".join)  # fmt: skip
def test_same_output(packages: Any, tmp_path: Path, arguments: list[str]) -> None:
    paths = {
        "IN": str(packages("layers", "iOS18")),
        "OUT": str(tmp_path / "out.mlpackage"),
        "MISSING": str(tmp_path / "missing.mlpackage"),
        "NO/OUT": str(tmp_path / "no" / "out.mlpackage"),
    }
    line = [paths.get(a, a) for a in arguments]
    plain = subprocess.run(
        [PLAIN, *line], check=False, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )
    wheel = ours.run_command(*line)
    assert (wheel.returncode, wheel.stdout, wheel.stderr) == (plain.returncode, plain.stdout, plain.stderr)
