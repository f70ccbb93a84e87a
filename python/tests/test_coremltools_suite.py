"""coremltools' own tests with `swiftcompress.coreml` in its place: the part of them that reaches us, in a child process.

`scripts/coremltools_tests.py` runs all of them, also on coremltools itself, to compare with.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "coremltools_tests.py"
sys.path.insert(0, str(SCRIPT.parent))
import coremltools_tests
from coremltools_tests import Difference, KnownDifferences, Outcome, matches

# Fewer would mean that the names are looked up where ours are not.
LEAST_REACHING_US = 2900


def test_the_suite_of_coremltools(tmp_path: Path) -> None:
    missing = coremltools_tests.missing_modules()
    if missing:
        pytest.skip(f"coremltools' tests need {', '.join(missing)}; `./dev test --torch` installs them")
    command = [sys.executable, str(SCRIPT), "--mapped", "--part", "--folder", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    outcomes = coremltools_tests.read_outcomes(tmp_path / "mapped.json")
    passed = [test for test, outcome in outcomes.items() if outcome.reached and outcome.result == "passed"]
    assert len(passed) >= LEAST_REACHING_US


def test_patterns() -> None:
    assert matches("a.py::T::test_x[1-2]", "a.py::T::test_x")
    assert matches("a.py::T::test_x[1-2]", "a.py::T::*")
    assert matches("a.py::T::test_x[1-2]", "a.py::T::test_x[1-*]")
    assert not matches("a.py::T::test_x[1-2]", "a.py::T::test_x[2-*]")
    assert not matches("a.py::T::test_xy", "a.py::T::test_x")


def test_a_reason_is_for_one_message() -> None:
    entry = Difference(("a.py::test_x",), "found [0-9]", "because")
    assert entry.covers("a.py::test_x", Outcome("failed", "found 3"))
    assert not entry.covers("a.py::test_x", Outcome("failed", "found nothing"))
    assert not entry.covers("a.py::test_y", Outcome("failed", "found 3"))


def test_what_differs() -> None:
    known = KnownDifferences((Difference(("a.py::here",), "macOS", "no Core ML"),), (), (), ())
    outcomes = {
        "a.py::fine": Outcome("passed"),
        "a.py::here": Outcome("failed", "needs macOS"),
        "a.py::wrong": Outcome("failed", "1 != 2"),
    }
    assert set(coremltools_tests.differing(None, outcomes, known)) == {"a.py::wrong"}
    baseline = {**outcomes, "a.py::wrong": Outcome("xfailed"), "a.py::fine": Outcome("passed")}
    assert set(coremltools_tests.differing(baseline, outcomes, known)) == {"a.py::wrong"}
    assert not coremltools_tests.differing(outcomes, outcomes, known)


def test_the_list_can_be_read() -> None:
    known = KnownDifferences.read()
    assert known.part
    for entry in known.plain + known.mapped:
        assert entry.error
        assert len(entry.reason) > 20
