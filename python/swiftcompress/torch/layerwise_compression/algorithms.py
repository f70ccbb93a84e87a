"""GPTQ and SparseGPT of one layer.

Results are those of coremltools 9.0 (``coremltools/optimize/torch/layerwise_compression/algorithms.py``, BSD-3-Clause) within the
order of sums in float32, where it has one: Hessians are the same bits, the Hessian is factored once instead of three times.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from swiftcompress import _columns
from swiftcompress.arrays.palettization import palettize
from swiftcompress.torch._metadata import CompressionMetadata, CompressionType
from swiftcompress.torch._optimizer import Compressed
from swiftcompress.torch._selection import Declined
from swiftcompress.torch.layerwise_compression.obs import (
    LayerwiseCompressionAlgorithm,
    OBSCompressionAlgorithm,
    is_finite,
    remove_dead,
)

# As in coremltools' module of this name.
__all__ = ["GPTQ", "LayerwiseCompressionAlgorithm", "OBSCompressionAlgorithm", "SparseGPT"]


@LayerwiseCompressionAlgorithm.register("gptq")
class GPTQ(OBSCompressionAlgorithm):
    """Quantizes a layer column by column; the error of each column is taken out of those to come.

    Frantar et al., arXiv:2210.17323. With `enable_palettization`, which coremltools does not have, columns go to the entries
    of lookup tables.

    Parameters
    ----------
    layer
        A ``torch.nn.Linear`` or ``torch.nn.Conv2d`` without groups.
    config
        A `ModuleGPTQConfig`.

    Raises
    ------
    ValueError
        When the layer cannot be compressed in this way.
    """

    def __init__(self, layer: Any, config: Any) -> None:
        super().__init__(layer, config)
        size = config.block_size
        if size is not None and self._columns % size != 0:
            raise ValueError(
                "Block size must completely divide the axis along which blocking is done: "
                f"{self._columns} % {size} != 0"
            )

    def _result(self, weight: Any, hessian: Any) -> Compressed:
        config = self._config
        if config.weight_dtype == torch.float32:
            raise Declined("weight_dtype is float32")
        if config.enable_palettization:
            return self._palettized(weight, hessian)
        block = config.block_size
        if block is not None and isinstance(self._layer, torch.nn.Conv2d):
            block *= self._layer.weight.shape[2:].numel()
        parameters = self._parameters(weight, config.granularity, block)
        hessian = remove_dead(weight, hessian)
        order = self._order(hessian)
        if order is not None:
            # Only parameters that are known before can be stored by blocks of the original order.
            if block is not None:
                parameters.fix(order)
            weight, hessian = weight[:, order], hessian[order][:, order]
            parameters.weight = weight
        # A block's range makes one of its elements lie halfway between two codes: there rounding would decide.
        self._eliminate(weight, hessian, parameters.of, exactly=block is not None and order is None)
        if order is not None:
            weight = weight[:, torch.argsort(order)]
        done = self._quantized(weight, parameters, ())
        where = f"blocks of {config.block_size}" if block else config.granularity.value.replace("_", " ")
        return replace(done, scheme=f"{done.scheme}, {where}")

    def _order(self, hessian: Any) -> Any:
        if not self._config.use_activation_order_heuristic:
            return None
        return torch.argsort(torch.diag(hessian), descending=True)

    def _palettized(self, weight: Any, hessian: Any) -> Compressed:
        bits, group = self._config.weight_n_bits, self._config.palettization_group_size
        if group is not None and self._rows % group:
            raise Declined(f"its {self._rows} output channels are no multiple of palettization_group_size {group}")
        if not bool((torch.diag(hessian) > 0).any()):
            raise Declined("all inputs of the module are zeros")
        # A column that is always multiplied by 0 does not count, but a little, as its elements need entries as well.
        diagonal = torch.diag(hessian).double()
        importance = torch.maximum(diagonal, diagonal.max() * 1e-12).expand(self._rows, -1)
        try:
            found = palettize(
                weight.numpy(),
                bits,
                granularity="per_tensor" if group is None else "per_grouped_channel",
                group_size=group or 1,
                importance=np.ascontiguousarray(importance.numpy()),
            )
        except ValueError as error:
            raise Declined(str(error)) from error
        tables = torch.from_numpy(found.lut).to(self._layer.weight.dtype).float().reshape(len(found.lut), -1)
        hessian = remove_dead(weight, hessian)
        order = self._order(hessian)
        if order is not None:
            weight, hessian = weight[:, order], hessian[order][:, order]
        entries = tables.shape[1]

        def grid_of(start: int, stop: int) -> _columns.Grid:
            return _columns.Grid(
                _columns.TABLE,
                set_of_column=np.zeros(stop - start, np.int32),
                tables=tables.numpy()[None],
                entries=entries,
                rows_per_table=group or self._rows,
            )

        self._eliminate(weight, hessian, grid_of)
        if order is not None:
            weight = weight[:, torch.argsort(order)]
        lut = tables.to(self._layer.weight.dtype).reshape([-1] + [1] * (self._layer.weight.dim() - 1) + [entries, 1])
        metadata = CompressionMetadata("weight", lut=lut, compression_type=(CompressionType.palettization,))
        nbytes = -(-weight.numel() * bits // 8) + lut.numel() * lut.element_size()
        where = "per tensor" if group is None else f"groups of {group} channels"
        form = {"palettization_mode": f"num_clusters={entries}, cluster_dim=1"}
        return Compressed(self._shaped(weight), metadata, f"{bits}-bit table, {where}", bits, nbytes, form)


@LayerwiseCompressionAlgorithm.register("sparse_gpt")
class SparseGPT(OBSCompressionAlgorithm):
    """Zeroes the elements of a layer that matter least, column by column; the error is taken out of those to come.

    Frantar and Alistarh, arXiv:2301.00774. Of equal elements n:m pruning zeroes the first; coremltools leaves that to the C++
    library. With "float16" the result is computed in float32 and rounded once, where coremltools computes in float16.

    Parameters
    ----------
    layer
        A ``torch.nn.Linear`` or ``torch.nn.Conv2d`` without groups.
    config
        A `ModuleSparseGPTConfig`.

    Raises
    ------
    ValueError
        When the layer cannot be compressed in this way.
    """

    def _result(self, weight: Any, hessian: Any) -> Compressed:
        config = self._config
        parameters = None
        if config.weight_n_bits < 16:
            parameters = self._parameters(weight, config.quantization_granularity, None)
        hessian = remove_dead(weight, hessian)
        if config.n_m_ratio is None:
            pruning = _columns.Pruning(_columns.KEEP_BY_SHARE, share=config.target_sparsity)
            scheme = f"sparsity {config.target_sparsity:g}"
        else:
            n, m = config.n_m_ratio
            pruning = _columns.Pruning(_columns.KEEP_N_OF_M, n=n, m=m)
            scheme = f"{n} of {m} zero"
        free = _columns.Grid()
        self._eliminate(weight, hessian, parameters.of if parameters else lambda start, stop: free, pruning=pruning)
        if config.weight_dtype == torch.float16:
            weight, self._found = weight.half().float(), None
            if not is_finite(weight):
                raise Declined("an element is beyond the range of float16")
        nonzero = int(np.count_nonzero(weight.numpy()))
        mask = -(-weight.numel() // 8)
        if parameters is not None:
            done = self._quantized(weight, parameters, (CompressionType.pruning,), nonzero=nonzero)
            done = replace(done, nbytes=done.nbytes + mask, scheme=f"{scheme}, {done.scheme}")
        else:
            metadata = CompressionMetadata("weight", compression_type=(CompressionType.pruning,))
            bits = min(config.weight_n_bits, 8 * self._layer.weight.element_size())
            size = nonzero * self._layer.weight.element_size() + mask
            done = Compressed(self._shaped(weight), metadata, scheme, bits, size, {})
        return replace(done, form={**done.form, **_sparsities(weight)})


def _sparsities(weight: Any) -> dict[str, float]:
    """The shares of rows, of elements and of pairs of neighbours in two rows that are zeros; -1 where rows are odd."""
    zeros = weight.numpy() == 0
    return {
        "structured_weight_sparsity": _share(zeros.all(1)),
        "unstructured_weight_sparsity": _share(zeros),
        "block2_weight_sparsity": -1 if len(zeros) % 2 else _share(zeros[::2] & zeros[1::2]),
    }


def _share(found: Any) -> float:
    return float(np.count_nonzero(found) / found.size)
