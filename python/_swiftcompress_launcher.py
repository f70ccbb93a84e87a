"""The `swiftcompress` console script: becomes the native command inside the package, without importing NumPy."""

import importlib.util
import os
import sys
from pathlib import Path
from typing import NoReturn


def main() -> NoReturn:
    """Replace this process by `swiftcompress/bin/swiftcompress` with the same arguments."""
    spec = importlib.util.find_spec("swiftcompress")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        command = Path(folder) / "bin" / "swiftcompress"
        if command.exists():
            for stream in (sys.stdout, sys.stderr):
                # None where the caller closed it.
                if stream is not None:
                    stream.flush()
            os.execv(command, [str(command), *sys.argv[1:]])
    sys.exit("swiftcompress: the native command is missing from this installation; reinstall the package")
