#!/usr/bin/env python3
"""Writes the tables of docs/performance.md from a result of benchmarks/run.py: document.py RESULT.json

What stands between the two markers in the page is replaced; `--check` only says whether it would change.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from run import seconds

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- results: written by benchmarks/document.py -->", "<!-- end of results -->"


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def package_rows(result: dict[str, Any]) -> list[list[str]]:
    rows = []
    for row in result["packages"]:
        cpu = row["cpu_seconds"]
        rows.append(
            [
                row["case"],
                seconds(row["swiftcompress_seconds"]),
                seconds(row["coremltools_call_seconds"]),
                f"**{row['ratio']:.1f}**",
                f"{cpu['coremltools'] / cpu['swiftcompress']:.1f}",
                row["answers"],
            ]
        )
    return rows


def section(result: dict[str, Any]) -> str:
    about = result["machine"]
    versions = about["versions"]
    kernels = [
        [
            row["case"],
            seconds(row["swiftcompress_seconds"]),
            seconds(row["coremltools_call_seconds"]),
            f"{row['ratio']:.1f}",
        ]
        for row in result["kernels"]
    ]
    peaks = [
        [
            f"{row['case']}, {row['contender']}, {row['workers']} {'worker' if row['workers'] == 1 else 'workers'}",
            seconds(row["seconds"]),
            f"{row['before'] / 2**20:.0f} MiB",
            f"{row['peak'] / 2**20:.0f} MiB",
        ]
        for row in result.get("own_process", [])
    ]
    ran_on = (
        f"{about['cpu']}, {about['cores']} cores, {about['system']}; Python {about['python']}, "
        f"coremltools {versions['coremltools']}, NumPy {versions['numpy']}, scikit-learn {versions['scikit-learn']}; "
        f"commit {about['commit']}; {result['rounds']} rounds."
    )
    return "\n\n".join(
        [
            ran_on,
            table(
                ["package", "ours", "coremltools (call)", "ratio", "ratio of processor time", "weights compared"],
                package_rows(result),
            ),
            table(["kernel", "ours", "coremltools", "ratio"], kernels),
            table(["in a process of its own", "call", "memory before", "peak"], peaks),
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes the tables of docs/performance.md from a benchmark's result.")
    parser.add_argument("result", type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    result = json.loads(arguments.result.read_text(encoding="utf-8"))
    new = f"{before}{BEGIN}\n\n{section(result)}\n\n{END}{after}"
    if arguments.check:
        return int(new != page)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
