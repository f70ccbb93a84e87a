"""What must hold for the quantization and pruning of any weight."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

import swiftcompress as sc
from support import reference_parts as theirs
from support.arrays import assert_same_bits

from .test_properties import weights

KINDS = st.sampled_from(sorted(theirs.INTEGERS))
MODES = st.sampled_from(["linear", "linear_symmetric"])


@st.composite
def weight_and_blocks(draw: Any) -> tuple[np.ndarray, tuple[int, ...]]:
    weight = draw(weights(max_dims=3, max_side=8))
    sizes = [draw(st.sampled_from([0, *(d for d in range(1, n + 1) if n % d == 0)])) for n in weight.shape]
    return weight, tuple(sizes)


@given(weight_and_blocks(), KINDS, MODES)
@example((np.array([-65504, 65504], np.float16), (0,)), "int8", "linear")
@example((np.array([-6e-8, 0, 1.2e-7], np.float16), (0,)), "uint3", "linear")
def test_quantize(weight_and_blocks: tuple[np.ndarray, tuple[int, ...]], kind: str, mode: Any) -> None:
    """The reference's bits where asked for; otherwise finite, zero where it was zero, and at most half a step off."""
    weight, sizes = weight_and_blocks
    exact = sc.quantize(weight, kind, mode=mode, granularity="per_block", block_size=sizes, compat="coremltools")
    expected = theirs.quantize(weight, kind, mode, sizes)
    assert expected is not None
    assert_same_bits(exact.data, expected[0], "data")
    assert_same_bits(exact.scale, expected[1], "scale")
    if exact.zero_point is not None and expected[2] is not None:
        assert_same_bits(exact.zero_point, expected[2], "zero point")

    found = sc.quantize(weight, kind, mode=mode, granularity="per_block", block_size=sizes)
    assert np.isfinite(found.scale).all()
    decoded = found.decompress()
    assert np.isfinite(decoded).all()
    scale = theirs.expand(found.scale, weight.shape)
    assert (decoded[scale == 0] == weight[scale == 0]).all()
    error = np.abs(decoded.astype(np.longdouble) - weight.astype(np.longdouble))
    slack = {2: 0.4, 4: 1e-4, 8: 1e-9}[weight.itemsize]
    assert (error <= (0.5 + slack) * scale.astype(np.longdouble)).all()


@given(weight_and_blocks(), KINDS, MODES, st.integers(2, 8))
def test_threads_do_not_matter(parts: tuple[np.ndarray, tuple[int, ...]], kind: str, mode: Any, threads: int) -> None:
    weight, sizes = parts
    one, many = (
        sc.quantize(weight, kind, mode=mode, granularity="per_block", block_size=sizes, num_threads=count)
        for count in (1, threads)
    )
    assert_same_bits(one.data, many.data)
    assert_same_bits(one.scale, many.scale)


@given(weights(max_dims=3), st.floats(0, 1))
def test_magnitude(weight: np.ndarray, share: float) -> None:
    """No zeroed element is larger than a kept one, and what is kept comes back bit for bit."""
    sparse = sc.prune(weight, target_sparsity=share)
    kept = sparse.mask != 0
    magnitudes = np.abs(weight)
    if kept.any() and not kept.all():
        assert magnitudes[~kept].max() < magnitudes[kept].min()
    assert (weight[kept] != 0).all()
    assert_same_bits(sparse.decompress()[kept], weight[kept])
    assert (sparse.decompress()[~kept] == 0).all()
    expected = theirs.prune(weight, target_sparsity=share)
    assert expected is not None
    assert_same_bits(sparse.mask, expected[1])


@given(weights(min_dims=2, max_dims=3), st.integers(0, 1), st.data())
def test_n_of_m(weight: np.ndarray, dim: int, data: Any) -> None:
    """At most m - n of every m are kept, and none that is smaller than a zeroed one."""
    channels = weight.shape[dim]
    if channels < 2:
        return
    m = data.draw(st.integers(1, channels // 2))
    n = data.draw(st.integers(0, m))
    mask = np.moveaxis(sc.prune(weight, n_m_ratio=(n, m), dim=dim).mask, dim, 0)
    rows = np.moveaxis(np.abs(weight), dim, 0)
    for start in range(0, channels, m):
        group, kept = rows[start : start + m], mask[start : start + m] != 0
        assert (kept.sum(axis=0) <= m - n).all()
        low = np.where(kept, group, np.inf).min(axis=0)
        high = np.where(kept, 0, group).max(axis=0)
        assert (high <= low).all()
