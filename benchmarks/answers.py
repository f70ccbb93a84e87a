"""Compares the packages that two contenders wrote, before anybody's time is believed.

Both are read by scripts/mlpackage_reader.py, which shares no code with either.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from mlpackage_reader import Array, Package

# coremltools renames the weights it compresses; swiftcompress keeps their names
SUFFIXES = ("_palettized", "_quantized", "_sparsified")


@dataclass
class Agreement:
    """How two packages' weights compare, against the weights they came from."""

    same_bits: int = 0
    lower_error: int = 0  # ours is closer to the original
    equal_error: int = 0  # other bits, the same squared error
    higher_error: int = 0
    only_one: int = 0  # changed by one of the two alone

    @property
    def good(self) -> bool:
        return self.higher_error == 0 and self.only_one == 0 and self.same_bits + self.lower_error > 0

    def __str__(self) -> str:
        parts = [f"{self.same_bits} same bits"]
        for count, what in (
            (self.lower_error, "lower error"),
            (self.equal_error, "equal error"),
            (self.higher_error, "HIGHER ERROR"),
            (self.only_one, "CHANGED BY ONE ALONE"),
        ):
            if count:
                parts.append(f"{count} {what}")
        return ", ".join(parts)


def changed(package: Package, source: Package) -> dict[str, Array]:
    """The weights that are stored in another form than in `source`, decoded, by their names there."""
    before = {name: kind for (_, name), (kind, _) in source.float_constants().items()}
    found = {}
    for (_, name), (kind, array) in package.float_constants().items():
        plain = name if name in before else name.removesuffix(next((s for s in SUFFIXES if name.endswith(s)), ""))
        if before.get(plain) != kind:
            found[plain] = array
    return found


def squared_error(original: Array, decoded: Array) -> float:
    return float(np.square(original.astype(np.float64) - decoded.astype(np.float64)).sum())


def compare(source: Path, ours: Path, theirs: Path) -> Agreement:
    original = Package(source)
    mine, other = changed(Package(ours), original), changed(Package(theirs), original)
    weights = {name: array for (_, name), (_, array) in original.float_constants().items()}
    result = Agreement(only_one=len(mine.keys() ^ other.keys()))
    for name in mine.keys() & other.keys():
        if mine[name].dtype == other[name].dtype and mine[name].tobytes() == other[name].tobytes():
            result.same_bits += 1
            continue
        my_error, error = squared_error(weights[name], mine[name]), squared_error(weights[name], other[name])
        result.lower_error += my_error < error
        result.equal_error += my_error == error
        result.higher_error += my_error > error
    return result


def distinct(values: Array) -> int:
    """The number of distinct values. NumPy 2.4's own sort, and with it `numpy.unique`, leaves large float16 arrays unsorted
    on processors with AVX-512; its stable sort does not."""
    ordered = np.sort(values, axis=None, kind="stable")
    return int((ordered[1:] != ordered[:-1]).sum()) + 1


def compare_metadata(source: Path) -> Agreement:
    """Both contenders' metadata of one package; where the counts differ, the right one decides."""
    import swiftcompress.coreml
    from contenders import import_coremltools

    ct = import_coremltools()
    mine = swiftcompress.coreml.get_weights_metadata(str(source))
    other = ct.optimize.coreml.get_weights_metadata(ct.models.MLModel(str(source), skip_model_load=True))
    result = Agreement(only_one=len(mine.keys() ^ other.keys()))
    for name in mine.keys() & other.keys():
        (a, b) = mine[name], other[name]
        right = np.array_equal(a.val, b.val) and a.sparsity == b.sparsity and a.unique_values == distinct(a.val)
        same = right and a.unique_values == b.unique_values
        result.same_bits += bool(same)
        result.lower_error += bool(right and not same)
        result.higher_error += not right
    return result
