"""Lookup tables: expanding codes, and finding the codes of values."""

import operator
from typing import Any

import numpy as np

from swiftcompress import _native
from swiftcompress.accelerate.patching import Call, require
from swiftcompress.accelerate.values import floats, plain, typed
from swiftcompress.arrays.inputs import Array

# Elements that are compared with a table at a time: what that takes stays in the cache.
CHUNK = 1 << 16
HALVES = 1 << 16


def lut_to_dense(call: Call, indices: Any, lut: Any, vector_axis: Any = None) -> Array:
    """Expand codes; coremltools repeats the table for every element."""
    codes, table = plain(indices, "indices"), plain(lut, "lut")
    require(codes.dtype.kind in "iu", f"indices are of {codes.dtype}")
    require(table.dtype.kind in "fiu" and table.dtype.itemsize <= 8, f"lut is of {table.dtype}")
    require(codes.ndim >= 1 and table.ndim == codes.ndim + 2, "the ranks do not fit")
    axis = -1
    if table.shape[-1] > 1:
        axis = operator.index(vector_axis)
        require(-codes.ndim <= axis < codes.ndim, "vector_axis is out of range")
        axis %= codes.ndim
    # The engine copies bits: integers pass as floats of their width.
    if table.dtype.itemsize == 1:
        wide = table.view(np.uint8).astype(np.uint16).view(np.float16)
        dense = _native.unpalettize(wide, codes.astype(np.uint8, copy=False), axis, None, None, None, call.threads)
        return dense.view(np.uint16).astype(np.uint8).view(table.dtype)
    same_width = table.view(f"f{table.dtype.itemsize}")
    dense = _native.unpalettize(same_width, codes.astype(np.uint8, copy=False), axis, None, None, None, call.threads)
    return dense.view(table.dtype)


def find_indices_for_lut(call: Call, data: Any, lut: Any, vector_axis: Any = None) -> Array:
    """Find the nearest entry for every element; of equally near ones the first, as argmin does.

    Distances are rounded to the type of the data, as in coremltools: entries whose distances round to the same number
    are equally near.
    """
    values, tables = floats(data, "data"), floats(lut, "lut")
    require(values.dtype == tables.dtype, "data and lut are of different types")
    require(values.ndim >= 1 and tables.ndim == values.ndim + 2, "the ranks do not fit")
    require(bool(np.isfinite(tables).all()) and bool(np.isfinite(values).all()), "there is a NaN or an infinity")
    entries = tables.shape[-2]
    require(entries in (2, 4, 8, 16, 64, 256), f"{entries} entries")
    if tables.shape[-1] > 1:
        axis = operator.index(vector_axis)
        require(-values.ndim <= axis < values.ndim, "vector_axis is out of range")
        axis %= values.ndim
        require(values.shape[axis] % tables.shape[-1] == 0, "vectors do not divide the axis")
        values = call.module.reshape_weight_for_vector_lut(values, tables.shape[-1], axis)
        shape, nearest = values.shape[:-1], _nearest_vectors
    else:
        shape, nearest = values.shape, _nearest
    groups = tables.shape[:-2]
    require(all(size % count == 0 for size, count in zip(shape, groups, strict=True)), "groups do not divide an axis")
    codes = np.empty(shape, np.uint8)
    for position in np.ndindex(*groups):
        part = tuple(
            slice(place * (size // count), (place + 1) * (size // count))
            for place, size, count in zip(position, shape, groups, strict=True)
        )
        codes[part] = nearest(values[part], tables[position]).reshape(codes[part].shape)
    types = call.module.types
    nbits = entries.bit_length() - 1
    return typed(codes, types.nptype_from_builtin(types.string_to_builtin(f"uint{nbits}")))


def _nearest(values: Array, table: Array) -> Array:
    entries = table[:, 0]
    if values.dtype == np.float16 and values.size > HALVES // 2:
        # There are few different numbers of 16 bits: find the answer for each of them once.
        bits = np.ascontiguousarray(values).view(np.uint16).ravel()
        present = np.flatnonzero(np.bincount(bits, minlength=HALVES)).astype(np.uint16)
        answers = np.zeros(HALVES, np.uint8)
        answers[present] = _nearest_of(present.view(np.float16), entries)
        return answers[bits]
    flat = np.ascontiguousarray(values).ravel()
    codes = np.empty(flat.size, np.uint8)
    for start in range(0, flat.size, CHUNK):
        codes[start : start + CHUNK] = _nearest_of(flat[start : start + CHUNK], entries)
    return codes


def _nearest_of(values: Array, entries: Array) -> Array:
    """Compare with two entries on either side. Where the outer ones are no farther, all entries are compared."""
    distinct, first = np.unique(entries, return_index=True)
    # float16 is searched as float32, which holds it exactly and is faster.
    wider = np.float32 if values.dtype == np.float16 else values.dtype
    above = np.searchsorted(distinct.astype(wider), values.astype(wider))
    with np.errstate(over="ignore"):
        far_below, below, here, far_above = (
            np.where(
                (place >= 0) & (place < len(distinct)),
                np.abs(values - distinct[np.clip(place, 0, len(distinct) - 1)]),
                np.asarray(np.inf, values.dtype),
            )
            for place in (above - 2, above - 1, above, above + 1)
        )
    least = np.minimum(below, here)
    code_below = first[np.clip(above - 1, 0, len(distinct) - 1)]
    code_here = first[np.clip(above, 0, len(distinct) - 1)]
    codes = np.where(below == here, np.minimum(code_below, code_here), np.where(below < here, code_below, code_here))
    unclear = np.flatnonzero((far_below <= least) | (far_above <= least))
    if unclear.size:
        for start in range(0, unclear.size, CHUNK // 16):
            some = unclear[start : start + CHUNK // 16]
            codes[some] = np.argmin(np.abs(values[some, np.newaxis] - entries), axis=-1)
    return codes.astype(np.uint8)


def _nearest_vectors(values: Array, table: Array) -> Array:
    vectors = np.ascontiguousarray(values).reshape(-1, values.shape[-1])
    codes = np.empty(len(vectors), np.uint8)
    rows = max(1, CHUNK * 4 // table.size)
    for start in range(0, len(vectors), rows):
        some = vectors[start : start + rows]
        codes[start : start + rows] = np.argmin(np.linalg.norm(some[:, np.newaxis] - table, axis=-1), axis=-1)
    return codes
