#!/usr/bin/env python3
"""Checks that the x86-64-v3 kernels carry no code that the linker could hand to older processors.

    check_objects.py BUILD_FOLDER [BUILD_FOLDER ...]

Code that the compiler specialises out of the standard library (sort, Array growth, Dictionary) is emitted as a weak
symbol in every module that uses it, and the linker keeps one copy of each. Were it the v3 module's, an older processor
would stop at an illegal instruction. So kernels use pointers and scalars only, and this check reads the object files:
the v3 module may define no weak Swift symbol.
"""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

MODULE = "CompressionKernelsV3.build"


def weak_swift_symbols(nm: str, objects: list[Path]) -> list[str]:
    command = [nm, "-A", *map(str, objects)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line for line in output.splitlines() if " W $s" in line or " V $s" in line]


def main(folders: list[str]) -> int:
    if platform.machine().lower() not in ("x86_64", "amd64"):
        print("kernels have one variant on this machine: nothing to check")
        return 0
    nm = shutil.which("nm") or shutil.which("llvm-nm")
    if nm is None:
        sys.exit("neither nm nor llvm-nm is on PATH")
    objects = sorted(
        path
        for folder in folders
        for path in Path(folder).rglob("*.o")
        if MODULE in (parent.name for parent in path.parents)
    )
    if not objects:
        sys.exit(f"no object file of {MODULE} under {' '.join(folders)}: build first")
    found = weak_swift_symbols(nm, objects)
    for line in found:
        print(line, file=sys.stderr)
    print(f"{len(objects)} object files, {len(found)} weak Swift symbols")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["build"]))
