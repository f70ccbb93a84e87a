#!/usr/bin/env python3
"""Checks that `import swiftcompress` needs NumPy alone, and that the command needs not even that.

Each question is asked of a fresh interpreter, because this one may have imported more.
"""

import subprocess
import sys

HEAVY = ("torch", "coremltools", "sklearn", "scipy", "pandas", "yaml", "matplotlib", "rich", "tqdm")


def modules_after(statement: str) -> set[str]:
    """Top-level modules that a statement loads into a fresh interpreter."""
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"`{statement}` fails in a fresh interpreter:\n{result.stderr}")
    return set(result.stdout.split())


def main() -> int:
    status = 0
    for statement, unwanted in (
        ("import swiftcompress, swiftcompress.coreml", HEAVY),
        ("import _swiftcompress_launcher", (*HEAVY, "numpy", "swiftcompress")),
    ):
        loaded = sorted(modules_after(statement).intersection(unwanted))
        if loaded:
            print(f"`{statement}` loads {', '.join(loaded)}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
