"""Scripts that might hang, run in processes of their own and ended after a time, with all that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

# Says where every thread was, shortly before the end; not inherited by what the script forks.
PRELUDE = "import faulthandler; faulthandler.dump_traceback_later({}, exit=True)\n"


def run_guarded(script: Path, code: str, seconds: int = 180, arguments: tuple[str, ...] = ()) -> str:
    """Write `code` to `script`, run it and return what it printed; fails when it ends badly or not at all.

    OpenMP has four threads there, however the tests run: what they could disturb is to be disturbed.
    """
    script.write_text(PRELUDE.format(seconds - 10) + textwrap.dedent(code), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "4", "TQDM_DISABLE": "1"},
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        raise AssertionError(f"it did not end in {seconds} s:\n{output}") from None
    assert process.returncode == 0, output
    return output
