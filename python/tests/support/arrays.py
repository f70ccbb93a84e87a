"""Arrays that are hard to cluster, and the same array in layouts that are hard to read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

SUBNORMAL = {np.float16: 2.0**-24, np.float32: 2.0**-149, np.float64: 5e-324}


def adversarial(dtype: Any, seed: int = 0, rows: int = 24, columns: int = 40) -> dict[str, np.ndarray]:
    """Finite matrices of the given dtype, by what is hard about them."""
    rng = np.random.default_rng(seed)
    shape = (rows, columns)
    count = rows * columns
    normal = rng.standard_normal(shape)
    tiny = SUBNORMAL[dtype]
    biggest = float(np.finfo(dtype).max)
    half = np.abs(rng.standard_normal(count // 2)).astype(dtype)
    cases = {
        "normal": normal,
        "uniform": rng.uniform(-1, 1, shape),
        "laplace": rng.laplace(size=shape),
        "heavy tail": rng.standard_t(1.5, shape).clip(-1e4, 1e4),
        "constant": np.full(shape, 0.125),
        "all zero": np.zeros(shape),
        "all negative zero": np.full(shape, -0.0),
        "both zeros": rng.choice([-0.0, 0.0], shape),
        "zeros and a few": np.where(rng.random(shape) < 0.95, rng.choice([-0.0, 0.0], shape), normal),
        "two values": rng.choice([-1.5, 2.25], shape),
        "three values": rng.choice([-1.0, 0.0, 1.0], shape),
        "sixteen values": rng.choice(rng.standard_normal(16), shape),
        "seventeen values": rng.choice(rng.standard_normal(17), shape),
        "many duplicates": np.round(normal * 4) / 4,
        "symmetric": np.concatenate([half, -half]).reshape(shape),
        "even steps": np.arange(count, dtype=np.float64).reshape(shape) - count // 2,
        "powers of two": 2.0 ** rng.integers(-14, 15, shape),
        "signed powers": np.ldexp(rng.choice([-1.0, 1.0], shape), rng.integers(-14, 15, shape)),
        "two far clusters": np.where(rng.random(shape) < 0.5, -1000.0, 1000.0) + normal * 1e-2,
        "one outlier": np.where(np.arange(count).reshape(shape) == 7, 6e4, normal * 1e-3),
        "large offset": 2048.0 + np.round(normal * 8),
        "subnormal": rng.integers(-900, 900, shape) * tiny,
        "smallest": rng.choice([-tiny, 0.0, tiny], shape),
        "near the largest": rng.choice([-0.25, 0.2, 0.24], shape) * biggest,
        "sorted": np.sort(normal.ravel()).reshape(shape),
        "reversed": np.sort(normal.ravel())[::-1].reshape(shape),
        "all negative": -np.abs(normal) - 0.5,
        "tiny spread": 1.0 + rng.integers(0, 5, shape) * float(np.finfo(dtype).eps),
    }
    return {name: np.ascontiguousarray(values.astype(dtype)) for name, values in cases.items()}


def layouts(array: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The same values, differently stored."""
    yield "C", array
    yield "Fortran", np.asfortranarray(array)
    wide = np.zeros((*array.shape[:-1], array.shape[-1] * 2), array.dtype)
    wide[..., ::2] = array
    yield "strided", wide[..., ::2]
    yield "reversed", array[::-1].copy()[::-1]
    yield "transposed", np.ascontiguousarray(array.T).T
    padded = np.zeros(tuple(n + 2 for n in array.shape), array.dtype)
    inner = tuple(slice(1, -1) for _ in array.shape)
    padded[inner] = array
    yield "slice", padded[inner]
    frozen = array.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen
    raw = np.empty(array.nbytes + 1, np.uint8)
    unaligned = raw[1:].view(array.dtype).reshape(array.shape)
    unaligned[...] = array
    yield "unaligned", unaligned
    yield "byte-swapped", array.astype(array.dtype.newbyteorder())
    yield "broadcast", np.broadcast_to(array, array.shape)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def assert_same_bits(ours: np.ndarray, theirs: np.ndarray, what: str = "array") -> None:
    __tracebackhide__ = True
    assert ours.dtype == theirs.dtype, f"{what}: dtype {ours.dtype}, expected {theirs.dtype}"
    assert ours.shape == theirs.shape, f"{what}: shape {ours.shape}, expected {theirs.shape}"
    if same_bits(ours, theirs):
        return
    width = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}[ours.dtype.itemsize]
    a = np.ascontiguousarray(ours).view(width).ravel()
    b = np.ascontiguousarray(theirs).view(width).ravel()
    at = np.flatnonzero(a != b)
    first = int(at[0])
    raise AssertionError(
        f"{what}: {len(at)} of {a.size} elements differ; first at {first}: "
        f"{ours.ravel()[first]!r} ({a[first]:#x}), expected {theirs.ravel()[first]!r} ({b[first]:#x})"
    )
