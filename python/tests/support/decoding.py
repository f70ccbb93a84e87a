"""What every `constexpr_*` operation stands for, in plain NumPy: definitions, not fast paths."""

from __future__ import annotations

import numpy as np

from .blobs import unpack


def decode(kind: str, inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """The outputs: one, or mask and data of an operation with a sparse result."""
    if kind == "constexpr_lut_to_dense":
        if "shape" in inputs:
            return (decode_ios16(inputs["lut"], inputs["indices"], inputs["shape"]),)
        return (decode_ios18(inputs["lut"], inputs["indices"], scalar(inputs.get("vector_axis"))),)
    if kind == "constexpr_affine_dequantize":
        data = inputs["quantized_data"]
        shape = [1] * data.ndim
        if data.ndim:
            shape[int(inputs["axis"])] = -1
        scale, zero_point = inputs["scale"].reshape(shape), inputs["zero_point"].reshape(shape)
        return (shift_scale(data, scale, zero_point),)
    if kind == "constexpr_blockwise_shift_scale":
        return (shift_scale(inputs["data"], inputs["scale"], inputs.get("offset")),)
    if kind == "constexpr_sparse_to_dense":
        mask = inputs["mask"]
        if "shape" in inputs:
            shape = [int(n) for n in inputs["shape"]]
            mask = unpack(mask.tobytes(), 1, int(np.prod(shape)), False).reshape(shape)
        return (scatter(inputs["nonzero_data"], mask),)
    if kind == "constexpr_lut_to_sparse":
        mask, axis = inputs["indices_mask"], scalar(inputs.get("vector_axis"))
        dense = decode_ios18(inputs["lut"], scatter(inputs["indices_nonzero_data"], mask), axis)
        vector = inputs["lut"].shape[-1]
        wide = mask if vector == 1 else np.repeat(mask, vector, axis=axis)
        return wide, dense[wide != 0]
    if kind == "constexpr_sparse_blockwise_shift_scale":
        mask = inputs["data_mask"]
        dense = shift_scale(scatter(inputs["nonzero_data"], mask), inputs["scale"], inputs.get("offset"))
        return mask, dense[mask != 0]
    raise NotImplementedError(kind)


def scalar(value: np.ndarray | None) -> int | None:
    return None if value is None else int(value)


def scatter(nonzero: np.ndarray, mask: np.ndarray) -> np.ndarray:
    dense = np.zeros(mask.shape, nonzero.dtype)
    dense[mask != 0] = nonzero
    return dense


def shift_scale(data: np.ndarray, scale: np.ndarray, offset: np.ndarray | None) -> np.ndarray:
    """(data - offset) * scale, a scale and an offset for each block; rounded once, to the scale's type."""
    difference = data.astype(np.float64)
    for axis, (whole, blocks) in enumerate(zip(data.shape, scale.shape, strict=True)):
        scale = np.repeat(scale, whole // blocks, axis=axis)
        offset = None if offset is None else np.repeat(offset, whole // blocks, axis=axis)
    if offset is not None:
        difference -= offset.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        return (difference * scale.astype(np.float64)).astype(scale.dtype)


def decode_ios16(lut: np.ndarray, packed: np.ndarray, shape: np.ndarray) -> np.ndarray:
    nbits = int(lut.shape[0]).bit_length() - 1
    count = int(np.prod(shape, dtype=np.int64))
    return lut[unpack(packed.tobytes(), nbits, count, False)].reshape(tuple(int(s) for s in shape))


def decode_ios18(lut: np.ndarray, indices: np.ndarray, vector_axis: int | None = None) -> np.ndarray:
    """LUT [groups…, entries, cluster_dim]; every element looks up the table of its group. Element by element loops are
    avoided, group by group ones are not: this is a definition, not a fast path."""
    cluster_dim = lut.shape[-1]
    groups = lut.shape[:-2]
    axis = 0 if vector_axis is None else vector_axis % indices.ndim
    shape = list(indices.shape)
    if cluster_dim > 1:
        shape[axis] *= cluster_dim
    out = np.empty(shape, lut.dtype)
    for position in np.ndindex(*groups):
        source = tuple(
            slice(p * (n // g), (p + 1) * (n // g)) for p, g, n in zip(position, groups, indices.shape, strict=True)
        )
        values = lut[position][indices[source]]  # […, cluster_dim]
        target = list(source)
        if cluster_dim > 1:
            part = source[axis]
            target[axis] = slice(part.start * cluster_dim, part.stop * cluster_dim)
            values = np.moveaxis(values, -1, axis + 1)
            merged = list(values.shape)
            merged[axis : axis + 2] = [merged[axis] * cluster_dim]
            values = values.reshape(merged)
        else:
            values = values[..., 0]
        out[tuple(target)] = values
    return out
