#!/usr/bin/env python3
"""Writes python/swiftcompress/accelerate/known.py: what the routines that the accelerator replaces look like.

    scripts/accelerator_table.py           compares the installed coremltools with the table; ends with 1 where it differs
    scripts/accelerator_table.py --write   adds the installed version to the table, or replaces it

Write only after the tests of python/tests/accelerate pass with that version: the table says that ours has the
original's results. Needs coremltools, and torch for the routines of coremltools.optimize.torch.
"""

import importlib
import sys
from pathlib import Path

from swiftcompress.accelerate.catalogue import ROUTINES
from swiftcompress.accelerate.known import KNOWN
from swiftcompress.accelerate.patching import fingerprint, function_of, installed_version, raw

TABLE = Path(__file__).parent.parent / "python/swiftcompress/accelerate/known.py"
# Made by attrs, in words that depend on its version.
WITHOUT_SOURCE = ("coremltools.optimize.coreml._post_training_quantization:CoreMLWeightMetaData.__init__",)

HEAD = '''"""Signatures and sources (the first 16 digits of their SHA-256) that ours were tested against.

Written by scripts/accelerator_table.py.
"""

KNOWN: dict[str, dict[str, tuple[str, str]]] = {
'''


def installed() -> dict[str, tuple[str, str]]:
    """The fingerprints of everything in the catalogue."""
    table = {}
    for routine in ROUTINES:
        module = importlib.import_module(routine.module)
        for name in (routine.name, *routine.relies_on):
            key = f"{routine.module}:{name}"
            signature, source = fingerprint(function_of(raw(module, name)))
            table[key] = (signature, "" if key in WITHOUT_SOURCE else source)
    return table


def main() -> int:
    version, found = installed_version(), installed()
    if sys.argv[1:] == ["--write"]:
        tables = {**KNOWN, version: found}
        text = HEAD
        for name, table in tables.items():
            text += f'    "{name}": {{\n'
            for key, (signature, source) in sorted(table.items()):
                text += f'        "{key}": (\n            "{signature}",\n            "{source}",\n        ),\n'
            text += "    },\n"
        TABLE.write_text(text + "}\n")
        return 0
    different = [key for key, value in found.items() if KNOWN.get(version, {}).get(key) != value]
    print(f"coremltools {version}: {len(found) - len(different)} known, {len(different)} not", *different, sep="\n  ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
