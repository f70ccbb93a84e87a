"""GPTQ and SparseGPT of coremltools.optimize.torch, for layers on the CPU. Imported without torch; used only where it is there."""

import logging
import operator
import sys
import time
from typing import Any

import numpy as np

from swiftcompress.accelerate.patching import Call, require


def _torch() -> Any:
    return sys.modules["torch"]


def gptq(call: Call, self: Any) -> None:
    """Quantize the weight of a layer column by column."""
    from swiftcompress import _columns

    torch, module, start = _torch(), call.module, time.time()
    require(type(self) is module.GPTQ, "a subclass")
    quantizer = _quantizer(call, self)
    weight, hessian = _matrix(self), _hessian(self)
    block = None if self._block_size is None else operator.index(self._block_size)
    kernel = self._layer.weight.shape[2:]
    if block is not None and isinstance(self._layer, torch.nn.Conv2d):
        block *= kernel.numel()
    require(block is None or block >= 1, "block_size is below 1")

    grids = _Grids(call, self, quantizer, weight, block)
    dead = torch.diag(hessian) == 0
    hessian[dead, dead] = 1
    weight[:, dead] = 0
    order = None
    if self._use_activation_order_heuristic:
        order = torch.argsort(torch.diag(hessian), descending=True)
        hessian = hessian[order][:, order]
    if self._enable_static_blocking and block is not None:
        grids.fix(order)
    weight = weight if order is None else weight[:, order]
    grids.weight = weight
    factor = _columns.upper_factor(hessian, self._hessian_dampening)
    losses, _ = _columns.eliminate(weight, factor, _group(self), grids.of, threads=call.threads)
    if order is not None:
        weight = weight[:, torch.argsort(order)]

    grids.store()
    self._block_size = block
    _finish(call, self, weight, losses, start)


def sparse_gpt(call: Call, self: Any) -> None:
    """Prune the weight of a layer column by column, and quantize what is left if asked for."""
    from swiftcompress import _columns

    torch, module, start = _torch(), call.module, time.time()
    require(type(self) is module.SparseGPT, "a subclass")
    require(self._config.weight_dtype != torch.float16, "weight_dtype is float16")
    single = self._config.weight_dtype == torch.float32 or self._layer.weight.dtype == torch.float32
    require(single, "the weight is not of float32")
    grids = None
    weight, hessian = _matrix(self), _hessian(self)
    if self._quantizer is not None:
        grids = _Grids(call, self, _quantizer(call, self), weight, None)
    dead = torch.diag(hessian) == 0
    hessian[dead, dead] = 1
    weight[:, dead] = 0
    factor = _columns.upper_factor(hessian, self._hessian_dampening)
    n, m = operator.index(self._prune_n), operator.index(self._prune_m)
    if n == 0:
        pruning = _columns.Pruning(_columns.KEEP_BY_SHARE, share=float(self._target_sparsity))
    else:
        pruning = _columns.Pruning(_columns.KEEP_N_OF_M, n=n, m=m)
    free = _columns.Grid()
    losses, ties = _columns.eliminate(
        weight, factor, _group(self), grids.of if grids else lambda start, stop: free, pruning, call.threads
    )
    require(not ties, "n:m among equal elements: topk's choice is not known")

    if grids:
        grids.store()
    _finish(call, self, weight, losses, start)


def _quantizer(call: Call, self: Any) -> Any:
    quantizer = self._quantizer
    require(type(quantizer) is call.module._Quantizer, "no quantizer")
    require(not quantizer.ready(), "the quantizer has parameters already")
    require(not quantizer._mse and quantizer._group_rows == 1, "a quantizer with other options")
    return quantizer


def _matrix(self: Any) -> Any:
    """A copy of the weight as rows of float32."""
    torch = _torch()
    require(type(self._layer) in (torch.nn.Linear, torch.nn.Conv2d), "a layer of another kind")
    weight = self._layer.weight.data
    require(type(weight) is torch.Tensor and weight.device.type == "cpu", f"the weight is on {weight.device}")
    require(weight.layout == torch.strided and weight.is_floating_point(), f"the weight is of {weight.dtype}")
    matrix = weight.flatten(1).to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    require(matrix.numel() > 0 and bool(torch.isfinite(matrix.sum())), "the weight has an element that is not finite")
    return matrix


def _hessian(self: Any) -> Any:
    torch, hessian = _torch(), self._hessian
    require(type(hessian) is torch.Tensor and hessian.device.type == "cpu", "no Hessian on the CPU")
    require(hessian.dtype == torch.float32, f"the Hessian is of {hessian.dtype}")
    return hessian.clone()


def _group(self: Any) -> int:
    size = operator.index(self._processing_group_size)
    require(size >= 1, "processing_group_size is below 1")
    return size


def _finish(call: Call, self: Any, weight: Any, losses: Any, start: float) -> None:
    """Put the weight into the layer, and say what the original says."""
    logger = call.module._logger
    logger.info(f"time {time.time() - start:.2f}, weight quantization error {losses.sum():.2f}")
    parameter = self._layer.weight
    parameter.data = weight.reshape(parameter.shape).to(parameter.data.dtype)
    del self._hessian
    if logger.isEnabledFor(logging.DEBUG):
        error = ((self._layer(self._inp1) - self._out1) ** 2).sum()
        logger.debug(f"quantization error in output activations = {error:.2f}")


class _Grids:
    """The parameters of a weight's columns, as the original finds them: of the whole matrix, or of blocks of columns, once
    for all (`fix`) or when the columns are reached."""

    def __init__(self, call: Call, algorithm: Any, quantizer: Any, weight: Any, block: int | None) -> None:
        from swiftcompress import _columns

        torch = _torch()
        self.algorithm, self.quantizer, self.weight = algorithm, quantizer, weight
        self.block = block
        self.columns = _columns
        self.normal_float = bool(algorithm._enable_normal_float)
        self.max_code = int(quantizer.max_q)
        self.kind: dict[str, Any] = {"kind": _columns.LINEAR, "max_code": self.max_code}
        if self.normal_float:
            require(quantizer._enable_normal_float, "a quantizer with other options")
            palette = call.module._normal_float_palette
            bits = self.max_code.bit_length()
            require(bits in palette, f"no normal floats of {bits} bits")
            table = palette[bits].numpy()
            kind = _columns.TABLE_EXPANDED if len(weight) >= _columns.EXPANDED_FROM else _columns.TABLE
            self.kind = {"kind": kind, "entries": len(table), "rows_per_table": len(weight), "table": table}
        self.found: list[tuple[Any, Any]] = []
        """Scales and zero points in the order in which the original keeps them, each of shape (1, rows)."""
        self.set_of_column: Any = None
        self.current: tuple[Any, Any] = self.parameters(weight.unsqueeze(1))
        if block is None:
            self.found.append(self.current)
            self.set_of_column = np.zeros(weight.shape[1], np.int32)
        self.last = self.current
        self.torch = torch

    def parameters(self, blocks: Any) -> tuple[Any, Any]:
        quantizer = self.quantizer
        return self.columns.grid_parameters(
            blocks,
            max_code=self.max_code,
            per_channel=bool(quantizer._per_channel),
            symmetric=bool(quantizer._symmetric),
            normal_float=self.normal_float,
        )

    def of_blocks(self, start: int, stop: int) -> tuple[Any, Any]:
        """Those of the blocks that begin in these columns; the last one of the matrix may be smaller."""
        assert self.block is not None
        size, columns = self.block, self.weight.shape[1]
        whole = [first for first in range(start, stop, size) if first + size <= columns]
        parts = []
        if whole:
            last = whole[-1] + size
            parts.append(self.parameters(self.weight[:, start:last].unflatten(1, (len(whole), size))))
        rest = start + len(whole) * size
        if rest < stop:
            parts.append(self.parameters(self.weight[:, rest:].unsqueeze(1)))
        scales, zeros = zip(*parts, strict=True)
        return self.torch.cat(scales), self.torch.cat(zeros)

    def fix(self, order: Any) -> None:
        """Blocks of the weight as it is; `order` has the place of each column to come."""
        assert self.block is not None
        columns = self.weight.shape[1]
        self.current = self.of_blocks(0, columns)
        self.found = [(scale[None], zero[None]) for scale, zero in zip(*self.current, strict=True)]
        places = np.arange(columns) if order is None else order.numpy()
        self.set_of_column = (places // self.block).astype(np.int32)
        self.last = self.found[int(self.set_of_column[-1])]

    def of(self, start: int, stop: int) -> Any:
        """The grid of a group of columns."""
        if self.set_of_column is not None:
            return self.grid(self.current, self.set_of_column[start:stop])
        assert self.block is not None
        first = -(-start // self.block) * self.block
        if first < stop:
            scale, zero = self.of_blocks(first, stop)
            self.found += [(a[None], b[None]) for a, b in zip(scale, zero, strict=True)]
            before = self.last
            self.last = self.found[-1]
            if first > start:
                scale = self.torch.cat([before[0], scale])
                zero = self.torch.cat([before[1], zero])
            numbers = np.arange(start, stop) // self.block
            return self.grid((scale, zero), (numbers - numbers[0]).astype(np.int32))
        return self.grid(self.last, np.zeros(stop - start, np.int32))

    def grid(self, parameters: tuple[Any, Any], set_of_column: Any) -> Any:
        scale, zero = parameters
        kind = dict(self.kind)
        table = kind.pop("table", None)
        if table is not None:
            tables = np.broadcast_to(table, (len(scale), 1, len(table)))
            return self.columns.Grid(set_of_column=set_of_column, scale=scale, tables=tables, **kind)
        return self.columns.Grid(set_of_column=set_of_column, scale=scale, zero_point=zero, **kind)

    def store(self) -> None:
        """Leave the parameters where the original does."""
        shape = [-1] + [1] * (self.weight.dim() - 1)
        for scale, zero in self.found:
            self.quantizer.scale, self.quantizer.zero_point = scale.reshape(shape), zero.reshape(shape)
            self.algorithm._store_quantization_params(self.quantizer)
        self.quantizer.scale, self.quantizer.zero_point = (each.reshape(shape) for each in self.last)
