"""GPTQ and SparseGPT of coremltools.optimize.torch, for layers on the CPU. Imported without torch; used only where it is there."""

import logging
import operator
import sys
import time
import weakref
from typing import Any

from swiftcompress.accelerate.patching import Call, require

# Factors by the algorithm that they were computed for, as long as it lives: LayerwiseCompressor keeps those of one layer.
_kept: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


def _torch() -> Any:
    return sys.modules["torch"]


def _factor(self: Any, hessian: Any) -> Any:
    """The factor of the Hessian, or that of another algorithm with the same inputs."""
    from swiftcompress import _columns

    dampening = self._hessian_dampening
    for factors in list(_kept.values()):
        found = factors.find(hessian, dampening)
        if found is not None:
            return found
    _kept.clear()
    factors = _columns.Factors()
    found = factors.make(hessian, dampening)
    _kept[self] = factors
    return found


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

    grids = _parameters(call, self, quantizer, weight, block)
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
    factor = _factor(self, hessian)
    losses, _ = _columns.eliminate(weight, factor, _group(self), grids.of, threads=call.threads)
    if order is not None:
        weight = weight[:, torch.argsort(order)]

    _store(self, grids)
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
        grids = _parameters(call, self, _quantizer(call, self), weight, None)
    dead = torch.diag(hessian) == 0
    hessian[dead, dead] = 1
    weight[:, dead] = 0
    factor = _factor(self, hessian)
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
        _store(self, grids)
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


def _parameters(call: Call, self: Any, quantizer: Any, weight: Any, block: int | None) -> Any:
    """The grids of a weight's columns."""
    from swiftcompress import _columns

    require(bool(quantizer._enable_normal_float) == bool(self._enable_normal_float), "a quantizer with other options")
    max_code, table = int(quantizer.max_q), None
    if self._enable_normal_float:
        palette = call.module._normal_float_palette
        bits = max_code.bit_length()
        require(bits in palette, f"no normal floats of {bits} bits")
        table = palette[bits].numpy()
    return _columns.Parameters(
        weight,
        block=block,
        max_code=max_code,
        per_channel=bool(quantizer._per_channel),
        symmetric=bool(quantizer._symmetric),
        table=table,
    )


def _store(self: Any, parameters: Any) -> None:
    """Leave the parameters where the original does."""
    quantizer = self._quantizer
    for scale, zero in parameters.found:
        quantizer.scale, quantizer.zero_point = scale.reshape(-1, 1), zero.reshape(-1, 1)
        self._store_quantization_params(quantizer)
    quantizer.scale, quantizer.zero_point = (each.reshape(-1, 1) for each in parameters.last)
