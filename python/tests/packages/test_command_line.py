"""The native `swiftcompress` command: same bytes as the Python door, exit 0 done, 1 failed, 64 wrong usage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from support import ours
from support.oracle import OraclePackage, tree


@pytest.mark.parametrize("arguments, options", [
    (["--nbits", "4"], {"nbits": 4}),
    (["--nbits", "2", "--mode", "uniform"], {"nbits": 2, "mode": "uniform"}),
    (["--nbits", "4", "--granularity", "per-grouped-channel", "--group-size", "16"],
     {"nbits": 4, "granularity": "per_grouped_channel", "group_size": 16}),
    (["--nbits", "3", "--per-channel-scale", "--weight-threshold", "0", "--threads", "1"],
     {"nbits": 3, "enable_per_channel_scale": True, "weight_threshold": 0}),
    (["--nbits", "4", "--cluster-dim", "2"], {"nbits": 4, "cluster_dim": 2}),
    (["--mode", "unique"], {"mode": "unique"}),
])  # fmt: skip
def test_same_bytes_as_python(packages: Any, tmp_path: Path, arguments: list[str], options: dict[str, Any]) -> None:
    path = packages("layers", "iOS18")
    run = ours.run_command("palettize", path, "-o", tmp_path / "shell.mlpackage", *arguments)
    assert run.returncode == 0, run.stderr
    ours.compress(path, tmp_path / "python.mlpackage", **options)
    assert tree(tmp_path / "shell.mlpackage") == tree(tmp_path / "python.mlpackage")


def test_json_report(packages: Any, tmp_path: Path) -> None:
    path = packages("layers", "iOS16")
    run = ours.run_command("palettize", path, "-o", tmp_path / "out.mlpackage", "--nbits", "4", "--json")
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    floats = {n for n, a in OraclePackage(path).consts().items() if a.values.dtype.kind == "f" and a.values.size >= 10}
    assert {w["name"] for w in report["weights"]} == floats


def test_no_progress_bar_in_a_pipe(packages: Any, tmp_path: Path) -> None:
    run = ours.run_command("palettize", packages("layers", "iOS16"), "-o", tmp_path / "out.mlpackage", "--nbits", "4")
    assert "\r" not in run.stdout + run.stderr
    assert "\x1b" not in run.stdout + run.stderr


def test_over_the_input(packages: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.mlpackage"
    shutil.copytree(packages("small", "iOS16"), path)
    assert ours.run_command("palettize", path, "-o", path, "--nbits", "4").returncode == 0
    assert set(OraclePackage(path).constexprs()) == {"w"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("arguments", [
    ["palettize"],
    ["palettize", "IN"],
    ["palettize", "IN", "-o"],
    ["palettize", "IN", "-o", "OUT", "--nbits", "five"],
    ["palettize", "IN", "-o", "OUT", "--nbits", "5"],
    ["palettize", "IN", "-o", "OUT", "--nbits", "4", "--mode", "kmean"],
    ["palettize", "IN", "-o", "OUT", "--nbits", "4", "--granularity", "per-channel"],
    ["palettize", "IN", "-o", "OUT", "--nbits", "4", "--granularity", "per-grouped-channel", "--group-size", "-4"],
    ["palettize", "IN", "-o", "OUT", "--nbits", "4", "--cluster-dim", "0"],
    ["palettize", "IN", "-o", "OUT", "--nbits", "4", "--threads", "-1"],
    ["palettize", "IN", "-o", "OUT", "--nbits", "4", "--no-such-option"],
    ["palettize", "IN", "-o", "OUT", "--nbits", "4", "--config", "c.yaml"],
    ["quantize", "IN", "-o", "OUT", "--dtype", "int3"],
    ["quantize", "IN", "-o", "OUT", "--block-size", "32"],
    ["prune", "IN", "-o", "OUT"],
    ["prune", "IN", "-o", "OUT", "--target-sparsity", "0.5", "--n-m-ratio", "2:4"],
    ["decompress", "IN"],
    ["compare", "IN"],
    ["no-such-command"],
    ["info"],
], ids=" ".join)  # fmt: skip
def test_wrong_usage(packages: Any, tmp_path: Path, arguments: list[str]) -> None:
    replaced = {"IN": str(packages("small", "iOS18")), "OUT": str(tmp_path / "out.mlpackage")}
    run = ours.run_command(*[replaced.get(a, a) for a in arguments])
    assert run.returncode == 64, (run.returncode, run.stderr)
    assert run.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("case", ["missing", "not a package", "mlmodel", "no folder", "ordinary folder", "damaged"])
def test_failures(packages: Any, tmp_path: Path, case: str) -> None:
    path, output = packages("small", "iOS16"), tmp_path / "out.mlpackage"
    if case == "missing":
        path = tmp_path / "missing.mlpackage"
    elif case == "not a package":
        path = tmp_path / "notes.mlpackage"
        path.write_text("x")
    elif case == "mlmodel":
        path = OraclePackage(path).model_file
    elif case == "no folder":
        output = tmp_path / "no" / "out.mlpackage"
    elif case == "ordinary folder":
        output.mkdir()
        (output / "precious.txt").write_text("keep")
    else:
        shutil.copytree(path, tmp_path / "damaged.mlpackage")
        path = tmp_path / "damaged.mlpackage"
        OraclePackage(path).model_file.with_name("weights").joinpath("weight.bin").write_bytes(bytes(100))
    before = tree(tmp_path)
    run = ours.run_command("palettize", path, "-o", output, "--nbits", "4")
    assert run.returncode == 1, (run.returncode, run.stderr)
    assert run.stdout == ""
    assert len(run.stderr.strip().splitlines()) <= 3, run.stderr
    named = {"no folder": output.parent, "ordinary folder": output, "damaged": Path("weight.bin")}.get(case, path)
    assert str(named) in run.stderr
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name, target", [
    ("layers", "iOS16"), ("nested", "iOS18"), ("multifunction", "iOS18"), ("pipeline", "iOS16"), ("already_palettized", "iOS18"),
    ("every_blob_type", "iOS18"), ("used_symbol", "iOS16"), ("no_weights", "iOS16"), ("immediates", "iOS16"),
])  # fmt: skip
def test_info(packages: Any, name: str, target: str) -> None:
    path = packages(name, target)
    for extra in ([], ["--weights"], ["--json"]):
        run = ours.run_command("info", path, *extra)
        assert run.returncode == 0, run.stderr
        assert run.stdout.strip()
    text = run.stdout
    json.loads(text)
    for const in OraclePackage(path).consts():
        if OraclePackage(path).consts()[const].values.size >= 10 and "every_blob" not in name:
            assert const.rsplit("/", 1)[-1] in text, const


def test_version_and_help() -> None:
    for arguments in (["--help"], ["--version"], ["palettize", "--help"], ["compare", "--help"]):
        run = ours.run_command(*arguments)
        assert run.returncode == 0
        assert run.stdout.strip()


def test_a_closed_pipe_is_not_a_crash(packages: Any) -> None:
    import subprocess

    path = packages("layers", "iOS16")
    run = subprocess.run(
        f"{ours.command()} info {path} --weights --json | head -c 10",
        shell=True,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert len(run.stdout) == 10
    assert "Fatal" not in run.stderr
