"""sc.pack_bits and sc.unpack_bits against coremltools' pack_elements_into_bits and restore_elements_from_packed_bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coremltools.optimize import _utils as theirs

import swiftcompress as sc
from support.arrays import assert_same_bits, layouts

NBITS = (1, 2, 3, 4, 6, 8)
COUNTS = (1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 127, 1009, 4099)


@pytest.mark.parametrize("nbits", NBITS)
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("signed", [False, True])
def test_there_and_back(nbits: int, count: int, signed: bool) -> None:
    low, high = (-(1 << (nbits - 1)), (1 << (nbits - 1)) - 1) if signed else (0, (1 << nbits) - 1)
    codes = np.random.default_rng([nbits, count]).integers(low, high + 1, count).astype(np.int8 if signed else np.uint8)
    packed = sc.pack_bits(codes, nbits)
    assert_same_bits(packed, theirs.pack_elements_into_bits(codes, nbits), "packed")
    restored = sc.unpack_bits(packed, nbits, count, signed=signed)
    assert_same_bits(restored, theirs.restore_elements_from_packed_bits(packed, nbits, count, signed), "unpacked")
    assert_same_bits(restored, codes, "round trip")


@pytest.mark.parametrize("nbits", NBITS)
def test_every_code(nbits: int) -> None:
    codes = np.arange(1 << nbits, dtype=np.uint8)
    assert_same_bits(sc.pack_bits(codes, nbits), theirs.pack_elements_into_bits(codes, nbits))


@pytest.mark.parametrize("nbits", NBITS)
def test_shapes_and_layouts(nbits: int) -> None:
    codes = np.random.default_rng(40).integers(0, 1 << nbits, (7, 5, 3)).astype(np.uint8)
    expected = theirs.pack_elements_into_bits(codes, nbits)
    for name, view in layouts(codes):
        assert_same_bits(sc.pack_bits(view, nbits), expected, name)
    for name, view in layouts(expected):
        assert np.array_equal(sc.unpack_bits(view, nbits, codes.size), codes.ravel()), name


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.int64, np.uint32, np.uint64])
def test_wider_integers(dtype: Any) -> None:
    codes = np.array([0, 1, 2, 3, 1], dtype)
    assert_same_bits(sc.pack_bits(codes, 3), theirs.pack_elements_into_bits(codes, 3))


@pytest.mark.parametrize("nbits", NBITS)
def test_fewer_than_all_and_garbage_in_the_last_byte(nbits: int) -> None:
    packed = np.random.default_rng(41).integers(0, 256, 40).astype(np.uint8)
    for count in (0, 1, 40 * 8 // nbits):
        expected = theirs.restore_elements_from_packed_bits(packed, nbits, count)
        assert_same_bits(sc.unpack_bits(packed, nbits, count), expected.astype(np.uint8))


def test_empty() -> None:
    for nbits in NBITS:
        packed = sc.pack_bits(np.zeros(0, np.uint8), nbits)
        assert packed.shape == (0,)
        assert packed.dtype == np.uint8
        assert sc.unpack_bits(packed, nbits, 0).shape == (0,)


@pytest.mark.parametrize("nbits", NBITS)
def test_codes_that_do_not_fit(nbits: int) -> None:
    for code in (1 << nbits, -1):
        codes = np.array([0, code], np.int16)
        if code == -1:
            codes = codes.astype(np.int16) - (1 << nbits)
        with pytest.raises(ValueError):
            sc.pack_bits(codes, nbits)


@pytest.mark.parametrize("call", [
    lambda: sc.pack_bits(np.zeros(3, np.uint8), 5),
    lambda: sc.pack_bits(np.zeros(3, np.uint8), 0),
    lambda: sc.unpack_bits(np.zeros(3, np.uint8), 7, 3),
    lambda: sc.unpack_bits(np.zeros(3, np.uint8), 4, -1),
    lambda: sc.unpack_bits(np.zeros(3, np.uint8), 4, 7),
    lambda: sc.unpack_bits(np.zeros(3, np.uint8), 4, 2**62),
], ids=["pack 5", "pack 0", "unpack 7", "count -1", "one too many", "far too many"])  # fmt: skip
def test_bad_arguments(call: Any) -> None:
    with pytest.raises(ValueError):
        call()


@pytest.mark.parametrize(
    "codes", [np.zeros(3, np.float32), np.array(["a"]), np.zeros(3, complex)], ids=["float", "str", "complex"]
)
def test_not_integers(codes: np.ndarray) -> None:
    with pytest.raises((TypeError, ValueError)):
        sc.pack_bits(codes, 4)
