#!/usr/bin/env python3
"""The main job on two real models: palettize to 4 bits, verify what was written, print what it cost.

The verification shares nothing with the engine: scripts/mlpackage_reader.py reads both packages in plain Python and
decodes the written one. `./dev demo` sets everything up and runs this.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import swiftcompress.coreml as cto
from mlpackage_reader import Array, Package

NBITS = 4


@dataclass
class Verified:
    """What the written package holds, as the independent reader sees it."""

    palettized: int
    weights: int  # floating-point tensors in all, of 10 elements or more
    elements: int  # of the palettized ones
    stored_bits: int  # of the palettized ones: codes and LUTs
    signal: float  # sum of squares of the palettized weights before
    noise: float  # sum of squared differences

    @property
    def bits_per_weight(self) -> float:
        return self.stored_bits / self.elements

    @property
    def snr_db(self) -> float:
        return float(10 * np.log10(self.signal / self.noise))


def check(condition: bool, name: str, what: str) -> None:
    if not condition:
        sys.exit(f"verification failed: {name}: {what}")


def farthest_from_cell(weight: Array, lut: Array, indices: Array) -> float:
    """How far the worst weight lies outside the cell of its LUT entry, the cell being the numbers nearest to that entry."""
    entries = lut.astype(np.float64).reshape(-1)
    levels = np.unique(entries)
    edges = np.concatenate([[-np.inf], (levels[1:] + levels[:-1]) / 2, [np.inf]])
    cell = np.searchsorted(levels, entries)
    below = (edges[cell][indices] - weight).max()
    above = (weight - edges[cell + 1][indices]).max()
    return float(max(below, above))


def verify(source: Path, result: Path) -> Verified:
    """Compares two packages weight by weight. Ends the program with the reason where they disagree."""
    before, after = Package(source), Package(result)
    old, new = before.float_constants(), after.float_constants()
    check(old.keys() == new.keys(), result.name, "the weights have other names than in the input")
    luts = {(op.function, op.outputs[0]): op for op in after.operations if op.type == "constexpr_lut_to_dense"}
    total = Verified(len(luts), sum(array.size >= 10 for _, array in old.values()), 0, 0, 0.0, 0.0)
    for key, (_, original) in old.items():
        kind, written = new[key]
        check(written.dtype == original.dtype, key[1], f"type {written.dtype}, not {original.dtype}")
        check(written.shape == original.shape, key[1], f"shape {written.shape}, not {original.shape}")
        if kind == "const":
            check(written.tobytes() == original.tobytes(), key[1], "left alone, yet its bytes differ")
            continue
        _, lut, indices = after.decode_lut(luts[key])
        check(lut.size == 2**NBITS, key[1], f"{lut.size} LUT entries, not {2**NBITS}")
        error = written.astype(np.float64) - original.astype(np.float64)
        # Entries are rounded to the weight's type after the clusters were made: allow that rounding, twice.
        slack = 2 * np.finfo(original.dtype).eps * abs(lut.astype(np.float64)).max()
        outside = farthest_from_cell(original, lut, indices)
        check(outside <= slack, key[1], f"a weight is not coded by its nearest LUT entry: {outside} beyond its cell")
        total.elements += original.size
        total.stored_bits += indices.size * NBITS + lut.size * lut.dtype.itemsize * 8
        total.signal += float(np.square(original.astype(np.float64)).sum())
        total.noise += float(np.square(error).sum())
    check(total.elements > 0, result.name, "nothing was palettized")
    return total


def package_size(package: Path) -> int:
    return sum(path.stat().st_size for path in package.rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description="Palettizes real models to 4 bits and verifies the result.")
    parser.add_argument("models", nargs="*", default=["crepe_full", "basic_pitch"], metavar="NAME")
    parser.add_argument("--models-folder", type=Path, default=Path(".models"))
    arguments = parser.parse_args()

    config = cto.OptimizationConfig(global_config=cto.OpPalettizerConfig(mode="kmeans", nbits=NBITS))
    rows = []
    for name in arguments.models:
        source = arguments.models_folder / f"{name}.mlpackage"
        result = arguments.models_folder / f"{name}-{NBITS}bit.mlpackage"
        started = time.perf_counter()
        cto.palettize_weights(str(source), config, output=str(result), progress=False)
        seconds = time.perf_counter() - started
        verified = verify(source, result)
        rows.append((name, package_size(source), package_size(result), verified, seconds))

    print(f"{'model':<12} {'before':>9} {'after':>9} {'palettized':>11} {'bits/weight':>11} {'SNR':>8} {'time':>8}")
    for name, size, smaller, verified, seconds in rows:
        count = f"{verified.palettized} of {verified.weights}"
        print(
            f"{name:<12} {size / 1e6:6.2f} MB {smaller / 1e6:6.2f} MB {count:>11} "
            f"{verified.bits_per_weight:11.3f} {verified.snr_db:5.1f} dB {seconds:6.2f} s"
        )
    print("Verified: every written weight was decoded by an independent reader and lies at its nearest LUT entry;")
    print("every other weight is unchanged, byte for byte.")


if __name__ == "__main__":
    main()
