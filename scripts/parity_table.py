#!/usr/bin/env python3
"""Measures swiftcompress beside coremltools and writes the tables in docs/parity.md.

    .venv/bin/python scripts/parity_table.py [--check]      some minutes
    .venv/bin/python scripts/parity_table.py --full         every point of the grid of packages, printed; about an hour

Between the markers `<!-- table -->` and `<!-- end of table -->` of docs/parity.md: weights of several shapes; between
`<!-- packages -->` and `<!-- end of packages -->`: packages of every kind, for every target, in every operation, with some of
its settings each, chosen by a fixed seed. With --check nothing is written and the exit status says whether the tables are
those in the file. Every line is computed here from both libraries; nothing is typed in.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "python" / "tests"))

os.environ.setdefault("TQDM_DISABLE", "1")

import numpy as np

import swiftcompress as sc
from support import grid, reference
from support.decoding import decode_ios18
from support.grid import Outcome, Point
from support.package_factory import Factory

DOCUMENT = ROOT / "docs" / "parity.md"

CASES: list[tuple[str, tuple[int, ...], Any, dict[str, Any]]] = [
    ("per tensor, 4 bits", (128, 96), np.float16, {"nbits": 4}),
    ("per tensor, 8 bits", (128, 96), np.float16, {"nbits": 8}),
    ("per tensor, 4 bits, under 10,000 elements", (64, 96), np.float16, {"nbits": 4}),
    ("per tensor, 4 bits", (128, 96), np.float32, {"nbits": 4}),
    ("groups of 16 channels, 4 bits", (256, 128), np.float16, {"nbits": 4, "group_size": 16}),
    ("groups of 4 channels, 4 bits", (256, 128), np.float16, {"nbits": 4, "group_size": 4}),
    ("groups of 4 channels, 6 bits", (256, 128), np.float16, {"nbits": 6, "group_size": 4}),
    ("uniform, 4 bits", (128, 96), np.float16, {"nbits": 4, "mode": "uniform"}),
    ("uniform, 8 bits, groups of 8", (128, 96), np.float32, {"nbits": 8, "mode": "uniform", "group_size": 8}),
    ("vectors of 2, 4 bits", (128, 96), np.float16, {"nbits": 4, "cluster_dim": 2}),
    ("vectors of 4, 6 bits", (128, 96), np.float16, {"nbits": 6, "cluster_dim": 4}),
]


def row(name: str, shape: tuple[int, ...], dtype: Any, options: dict[str, Any]) -> str:
    weight = (np.random.default_rng(1).standard_normal(shape) * 0.05).astype(dtype)
    ours_options = dict(options)
    group_size = ours_options.get("group_size", 0)
    if group_size:
        ours_options["granularity"] = "per_grouped_channel"
    ours = sc.palettize(weight, **ours_options)
    reference_options = {k: v for k, v in options.items() if k in ("mode", "cluster_dim")}
    errors = [reference.squared_error(weight, ours.decompress())]
    equal = []
    for exact in (True, False):
        theirs = reference.palettize_array(
            weight, options["nbits"], group_size=group_size, exact=exact, **reference_options
        )
        assert theirs is not None
        errors.append(reference.squared_error(weight, decode_ios18(theirs.lut, theirs.indices, theirs.vector_axis)))
        equal.append(
            ours.lut.tobytes() == theirs.lut.tobytes()
            and ours.indices.tobytes() == np.asarray(theirs.indices).tobytes()
        )
    exact_solver = "—" if options.get("cluster_dim", 1) > 1 else ("same bits" if equal[0] else "DIFFERENT")
    own = "same bits" if equal[1] else f"{(errors[0] / errors[2] - 1) * 100:+.1f} %"
    return f"| {name} | {np.dtype(dtype).name} | {' x '.join(map(str, shape))} | {exact_solver} | {own} |"


def table() -> str:
    head = [
        "| weight | type | shape | coremltools, its exact solver | coremltools, its own choice: our squared error |",
        "|---|---|---|---|---|",
    ]
    return "\n".join(head + [row(*case) for case in CASES])


# --- Packages --------------------------------------------------------------------------------------------------------

SETTINGS_EACH = {"palettize": 1, "quantize": 2, "prune": 2, "joint": 2}
"""So many settings of each operation for every package and target (and first compression)."""
COLUMNS = (
    Outcome.SAME,
    Outcome.LOWER,
    Outcome.EQUAL,
    Outcome.DECLINED,
    Outcome.RIGHT,
    Outcome.REFUSED,
    Outcome.DIFFERENT,
)
GENERATIONS = {**dict.fromkeys(grid.BEFORE_IOS18, "iOS15, 16, 17"), "iOS18": "iOS18", "iOS26": "iOS26"}
Counts = dict[tuple[str, str], Counter[Outcome]]


def points(operation: str, *, full: bool) -> Iterator[Point]:
    draw = random.Random(operation)
    every = grid.joint_points() if operation == "joint" else grid.points(operation)
    for _, group in groupby(every, key=lambda p: (p.package, p.target, p.first)):
        members = list(group)
        yield from members if full else draw.sample(members, min(SETTINGS_EACH[operation], len(members)))


def count(*, full: bool) -> tuple[Counts, Counts, list[str]]:
    """Outcomes by operation and generation, by package, and what went wrong."""
    by_target: Counts = {}
    by_package: Counts = {}
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        packages = Factory(Path(folder))
        scratch = Path(folder) / "scratch"
        for operation in SETTINGS_EACH:
            for point in points(operation, full=full):
                scratch.mkdir()
                if point.first:
                    path = grid.joint_input(packages, point, Path(folder))
                else:
                    path = packages(point.package, point.target)
                own_solver = operation == "palettize" and point.options.get("mode") == "kmeans"
                found = grid.compare(path, point, scratch, own_solver=own_solver)
                shutil.rmtree(scratch)
                problems += [f"{point}: {problem}" for problem in found.problems]
                counted = Counter(found.outcomes.values())
                if found.problems and not counted[Outcome.DIFFERENT]:
                    counted[Outcome.DIFFERENT] += 1
                by_target.setdefault((operation, GENERATIONS[point.target]), Counter()).update(counted)
                by_package.setdefault(("all", point.package), Counter()).update(counted)
    return by_target, by_package, problems


def counts_table(counts: Counts, second: str) -> str:
    lines = [
        f"| operation | {second} | " + " | ".join(c.value for c in COLUMNS) + " |",
        "|---|---|" + "---:|" * len(COLUMNS),
    ]
    for (operation, what), found in counts.items():
        lines.append(f"| {operation} | {what} | " + " | ".join(str(found[c]) for c in COLUMNS) + " |")
    return "\n".join(lines)


def packages_tables(*, full: bool) -> tuple[str, list[str]]:
    by_target, by_package, problems = count(full=full)
    return counts_table(by_target, "target") + "\n\n" + counts_table(by_package, "package"), problems


def replaced(text: str, marker: str, content: str) -> str:
    begin, end = f"<!-- {marker} -->", f"<!-- end of {marker} -->"
    before, rest = text.split(begin, 1)
    _, after = rest.split(end, 1)
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes the tables in docs/parity.md.")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--full", action="store_true", help="print the counts of the whole grid, write nothing")
    arguments = parser.parse_args()
    content, problems = packages_tables(full=arguments.full)
    for problem in problems:
        print(problem, file=sys.stderr)
    if arguments.full:
        print(content)
        return int(bool(problems))
    text = DOCUMENT.read_text(encoding="utf-8")
    made = replaced(replaced(text, "table", table()), "packages", content)
    if not arguments.check:
        DOCUMENT.write_text(made, encoding="utf-8")
    elif made != text:
        print("docs/parity.md is not what scripts/parity_table.py computes", file=sys.stderr)
        return 1
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
