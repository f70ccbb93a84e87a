"""coremltools' own tests, the part of them that reaches us, in a child process.

Those of `coremltools.optimize.coreml` with `swiftcompress.coreml` in its place, and those of the palettizers and layerwise
compressors of `coremltools.optimize.torch` with its hot routines replaced.

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
LEAST_ANSWERED_BY_US = 50


def run_part(suite: str, way: str, folder: Path) -> dict[str, Outcome]:
    """How the tests of a part ended; fails when one of them differs from coremltools without a known reason."""
    missing = coremltools_tests.missing_modules()
    if missing:
        pytest.skip(f"coremltools' tests need {', '.join(missing)}; `./dev test --torch` installs them")
    command = [sys.executable, str(SCRIPT), "--suite", suite, f"--{way}", "--part", "--folder", str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    return coremltools_tests.read_outcomes(folder / f"{way}.json")


def test_the_suite_of_coremltools(tmp_path: Path) -> None:
    outcomes = run_part("coreml", "mapped", tmp_path)
    passed = [test for test, outcome in outcomes.items() if outcome.reached and outcome.result == "passed"]
    assert len(passed) >= LEAST_REACHING_US


def test_the_suite_of_its_torch_part(tmp_path: Path) -> None:
    outcomes = run_part("torch", "accelerated", tmp_path)
    answered = [test for test, outcome in outcomes.items() if outcome.reached and outcome.result == "passed"]
    assert len(answered) >= LEAST_ANSWERED_BY_US
    assert "KMeans._cluster_weights_worker" in {name for outcome in outcomes.values() for name in outcome.reached}


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
    known = KnownDifferences((Difference(("a.py::here",), "macOS", "no Core ML"),), (), (), (), ())
    outcomes = {
        "a.py::fine": Outcome("passed"),
        "a.py::here": Outcome("failed", "needs macOS"),
        "a.py::wrong": Outcome("failed", "1 != 2"),
    }
    assert set(coremltools_tests.differing(None, outcomes, known)) == {"a.py::wrong"}
    baseline = {**outcomes, "a.py::wrong": Outcome("xfailed"), "a.py::fine": Outcome("passed")}
    assert set(coremltools_tests.differing(baseline, outcomes, known)) == {"a.py::wrong"}
    assert not coremltools_tests.differing(outcomes, outcomes, known)


def test_what_coremltools_fails_may_pass() -> None:
    known = KnownDifferences((Difference(("a.py::slow",), "< 65", "measures time"),), (), (), (), ())
    slow, fine = {"a.py::slow": Outcome("failed", "assert 70 < 65")}, {"a.py::slow": Outcome("passed")}
    assert not coremltools_tests.differing(slow, fine, known)
    assert not coremltools_tests.differing(fine, slow, known)
    assert coremltools_tests.differing(fine, {"a.py::slow": Outcome("failed", "IndexError")}, known)


def test_names_of_the_suites_do_not_collide() -> None:
    from support.coremltools_outcomes import short_name

    place = "site-packages/coremltools/test/optimize/"
    assert short_name(f"../{place}torch/a/test_utils.py::test_x[a/b]") == "torch/a/test_utils.py::test_x[a/b]"
    assert short_name("torch/a/test_utils.py::test_x") == "torch/a/test_utils.py::test_x"


def test_the_list_can_be_read() -> None:
    known = KnownDifferences.read()
    assert known.part
    for entry in known.plain + known.accelerated + known.mapped:
        assert entry.error
        assert len(entry.reason) > 20
