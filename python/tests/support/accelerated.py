"""A call with and without the accelerator."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import swiftcompress as sc

from .arrays import assert_same_bits


def assert_same(ours: Any, theirs: Any, what: str = "result") -> None:
    """Same types, shapes, type metadata (coremltools marks 4-bit integers with it) and bits, in tuples and lists too."""
    __tracebackhide__ = True
    assert type(ours) is type(theirs), f"{what}: {type(ours)}, expected {type(theirs)}"
    if isinstance(theirs, np.ndarray):
        assert_same_bits(ours, theirs, what)
        assert ours.dtype.metadata == theirs.dtype.metadata, f"{what}: {ours.dtype.metadata}"
    elif isinstance(theirs, tuple | list) and not all(isinstance(each, int | float) for each in theirs):
        assert len(ours) == len(theirs), what
        for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(a, b, f"{what}[{number}]")
    else:
        assert ours == theirs, what


def both(routine: str, call: Callable[[], Any]) -> tuple[Any, Any, sc.accelerate.Status]:
    """The results with and without, and what became of the routine (by the end of its name)."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        theirs = call()
        with sc.accelerate_coremltools() as accelerator:
            ours = call()
    (status,) = (each for each in accelerator.routines if each.routine.key.endswith(routine))
    return ours, theirs, status


def check(routine: str, call: Callable[[], Any], *, answered: bool = True) -> None:
    """The same, and ours did it (or, with `answered=False`, left it to the original)."""
    __tracebackhide__ = True
    ours, theirs, status = both(routine, call)
    assert status.state == "replaced", status.reason
    assert bool(status.ours) == answered, (
        f"{routine}: {status.ours} ours, {status.original} original: {status.declined}"
    )
    assert_same(ours, theirs)


def check_all(holder: Any, name: str, arguments: Iterable[tuple[Any, ...]]) -> None:
    """The same of several calls, each answered by ours."""
    __tracebackhide__ = True
    several = list(arguments)
    ours, theirs, status = both(name, lambda: [getattr(holder, name)(*each) for each in several])
    assert status.state == "replaced", status.reason
    assert status.ours == len(several), f"{name}: {status.original} original: {status.declined}"
    assert_same(ours, theirs)


def check_error(routine: str, call: Callable[[], Any]) -> None:
    """The same error in the same words."""
    __tracebackhide__ = True
    found = []
    for accelerated in (False, True):
        accelerator = sc.accelerate_coremltools() if accelerated else None
        try:
            call()
        except Exception as error:  # noqa: BLE001
            found.append((type(error), str(error)))
        else:
            raise AssertionError(f"{routine}: no error{' with the accelerator' if accelerated else ''}")
        finally:
            if accelerator is not None:
                accelerator.restore()
    assert found[0] == found[1]
