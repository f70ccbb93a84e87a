#!/usr/bin/env python3
"""Makes Sources/CompressionKernelsV3: one symbolic link for each source file of CompressionKernels.

    link_variants.py            makes the links that are missing, removes those that lead nowhere
    link_variants.py --check    changes nothing; exits 1 and names what differs

On x86-64 the kernels are built twice, for x86-64-v2 and for x86-64-v3, as two modules. The second module's sources are
links to single files: a linked folder would be dropped from a source distribution.
"""

import os
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "Sources"
KERNELS = SOURCES / "CompressionKernels"
VARIANT = SOURCES / "CompressionKernelsV3"


def wanted_links() -> dict[str, str]:
    """File name in the variant's folder -> where its link leads."""
    links: dict[str, str] = {}
    for source in sorted(KERNELS.rglob("*.swift")):
        if source.name in links:
            sys.exit(f"two kernel files are named {source.name}: a Swift module cannot hold both")
        links[source.name] = os.path.relpath(source, VARIANT)
    return links


def differences(links: dict[str, str]) -> list[str]:
    """What stands in the variant's folder otherwise than it should, in words."""
    found = []
    present = {path.name: path for path in VARIANT.iterdir()} if VARIANT.is_dir() else {}
    for name, target in links.items():
        path = present.get(name)
        if path is None:
            found.append(f"{name}: missing")
        elif not path.is_symlink():
            found.append(f"{name}: a file, not a link to {target}")
        elif os.readlink(path) != target:
            found.append(f"{name}: leads to {os.readlink(path)}, not to {target}")
    found += [f"{name}: no such kernel file" for name in present if name not in links]
    return sorted(found)


def make(links: dict[str, str]) -> None:
    """Creates and corrects links. A real file in the folder is never touched."""
    VARIANT.mkdir(parents=True, exist_ok=True)
    for path in VARIANT.iterdir():
        if path.is_symlink() and os.readlink(path) != links.get(path.name):
            path.unlink()
    for name, target in links.items():
        path = VARIANT / name
        if not path.is_symlink() and not path.exists():
            path.symlink_to(target)


def main() -> int:
    links = wanted_links()
    if "--check" not in sys.argv[1:]:
        make(links)
    found = differences(links)
    for line in found:
        print(f"Sources/CompressionKernelsV3/{line}", file=sys.stderr)
    if found and "--check" in sys.argv[1:]:
        print("Run scripts/link_variants.py.", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
