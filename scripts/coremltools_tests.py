#!/usr/bin/env python3
"""Runs the tests that coremltools 9.0 carries in its own wheel, unmodified, on coremltools or on swiftcompress.

    .venv/bin/python scripts/test_environment.py python/tests/requirements{-lint,,-torch,-coremltools}.txt
    .venv/bin/python scripts/coremltools_tests.py                 coremltools on its own: the baseline
    .venv/bin/python scripts/coremltools_tests.py --accelerated   with its hot routines replaced by ours
    .venv/bin/python scripts/coremltools_tests.py --mapped        with its public functions and classes replaced by ours
    ... --suite torch                                             tests of coremltools.optimize.torch; also: api; else coreml
    ... --mapped --part                                           the tests that reach us and are not slow
    ... --all-targets                                             for iOS17, iOS18 and float32 too, not only iOS16 and float16
    ... -k EXPRESSION -x                                          what follows goes to pytest

How each test ended is in build/coremltools-tests/SUITE/{plain,accelerated,mapped}.json (SUITE-all with --all-targets).
After a run, tests that ended otherwise than in the baseline are printed, in groups by what they say. The status is 1 when
there is one that python/tests/coremltools_differences.toml does not give a reason for. Without a baseline, a test is taken
to pass unless that file says that coremltools fails it too.

A full run of a suite takes ten minutes to half an hour on two cores.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DIFFERENCES = ROOT / "python" / "tests" / "coremltools_differences.toml"
TESTS = Path("test", "optimize")
"""In the package; the names of tests begin below it."""

# What of TESTS belongs to a suite.
SUITES = {
    "coreml": ("coreml",),
    "torch": ("torch",),
    "api": ("api", "test_utils.py"),  # the examples of its documentation, and its routines on arrays
}

PLUGINS = {
    "plain": (),
    "accelerated": ("swiftcompress.pytest_accelerate", "support.coremltools_answered"),
    "mapped": ("support.coremltools_mapping",),
}
# What the suite imports, and what runs it.
NEEDED = ("coremltools", "torch", "sklearn", "yaml", "torchvision", "PIL", "pytest", "xdist")
# Failures that say the same about other numbers are one group.
SHOWN_PER_GROUP = 5


@dataclass(frozen=True)
class Outcome:
    """How one test ended."""

    result: str
    error: str = ""
    reached: tuple[str, ...] = ()
    """Which of our functions it called, or which of our routines answered."""


Outcomes = dict[str, Outcome]


@dataclass(frozen=True)
class Difference:
    """An entry of the list of known differences."""

    tests: tuple[str, ...]
    error: str
    reason: str

    def covers(self, test: str, outcome: Outcome) -> bool:
        return any(matches(test, pattern) for pattern in self.tests) and bool(
            re.search(self.error, outcome.error, re.DOTALL)
        )


@dataclass(frozen=True)
class KnownDifferences:
    """The checked-in list."""

    plain: tuple[Difference, ...]
    """What coremltools itself fails."""
    accelerated: tuple[Difference, ...]
    """What fails with our routines in coremltools, and not without."""
    mapped: tuple[Difference, ...]
    """What fails with our functions, and not on coremltools."""
    part: tuple[str, ...]
    """Patterns of the tests of --part."""
    slow: tuple[str, ...]
    """Patterns of those that --part leaves out nevertheless."""

    @classmethod
    def read(cls, path: Path = DIFFERENCES) -> KnownDifferences:
        with path.open("rb") as file:
            table = tomllib.load(file)

        def entries(name: str) -> tuple[Difference, ...]:
            return tuple(
                Difference(tuple(entry["tests"]), entry.get("error", ""), entry["reason"])
                for entry in table.get(name, [])
            )

        part = table["part"]
        return cls(
            entries("plain"), entries("accelerated"), entries("mapped"), tuple(part["tests"]), tuple(part["slow"])
        )

    def of(self, way: str) -> tuple[Difference, ...]:
        """The differences of one way from coremltools on its own."""
        return {"plain": (), "accelerated": self.accelerated, "mapped": self.mapped}[way]

    def fails_plain(self, test: str, outcome: Outcome) -> bool:
        """Whether coremltools itself fails this test so."""
        return any(entry.covers(test, outcome) for entry in self.plain)

    def in_part(self, test: str) -> bool:
        return any(matches(test, pattern) for pattern in self.part) and not any(
            matches(test, pattern) for pattern in self.slow
        )


def matches(test: str, pattern: str) -> bool:
    """A pattern is a test's name with `*`; brackets are brackets, and a name without them stands for all its parameters."""
    return fnmatch.fnmatchcase(test.split("[")[0] if "[" not in pattern else test, pattern.replace("[", "[[]"))


def read_outcomes(path: Path) -> Outcomes:
    table: dict[str, list[Any]] = json.loads(path.read_text(encoding="utf-8"))
    return {test: Outcome(result, error, tuple(reached)) for test, (result, error, reached) in table.items()}


def missing_modules() -> list[str]:
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def tests_folder() -> Path:
    spec = importlib.util.find_spec("coremltools")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / TESTS
    if not folder.is_dir():
        sys.exit(f"the installed coremltools has no {TESTS}")
    return folder


def run(way: str, suite: str, folder: Path, jobs: int, part: bool, rest: list[str], *, all_targets: bool) -> Outcomes:
    """Run a suite in a child process; returns how its tests ended."""
    tests = tests_folder()
    outcomes = folder / f"{way}.json"
    outcomes.unlink(missing_ok=True)
    # The tests lie in the wheel: nothing is written there, and no settings of ours apply.
    # fmt: off
    command = [
        sys.executable, "-m", "pytest", "-q", "--rootdir", str(tests), "-c", os.devnull, "-p", "no:cacheprovider",
        "-p", "support.coremltools_outcomes", "--outcomes", str(outcomes), "-n", str(jobs), "--tb", "short", "-r", "N",
        *(["--part"] if part else []),
        *(word for plugin in PLUGINS[way] for word in ("-p", plugin)),
        *(str(tests / each) for each in SUITES[suite]), *rest,
    ]
    # fmt: on
    paths = [str(ROOT / "python" / "tests"), str(ROOT / "scripts"), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "TQDM_DISABLE": "1",
    }
    if all_targets:  # coremltools' own switches
        environment |= {"RUN_BACKWARD_COMPATIBILITY": "1", "INCLUDE_MIL_FP32_UNIT_TESTS": "1"}
    log = folder / f"{way}.log"
    with log.open("w", encoding="utf-8") as file:
        # fmt: off
        status = subprocess.run(
            command, cwd=folder, env=environment, check=False,
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
        ).returncode
        # fmt: on
    if status not in (0, 1) or not outcomes.is_file():
        tail = log.read_text(encoding="utf-8").splitlines()[-30:]
        sys.exit("\n".join([*tail, f"pytest ended with status {status}; its words are in {log}"]))
    return read_outcomes(outcomes)


# Comparison


def differing(baseline: Outcomes | None, outcomes: Outcomes, known: KnownDifferences) -> Outcomes:
    """The tests that ended otherwise than on coremltools.

    What coremltools is known to fail, for example where it measures time, may also pass.
    """

    def differs(test: str, outcome: Outcome) -> bool:
        if known.fails_plain(test, outcome):
            return False
        if baseline is None:
            return outcome.result in ("failed", "error")
        if test not in baseline:
            return True
        as_before = outcome.result == baseline[test].result
        return not as_before and not (outcome.result == "passed" and known.fails_plain(test, baseline[test]))

    return {test: outcome for test, outcome in outcomes.items() if differs(test, outcome)}


def group_of(outcome: Outcome) -> str:
    """The first lines of the error, without numbers and addresses."""
    lines = [line.strip() for line in outcome.error.splitlines() if line.strip()][:3]
    text = re.sub(r"0x[0-9a-f]+", "0x", " | ".join(lines))
    text = re.sub(r"\d+(\.\d+)?(e[-+]?\d+)?", "N", text)
    return f"{outcome.result}: {text[:240]}"


def print_groups(title: str, tests: Outcomes) -> None:
    groups: dict[str, list[str]] = {}
    for test, outcome in tests.items():
        groups.setdefault(group_of(outcome), []).append(test)
    print(f"\n{title}: {len(tests)}")
    for text, members in sorted(groups.items(), key=lambda group: -len(group[1])):
        print(f"\n  {len(members):4} {text}")
        for test in members[:SHOWN_PER_GROUP]:
            print(f"         {test}")
        if len(members) > SHOWN_PER_GROUP:
            print(f"         ... and {len(members) - SHOWN_PER_GROUP} more")


def counts(outcomes: Outcomes) -> str:
    found = Counter(outcome.result for outcome in outcomes.values())
    return ", ".join(f"{count} {result}" for result, count in found.most_common())


def report(way: str, outcomes: Outcomes, baseline: Outcomes | None, known: KnownDifferences) -> bool:
    """Print what happened; False when a difference has no reason."""
    print(f"{way}: {counts(outcomes)}")
    reached = {test: outcome for test, outcome in outcomes.items() if outcome.reached}
    if reached:
        print(f"  of these, reaching ours: {counts(reached)}")
    differences = differing(baseline, outcomes, known) if way != "plain" else differing(None, outcomes, known)
    unexplained = dict(differences)
    stale = False
    for entry in known.of(way):
        covered = [test for test, outcome in differences.items() if entry.covers(test, outcome)]
        for test in covered:
            unexplained.pop(test, None)
        if covered:
            print(f"\n  {len(covered):4} known: {entry.reason}")
        elif any(matches(test, pattern) for test in outcomes for pattern in entry.tests):
            print(f"\n     0 known, but it did not happen; take it off the list: {entry.reason}")
            stale = True
    if unexplained:
        print_groups("differing from coremltools without a known reason", unexplained)
    return not unexplained and not stale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--accelerated", action="store_const", dest="way", const="accelerated")
    way.add_argument("--mapped", action="store_const", dest="way", const="mapped")
    parser.add_argument("--suite", choices=tuple(SUITES), default="coreml", help="which tests (coreml unless given)")
    parser.add_argument("--part", action="store_true", help="the tests that reach us and are not slow")
    parser.add_argument("--all-targets", action="store_true", help="every deployment target from iOS16 on")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 8), help="processes")
    parser.add_argument("--folder", type=Path, help="for the results; build/coremltools-tests/SUITE[-all] unless given")
    parser.add_argument("--baseline", type=Path, help="the results to compare with; otherwise plain.json in the folder")
    parser.add_argument("--show", action="store_true", help="compare the results of the last run, without running")
    arguments, rest = parser.parse_known_args()
    name: str = arguments.way or "plain"
    missing = missing_modules()
    if missing:
        sys.exit(f"these are not installed: {', '.join(missing)}; scripts/test_environment.py brings them, see --help")
    place = ROOT / "build" / "coremltools-tests" / (arguments.suite + ("-all" if arguments.all_targets else ""))
    folder = (arguments.folder or place).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.show:
        outcomes = read_outcomes(folder / f"{name}.json")
    else:
        # fmt: off
        outcomes = run(
            name, arguments.suite, folder, arguments.jobs, arguments.part, rest, all_targets=arguments.all_targets
        )
        # fmt: on
    path = arguments.baseline or folder / "plain.json"
    baseline = read_outcomes(path) if path.is_file() and name != "plain" else None
    sys.exit(0 if report(name, outcomes, baseline, KnownDifferences.read()) else 1)


if __name__ == "__main__":
    main()
