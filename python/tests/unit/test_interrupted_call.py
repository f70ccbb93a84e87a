"""Ctrl-C during a long call on arrays. Packages: `packages/test_interrupts.py`."""

import os
import subprocess
import sys

import pytest

INTERRUPTED = """
import os, signal, sys, threading, time
import numpy as np
import swiftcompress as sc

def interrupt():
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests may ignore it
values = np.random.default_rng(0).standard_normal(4_000_000)
threading.Thread(target=interrupt, daemon=True).start()
started = time.monotonic()
try:
    sc.kmeans_1d(values, 200_000)
except KeyboardInterrupt:
    print(time.monotonic() - started)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_ends_a_long_call_soon() -> None:
    result = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 5
