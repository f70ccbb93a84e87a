"""Writes palettes.json and palettes.bin: what coremltools 9.0 and NumPy make of small tensors.

Run with coremltools 9.0, scikit-learn and NumPy 2:  python make_fixtures.py

Scalar k-means cases run coremltools' own code with its exact solver forced on, for every type and size; that is the
definition of "bit-exact" for them. The other modes run coremltools unchanged.
"""

from __future__ import annotations

import json
import pathlib
import warnings
from typing import Any
from unittest import mock

import numpy as np
from coremltools.models.neural_network import quantization_utils
from coremltools.optimize import _utils as optimize_utils
from coremltools.optimize.coreml import _quantization_passes as passes

FOLDER = pathlib.Path(__file__).parent
PALETTIZE = passes.palettize_weights


class Writer:
    """Arrays go to one binary file; cases refer to them by offset."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.cases: list[dict[str, Any]] = []

    def array(self, values: np.ndarray) -> dict[str, Any]:
        values = np.ascontiguousarray(values)
        self.data += bytes(-len(self.data) % 16)
        record = {"offset": len(self.data), "dtype": str(values.dtype), "shape": list(values.shape)}
        self.data += values.tobytes()
        return record

    def case(self, kind: str, name: str, **fields: Any) -> None:
        record: dict[str, Any] = {"kind": kind, "name": name}
        for key, value in fields.items():
            record[key] = self.array(value) if isinstance(value, np.ndarray) else value
        self.cases.append(record)

    def save(self) -> None:
        (FOLDER / "palettes.bin").write_bytes(bytes(self.data))
        (FOLDER / "palettes.json").write_text(json.dumps(self.cases, indent=0) + "\n")


def exact_solver(nbits: int, weight: np.ndarray, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """The reference's look-up table code with its exact solver forced on where that exists (scalars)."""
    options["force_kmeans1d"] = options.get("cluster_dim", 1) == 1
    return ORIGINAL(nbits, weight, **options)


ORIGINAL = quantization_utils._get_kmeans_lookup_table_and_weight


def reference(
    weight: np.ndarray, mode: str, nbits: int | None, axis: int, group: int, dim: int
) -> tuple[np.ndarray, np.ndarray]:
    with (
        mock.patch.object(passes, "_get_kmeans_lookup_table_and_weight", exact_solver),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        result = PALETTIZE.grouped_channelwise_compress(weight, mode.upper(), nbits, axis, group, cluster_dim=dim)
    return result.lut, result.indices.astype(np.uint8)


def palettize_case(
    writer: Writer,
    name: str,
    weight: np.ndarray,
    mode: str,
    nbits: int | None,
    axis: int = 0,
    group: int = 0,
    dim: int = 1,
    scale: str = "none",
) -> None:
    fields: dict[str, Any] = {}
    scaled = weight
    if scale != "none":
        others = tuple(a for a in range(weight.ndim) if a != axis % weight.ndim)
        factors = np.max(np.abs(weight), axis=axis if scale == "reference" else others, keepdims=True)
        factors[factors == 0] = 1
        scaled = weight / factors
        fields["scale"] = factors
    lut, indices = reference(scaled, mode, nbits, axis, group, dim)
    vector_axis = axis if dim > 1 else None
    decoded = optimize_utils.lut_to_dense(indices, lut, vector_axis)
    if scale != "none":
        decoded = decoded * fields["scale"]
    assert lut.dtype == weight.dtype and decoded.dtype == weight.dtype
    writer.case(
        "palettize",
        name,
        weight=weight,
        mode=mode,
        nbits=nbits,
        axis=axis,
        group=group,
        dim=dim,
        scaleKind=scale,
        lut=lut,
        indices=indices,
        decoded=decoded,
        **fields,
    )


def kmeans_cases(writer: Writer, random: np.random.Generator) -> None:
    for dtype in ("float16", "float32", "float64"):
        weight = random.standard_normal((8, 6, 3, 2)).astype(dtype)
        for nbits in (1, 2, 3, 4, 6, 8):
            palettize_case(writer, f"{dtype} {nbits} bits", weight, "kmeans", nbits)
        for axis in (0, 1, 2, -1):
            size = weight.shape[axis]
            for group in {1, size // 2 or 1}:
                palettize_case(writer, f"{dtype} axis {axis} group {group}", weight, "kmeans", 2, axis, group)
            for scale in ("outputChannel", "reference"):
                palettize_case(writer, f"{dtype} axis {axis} {scale}", weight, "kmeans", 3, axis, 0, 1, scale)
                palettize_case(writer, f"{dtype} axis {axis} group 1 {scale}", weight, "kmeans", 1, axis, 1, 1, scale)
        zeros = np.zeros((4, 5), dtype)
        zeros[1, 2] = 3
        zeros[3] = -0.0
        palettize_case(writer, f"{dtype} zeros", zeros, "kmeans", 2, 0, 2)
        palettize_case(writer, f"{dtype} zeros scaled", zeros, "kmeans", 1, 0, 0, 1, "outputChannel")
        palettize_case(writer, f"{dtype} one value", np.full((7,), -2.5, dtype), "kmeans", 4)
        tiny = np.finfo(dtype).smallest_subnormal
        small = (np.arange(-9, 9) * tiny).astype(dtype).reshape(2, 9)
        palettize_case(writer, f"{dtype} subnormals", small, "kmeans", 8)
    big = np.finfo(np.float16).max
    extremes = np.array([-big, big, 0, 1, -1, 2e-7, -2e-7, 60000, -0.0, 6e-8], np.float16)
    palettize_case(writer, "float16 extremes", extremes, "kmeans", 2)
    large = (random.standard_normal((100, 110)) * 0.05).astype(np.float16)
    for nbits in (4, 8):
        palettize_case(writer, f"float16 large {nbits} bits", large, "kmeans", nbits)


def other_cases(writer: Writer, random: np.random.Generator) -> None:
    for dtype in ("float16", "float32", "float64"):
        weight = (random.standard_normal((6, 4, 5)) * 3).astype(dtype)
        for nbits in (1, 2, 3, 4, 6, 8):
            palettize_case(writer, f"uniform {dtype} {nbits} bits", weight, "uniform", nbits)
        for axis, group in ((0, 3), (1, 2), (2, 1), (-2, 1)):
            palettize_case(writer, f"uniform {dtype} axis {axis}", weight, "uniform", 4, axis, group)
            palettize_case(
                writer, f"uniform {dtype} axis {axis} scaled", weight, "uniform", 4, axis, group, 1, "outputChannel"
            )
        palettize_case(writer, f"uniform {dtype} constant", np.full((3, 4), 1.5, dtype), "uniform", 4)
        tiny = np.finfo(dtype).smallest_subnormal
        palettize_case(writer, f"uniform {dtype} subnormal", (np.arange(20) * tiny).astype(dtype), "uniform", 3)
        few = random.choice(np.array([-1.5, -0.0, 0.0, 2, 7, 1e-3], dtype), (6, 8))
        palettize_case(writer, f"unique {dtype}", few, "unique", None)
        palettize_case(writer, f"unique {dtype} groups", few, "unique", None, 1, 2)
        palettize_case(writer, f"unique {dtype} at least 4 bits", few, "unique", 4, -1, 4)
        for axis in (0, 1):
            palettize_case(writer, f"unique {dtype} vectors {axis}", few, "unique", None, axis, 0, 2)
        infinite = np.array([[-np.inf, 1, np.inf, 1, 0]], dtype)
        palettize_case(writer, f"unique {dtype} infinities", infinite, "unique", None)
        many = np.arange(256).astype(dtype)
        palettize_case(writer, f"unique {dtype} 256", random.permutation(many).reshape(16, 16), "unique", None)
    wide = random.standard_normal(70000).astype(np.float16)
    lut, indices = reference(wide, "uniform", 6, 0, 0, 1)
    writer.case("uniformLarge", "uniform float16 70000", weight=wide, lut=lut, indices=indices)


def decode_cases(writer: Writer, random: np.random.Generator) -> None:
    shapes: list[tuple[tuple[int, ...], tuple[int, ...], int, int, int | None]] = [
        ((5,), (1,), 1, 1, None),
        ((6, 4), (3, 2), 2, 1, None),
        ((6, 4), (6, 4), 1, 1, None),
        ((4, 6, 5), (1, 3, 5), 4, 1, None),
        ((4, 6, 5), (2, 1, 1), 8, 1, None),
        ((3, 40), (1, 1), 3, 1, None),
        ((3, 40), (3, 1), 6, 1, None),
        ((2, 3, 4), (1, 1, 1), 2, 3, 1),
        ((2, 3, 4), (2, 3, 2), 2, 2, -1),
        ((4, 3, 4), (2, 1, 4), 4, 4, 0),
        ((4, 3, 4), (1, 3, 1), 1, 2, 2),
    ]
    for dtype in ("float16", "float32", "float64", "int8"):
        for shape, groups, nbits, dim, axis in shapes:
            lut = (random.standard_normal((*groups, 2**nbits, dim)) * 20).astype(dtype)
            indices = random.integers(0, 2**nbits, shape).astype(np.uint8)
            writer.case(
                "decode",
                f"{dtype} {shape} {groups} {nbits} bits {dim}",
                lut=lut,
                indices=indices,
                nbits=nbits,
                axis=axis,
                packed=optimize_utils.pack_elements_into_bits(indices, nbits),
                decoded=optimize_utils.lut_to_dense(indices, lut, axis),
            )


def packing_cases(writer: Writer, random: np.random.Generator) -> None:
    for nbits in range(1, 9):
        for count in (1, 2, 3, 7, 8, 9, 63, 64, 65, 200):
            codes = random.integers(0, 2**nbits, count).astype(np.uint8)
            signed = random.integers(-(2 ** (nbits - 1)), 2 ** (nbits - 1), count).astype(np.int8)
            writer.case(
                "pack",
                f"{nbits} bits {count}",
                nbits=nbits,
                codes=codes,
                packed=optimize_utils.pack_elements_into_bits(codes, nbits),
                signed=signed.view(np.uint8),
                packedSigned=optimize_utils.pack_elements_into_bits(signed, nbits),
            )


def main() -> None:
    random = np.random.default_rng(20240917)
    writer = Writer()
    kmeans_cases(writer, random)
    other_cases(writer, random)
    decode_cases(writer, random)
    packing_cases(writer, random)
    writer.save()
    print(f"{len(writer.cases)} cases, {len(writer.data)} bytes")


if __name__ == "__main__":
    main()
