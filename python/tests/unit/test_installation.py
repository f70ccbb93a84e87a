"""The installed package: versions agree, the command starts, imports stay lean, every docstring's examples run."""

import doctest
import importlib
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import swiftcompress as sc
from swiftcompress import _core

ROOT = Path(__file__).resolve().parents[3]
NATIVE = {"swiftcompress._core", "swiftcompress.libswiftcompress_engine"}
MODULES = [
    "swiftcompress",
    *(m.name for m in pkgutil.walk_packages(sc.__path__, "swiftcompress.") if m.name not in NATIVE),
]


def launch(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys, _swiftcompress_launcher as l; sys.argv[0] = 'swiftcompress'; l.main()"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def test_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert sc.__version__ == project["version"] == _core.VERSION
    result = launch("--version")
    assert (result.returncode, result.stdout.strip()) == (0, sc.__version__)


def test_command_passes_its_status_and_arguments_on() -> None:
    assert launch("--help").stdout.startswith("OVERVIEW: ")
    assert launch("no-such-command").returncode == 64
    failed = launch("info", "/nowhere/with space.mlpackage")
    assert failed.returncode == 1
    assert "with space.mlpackage" in failed.stderr


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_imports_are_lean() -> None:
    optional = {"torch", "coremltools", "tqdm", "yaml", "ml_dtypes", "sklearn", "scipy"}
    assert not optional & modules_after("import swiftcompress.coreml")
    assert "swiftcompress.coreml" not in modules_after("import swiftcompress")
    assert "swiftcompress.coreml" in modules_after("import swiftcompress; swiftcompress.coreml.palettize_weights")
    assert "numpy" not in modules_after("import _swiftcompress_launcher")


def test_public_names() -> None:
    assert set(sc.__all__) <= set(dir(sc))
    assert all(hasattr(sc, name) for name in sc.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        sc.nonsense  # noqa: B018


def test_a_wrong_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from swiftcompress import _native

    monkeypatch.setattr(_core, "ABI_VERSION", 999)
    with pytest.raises(ImportError, match=r"999.*Reinstall"):
        _native._load()


def test_a_missing_engine_is_explained() -> None:
    code = "import sys; sys.modules['swiftcompress._core'] = None; import swiftcompress"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: swiftcompress: the native engine could not be loaded" in result.stderr


def test_the_engine_exports_its_interface_only() -> None:
    folder = Path(str(_core.__file__)).parent
    engine = next(folder.glob("libswiftcompress_engine.*"))
    try:
        symbols = subprocess.run(["nm", "-D", "--defined-only", engine], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs nm of binutils")
    exported = [line.split()[-1] for line in symbols.stdout.splitlines() if line.split()[-2] in "TDBRW"]
    assert exported
    assert all(name.startswith("swc_") for name in exported)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), raise_on_error=False)
    assert result.failed == 0


def test_there_are_docstring_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) >= 8
