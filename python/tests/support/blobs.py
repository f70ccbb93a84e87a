"""Reading and writing weight blob files, written for the tests alone and sharing nothing with the library.

Layout (MILBlob/Blob/StorageFormat.hpp): a 64-byte header (u32 count, u32 version 2), then for every blob a 64-byte
record (u32 sentinel, u32 dtype, u64 bytes, u64 data offset, u64 padding in bits, reserved) and its data, both 64-byte aligned.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SENTINEL = 0xDEADBEEF

# blob dtype number -> (MIL name, bits per element, NumPy dtype that holds one element, signed)
BLOB_TYPES = {
    1: ("float16", 16, np.float16, True),
    2: ("float32", 32, np.float32, True),
    3: ("uint8", 8, np.uint8, False),
    4: ("int8", 8, np.int8, True),
    5: ("bfloat16", 16, np.uint16, False),
    6: ("int16", 16, np.int16, True),
    7: ("uint16", 16, np.uint16, False),
    8: ("int4", 4, np.int8, True),
    9: ("uint1", 1, np.uint8, False),
    10: ("uint2", 2, np.uint8, False),
    11: ("uint4", 4, np.uint8, False),
    12: ("uint3", 3, np.uint8, False),
    13: ("uint6", 6, np.uint8, False),
    14: ("int32", 32, np.int32, True),
    15: ("uint32", 32, np.uint32, False),
}
BLOB_NUMBER = {name: number for number, (name, _, _, _) in BLOB_TYPES.items()}


def unpack(packed: bytes, nbits: int, count: int, signed: bool) -> np.ndarray:
    """n-bit codes, least significant bit first, without gaps."""
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")[: nbits * count].reshape(count, nbits)
    codes = (bits.astype(np.int16) << np.arange(nbits)).sum(axis=1)
    if signed:
        codes = np.where(codes >= 1 << (nbits - 1), codes - (1 << nbits), codes)
        return codes.astype(np.int8)
    return codes.astype(np.uint8)


def pack(codes: np.ndarray, nbits: int) -> bytes:
    bits = (codes.reshape(-1, 1).astype(np.int64) >> np.arange(nbits)) & 1
    return np.packbits(bits.astype(np.uint8).ravel(), bitorder="little").tobytes()


@dataclass
class Blob:
    type_name: str
    nbits: int
    data: bytes
    offset: int  # of the metadata record

    def array(self, count: int) -> np.ndarray:
        _, nbits, holder, signed = BLOB_TYPES[BLOB_NUMBER[self.type_name]]
        if nbits < 8:
            return unpack(self.data, nbits, count, signed)
        return np.frombuffer(self.data, holder, count=count)


def read_blob(file: Path, offset: int) -> Blob:
    content = np.memmap(file, np.uint8, mode="r")
    sentinel, number, size, start = struct.unpack("<IIQQ", content[offset : offset + 24].tobytes())
    if sentinel != SENTINEL:
        raise AssertionError(f"{file}: no blob record at {offset}: found {sentinel:#x}")
    if start + size > len(content):
        raise AssertionError(f"{file}: the blob at {offset} ends at {start + size}, the file at {len(content)}")
    name, nbits, _, _ = BLOB_TYPES[number]
    return Blob(name, nbits, content[start : start + size].tobytes(), offset)


@dataclass
class BlobWriter:
    """Writes a blob file; `garbage` fills the reserved words as some writers in the wild do."""

    garbage: bool = False
    content: bytearray = field(default_factory=lambda: bytearray(64))
    count: int = 0

    def append(self, type_name: str, data: bytes) -> int:
        offset = len(self.content)
        record = struct.pack("<IIQQ", SENTINEL, BLOB_NUMBER[type_name], len(data), offset + 64)
        filler = b"\xa5\x5a\xc3\x3c" * 10 if self.garbage else bytes(40)
        self.content += record + filler + data
        self.content += bytes(-len(self.content) % 64)
        self.count += 1
        return offset

    def finish(self, *, trim: bool = False) -> bytes:
        struct.pack_into("<II", self.content, 0, self.count, 2)
        return bytes(self.content)
