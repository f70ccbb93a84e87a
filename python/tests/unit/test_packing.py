"""sc.pack_bits and sc.unpack_bits: what they take and refuse."""

from typing import Any

import numpy as np
import pytest

import swiftcompress as sc


@pytest.mark.parametrize("nbits", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("count", [0, 1, 7, 64, 1001])
def test_there_and_back(nbits: int, signed: bool, count: int) -> None:
    low, high = (-(1 << nbits - 1), 1 << nbits - 1) if signed else (0, 1 << nbits)
    codes = np.random.default_rng(nbits).integers(low, high, count, np.int8 if signed else np.uint8)
    packed = sc.pack_bits(codes, nbits)
    assert packed.shape == (-(-count * nbits // 8),)
    back = sc.unpack_bits(packed, nbits, count, signed)
    assert back.dtype == codes.dtype
    assert np.array_equal(back, codes)


def test_order_of_bits() -> None:
    assert sc.pack_bits([1, 0, 1, 1], 1).tolist() == [0b1101]
    assert sc.pack_bits([5, 6, 7], 3).tolist() == [0b11_110_101, 0b1]
    assert sc.pack_bits([], 4).tolist() == []


def test_wide_integers_are_judged_by_their_values() -> None:
    assert sc.pack_bits(np.arange(16), 4).tolist() == sc.pack_bits(np.arange(16, dtype=np.uint8), 4).tolist()
    assert sc.pack_bits([-1, 7], 4).tolist() == [0x7F]
    for bad in ([16], [-9], [-1, 8], [2**60]):
        with pytest.raises(ValueError, match=r"^\[pack_bits\] codes: found .*, allowed .* for nbits 4"):
            sc.pack_bits(bad, 4)
    with pytest.raises(ValueError, match="code"):
        sc.pack_bits(np.array([8], np.int8), 4)
    with pytest.raises(ValueError, match="code"):
        sc.pack_bits(np.array([16], np.uint8), 4)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: sc.pack_bits(np.zeros(2), 4), TypeError),
        (lambda: sc.pack_bits([True], 4), TypeError),
        (lambda: sc.pack_bits(None, 4), TypeError),
        (lambda: sc.pack_bits([1], 5), ValueError),
        (lambda: sc.pack_bits([1], True), TypeError),
        (lambda: sc.pack_bits([1], 4.0), TypeError),
        (lambda: sc.unpack_bits(np.zeros(2, np.uint16), 4, 2), TypeError),
        (lambda: sc.unpack_bits(np.zeros(2, np.uint8), 4, 2.0), TypeError),
        (lambda: sc.unpack_bits(np.zeros(2, np.uint8), 4, -1), ValueError),
        (lambda: sc.unpack_bits(np.zeros(2, np.uint8), 4, 5), ValueError),
        (lambda: sc.unpack_bits(np.zeros(2, np.uint8), 4, 2**80), ValueError),
        (lambda: sc.unpack_bits(np.zeros(2, np.uint8), 4, 4, 1), TypeError),
    ],
)
def test_arguments(call: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^\[(un)?pack_bits\] \w+: found .*, allowed "):
        call()
