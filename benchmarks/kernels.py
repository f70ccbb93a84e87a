"""Array kernels beside the functions inside coremltools that do the same work."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import swiftcompress as sc


@dataclass
class Kernel:
    name: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    same: Callable[[Any, Any], bool]


def kmeans_1d(count: int, k: int) -> Kernel:
    """Exact weighted 1-D k-means over distinct values, the step inside every scalar palettization."""
    from coremltools._deps import _kmeans1d

    random = np.random.default_rng(count + k)
    values = np.unique(random.standard_normal(3 * count).astype(np.float32).astype(np.float64))[:count]
    weights = random.integers(1, 100, len(values)).astype(np.float64)

    def same(ours: Any, theirs: Any) -> bool:
        centroids = np.array_equal(ours.centroids, np.array(theirs.centroids))
        return centroids and np.array_equal(ours.labels, np.array(theirs.clusters))

    return Kernel(
        f"kmeans_1d, {len(values):,} values, k={k}",
        lambda: sc.kmeans_1d(values, k, weights=weights),
        lambda: _kmeans1d.cluster(values, k, weights=weights),
        same,
    )


def palettize(side: int, nbits: int, group_size: int | None) -> Kernel:
    """One float16 weight in memory: LUT and indices."""
    from coremltools.optimize.coreml._quantization_passes import palettize_weights

    weight = (np.random.default_rng(side).standard_normal((side, side)) * 0.02).astype(np.float16)
    grouped: dict[str, Any] = {"granularity": "per_grouped_channel", "group_size": group_size} if group_size else {}

    def same(ours: Any, theirs: Any) -> bool:
        return np.array_equal(ours.lut, theirs.lut) and np.array_equal(ours.indices, theirs.indices)

    return Kernel(
        f"palettize {side}x{side} float16, {nbits} bits, " + (f"group {group_size}" if group_size else "per tensor"),
        lambda: sc.palettize(weight, nbits, **grouped),
        lambda: palettize_weights.blockwise_compress(weight, "KMEANS", nbits, [group_size or 0, 0]),
        same,
    )


def pack_bits(count: int, nbits: int) -> Kernel:
    from coremltools.optimize._utils import pack_elements_into_bits

    codes = np.random.default_rng(nbits).integers(0, 2**nbits, count).astype(np.uint8)
    return Kernel(
        f"pack_bits, {count:,} codes, {nbits} bits",
        lambda: sc.pack_bits(codes, nbits),
        lambda: pack_elements_into_bits(codes, nbits),
        np.array_equal,
    )


def unpack_bits(count: int, nbits: int) -> Kernel:
    from coremltools.optimize._utils import restore_elements_from_packed_bits

    packed = np.random.default_rng(nbits).integers(0, 256, count * nbits // 8).astype(np.uint8)
    return Kernel(
        f"unpack_bits, {count:,} codes, {nbits} bits",
        lambda: sc.unpack_bits(packed, nbits, count),
        lambda: restore_elements_from_packed_bits(packed, nbits, count),
        np.array_equal,
    )


def all_kernels(quick: bool) -> list[Kernel]:
    if quick:
        return [kmeans_1d(10_000, 16), palettize(512, 4, None), pack_bits(1 << 20, 4), unpack_bits(1 << 20, 4)]
    return [
        kmeans_1d(40_000, 16),
        kmeans_1d(40_000, 256),
        palettize(2048, 4, None),
        palettize(2048, 4, 16),
        palettize(2048, 8, None),
        pack_bits(1 << 24, 4),
        pack_bits(1 << 24, 3),
        unpack_bits(1 << 24, 4),
        unpack_bits(1 << 24, 3),
    ]
