"""K-means of coremltools.optimize.torch, for tensors on the CPU. Imported without torch; used only where it is there."""

import operator
import os
import queue
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from swiftcompress import _native
from swiftcompress.accelerate.clustering import WORTH_A_HISTOGRAM, solve, solve_halves
from swiftcompress.accelerate.patching import Call, Declined, require
from swiftcompress.accelerate.values import floats
from swiftcompress.arrays.inputs import Array
from swiftcompress.arrays.palettization import MODES


def _array(tensor: Any, name: str) -> Array:
    """The memory of a tensor on the CPU."""
    torch = sys.modules["torch"]
    require(type(tensor) in (torch.Tensor, torch.nn.Parameter), f"{name} is no plain tensor")
    require(tensor.device.type == "cpu", f"{name} is on {tensor.device}")
    require(tensor.dtype in (torch.float16, torch.float32, torch.float64), f"{name} is of {tensor.dtype}")
    require(tensor.layout == torch.strided, f"{name} is not dense")
    return floats(tensor.detach().numpy(), name)


def _rounded(halves: Array, precision: int) -> Array:
    """`enable_fast_kmeans_mode`: float16 numbers rounded to some decimals, in float32."""
    scale = 10**precision
    rounded: Array = np.round(halves.astype(np.float32) * scale) / scale
    return rounded


def _is_fast(config: Any, array: Array) -> bool:
    """Whether coremltools merges equal values first, and rounds to float16 and some decimals for it."""
    half = np.finfo(np.float16)
    fits = array.dtype == np.float16 or bool(array.max() <= half.max and array.min() >= half.min)
    return bool(config.enable_fast_kmeans_mode) and fits


def cluster_weights_1d(call: Call, block_weight: Any, block_importance: Any, config: Any) -> tuple[Any, Any]:
    """Centroids (float64) and clusters (int64) of one block."""
    array = _array(block_weight, "block_weight").ravel()
    torch, k = sys.modules["torch"], 1 << operator.index(config.n_bits)
    if block_importance is not None:
        weights = _array(block_importance, "block_importance").ravel().astype(np.float64)
        centroids, labels = solve(array.astype(np.float64), weights, k, call.threads)
    elif _is_fast(config, array):
        halves = array.astype(np.float16)
        precision = operator.index(config.rounding_precision)
        if array.size >= WORTH_A_HISTOGRAM:
            centroids, labels = solve_halves(halves, lambda each: _rounded(each, precision), k, call.threads)
        else:
            values = _rounded(halves, precision).astype(np.float64)
            centroids, labels, _ = _native.kmeans_1d(values, None, k, call.threads)
    elif array.dtype == np.float16:
        centroids, labels = solve_halves(array, np.asarray, k, call.threads)
    else:
        centroids, labels = solve(array.astype(np.float64), None, k, call.threads)
    return torch.from_numpy(centroids), torch.from_numpy(labels.astype(np.int64))


def cluster_weights_worker(call: Call, rank: Any, work_q: Any, results_q: Any, progress_bar: Any = None) -> None:
    """Take weights from a queue until it is empty; what is not for us goes to the original, one by one."""
    while True:
        try:
            item = work_q.get_nowait()
        except queue.Empty:
            return
        name, parameter, weight, config = item
        try:
            result = _cluster_weight(call, weight, config)
        except (Declined, TypeError, ValueError, NotImplementedError):
            single: queue.Queue[Any] = queue.Queue()
            single.put(item)
            call.original(rank, single, results_q, progress_bar)
            if config.mask is not None and config.cluster_dim > 1:
                return  # so does the original, with what is left in the queue
            continue
        if progress_bar:
            progress_bar.update(1)
        results_q.put((name, parameter, *result))


def _cluster_weight(call: Call, weight: Any, config: Any) -> tuple[Any, Any, Any, Any]:
    """New weight, LUT, scales and zero points of a weight without a mask."""
    array = _array(weight, "weight")
    require(config.mask is None and config.cluster_dim == 1, "a mask or vectors")
    require(array.ndim == 2 and config.axis in (0, 1), "the axis is not one of two")
    require(array.shape[config.axis] % config.block_size == 0, "ragged blocks")
    whole = config.importance is None and config.lut_dtype is None and array.dtype == np.float32
    if whole and _is_fast(config, array):
        return _whole_weight(call, array, config)
    return _blocks(call, weight, config)


def _whole_weight(call: Call, array: Array, config: Any) -> tuple[Any, Any, Any, Any]:
    torch = sys.modules["torch"]
    rounded = _rounded(array.astype(np.float16), operator.index(config.rounding_precision))
    lut, indices, _, _, _ = _native.palettize(
        rounded,
        MODES.index("kmeans"),
        operator.index(config.n_bits),
        operator.index(config.block_size),
        config.axis,
        *(1, 0, 0),
        *(None, None, None),
        call.threads,
    )
    new_weight = _native.unpalettize(lut, indices, -1, None, None, None, call.threads)
    return torch.from_numpy(new_weight), torch.from_numpy(lut), None, None


def _blocks(call: Call, weight: Any, config: Any) -> tuple[Any, Any, Any, Any]:
    """Blocks side by side, each on one thread where there are several."""
    torch = sys.modules["torch"]
    starts = range(0, weight.shape[config.axis], config.block_size)
    parts = [call.owner._get_block_to_cluster(weight, config, start)[:2] for start in starts]
    with torch.no_grad():
        if len(parts) == 1:
            clustered = [_block(call, parts[0], config)]
        else:
            single = replace(call, threads=1)
            with ThreadPoolExecutor(call.threads or os.cpu_count() or 1) as pool:
                clustered = list(pool.map(lambda part: _block(single, part, config), parts))
        new_weight = torch.zeros_like(weight)
        luts, scales, zeros = [], [], []
        for start, (block, _), (found, labels) in zip(starts, parts, clustered, strict=True):
            centroids = found
            if config.lut_dtype is not None:
                centroids, scale, zero = call.owner._quantize_centroids(config.lut_dtype, centroids)
                scales.append(scale)
                if zero:
                    zeros.append(zero)
            dense = centroids[labels].to(weight.dtype)
            call.owner._update_clustered_block_weight(block, None, dense, new_weight, config, start)
            if len(centroids) < 1 << config.n_bits:
                padded = torch.zeros(1 << config.n_bits)
                padded[: len(centroids)] = centroids
                centroids = padded
            luts.append(centroids.to(weight.dtype))
        lut = torch.stack(luts).unsqueeze(1 - config.axis).unsqueeze(-1)
        scale = torch.stack(scales, dim=config.axis) if scales else None
        zero = torch.stack(zeros, dim=config.axis) if zeros else None
    return new_weight, lut, scale, zero


def _block(call: Call, part: tuple[Any, Any], config: Any) -> Any:
    weight, importance = part
    try:
        return cluster_weights_1d(call, weight, importance, config)
    except (Declined, TypeError, ValueError, NotImplementedError):
        return call.owner._cluster_weights_1d(weight, importance, config)


def prepare_worker_processes(call: Call, num_workers: Any) -> tuple[Any, Any, None]:
    """ParallelKMeans without processes: queues in this one, and no workers to wait for."""
    require(call.module.KMeans in call.owner.__mro__, "another class")
    return queue.Queue(), queue.Queue(), None


def run_worker_processes(call: Call, work_q: Any, results_q: Any, worker_processes: Any) -> None:
    """Do the work here; the engine has threads of its own."""
    require(worker_processes is None, "workers were made before")
    call.owner._cluster_weights_worker(0, work_q, results_q)


def join_worker_processes(call: Call, worker_processes: Any) -> None:
    """There are none."""
    require(worker_processes is None, "workers were made before")


def kmeans_pp(call: Call, self: Any, parameters: Any, sample_weight: Any = None) -> Any:
    """Cluster vectors or scalars: the best of `n_init` starts, of scalars the optimum.

    The starts come from torch's random numbers, as in coremltools, so that `torch.manual_seed` decides them.
    """
    torch = sys.modules["torch"]
    points = _array(parameters, "parameters")
    require(points.ndim == 2, "parameters are no rows")
    require(type(self) is call.module._EfficientKMeans, "a subclass")
    require(operator.index(self.n_init) >= 1, "no start is asked for")
    k = operator.index(self.n_clusters)
    weights = None
    if sample_weight is not None:
        weights = _array(sample_weight, "sample_weight").astype(np.float64).ravel()
        require(len(weights) == len(points) and bool((weights > 0).all()), "a weight is not positive")
    if points.shape[1] == 1:
        centers, labels = solve(points[:, 0].astype(np.float64), weights, k, call.threads)
        centers = centers[:, np.newaxis]
        each = np.square(points - centers[labels])
        inertia = float((each[:, 0] * (1.0 if weights is None else weights)).sum())
    else:
        seed = int(torch.randint(0, 2**62, [1]))
        centers, labels, inertia = _native.kmeans(
            points, weights, k, seed, int(self.n_init), int(self.max_iter), float(self.tol), call.threads
        )
        require(len(centers) == k, "fewer distinct points than clusters")
    self.inertia_ = torch.tensor(inertia, dtype=parameters.dtype)
    self.labels_ = torch.from_numpy(labels.astype(np.int64))
    self.cluster_centers_ = torch.from_numpy(centers).to(parameters.dtype)
    return self
