"""`python -m swiftcompress.accelerate` and the pytest plugin: programs run as they do without."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("coremltools", reason="coremltools is not installed")

from swiftcompress.accelerate.catalogue import ROUTINES

PROGRAM = """
import sys
print(sys.argv, __name__, __file__, sys.path[0])
print(__spec__ is None, sys.modules["__main__"].__dict__ is globals())
what = sys.argv[1] if len(sys.argv) > 1 else ""
if what == "exit":
    sys.exit(7)
if what == "text":
    sys.exit("a last word")
if what == "error":
    def fail():
        raise ValueError("from the program")
    fail()
if what == "interrupt":
    raise KeyboardInterrupt
if what == "hook":
    sys.excepthook = lambda kind, value, trace: print("hook", kind.__name__, trace.tb_frame.f_code.co_name)
    raise ValueError
if what == "atexit":
    import atexit
    atexit.register(lambda: print("at the end", what))
"""


def python(*arguments: str, cwd: Path) -> tuple[int, str, str]:
    result = subprocess.run(
        [sys.executable, *arguments], check=False, capture_output=True, text=True, cwd=cwd, timeout=240
    )
    return result.returncode, result.stdout, result.stderr


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "programs" / "program.py"
    path.parent.mkdir()
    path.write_text(PROGRAM)
    (path.parent / "broken.py").write_text("x = (\n")
    (path.parent / "__main__.py").write_text("import sys; print(sys.argv, __name__)")
    return path


@pytest.mark.parametrize("what", ["", "exit", "text", "error", "interrupt", "hook", "atexit", "-m --threads"])
def test_script(program: Path, what: str) -> None:
    arguments = ["programs/program.py", *what.split()]
    accelerated = python("-m", "swiftcompress.accelerate", *arguments, cwd=program.parent.parent)
    plain = python(*arguments, cwd=program.parent.parent)
    assert accelerated[0] == plain[0]
    assert accelerated[1] == plain[1]
    assert accelerated[2].splitlines() == plain[2].splitlines()


@pytest.mark.parametrize("arguments", [["missing.py"], ["broken.py"], ["."], ["-m", "no_such_module"]])
def test_what_cannot_run(program: Path, arguments: list[str]) -> None:
    accelerated = python("-m", "swiftcompress.accelerate", *arguments, cwd=program.parent)
    plain = python(*arguments, cwd=program.parent)
    assert accelerated[:2] == plain[:2]
    assert accelerated[2].splitlines()[-1:] == plain[2].splitlines()[-1:]


@pytest.mark.parametrize("what", ["", "exit", "atexit"])
def test_module(program: Path, what: str) -> None:
    arguments = ["-m", "program", *what.split()]
    accelerated = python("-m", "swiftcompress.accelerate", *arguments, cwd=program.parent)
    plain = python(*arguments, cwd=program.parent)
    assert accelerated[0] == plain[0]
    assert accelerated[1].splitlines()[0] == plain[1].splitlines()[0]


def test_traceback_of_a_module(program: Path) -> None:
    status, _, errors = python("-m", "swiftcompress.accelerate", "-m", "program", "error", cwd=program.parent)
    assert status == 1
    assert "accelerate/__main__.py" not in errors and errors.endswith("ValueError: from the program\n")


def test_options(program: Path) -> None:
    name = str(program)
    status, _, errors = python(
        "-m", "swiftcompress.accelerate", "--describe", "--threads", "2", name, cwd=program.parent
    )
    assert status == 0 and "waiting" in errors
    for wrong in (["--nonsense", name], ["--threads", "0", name], []):
        status, _, errors = python("-m", "swiftcompress.accelerate", *wrong, cwd=program.parent)
        assert status == 2 and "usage:" in errors
    status, output, _ = python("-m", "swiftcompress.accelerate", "--help", cwd=program.parent)
    assert status == 0 and output.startswith("usage:")


def test_coremltools_is_accelerated(tmp_path: Path) -> None:
    (tmp_path / "uses.py").write_text(
        "from coremltools.optimize import _utils\nprint(hasattr(_utils.lut_to_dense, '_swiftcompress_routine'))"
    )
    assert python("-m", "swiftcompress.accelerate", "uses.py", cwd=tmp_path)[1] == "True\n"


def test_pytest_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_tiny.py").write_text(
        textwrap.dedent("""
        import numpy as np
        from coremltools.optimize import _utils
        from coremltools.optimize._utils import lut_to_dense

        def test_passes():
            assert hasattr(_utils.lut_to_dense, "_swiftcompress_routine")
            assert lut_to_dense(np.array([1], np.uint8), np.ones((1, 2, 1), np.float16)) == 1

        def test_fails():
            assert False
        """)
    )
    status, output, _ = python(
        *("-m", "pytest", "-p", "no:cacheprovider", "-p", "swiftcompress.pytest_accelerate", "test_tiny.py"),
        cwd=tmp_path,
    )
    assert status == 1
    lines = output.splitlines()
    assert any("1 failed, 1 passed" in line for line in lines)
    assert any(line.startswith("swiftcompress ") and f"{len(ROUTINES)} waiting" in line for line in lines[:8])
    assert any("calls: 1 swiftcompress, 0 coremltools" in line for line in lines)
