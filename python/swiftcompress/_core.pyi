"""Types of the extension module (Sources/CPythonModule)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION: str
ABI_VERSION: int

class ModelFormatError(ValueError): ...

def abi_version() -> int: ...
def palettize(
    weight: NDArray[Any],
    mode: int,
    nbits: int,
    group_size: int,
    channel_axis: int,
    cluster_dim: int,
    per_channel_scale: int,
    seed: int,
    importance: NDArray[Any] | None,
    mask: NDArray[np.uint8] | None,
    lut_function: Callable[[int, NDArray[Any]], tuple[NDArray[Any], NDArray[np.uint8]]] | None,
    num_threads: int,
    any_optimum: bool = False,
    starts: int = 1,
    /,
) -> tuple[NDArray[Any], NDArray[np.uint8], NDArray[Any] | None, int, int]: ...
def unpalettize(
    lut: NDArray[Any],
    indices: NDArray[np.uint8],
    vector_axis: int,
    scale: NDArray[Any] | None,
    mask: NDArray[np.uint8] | None,
    kept_values: NDArray[Any] | None,
    num_threads: int,
    /,
) -> NDArray[Any]: ...
def quantize(
    weight: NDArray[Any],
    mode: int,
    nbits: int,
    is_signed: bool,
    reference_arithmetic: bool,
    block_sizes: tuple[int, ...],
    num_threads: int,
    /,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]: ...
def round_to_codes(
    weight: NDArray[Any],
    mode: int,
    nbits: int,
    is_signed: bool,
    reference_arithmetic: bool,
    block_sizes: tuple[int, ...],
    num_threads: int,
    /,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None, tuple[float, float, float]]: ...
def dequantize(
    data: NDArray[Any], scale: NDArray[Any], zero_point: NDArray[Any] | None, num_threads: int, /
) -> NDArray[Any]: ...
def prune(
    weight: NDArray[Any],
    method: int,
    target_sparsity: float,
    threshold: float,
    minimum_sparsity: float,
    block_size: int,
    n: int,
    m: int,
    dim: int,
    num_threads: int,
    /,
) -> tuple[NDArray[np.uint8], NDArray[Any]]: ...
def scatter_nonzero(nonzero: NDArray[Any], mask: NDArray[np.uint8], num_threads: int, /) -> NDArray[Any]: ...
def eliminate_columns(
    weight: NDArray[np.float32],
    factor: NDArray[np.float32],
    grid: int,
    max_code: float,
    sets: int,
    set_of_column: NDArray[np.int32] | None,
    scale: NDArray[np.float32] | None,
    zero_point: NDArray[np.float32] | None,
    tables: NDArray[np.float32] | None,
    entries: int,
    rows_per_table: int,
    pruning: int,
    share: float,
    n: int,
    m: int,
    num_threads: int,
    /,
) -> tuple[NDArray[np.float32], NDArray[np.float64], int]: ...
def kmeans_1d(
    values: NDArray[np.float64], weights: NDArray[np.float64] | None, k: int, num_threads: int, /
) -> tuple[NDArray[np.float64], NDArray[np.int32], float]: ...
def kmeans(
    points: NDArray[Any],
    weights: NDArray[np.float64] | None,
    k: int,
    seed: int,
    n_init: int,
    max_iter: int,
    tol: float,
    num_threads: int,
    /,
) -> tuple[NDArray[Any], NDArray[np.int32], float]: ...
def pack_bits(codes: NDArray[Any], nbits: int, /) -> NDArray[np.uint8]: ...
def unpack_bits(packed: NDArray[np.uint8], nbits: int, count: int, is_signed: bool, /) -> NDArray[Any]: ...
def weight_statistics(weight: NDArray[Any], num_threads: int, /) -> tuple[int, int]: ...

class _Package: ...  # a capsule

def package_open(path: bytes, /) -> _Package: ...
def package_describe(package: _Package, part: int, /) -> bytes: ...
def package_tensor(package: _Package, number: int, /) -> NDArray[np.uint8]: ...
def package_decompress(package: _Package, name: bytes, function: bytes, /) -> tuple[bytes, NDArray[np.uint8]]: ...
def package_save(package: _Package, path: bytes, /) -> None: ...
def compress(
    source: bytes,
    target: bytes,
    options: bytes,
    progress: Callable[[int, int, str], object] | None,
    lut_function: Callable[[int, NDArray[Any]], tuple[NDArray[Any], NDArray[np.uint8]]] | None,
    /,
) -> bytes: ...
def report_html(report: bytes, /) -> bytes: ...
