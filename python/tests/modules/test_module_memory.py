"""Peak memory of the weighted k-means of a whole weight, in a process of its own. Needs torch alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed")

SIDE = 2048
# Sorting takes 16 bytes a weight; 1 for the codes, 4 for the sensitivities; and 8 MiB for what is not by weight.
LIMIT = 21 * SIDE * SIDE + (8 << 20)
CHILD = """
import sys
from pathlib import Path
import torch
from swiftcompress.torch.palettization import SKMPalettizer, SKMPalettizerConfig
def status(name):
    return int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0]) * 1024
def palettize(side):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(side, side, bias=False))
    torch.save({"0.weight": torch.rand(side, side)}, sys.argv[1])
    config = SKMPalettizerConfig.from_dict({"global_config": {"n_bits": int(sys.argv[2])}})
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    SKMPalettizer(model, config).compress(sensitivity_path=sys.argv[1])
    return status("VmHWM") - before
palettize(64)  # what torch makes at its first calls
print(palettize(int(sys.argv[3])))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the peak from /proc")
@pytest.mark.parametrize("bits", [4, 8])
def test_weighted_kmeans(tmp_path: Path, bits: int) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path / "sensitivity.pt"), str(bits), str(SIDE)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    grown = int(result.stdout)
    assert grown <= LIMIT, f"{grown / SIDE**2:.1f} bytes a weight"
