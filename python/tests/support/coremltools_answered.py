"""A pytest plugin beside `swiftcompress.pytest_accelerate`: notes which of our routines answered calls of each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from swiftcompress.accelerate import Accelerator, accelerate_coremltools

HANDLE = pytest.StashKey[Accelerator]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[HANDLE] = accelerate_coremltools()  # all handles share one set of replacements


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[HANDLE].restore()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    routines = item.config.stash[HANDLE].routines
    before = [status.ours for status in routines]
    try:
        yield
    finally:
        item.user_properties += [
            ("reached", status.routine.name)
            for status, count in zip(routines, before, strict=True)
            if status.ours > count
        ]
