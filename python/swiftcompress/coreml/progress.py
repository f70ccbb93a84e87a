"""How far a run is, on a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

# progress(weights done, weights in all, name of the last one)
ProgressFunction = Callable[[int, int, str], object]


@contextmanager
def progress_function(progress: bool | ProgressFunction, title: str) -> Iterator[ProgressFunction | None]:
    """Give what to call about every 50 ms, or None.

    A function is called as it is. True: a bar of tqdm where that is installed and standard error is a terminal, a
    line of text where only the latter, otherwise nothing.
    """
    stream = sys.stderr
    if callable(progress):
        yield progress
    elif not progress or stream is None or not stream.isatty():
        yield None
    else:
        try:
            from tqdm import tqdm
        except ImportError:
            yield from _line(stream, title)
        else:
            yield from _bar(tqdm, title)


def _bar(tqdm: Any, title: str) -> Iterator[ProgressFunction]:
    with tqdm(total=None, desc=title, unit=" weights", file=sys.stderr) as bar:

        def show(done: int, total: int, name: str) -> None:
            bar.total = total
            bar.set_postfix_str(name, refresh=False)
            bar.update(done - bar.n)

        yield show


def _line(stream: TextIO, title: str) -> Iterator[ProgressFunction]:
    shown = ""

    def show(done: int, total: int, name: str) -> None:
        nonlocal shown
        text = f"{title}: {done} of {total} weights"
        if text != shown:
            stream.write(f"\r{text}")
            stream.flush()
            shown = text

    try:
        yield show
    finally:
        if shown:
            stream.write("\n")
