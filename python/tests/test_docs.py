"""Runs every fenced example of README.md and docs/guides, so that none of them is only a claim.

Python blocks of one page run in one interpreter from top to bottom, shell blocks (```sh) in one shell, Swift blocks as a
program of a package that depends on this one. Each page gets an empty folder with a copy of the real models.
Blocks marked ```console show commands that are not run here (installation) or output. The page on torch models is skipped
where torch is not there, or left out.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN_HERE = {"python", "sh", "swift"}
NOT_RUN = {"console", "text"}
MODEL = "crepe_tiny.mlpackage"


def blocks(page: Path, language: str) -> str:
    """A page's blocks of one language, each on the line where the page has it, so that errors point there."""
    text = page.read_text(encoding="utf-8")
    lines: list[str] = []
    for match in FENCE.finditer(text):
        if match[1] == language:
            lines += [""] * (text.count("\n", 0, match.start(2)) - len(lines))
            lines += match[2].splitlines()
    return "\n".join(lines) + "\n" if lines else ""


def without_torch() -> str:
    """Why a page that needs torch is skipped; empty where it is not."""
    if os.environ.get("SWIFTCOMPRESS_TEST_TORCH", "1") == "0":
        return "torch is left out: ./dev test --torch runs this page"
    missing = [name for name in ("torch", "coremltools") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(missing)} not installed: ./dev test --torch brings what this page needs" if missing else ""


def pages_with(language: str) -> list[object]:
    found = [page for page in PAGES if blocks(page, language)]
    assert found, f"no page has a {language} example"
    return [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in found]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder with a model under .models, as the pages assume."""
    source = ROOT / ".models" / MODEL
    assert source.is_dir(), f"{source} is missing: run scripts/get_models.py"
    shutil.copytree(source, tmp_path / ".models" / MODEL)
    return tmp_path


def run(command: list[str], folder: Path, seconds: int = 300) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path}
    result = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_has_a_known_language(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    opened = re.findall(r"^```(.*)$", text, re.MULTILINE)[::2]
    assert set(opened) <= RUN_HERE | NOT_RUN


@pytest.mark.parametrize("page", pages_with("python"))
def test_python_examples(page: Path, folder: Path) -> None:
    if page.name == "torch.md" and without_torch():
        pytest.skip(without_torch())
    script = folder / f"{page.stem}_page.py"  # torch.py would stand before torch
    script.write_text(blocks(page, "python"), encoding="utf-8")
    run([sys.executable, "-W", "error", script.name], folder)


@pytest.mark.parametrize("page", pages_with("sh"))
def test_shell_examples(page: Path, folder: Path) -> None:
    run(["bash", "-euo", "pipefail", "-c", blocks(page, "sh")], folder)


@pytest.mark.parametrize("page", pages_with("swift"))
def test_swift_examples(page: Path, folder: Path) -> None:
    """As a user's program: a package of its own that depends on this checkout and on its library product."""
    sources = folder / "Sources" / "Example"
    sources.mkdir(parents=True)
    (sources / "main.swift").write_text(blocks(page, "swift"), encoding="utf-8")
    (folder / "Package.swift").write_text(
        f"""// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "Example",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "swiftcompress", path: "{ROOT}")],
    targets: [
        .executableTarget(
            name: "Example", dependencies: [.product(name: "SwiftCompress", package: "swiftcompress")])
    ]
)
""",
        encoding="utf-8",
    )
    scratch = ROOT / ".build-docs"
    command = ["swift", "run", "--quiet", "--configuration", "release", "--scratch-path", str(scratch), "Example"]
    run(command, folder, seconds=900)


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("compare_settings.py", []),
        ("keep_sensitive_layers.py", ["mixed.mlpackage"]),
    ],
)
def test_examples(script: str, arguments: list[str], folder: Path) -> None:
    run([sys.executable, "-W", "error", str(ROOT / "examples" / script), f".models/{MODEL}", *arguments], folder)


def test_every_example_is_run() -> None:
    parameters = [mark.args[1] for mark in test_examples.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == {script for script, _ in parameters[0]}
