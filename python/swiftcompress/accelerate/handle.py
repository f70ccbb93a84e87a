"""`accelerate_coremltools` and what it returns."""

import os
import sys
import threading
from types import ModuleType, TracebackType
from typing import Self

from swiftcompress import _checks
from swiftcompress._native import VERSION
from swiftcompress.accelerate.catalogue import NOT_YET, ROUTINES
from swiftcompress.accelerate.imports import AfterImport
from swiftcompress.accelerate.known import KNOWN
from swiftcompress.accelerate.patching import Patches, Status, installed_version

_lock = threading.RLock()
# Held across a fork by the thread that forks, so that no other thread holds it then, and the child is not left with it.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
_current: "_Session | None" = None


class _Session:
    """One set of patches, and the handles that keep it in place."""

    def __init__(self) -> None:
        self.handles: list[Accelerator] = []
        self.patches = Patches(ROUTINES, KNOWN, self._threads)
        self.hook = AfterImport(self.patches.modules, self._imported)

    def _threads(self) -> int:
        """Take the limit of the latest handle that has one."""
        for handle in reversed(list(self.handles)):
            if handle.num_threads is not None:
                return handle.num_threads
        return 0

    def _imported(self, module: ModuleType) -> None:
        with _lock:
            if self.patches.active:
                self.patches.apply(module)

    def start(self) -> None:
        self.hook.install()
        loaded = [sys.modules.get(name) for name in sorted(self.patches.modules)]
        # A module that is being imported right now calls the hook, unless it began before the hook was there.
        self.patches.apply(*(module for module in loaded if module is not None and not _is_being_imported(module)))

    def stop(self) -> None:
        self.hook.remove()
        self.patches.restore()


def _is_being_imported(module: ModuleType) -> bool:
    return bool(getattr(module.__spec__, "_initializing", False))


class Accelerator:
    """Keeps coremltools' hot routines replaced until `restore`, or to the end of a ``with`` block.

    Printed, it says what `describe` says.
    """

    def __init__(self, num_threads: int | None) -> None:
        self.num_threads = num_threads
        """Threads of one call at most; None: one for each core."""
        self._session: _Session | None = None
        self._patches: Patches | None = None

    def _join(self) -> None:
        global _current
        with _lock:
            session = _current
            if session is None:
                session = _current = _Session()
                session.start()
            session.handles.append(self)
            self._session, self._patches = session, session.patches

    def restore(self) -> None:
        """Give up this handle. With the last one coremltools is as it was before, object for object.

        Without effect when it was called before. Where somebody else replaced a routine after us, theirs stays.
        """
        global _current
        with _lock:
            session, self._session = self._session, None
            if session is None:
                return
            session.handles.remove(self)
            if not session.handles:
                session.stop()
                _current = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()

    @property
    def active(self) -> bool:
        """Whether the routines are replaced, by this handle or another one."""
        return self._patches is not None and self._patches.active

    @property
    def routines(self) -> tuple[Status, ...]:
        """Each routine with what became of it, and how many calls ours and the original answered."""
        return () if self._patches is None else tuple(self._patches.statuses.values())

    @property
    def summary(self) -> str:
        """One line."""
        states = [status.state for status in self.routines]
        version = installed_version()
        text = f"swiftcompress {VERSION} for coremltools {version}" if version else "coremltools is not installed"
        counts = ", ".join(
            f"{states.count(state)} {state}" for state in ("replaced", "waiting", "left alone") if state in states
        )
        return f"{text}: {counts}" + ("" if self.active else " (restored)")

    def describe(self) -> str:
        """Say what is replaced, where results differ, what was left alone and why, and what is not replaced yet."""
        lines = [self.summary]
        if installed_version() not in ("", *KNOWN):
            lines.append(
                f"This version of coremltools is not one of {', '.join(KNOWN)}: only what is unchanged is replaced."
            )
        titles = {"replaced": "Replaced", "waiting": "Waiting for the import of the module", "left alone": "Left alone"}
        for state, title in titles.items():
            chosen = [status for status in self.routines if status.state == state]
            if chosen:
                lines.append(f"{title}:")
            for status in chosen:
                lines.extend(_lines_about(status))
        lines.append("Not replaced yet:")
        lines.extend(f"  {module}: {what}" for module, what in NOT_YET)
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.describe()

    def __repr__(self) -> str:
        return f"<Accelerator {self.summary}>"


def _lines_about(status: Status) -> list[str]:
    routine = status.routine
    lines = [f"  {routine.module}.{routine.name}: {status.reason or routine.what}"]
    if routine.differs and status.state != "left alone":
        lines.append(f"    differs: {routine.differs}")
    if status.ours or status.original:
        why = f" ({status.declined})" if status.declined else ""
        lines.append(f"    calls: {status.ours} ours, {status.original} original{why}")
    return lines


def accelerate_coremltools(*, num_threads: int | None = None) -> Accelerator:
    """Replace the hot routines inside an installed coremltools by ours, so that an existing pipeline gets faster.

    Results stay what they are, bit for bit, but where `Accelerator.describe` says otherwise: exact k-means takes the
    place of approximations. Each replacement looks at its arguments and leaves to the original what it does not handle.
    Only routines are replaced whose signature and source are known (coremltools 9.0).

    May be called before or after coremltools is imported (it is not imported here), and more than once: there is one set of
    replacements, which goes with the last handle.

    Parameters
    ----------
    num_threads
        Threads of one call at most; None: one for each core. Of several handles the latest with a number decides. Never
        changes a result.

    Returns
    -------
    Accelerator
        With `restore` and `describe`; also a context manager.

    Examples
    --------
    >>> import swiftcompress as sc
    >>> with sc.accelerate_coremltools() as accelerator:
    ...     accelerator.active
    True
    >>> accelerator.active
    False
    """
    if num_threads is not None:
        _checks.threads("accelerate_coremltools", num_threads)
    handle = Accelerator(num_threads)
    handle._join()
    return handle
