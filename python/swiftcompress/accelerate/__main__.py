"""Runs an unchanged program with coremltools accelerated.

python -m swiftcompress.accelerate script.py [arguments]
python -m swiftcompress.accelerate -m module [arguments]
"""

import importlib.util
import os
import runpy
import sys
from importlib.machinery import SourceFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import Any

from swiftcompress.accelerate.handle import accelerate_coremltools

USAGE = """usage: python -m swiftcompress.accelerate [--describe] [--threads N] script.py [arguments]
       python -m swiftcompress.accelerate [--describe] [--threads N] -m module [arguments]

Runs the program as `python script.py` does, with the hot routines of coremltools replaced by swiftcompress'.

  --describe     say on standard error at the end what was replaced and used
  --threads N    threads at most (default: one for each core)"""


def main() -> None:
    """Read our own arguments, and run the program with the rest."""
    arguments, describe, threads = sys.argv[1:], False, None
    while arguments and arguments[0].startswith("--"):
        option = arguments.pop(0)
        if option == "--describe":
            describe = True
        elif option == "--threads" and arguments and arguments[0].isdecimal() and int(arguments[0]) > 0:
            threads = int(arguments.pop(0))
        elif option == "--help":
            print(USAGE)
            return
        else:
            _fail(f"unknown or incomplete option: {option}")
    if arguments[:1] == ["-h"]:
        print(USAGE)
        return
    of_module = arguments[:1] == ["-m"]
    if of_module:
        arguments.pop(0)
    if not arguments:
        _fail("a program is missing")
    accelerator = accelerate_coremltools(num_threads=threads)
    try:
        _run_module(arguments) if of_module else _run_file(arguments)
    except SystemExit:
        raise
    except BaseException as error:
        _hide_our_frames(error)
        raise
    finally:
        if describe:
            print(accelerator, file=sys.stderr)


def _fail(text: str) -> None:
    print(f"{USAGE}\n\nswiftcompress.accelerate: {text}", file=sys.stderr)
    raise SystemExit(2)


def _run_module(arguments: list[str]) -> None:
    name = arguments[0]
    sys.argv[:] = arguments
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise SystemExit(f"{sys.executable}: No module named {name}")
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def _run_file(arguments: list[str]) -> None:
    path = arguments[0]
    sys.argv[:] = arguments
    if os.path.isdir(path) or path.endswith((".zip", ".pyz")):
        runpy.run_path(path, run_name="__main__")
        return
    try:
        code = _compiled(path)
    except OSError as error:
        print(
            f"{sys.executable}: can't open file {os.path.abspath(path)!r}: [Errno {error.errno}] {error.strerror}",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    program = ModuleType("__main__")
    program.__file__ = os.path.abspath(path)
    program.__loader__ = SourceFileLoader("__main__", program.__file__)
    program.__spec__ = None
    vars(program)["__builtins__"] = sys.modules["builtins"]
    # It stays: what runs at the end of the process, and the child processes that it starts, look here.
    sys.modules["__main__"] = program
    exec(code, vars(program))  # noqa: S102  (what this command is for)


def _compiled(path: str) -> CodeType:
    with open(path, "rb") as file:
        source = file.read()
    code: CodeType = compile(source, os.path.abspath(path), "exec", dont_inherit=True)
    return code


def _hide_our_frames(error: BaseException) -> None:
    """Let the traceback begin with the program's first frame."""
    ours = (__file__, runpy.__file__, "<frozen runpy>")
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in ours:
        trace = trace.tb_next
    hook = sys.excepthook

    def shown(kind: type[BaseException], value: BaseException, whole: TracebackType | None) -> Any:
        return hook(kind, value.with_traceback(trace), trace)

    sys.excepthook = shown


if __name__ == "__main__":
    main()
