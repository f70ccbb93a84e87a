#!/usr/bin/env python3
"""Measures swiftcompress beside coremltools on weights of several shapes and writes the table in docs/parity.md.

    .venv/bin/python scripts/parity_table.py [--check]

Between the markers `<!-- table -->` and `<!-- end of table -->` of docs/parity.md. With --check nothing is written and the
exit status says whether the table is the one in the file. Every line is computed here from both libraries; nothing is typed in.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "python" / "tests"))

import numpy as np

import swiftcompress as sc
from support import reference
from support.decoding import decode_ios18

DOCUMENT = ROOT / "docs" / "parity.md"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"

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


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes the table in docs/parity.md.")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    text = DOCUMENT.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    made = f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"
    if arguments.check:
        if made != text:
            print("docs/parity.md is not what scripts/parity_table.py computes", file=sys.stderr)
        return int(made != text)
    DOCUMENT.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
