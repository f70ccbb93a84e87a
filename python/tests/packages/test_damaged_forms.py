"""Damaged packages with every form of compressed weights: whatever is done with them, only the documented errors come out.

Every case runs in a process of its own kind (support/forms_worker.py) under a limit of memory.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import HERE, ROOT, sample
from support import form_damage, ours

FIXTURES = ROOT / "Tests" / "ModelCompressionTests" / "Fixtures"
FORMS = [
    *sorted(p.name.removesuffix(".mlpackage") for p in FIXTURES.glob("reference_*")),
    "mixed_ios15", "mixed_ios16", "mixed_ios18", "multifunction", "pipeline",
]  # fmt: skip
STEPS = [
    "read", "metadata", "save", "decompress", "raise", "info", "compare", "quantize", "joint quantize",
    "quantize per tensor", "joint quantize per tensor", "prune", "joint prune", "palettize", "joint palettize"
]  # fmt: skip
ALLOWED = {"ok", "ModelFormatError", "OSError", "ValueError", "NotImplementedError"}


def run(base: Path, paths: list[tuple[str, Path]], steps: list[list[str]], folder: Path) -> list[str]:
    """What is wrong, one line for each; a package that ends the process costs the others nothing."""
    outputs = folder / "outputs"
    outputs.mkdir()
    wrong: list[str] = []
    done = 0
    while done < len(paths):
        rest = paths[done:]
        try:
            process = subprocess.run(
                [sys.executable, str(HERE / "support" / "forms_worker.py"), ours.command(), str(base), str(outputs / "out.mlpackage")],
                input="".join("\t".join([str(p), *s]) + "\n" for (_, p), s in zip(rest, steps[done:], strict=True)), capture_output=True, check=False, text=True, timeout=600,
            )  # fmt: skip
            lines, code, errors = process.stdout.splitlines(), str(process.returncode), process.stderr
        except subprocess.TimeoutExpired as expired:
            lines, code, errors = (expired.stdout or b"").decode().splitlines(), "timeout", ""
        step = "start"
        finished = 0
        for answer in map(json.loads, lines):
            if "begins" in answer:
                step = answer["begins"]
                continue
            name = rest[finished][0]
            finished += 1
            for what, (outcome, message) in answer["answers"].items():
                if outcome not in ALLOWED:
                    wrong.append(f"{name}: {what}: {outcome} {message[:300]}")
            if answer["left"]:
                wrong.append(f"{name}: left behind: {answer['left']}")
        done += finished
        if finished < len(rest):
            wrong.append(f"{rest[finished][0]}: {step}: the process ended with {code}: {errors[-600:]}")
            shutil.rmtree(outputs)
            outputs.mkdir()
            done += 1
    return wrong


@pytest.mark.parametrize("seed", sample(range(20), 1, seed=17))
@pytest.mark.parametrize("form", FORMS)
def test_every_step(tmp_path: Path, form: str, seed: int) -> None:
    """All of them on every case with --full, otherwise some."""
    base = FIXTURES / f"{form}.mlpackage"
    number = seed * 1009 + FORMS.index(form)
    paths = []
    for index, (name, apply) in enumerate(form_damage.every_kind(base, 10, number)):
        path = tmp_path / f"case_{index}.mlpackage"
        shutil.copytree(base, path)
        apply(path)
        paths.append((name, path))
    steps = [sample(STEPS, 4, seed=number * 10 + index) for index in range(len(paths))]
    wrong = run(base, paths, steps, tmp_path)
    assert not wrong, f"{form}, {len(wrong)} findings:\n" + "\n".join(wrong)
