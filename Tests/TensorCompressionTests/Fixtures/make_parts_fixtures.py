"""Writes parts.json and parts.bin: what coremltools 9.0 and NumPy 2 make of small tensors by linear quantization and pruning.

Run with coremltools 9.0 and NumPy 2 on x86-64 (where a NaN becomes 0 when it is cast):  python make_parts_fixtures.py
"""

from __future__ import annotations

import json
import pathlib
import warnings
from typing import Any

import numpy as np
from coremltools.optimize import _utils as optimize_utils
from coremltools.optimize.coreml import _quantization_passes as passes
from make_fixtures import Writer

FOLDER = pathlib.Path(__file__).parent
PRUNE = passes.prune_weights


class PartsWriter(Writer):
    """Another pair of files; arrays say which one they are in."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[tuple[Any, ...], dict[str, Any]] = {}

    def array(self, values: np.ndarray) -> dict[str, Any]:
        key = (str(values.dtype), values.shape, values.tobytes())
        if key not in self.known:
            self.known[key] = {**super().array(values), "file": "parts"}
        return self.known[key]

    def save(self) -> None:
        (FOLDER / "parts.bin").write_bytes(bytes(self.data))
        lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in self.cases)
        (FOLDER / "parts.json").write_text(f"[\n{lines}\n]\n")


def quantize_case(
    writer: PartsWriter, weight: np.ndarray, kind: str, mode: str, sizes: tuple[int, ...], arithmetic: str = "any"
) -> None:
    bits, signed = int(kind.lstrip("uint")), not kind.startswith("u")
    result = optimize_utils.compute_qparams(weight, bits, signed, mode.upper(), np.int8, list(sizes))
    data, scale, zero_point = result
    fields = {} if zero_point is None else {"zeroPoint": zero_point}
    if weight.dtype != np.float64:
        fields["decoded"] = optimize_utils.dequantize_by_scale_and_zp(data, scale, zero_point)
    writer.case(
        "quantize",
        f"{weight.dtype} {weight.shape} {kind} {mode} {sizes} {arithmetic}",
        weight=weight,
        type=kind,
        mode=mode,
        blockSizes=list(sizes),
        reference=arithmetic == "reference",
        data=data,
        scale=scale,
        **fields,
    )


def quantize_cases(writer: PartsWriter, random: np.random.Generator) -> None:
    for dtype in ("float16", "float32", "float64"):
        weight = (random.standard_normal((8, 12)) + 0.5).astype(dtype)
        weight[2], weight[5, ::2] = 0, -0.0
        kinds = (
            ("int8", "uint8", "int4", "uint4", "uint2", "uint3", "uint6") if dtype == "float16" else ("int8", "uint4")
        )
        for kind in kinds:
            for mode in ("linear", "linear_symmetric"):
                for sizes in ((1, 0), (0, 0), (0, 1), (1, 4), (4, 6)):
                    quantize_case(writer, weight, kind, mode, sizes)
        cube = random.standard_normal((4, 6, 5)).astype(dtype)
        for sizes in ((0, 2, 0), (1, 3, 0), (2, 0, 1), (1, 1, 0), (0, 0, 5)):
            quantize_case(writer, cube, "uint8", "linear", sizes)
        limits = np.finfo(dtype)
        ends = np.stack(
            [
                random.uniform(-1, 1, 8) * float(limits.max) * 0.999,
                np.linspace(0, 1, 8) * float(limits.max),
                np.arange(-4, 4) * float(limits.smallest_subnormal),
                np.arange(0, 8) * float(limits.smallest_subnormal),
                np.linspace(-1, 0.5, 8) * float(limits.tiny) * 3,
                np.full(8, 300.0),
            ]
        ).astype(dtype)
        for kind in ("int8", "uint8", "int4", "uint3"):
            for mode in ("linear", "linear_symmetric"):
                quantize_case(writer, ends, kind, mode, (1, 0), "reference")


def prune_case(writer: PartsWriter, weight: np.ndarray, method: str, params: Any, **fields: Any) -> None:
    sparse = optimize_utils.ios16_sparse_params_to_ios18(params)
    writer.case(
        "prune",
        f"{weight.dtype} {weight.shape} {method} {fields}",
        weight=weight,
        method=method,
        mask=sparse.mask.astype(np.uint8),
        nonzero=sparse.nonzero_data,
        **fields,
    )


def prune_cases(writer: PartsWriter, random: np.random.Generator) -> None:
    for dtype in ("float16", "float32", "float64"):
        for shape in ((12, 10), (6, 8, 3, 2), (30, 1), (5, 24)):
            count = int(np.prod(shape))
            weight = ((random.permutation(count) + 1) / 64 * random.choice([-1, 1], count)).astype(dtype)
            weight = weight.reshape(shape)
            for share in (0.0, 0.3, 0.5, 0.917, 1.0) if dtype == "float16" else (0.5, 0.917):
                prune_case(writer, weight, "magnitude", PRUNE.compress_by_magnitude(weight, share), share=share)
                for size, dim in ((2, 0), (3, 1), (12, 0), (12, 1)):
                    params = PRUNE.compress_by_magnitude(weight, share, size, dim)
                    if params is not None:
                        prune_case(writer, weight, "blocks", params, share=share, blockSize=size, dim=dim)
            for n, m, dim in ((1, 2, 0), (2, 4, 1), (2, 3, 1), (3, 5, 0), (5, 12, 1)):
                params = PRUNE.compress_by_nm_sparsity(weight, (n, m), dim)
                if params is not None:
                    prune_case(writer, weight, "n_of_m", params, n=n, m=m, dim=dim)
            prune_case(writer, weight, "threshold", PRUNE.compress_by_threshold(weight, 0.3, 0.0), threshold=0.3)
        signs = random.choice(np.array([0.0, -0.0, 1.5, -1.5], dtype), (6, 7))
        prune_case(writer, signs, "magnitude", PRUNE.compress_by_magnitude(signs, 0.0), share=0.0)


def main() -> None:
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    random = np.random.default_rng(20251125)
    writer = PartsWriter()
    quantize_cases(writer, random)
    prune_cases(writer, random)
    writer.save()
    print(f"{len(writer.cases)} cases, {len(writer.data)} bytes")


if __name__ == "__main__":
    main()
