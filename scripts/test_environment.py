#!/usr/bin/env python3
"""Installs requirement lists once per machine and lets the running virtual environment see them.

    .venv/bin/python scripts/test_environment.py LIST.txt [LIST.txt ...]

Each list goes into a folder of its own under ${XDG_CACHE_HOME:-~/.cache}/swiftcompress/python, named by the list, the
interpreter and a hash of the list's text, so that every clone on the machine shares it and a changed list gets a new
folder. The virtual environment that runs this script then gets a .pth file which names the folders. Two clones may do
this at once: a folder appears by renaming a finished one, or not at all.

A line `# pip: OPTIONS` in a list gives pip more options, such as --no-deps for a list whose dependencies another list has.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

OPTIONS = "# pip: "
PTH_NAME = "swiftcompress_test_requirements.pth"


def cache_root() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "swiftcompress" / "python"


def requirement_lines(path: Path) -> list[str]:
    lines = (line.split("#", 1)[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def pip_options(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [option for line in lines if line.startswith(OPTIONS) for option in line.removeprefix(OPTIONS).split()]


def folder_for(path: Path) -> Path:
    """The list's folder; its name changes with the requirements, the interpreter and the platform."""
    text = "\n".join([sys.version, sysconfig.get_platform(), *requirement_lines(path)])
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return cache_root() / f"{path.stem}-{sys.implementation.cache_tag}-{digest}"


def install(path: Path, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    print(f"installing {path.name} into {folder} (once per machine)", flush=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        # fmt: off
        command = [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input",
            "--no-warn-script-location", "--target", str(scratch / "packages"), "--requirement", str(path),
        *pip_options(path),
        ]
        # fmt: on
        if subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode:
            sys.exit(f"pip could not install {path.name}; its own words are above")
        try:
            (scratch / "packages").rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another clone was first, with the same list
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def main(lists: list[Path]) -> None:
    if sys.prefix == sys.base_prefix:
        sys.exit("test_environment.py changes the environment that runs it: run it from a virtual environment")
    folders = []
    for path in lists:
        folder = folder_for(path)
        if not folder.is_dir():
            install(path, folder)
        folders.append(folder)
    pth = Path(sysconfig.get_path("purelib")) / PTH_NAME
    pth.write_text("".join(f"{folder}\n" for folder in folders), encoding="utf-8")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
