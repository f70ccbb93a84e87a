"""A pytest plugin: ``pytest -p swiftcompress.pytest_accelerate`` runs a suite with coremltools accelerated."""

from typing import Any

from swiftcompress.accelerate import Accelerator, accelerate_coremltools

_accelerators: dict[int, Accelerator] = {}


def pytest_configure(config: Any) -> None:
    """Replace the routines before any test module is imported."""
    _accelerators[id(config)] = accelerate_coremltools()


def pytest_report_header(config: Any) -> str:
    """One line at the top."""
    return _accelerators[id(config)].summary


def pytest_terminal_summary(terminalreporter: Any, config: Any) -> None:
    """One line at the end: how much of the work was ours."""
    routines = _accelerators[id(config)].routines
    ours, original = sum(status.ours for status in routines), sum(status.original for status in routines)
    terminalreporter.write_line(
        f"{_accelerators[id(config)].summary}; calls: {ours} swiftcompress, {original} coremltools"
    )


def pytest_unconfigure(config: Any) -> None:
    """Put everything back."""
    accelerator = _accelerators.pop(id(config), None)
    if accelerator is not None:
        accelerator.restore()
