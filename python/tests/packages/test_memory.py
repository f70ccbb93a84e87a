"""Peak memory of whole package operations, each in a process of its own: at most twice the largest weight and 64 MiB, mapped
files included, however large the package is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import ours
from support.package_factory import mb, program_for, save

SIDE = (8192, 4096)
WEIGHT = SIDE[0] * SIDE[1] * 2
LIMIT = 2 * WEIGHT + (64 << 20)

GROUPED = {"granularity": "per_grouped_channel", "group_size": 64}
BLOCKS = {"dtype": "int4", "mode": "linear", "granularity": "per_block", "block_size": 32}
COMPRESS: dict[str, tuple[str, dict[str, Any]]] = {
    "kmeans": ("palettize", {"nbits": 4}),
    "kmeans 8 bits": ("palettize", {"nbits": 8}),
    "kmeans grouped": ("palettize", {"nbits": 4, **GROUPED}),
    "kmeans scaled": ("palettize", {"nbits": 4, "enable_per_channel_scale": True}),
    "uniform": ("palettize", {"mode": "uniform", "nbits": 4}),
    "int8": ("quantize", {}),
    "uint8 linear": ("quantize", {"dtype": "uint8", "mode": "linear"}),
    "int4 blocks": ("quantize", BLOCKS),
    "half pruned": ("prune", {"target_sparsity": 0.5}),
    "little pruned": ("prune", {"target_sparsity": 0.1}),
    "2 of 4 pruned": ("prune", {"n_m_ratio": [2, 4]}),
}
DECOMPRESS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "lut": [("palettize", {"mode": "uniform", "nbits": 4})],
    "grouped": [("palettize", {"mode": "uniform", "nbits": 6, **GROUPED})],
    "int8": [("quantize", {})],
    "int4": [("quantize", BLOCKS)],
    "sparse": [("prune", {"target_sparsity": 0.5})],
    "int8 table": [("palettize", {"mode": "uniform", "nbits": 4}), ("quantize", {"granularity": "per_tensor"})],
    "sparse int8": [("prune", {"target_sparsity": 0.5}), ("quantize", {})],
    "sparse lut": [("palettize", {"mode": "uniform", "nbits": 4}), ("prune", {"target_sparsity": 0.5})],
}
CHILD = """
import os, sys
from pathlib import Path
from swiftcompress import _native
def peak():  # of this program; ru_maxrss would begin at the parent's
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
before = peak()
_native.compress(os.fsencode(sys.argv[1]), os.fsencode(sys.argv[2]), sys.argv[3].encode(), None, None)
print(peak() - before)
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")


def large_package(path: Path, count: int, rows: int = SIDE[0]) -> Path:
    """Float16 weights of 64 MiB, or of fewer rows."""
    table = (np.random.default_rng(1).standard_normal((64, SIDE[1])) * 0.05).astype(np.float16)

    @program_for("iOS18", [mb.TensorSpec(shape=(1, SIDE[1]))])
    def program(x: Any) -> Any:
        x = mb.cast(x=x, dtype="fp16", name="x_cast")
        outs = []
        for number in range(count):
            weight = np.tile(table, (rows // 64, 1))
            weight[0, 0] = number
            outs.append(mb.linear(x=x, weight=mb.const(val=weight, name=f"w_{number}"), name=f"lin_{number}"))
        return tuple(mb.cast(x=o, dtype="fp32", name=f"out_{n}") for n, o in enumerate(outs))

    save(program, "iOS18", path)
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four weights, four times the limit less 64 MiB in all."""
    return large_package(tmp_path_factory.mktemp("large") / "large.mlpackage", 4)


MANY = ("kmeans", "int8", "int4 blocks", "half pruned", "kmeans scaled")


@pytest.fixture(scope="module", params=[3072, 1024])
def many(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """Weights of which several are under way at once: 24 MiB, 8 MiB."""
    rows = request.param
    path = tmp_path_factory.mktemp("many") / "many.mlpackage"
    return large_package(path, 24576 // rows, rows), rows * SIDE[1] * 2


def growth(path: Path, output: Path, operation: str, settings: dict[str, Any] | None = None) -> int:
    """By how many bytes the memory of a child grows that does this."""
    options: dict[str, Any] = {"operation": operation, "num_threads": 2}
    if settings is not None:
        options["global"] = settings
    command = [sys.executable, "-c", CHILD, str(path), str(output), json.dumps(options)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return int(result.stdout)


@pytest.mark.parametrize("name", COMPRESS)
def test_compression(large: Path, tmp_path: Path, name: str) -> None:
    grown = growth(large, tmp_path / "out.mlpackage", *COMPRESS[name])
    assert grown <= LIMIT, f"{grown >> 20} MiB for weights of {WEIGHT >> 20}"


@pytest.mark.parametrize("form", DECOMPRESS)
def test_decompression(large: Path, tmp_path: Path, form: str) -> None:
    """The reference's tables are repeated for every element: 32 times the dense weight at 4 bits."""
    path = large
    for number, (operation, options) in enumerate(DECOMPRESS[form]):
        made = tmp_path / f"{number}.mlpackage"
        ours.run(path, made, operation, options, joint_compression=number > 0)
        path = made
    grown = growth(path, tmp_path / "dense.mlpackage", "decompress")
    assert grown <= LIMIT, f"{grown >> 20} MiB for weights of {WEIGHT >> 20}"


@pytest.mark.parametrize("name", MANY)
def test_many(many: tuple[Path, int], tmp_path: Path, name: str) -> None:
    path, size = many
    made = tmp_path / "out.mlpackage"
    for grown in (growth(path, made, *COMPRESS[name]), growth(made, tmp_path / "dense.mlpackage", "decompress")):
        assert grown <= 2 * size + (64 << 20), f"{grown >> 20} MiB for weights of {size >> 20}"
