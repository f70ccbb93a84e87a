#!/usr/bin/env python3
"""Writes the tables of docs/performance.md from results of benchmarks/run.py, peers.py and growth.py:

    document.py RESULT.json [RESULT.json ...]

What stands between the markers of each kind in the page is replaced; `--check` only says whether it would change.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from run import seconds

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
# The key that tells the kind of a result, and the name in the page's markers.
KINDS = {"packages": "results", "races": "peers", "by size": "growth"}


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
            table(["", "time"], [[name, seconds(spent)] for name, spent in result.get("copies", {}).items()]),
            table(["kernel", "ours", "coremltools", "ratio"], kernels),
            table(["in a process of its own", "call", "memory before", "peak"], peaks),
        ]
    )


def machine_line(about: dict[str, Any]) -> str:
    return f"{about['cpu']}, {about['cores']} cores, {about['system']}; Python {about['python']}; commit {about['commit']}."


def peers_section(result: dict[str, Any]) -> str:
    about = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["peers"].items() if version)
    rows = []
    for race in result["races"]:
        rows.append([f"**{race['race']}**", "", "", "", ""])
        for name, spent in race["seconds"].items():
            ratio = f"**{race['ratios'][name]:.1f}**" if name in race["ratios"] else ""
            goal = f"{race['goals'][name]:g}" if name in race["goals"] else ""
            rows.append([name, seconds(spent), ratio, goal, f"{race['errors'][name]:.6g}"])
        rows += [[name, reason, "", "", ""] for name, reason in race["left_out"].items()]
    start = result["start"]
    return "\n\n".join(
        [
            f"{machine_line(about)} {versions}.",
            table(["", "time", "ratio", "goal", "squared error"], rows),
            f"`import swiftcompress` takes {seconds(start['beyond numpy'])} beyond `import numpy`, in a fresh interpreter.",
        ]
    )


def growth_table(rows: list[dict[str, Any]], first: str) -> str:
    names = [name for name in dict.fromkeys(key for row in rows for key in row) if name != first]
    body = [[f"{row[first]:,}", *(seconds(row[name]) if name in row else "" for name in names)] for row in rows]
    return table([first, *names], body)


def large_line(large: dict[str, Any]) -> str:
    return (
        f"A package of {large['bytes'] / 1e9:.1f} GB, whose weights are of {large['largest weight'] / 2**20:.0f} MiB; "
        f"`swiftcompress info` on it takes {seconds(large['info seconds'])}:"
    )


def growth_section(result: dict[str, Any]) -> str:
    large = result["large"]
    operations = [
        [name, seconds(row["seconds"]), f"{row['grown'] / 2**20:.0f} MiB"] for name, row in large["operations"].items()
    ]
    return "\n\n".join(
        [
            machine_line(result["machine"]),
            growth_table(result["by size"], "weights"),
            growth_table(result["by clusters"], "clusters"),
            growth_table(result["by group"], "group size"),
            large_line(large),
            table(["", "time", "growth of memory"], operations),
        ]
    )


SECTIONS = {"results": section, "peers": peers_section, "growth": growth_section}


def replaced(page: str, result: dict[str, Any]) -> str:
    name = next(name for key, name in KINDS.items() if key in result)
    begin, end = f"<!-- {name}: written by benchmarks/document.py -->", f"<!-- end of {name} -->"
    before, rest = page.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n\n{SECTIONS[name](result)}\n\n{end}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes the tables of docs/performance.md from benchmarks' results.")
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    page = new = PAGE.read_text(encoding="utf-8")
    for path in arguments.results:
        new = replaced(new, json.loads(path.read_text(encoding="utf-8")))
    if arguments.check:
        return int(new != page)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
