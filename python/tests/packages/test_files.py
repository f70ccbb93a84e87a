"""Files that cannot be read or written: the right error, nothing left behind, nothing deleted that is not ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import swiftcompress as sc
from support import ours
from support.oracle import OraclePackage, tree

SCRIPT = """
import sys
from swiftcompress import coreml
config = coreml.OptimizationConfig(global_config=coreml.OpPalettizerConfig(nbits={nbits}))
print("started", flush=True)
{before}
coreml.palettize_weights(sys.argv[1], config, output=sys.argv[2], progress=False)
print("done", flush=True)
"""


def run(
    path: Path, output: Path, *, nbits: int = 4, before: str = "", timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    script = SCRIPT.format(nbits=nbits, before=before)
    return subprocess.run(
        [sys.executable, "-c", script, str(path), str(output)],
        capture_output=True,
        check=False,
        text=True,
        timeout=timeout,
    )


# MARK: inputs


def test_missing_path(tmp_path: Path) -> None:
    missing = tmp_path / "no_such.mlpackage"
    with pytest.raises(FileNotFoundError, match="no_such"):
        sc.ModelPackage(str(missing))
    with pytest.raises(FileNotFoundError, match="no_such"):
        ours.compress(missing, tmp_path / "out.mlpackage", nbits=4)
    assert list(tmp_path.iterdir()) == []


def test_not_a_package(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("hello")
    folder = tmp_path / "folder.mlpackage"
    folder.mkdir()
    for path in (file, folder):
        with pytest.raises((sc.ModelFormatError, OSError)) as caught:
            ours.compress(path, tmp_path / "out.mlpackage", nbits=4)
        assert path.name in str(caught.value)
    assert not (tmp_path / "out.mlpackage").exists()


def test_mlmodel_file(packages: Any, tmp_path: Path) -> None:
    """A bare .mlmodel file is not a package; the error says what to do instead."""
    file = tmp_path / "model.mlmodel"
    shutil.copy(OraclePackage(packages("small", "iOS16")).model_file, file)
    with pytest.raises((sc.ModelFormatError, OSError, NotImplementedError), match="mlpackage"):
        ours.compress(file, tmp_path / "out.mlpackage", nbits=4)


def test_neural_network_package(packages: Any, tmp_path: Path) -> None:
    """A package whose model is not an ML program: a clear refusal (or nothing compressed), never a crash."""
    from support.package_factory import open_model

    path = tmp_path / "old.mlpackage"
    shutil.copytree(packages("small", "iOS16"), path)
    file, spec = open_model(path)
    spec.neuralNetwork.layers.add(name="layer").activation.ReLU.SetInParent()
    file.write_bytes(spec.SerializeToString())
    with pytest.raises((ValueError, NotImplementedError), match=r"(?i)neural|ml ?program"):
        ours.compress(path, tmp_path / "out.mlpackage", nbits=4)


@pytest.mark.parametrize("kind", ["fifo", "device", "loop"])
def test_strange_inputs(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "strange.mlpackage"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.symlink_to(path)
    result = run(path, tmp_path / "out.mlpackage", timeout=30)
    assert result.returncode == 1
    assert "Error" in result.stderr.splitlines()[-1]


# MARK: outputs


def test_output_in_a_missing_folder(packages: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ours.compress(packages("small", "iOS16"), tmp_path / "no" / "such" / "out.mlpackage", nbits=4)
    assert list(tmp_path.iterdir()) == []


def test_output_below_a_file(packages: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises((NotADirectoryError, FileNotFoundError)):
        ours.compress(packages("small", "iOS16"), tmp_path / "file" / "out.mlpackage", nbits=4)
    assert (tmp_path / "file").read_text() == "x"


def test_output_in_a_read_only_place(packages: Any, tmp_path: Path) -> None:
    """/proc takes no new folders, not even from root."""
    with pytest.raises(OSError):
        ours.compress(packages("small", "iOS16"), Path("/proc/self/out.mlpackage"), nbits=4)
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o500)
    if os.geteuid() != 0:  # root may write everywhere
        with pytest.raises(PermissionError):
            ours.compress(packages("small", "iOS16"), folder / "out.mlpackage", nbits=4)
    assert list(folder.iterdir()) == []
    folder.chmod(0o700)


@pytest.mark.parametrize("name", ["folder", "folder.mlpackage"])
def test_output_is_an_ordinary_folder(packages: Any, tmp_path: Path, name: str) -> None:
    """coremltools deletes it; we refuse, and everything in it survives."""
    folder = tmp_path / name
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "precious.txt").write_text("keep me")
    before = tree(tmp_path)
    with pytest.raises((FileExistsError, ValueError)) as caught:
        ours.compress(packages("small", "iOS16"), folder, nbits=4)
    assert name in str(caught.value)
    with pytest.raises((FileExistsError, ValueError)):
        sc.ModelPackage(str(packages("small", "iOS16"))).save(str(folder))
    assert tree(tmp_path) == before


def test_output_is_an_ordinary_file(packages: Any, tmp_path: Path) -> None:
    file = tmp_path / "thing.mlpackage"
    file.write_text("keep me")
    with pytest.raises((FileExistsError, ValueError)):
        ours.compress(packages("small", "iOS16"), file, nbits=4)
    assert file.read_text() == "keep me"
    assert list(tmp_path.iterdir()) == [file]


def test_output_is_an_older_package(packages: Any, tmp_path: Path) -> None:
    """Replaced as a whole, in one step."""
    output = tmp_path / "out.mlpackage"
    shutil.copytree(packages("layers", "iOS16"), output)
    ours.compress(packages("small", "iOS16"), output, nbits=4)
    assert set(OraclePackage(output).constexprs()) == {"w"}
    assert list(tmp_path.iterdir()) == [output]


def test_output_is_the_input(packages: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.mlpackage"
    shutil.copytree(packages("layers", "iOS16"), path)
    ours.compress(packages("layers", "iOS16"), tmp_path / "expected.mlpackage", nbits=4)
    ours.compress(path, path, nbits=4)
    expected = tree(tmp_path / "expected.mlpackage")
    found = tree(path)
    assert found == expected
    assert sorted(p.name for p in tmp_path.iterdir()) == ["expected.mlpackage", "model.mlpackage"]


def test_output_is_a_link_to_the_input(packages: Any, tmp_path: Path) -> None:
    path, link = tmp_path / "model.mlpackage", tmp_path / "link.mlpackage"
    shutil.copytree(packages("small", "iOS16"), path)
    link.symlink_to(path)
    ours.compress(path, link, nbits=4)
    assert set(OraclePackage(link).constexprs()) == {"w"}
    OraclePackage(path)  # still whole, whichever of the two was written


def test_output_inside_the_input(packages: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.mlpackage"
    shutil.copytree(packages("small", "iOS16"), path)
    before = tree(path)
    with pytest.raises((ValueError, OSError)):
        ours.compress(path, path / "Data" / "out.mlpackage", nbits=4)
    assert tree(path) == before


def test_the_input_is_never_changed(packages: Any, tmp_path: Path) -> None:
    path = packages("layers", "iOS18")
    before, times = tree(path), {p: p.stat().st_mtime_ns for p in path.rglob("*")}
    ours.compress(path, tmp_path / "out.mlpackage", nbits=4)
    assert tree(path) == before
    assert {p: p.stat().st_mtime_ns for p in path.rglob("*")} == times


def test_a_read_only_input(packages: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.mlpackage"
    shutil.copytree(packages("small", "iOS16"), path)
    for p in [path, *path.rglob("*")]:
        p.chmod(0o555 if p.is_dir() else 0o444)
    try:
        ours.compress(path, tmp_path / "out.mlpackage", nbits=4)
        assert set(OraclePackage(tmp_path / "out.mlpackage").constexprs()) == {"w"}
        shutil.rmtree(tmp_path / "out.mlpackage")  # the copy is not read-only
    finally:
        for p in [path, *path.rglob("*")]:
            p.chmod(0o755)


def test_manifest_paths_that_climb_out(packages: Any, tmp_path: Path) -> None:
    """A manifest item that points outside its package is refused, on reading and on saving."""
    (tmp_path / "secret.txt").write_text("secret")
    path = tmp_path / "model.mlpackage"
    shutil.copytree(packages("extra_items", "iOS16"), path)
    manifest = json.loads((path / "Manifest.json").read_text())
    for evil in ("../../secret.txt", str(tmp_path / "secret.txt")):
        for entry in manifest["itemInfoEntries"].values():
            if entry["name"] == "Metadata.json":
                entry["path"] = evil
        (path / "Manifest.json").write_text(json.dumps(manifest))
        with pytest.raises((sc.ModelFormatError, OSError)):
            ours.compress(path, tmp_path / "out.mlpackage", nbits=4)
        assert not (tmp_path / "out.mlpackage").exists()


# MARK: a full disk, a race


@pytest.mark.parametrize("limit", [1, 5_000, 40_000, 80_000])
def test_full_disk(packages: Any, tmp_path: Path, limit: int) -> None:
    """RLIMIT_FSIZE stands in for it: the write fails part way; OSError, and nothing stays."""
    before = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
    )
    output = tmp_path / "out.mlpackage"
    result = run(packages("layers", "iOS16"), output, before=before, nbits=8)
    assert result.returncode == 1, result.stderr
    assert "OSError" in result.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_full_disk_keeps_the_older_package(packages: Any, tmp_path: Path) -> None:
    output = tmp_path / "out.mlpackage"
    shutil.copytree(packages("small", "iOS18"), output)
    older = tree(output)
    before = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40000, 40000))\n"
    )
    result = run(packages("layers", "iOS16"), output, before=before, nbits=8)
    assert result.returncode == 1, result.stderr
    assert tree(output) == older
    assert list(tmp_path.iterdir()) == [output]


def test_permissions_are_not_widened(packages: Any, tmp_path: Path) -> None:
    path = tmp_path / "private.mlpackage"
    shutil.copytree(packages("layers", "iOS16"), path)
    for entry in [path, *path.rglob("*")]:
        entry.chmod(0o700 if entry.is_dir() else 0o600)
    for output in (tmp_path / "out.mlpackage", path):
        ours.compress(path, output, nbits=4)
        modes = {(entry.is_dir(), entry.stat().st_mode & 0o777) for entry in [output, *output.rglob("*")]}
        assert modes == {(True, 0o700), (False, 0o600)}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_report_that_is_lost_is_a_failure(packages: Any) -> None:
    path = packages("layers", "iOS16")
    with open("/dev/full", "w") as full:
        run = subprocess.run([ours.command(), "info", str(path)], check=False, stdout=full, stderr=subprocess.PIPE)
    assert run.returncode == 1
    assert b"cannot write the output" in run.stderr


def test_two_processes_writing_the_same_output(packages: Any, tmp_path: Path) -> None:
    """Whoever is last wins; every outcome is a whole package of one of the two, and no rubbish stays."""
    path, output = packages("layers", "iOS18"), tmp_path / "out.mlpackage"
    for _ in range(5):
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", SCRIPT.format(nbits=n, before=""), str(path), str(output)],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for n in (2, 4, 2, 4)
        ]  # fmt: skip
        for process in processes:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors
        bits = {o.arrays["indices"].type_name for o in OraclePackage(output).constexprs().values()}
        assert bits in ({"uint2"}, {"uint4"})
        assert list(tmp_path.iterdir()) == [output]


def test_many_calls_in_one_process_leak_nothing(packages: Any, tmp_path: Path) -> None:
    path, output = packages("small", "iOS18"), tmp_path / "out.mlpackage"
    for _ in range(3):
        ours.compress(path, output, nbits=4)
    files = len(os.listdir("/proc/self/fd"))
    threads = len(os.listdir("/proc/self/task"))
    for _ in range(30):
        ours.compress(path, output, nbits=4)
    assert len(os.listdir("/proc/self/fd")) <= files
    assert len(os.listdir("/proc/self/task")) <= threads
