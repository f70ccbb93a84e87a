"""Writes exact_kmeans_1d.txt and vector_kmeans.txt.

    python make_fixtures.py

exact_kmeans_1d.txt: what coremltools 9.0's one-dimensional k-means answers, to the bit. A line is a case: kind, weight
kind, seed, n, k, then the number of values, the bits of the k centroids, and the first value of each of the k clusters
(in differences). Values and weights are made from SplitMix64 by exact operations alone, here and in
KMeansFixture.swift, so that they need not be stored. NaN centroids are written as "nan".

vector_kmeans.txt: kind, seed, n, dim, k, whether weighted, and the mean inertia of scikit-learn's KMeans over 20 seeds,
with the settings coremltools 9.0 uses. VectorKMeansTests.swift makes the same points.
"""

import ctypes
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from coremltools._deps.kmeans1d import core
from sklearn.cluster import KMeans

MASK = (1 << 64) - 1


def split_mix(seed: int) -> Iterator[int]:
    state = seed
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def from_bits(bits: int) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", bits))[0])


def double(r: int, low: int, span: int) -> float:
    """A double with random sign and mantissa and an exponent of low to low + span - 1."""
    exponent = 1023 + low + ((r >> 52) & 0x7FF) % span
    return from_bits((r & 0x8000_0000_0000_0000) | (exponent << 52) | (r & 0x000F_FFFF_FFFF_FFFF))


def half(r: int) -> float:
    """A binary16 number below 4 in magnitude."""
    bits = (r & 0x83FF) | (((r >> 20) % 17) << 10)
    return float(np.array(bits, np.uint16).view(np.float16))


def value(kind: str, r: int, i: int, n: int) -> float:
    match kind:
        case "grid":
            return float(r % (4 * n)) - 2 * n
        case "even":
            return float(i)
        case "half":
            return half(r)
        case "float":
            return float(np.float32(double(r, -6, 7)))
        case "double":
            return double(r, -4, 6)
        case "wide":
            return double(r, -140, 280)
        case "huge":
            return double(r, 500, 20)
        case "subnormal":
            return from_bits(r & 0x8000_FFFF_FFFF_FFFF)
        case "offset":
            return 1048576.0 + (r & 0xFFFF) * 2.0**-32
    raise ValueError(kind)


def make(kind: str, weight_kind: str, seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    numbers = split_mix(seed)
    symmetric = kind.startswith("symmetric-")
    drawn = [value(kind.removeprefix("symmetric-"), next(numbers), i, n) for i in range(n)]
    if symmetric:
        drawn += [-v for v in drawn]
    values = np.array(sorted({v + 0.0 for v in drawn}))
    weights = np.empty(len(values))
    for i in range(len(values)):
        r = next(numbers)
        match weight_kind:
            case "one":
                weights[i] = 1
            case "count":
                weights[i] = 1 + r % 1000
            case "real":
                weights[i] = abs(double(r, -3, 6))
            case "wide":
                weights[i] = abs(double(r, -40, 60))
            case "zeros":
                weights[i] = r % 5
    return values, weights


def solve(values: np.ndarray, weights: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    clusters = (ctypes.c_ulong * len(values))()
    centroids = (ctypes.c_double * k)()
    core._DLL.cluster_with_weights(
        (ctypes.c_double * len(values))(*values),
        (ctypes.c_double * len(values))(*weights),
        ctypes.c_ulong(len(values)),
        ctypes.c_ulong(k),
        clusters,
        centroids,
    )
    if (weights == 1).all():
        # The unweighted solver is the same function of the same numbers: one kernel serves both.
        unweighted = core.cluster(values, k)
        assert list(clusters) == unweighted.clusters
        assert np.array_equal(np.array(centroids), unweighted.centroids, equal_nan=True)
    first = np.searchsorted(np.array(clusters, np.int64), np.arange(k))
    return np.array(centroids), first


def cases() -> Iterator[tuple[str, str, int, int, int]]:
    kinds = ["grid", "even", "half", "float", "double", "wide", "huge", "subnormal", "offset", "symmetric-half"]
    kinds += ["symmetric-grid", "symmetric-double"]
    seed = 1
    for kind in kinds:
        for weight_kind in ["one", "count", "real", "wide", "zeros"]:
            for n, k in [(1, 1), (2, 2), (3, 2), (5, 5), (9, 4), (17, 16), (40, 7), (100, 33), (333, 16)]:
                yield kind, weight_kind, seed, n, k
                seed += 1
    for kind in kinds:
        yield kind, "count", seed, 1000, 256
        seed += 1
    for n, k in [(5000, 2), (5000, 16), (5000, 64), (4096, 256), (4095, 3), (4097, 255)]:
        yield "half", "count", seed, n, k
        yield "double", "real", seed + 1, n, k
        seed += 2
    # More levels than argmins are kept of: 256.
    for k in [257, 258, 300, 513, 600]:
        yield "double", "count", seed, 600, k
        yield "offset", "real", seed + 1, 700, k
        seed += 2


def make_points(kind: str, seed: int, n: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 points, and weights."""
    numbers = split_mix(seed)

    def unit() -> float:
        return (next(numbers) >> 11) * 2.0**-53

    def bell() -> float:
        return unit() + unit() + unit() + unit() - 2.0

    places = [[8.0 * unit() for _ in range(dim)] for _ in range(30)]
    points = np.empty((n, dim), np.float32)
    for i in range(n):
        place = places[next(numbers) % 30]
        for d in range(dim):
            x = bell()
            points[i, d] = x if kind == "bell" else place[d] + 0.125 * x
    return points, np.array([float(1 + next(numbers) % 50) for _ in range(n)])


def vector_lines() -> Iterator[str]:
    seed = 1
    for n, dim, k in [(300, 2, 16), (600, 4, 64), (1500, 3, 20), (4000, 8, 256), (40000, 2, 16)]:
        for kind in ["bell", "places"]:
            for weighted in [False, True]:
                points, weights = make_points(kind, seed, n, dim)
                inertia = [
                    KMeans(k, init="k-means++", tol=1e-2, n_init=1, random_state=start)
                    .fit(points, sample_weight=weights if weighted else None)
                    .inertia_
                    for start in range(20)
                ]
                yield f"{kind} {seed} {n} {dim} {k} {int(weighted)} {np.mean(inertia):.9g}"
                seed += 1


def main() -> None:
    lines = []
    for kind, weight_kind, seed, n, k in cases():
        values, weights = make(kind, weight_kind, seed, n)
        k = min(k, len(values))
        centroids, first = solve(values, weights, k)
        bits = ["nan" if np.isnan(c) else struct.pack(">d", c).hex().lstrip("0") or "0" for c in centroids]
        steps = np.diff(first, prepend=0)
        fields = [kind, weight_kind, str(seed), str(n), str(k), str(len(values)), ",".join(bits)]
        lines.append(" ".join([*fields, ",".join(map(str, steps))]))
    Path(__file__).with_name("exact_kmeans_1d.txt").write_text("\n".join(lines) + "\n")
    Path(__file__).with_name("vector_kmeans.txt").write_text("\n".join(vector_lines()) + "\n")


if __name__ == "__main__":
    main()
