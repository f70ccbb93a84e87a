"""A pytest plugin that writes down how each test ended, for scripts/coremltools_tests.py.

coremltools' tests draw unseeded random numbers. Here each test starts with a seed made of its name, so that two runs differ
only by what they run.
"""

from __future__ import annotations

import json
import random
import sys
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from coremltools_tests import TESTS, KnownDifferences

# What a failure says is cut to this many characters: enough to sort failures, little enough to keep.
LONGEST_ERROR = 600


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--part", action="store_true", help="only the tests of the part in coremltools_differences.toml")
    parser.addoption(
        "--outcomes", help="file for the outcomes, as JSON: test -> [outcome, error, what it reached of ours]"
    )


def pytest_configure(config: pytest.Config) -> None:
    # With pytest-xdist, the reports of the workers arrive in the controlling process.
    if config.getoption("--outcomes") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(config.getoption("--outcomes")), "coremltools-outcomes-recorder")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--part"):
        known = KnownDifferences.read()
        items[:] = [item for item in items if known.in_part(short_name(item.nodeid))]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    seed = zlib.crc32(short_name(item.nodeid).encode())
    random.seed(seed)
    np.random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
    yield


class Recorder:
    """Collects the reports of one run."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.outcomes: dict[str, tuple[str, str, list[str]]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        if hasattr(report, "wasxfail"):
            outcome = "xfailed" if report.outcome == "skipped" else "xpassed"
        elif report.outcome == "failed" and report.when != "call":
            outcome = "error"
        else:
            outcome = report.outcome
        error = error_text(report) if outcome in ("failed", "error") else ""
        reached = sorted({value for key, value in report.user_properties if key == "reached"})
        self.outcomes[short_name(report.nodeid)] = (outcome, error, reached)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.outcomes[short_name(report.nodeid)] = ("error", error_text(report), [])

    def pytest_sessionfinish(self) -> None:
        with open(self.path, "w", encoding="utf-8") as file:
            json.dump(self.outcomes, file, indent=0, sort_keys=True)


def short_name(nodeid: str) -> str:
    """The test's name below the folder of coremltools' tests, whatever pytest takes it relative to.

    Files of different suites have the same name, so their folders stay.
    """
    file, _, test = nodeid.partition("::")
    return f"{file.rpartition(f'{TESTS.as_posix()}/')[-1]}::{test}"


def error_text(report: Any) -> str:
    """The exception, without the traceback: its place in the file would differ with every version."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr)
    return str(text)[:LONGEST_ERROR]
