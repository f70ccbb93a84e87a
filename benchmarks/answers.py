"""Compares the packages that two contenders wrote, before anybody's time is believed.

Both are read by scripts/mlpackage_reader.py, which shares no code with either.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from mlpackage_reader import Array, Operation, Package

SUFFIX = "_palettized"  # coremltools renames the weights it compresses; swiftcompress keeps their names


@dataclass
class Agreement:
    """How two packages' palettized weights compare, against the weights they came from."""

    same_bits: int = 0
    lower_error: int = 0  # ours is closer to the original
    equal_error: int = 0  # other bits, the same squared error
    higher_error: int = 0
    only_one: int = 0  # palettized by one of the two alone

    @property
    def good(self) -> bool:
        return self.higher_error == 0 and self.only_one == 0 and self.same_bits + self.lower_error > 0

    def __str__(self) -> str:
        parts = [f"{self.same_bits} same bits"]
        for count, what in (
            (self.lower_error, "lower error"),
            (self.equal_error, "equal error"),
            (self.higher_error, "HIGHER ERROR"),
            (self.only_one, "PALETTIZED BY ONE ALONE"),
        ):
            if count:
                parts.append(f"{count} {what}")
        return ", ".join(parts)


def palettized(package: Package) -> dict[str, Operation]:
    operations = (op for op in package.operations if op.type == "constexpr_lut_to_dense")
    return {op.outputs[0].removesuffix(SUFFIX): op for op in operations}


def squared_error(original: Array, decoded: Array) -> float:
    return float(np.square(original.astype(np.float64) - decoded.astype(np.float64)).sum())


def compare(source: Path, ours: Path, theirs: Path) -> Agreement:
    original, mine, other = Package(source), Package(ours), Package(theirs)
    constants = {op.outputs[0]: op for op in original.operations if op.type == "const"}
    my_operations, other_operations = palettized(mine), palettized(other)
    result = Agreement(only_one=len(my_operations.keys() ^ other_operations.keys()))
    for name in my_operations.keys() & other_operations.keys():
        my_weight, my_lut, my_indices = mine.decode_lut(my_operations[name])
        weight, lut, indices = other.decode_lut(other_operations[name])
        if my_lut.tobytes() == lut.tobytes() and np.array_equal(my_indices, indices):
            result.same_bits += 1
            continue
        before = original.array(constants[name].attributes["val"])
        my_error, error = squared_error(before, my_weight), squared_error(before, weight)
        result.lower_error += my_error < error
        result.equal_error += my_error == error
        result.higher_error += my_error > error
    return result
