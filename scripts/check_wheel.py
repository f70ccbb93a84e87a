#!/usr/bin/env python3
"""Checks what a built wheel holds: check_wheel.py FILE.whl

The wheel must be tagged for the stable ABI of CPython 3.11, stay under 6 MB, hold the extension module, the engine
library and the native command, and need no Swift library of the machine it lands on. The engine on Linux must hold no
Foundation: setup.py builds ArgumentParser so that it knows none, and a few lines of source can bring all of it back.
"""

import os
import re
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

LARGEST_WHEEL = 6_000_000  # bytes
REQUIRED = (
    r"swiftcompress/__init__\.py",
    r"swiftcompress/py\.typed",
    r"swiftcompress/_core\.abi3\.so",
    r"swiftcompress/libswiftcompress_engine\.(so|dylib)",
    r"swiftcompress/bin/swiftcompress",
    r"_swiftcompress_launcher\.py",
    r"[^/]+\.dist-info/entry_points\.txt",
    r"[^/]+\.dist-info/licenses/LICENSE",
)


def needed_libraries(binary: Path) -> str:
    """What the dynamic loader says about a binary: `ldd` on Linux, `otool -L` on macOS."""
    command = ["otool", "-L"] if sys.platform == "darwin" else ["ldd"]
    return subprocess.run([*command, str(binary)], capture_output=True, text=True, check=True).stdout


def foundation_modules(binary: Path) -> set[str]:
    """The modules of Foundation that are linked into a binary: Swift's metadata holds their names."""
    if sys.platform == "darwin":  # there Foundation is a part of the system
        return set()
    names = rb"\0(_?Foundation(?:Essentials|Collections|Internationalization|ICU)?)(?=\0)"
    return {name.decode() for name in re.findall(names, binary.read_bytes())}


def problems(wheel: Path) -> list[str]:
    found = []
    if "-cp311-abi3-" not in wheel.name:
        found.append(f"the tag is not cp311-abi3: {wheel.name}")
    if wheel.stat().st_size > LARGEST_WHEEL:
        found.append(f"{wheel.stat().st_size:,} bytes; the limit is {LARGEST_WHEEL:,}")
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as scratch:
        names = archive.namelist()
        found += [f"nothing matches {p}" for p in REQUIRED if not any(re.fullmatch(p, n) for n in names)]
        archive.extractall(scratch)
        for member in archive.infolist():
            if re.search(r"\.(so|dylib)$|/bin/", member.filename):
                binary = Path(scratch) / member.filename
                mode = member.external_attr >> 16
                binary.chmod(mode)
                if "/bin/" in member.filename and not mode & stat.S_IXUSR:
                    found.append(f"{member.filename} is not executable")
                found += [f"{member.filename} holds {module}" for module in sorted(foundation_modules(binary))]
                lines = needed_libraries(binary).splitlines()
                # Our own engine library is named like ours; everything else with Swift in its name is the toolchain's.
                found += [
                    f"{member.filename} needs {line.strip()}"
                    for line in lines
                    if (re.search(r"libswift(?!compress_engine)|lib_?Foundation|libdispatch|BlocksRuntime", line))
                    or "not found" in line
                ]
    return found


def main() -> None:
    if len(sys.argv) != 2 or not os.path.isfile(sys.argv[1]):
        sys.exit("usage: check_wheel.py FILE.whl")
    wheel = Path(sys.argv[1])
    found = problems(wheel)
    for line in found:
        print(f"{wheel.name}: {line}", file=sys.stderr)
    if found:
        sys.exit(1)
    print(f"{wheel.name}: {wheel.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
