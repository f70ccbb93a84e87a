"""GPTQ and SparseGPT of one layer.

Results are those of coremltools 9.0 (``coremltools/optimize/torch/layerwise_compression/algorithms.py``, BSD-3-Clause) within the
order of sums in float32, where it has one: Hessians are the same bits, the Hessian is factored once instead of three times.
"""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch

from swiftcompress import _columns
from swiftcompress.arrays.palettization import palettize
from swiftcompress.torch._metadata import CompressionMetadata, CompressionType
from swiftcompress.torch._optimizer import Compressed
from swiftcompress.torch._selection import Declined
from swiftcompress.torch.layerwise_compression import _elimination
from swiftcompress.torch.layerwise_compression._normal_floats import NORMAL_FLOATS
from swiftcompress.torch.layerwise_compression._registry import Registry
from swiftcompress.torch.optimization_config import QuantizationGranularity
from swiftcompress.torch.quantization.config import QuantizationScheme

# What the dampening is multiplied by where a Hessian turns out not to be definite; the last one is from Frantar's GPTQ.
_DAMPENINGS = (1, 10, 100)


class LayerwiseCompressionAlgorithm(Registry):
    """An algorithm for one layer. `register` adds a class under the name that configurations have in `algorithm`."""

    REGISTRY: ClassVar[dict[Any, Any]] = {}

    @abstractmethod
    def add_batch(self, inp: Any, out: Any) -> None:
        """Take note of what the layer got and made of it."""

    @abstractmethod
    def compress(self) -> None:
        """Change the layer's weight."""

    @abstractmethod
    def cleanup(self) -> None:
        """Forget the batches."""


class Products:
    """The last product of inputs with themselves, for layers that get the same tensor: queries, keys and values of an attention."""

    def __init__(self) -> None:
        self._last: tuple[Any, int, float, Any] | None = None

    def find(self, inp: Any, factor: float, compute: Callable[[], Any]) -> Any:
        """What `compute` makes of the inputs times `factor`, or made of the same ones when last asked."""
        if inp.is_inference():
            # Nothing tells whether such a tensor has changed.
            return compute()
        if self._last is not None:
            known, version, used, product = self._last
            if used == factor and known._version == version and _is_same(known, inp):
                return product
        product = compute()
        self._last = inp, inp._version, factor, product
        return product


def _is_same(first: Any, second: Any) -> bool:
    """Whether two tensors are views of the same elements."""
    return bool(
        first.data_ptr() == second.data_ptr()
        and first.shape == second.shape
        and first.stride() == second.stride()
        and first.dtype == second.dtype
        and first.device == second.device
    )


class OBSCompressionAlgorithm(LayerwiseCompressionAlgorithm):
    """What GPTQ and SparseGPT have in common: the Hessian of the squared error of a layer's outputs.

    Frantar, Singh and Alistarh, "Optimal Brain Compression", 2022, arXiv:2208.11580.

    The Hessian is factored once: its own upper factor takes the place of that of its inverse, which coremltools finds by two
    factorizations and an inverse. The arithmetic is the same but for the order of sums in float32. So codes differ from
    coremltools' only where an element lies halfway between two but for rounding; weights without a grid, in their last digits.
    Blocks whose ranges are found on the way take coremltools' steps and have its bits: the greatest magnitude of such a block
    lies halfway between two codes.

    Parameters
    ----------
    layer
        A ``torch.nn.Linear`` or ``torch.nn.Conv2d`` without groups.
    config
        How it is compressed.

    Attributes
    ----------
    loss
        After `compress`: the sum of the squared errors of the outputs for the inputs, times 2 over their number,
        trace((W - Q) H (W - Q)^T).
    factors, products
        Where factors of Hessians and products of inputs are kept; algorithms of layers with the same inputs may share them.
        Without `products`, the default, none are kept.
    relative_loss
        The same over trace(W H W^T): noise over signal of the outputs, bias aside. 0 where the inputs are zeros.

    Raises
    ------
    ValueError
        When the layer cannot be compressed in this way.
    """

    def __init__(self, layer: Any, config: Any) -> None:
        if not isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            raise ValueError(f"modules of type {type(layer).__name__} are not compressed layer by layer")
        if isinstance(layer, torch.nn.Conv2d) and layer.groups != 1:
            raise ValueError(f"a convolution of {layer.groups} groups has a Hessian for each of them")
        self._layer, self._config = layer, config
        self._rows, self._columns = layer.weight.flatten(1).shape
        self._nsamples = 0
        self._hessian: Any = None
        self.loss = self.relative_loss = 0.0
        self.factors = _columns.Factors()
        self.products: Products | None = None
        self._notes: list[str] = []
        # What the elimination has for the loss, and what was added to the diagonal of the Hessian for it.
        self._found: tuple[float, float] | None = None

    @property
    def has_batches(self) -> bool:
        """Whether there were inputs."""
        return self._nsamples > 0

    def add_batch(self, inp: Any, out: Any) -> None:
        """Add a batch of inputs to the Hessian, 2 / n times the sum of x x^T; `out` is not needed."""
        if inp.numel() == 0:  # an expert that no token reached
            return
        if self._hessian is None:
            self._hessian = torch.zeros((self._columns, self._columns), dtype=torch.float32, device=inp.device)
        count = inp.shape[0] if inp.dim() > (3 if isinstance(self._layer, torch.nn.Conv2d) else 2) else 1
        self._hessian *= self._nsamples / (self._nsamples + count)
        self._nsamples += count
        factor = math.sqrt(2 / self._nsamples)

        def product() -> Any:
            rows = factor * self._inputs(inp).float()
            return rows.matmul(rows.t())

        products = self.products if isinstance(self._layer, torch.nn.Linear) else None
        self._hessian += product() if products is None else products.find(inp, factor, product)

    def _inputs(self, inp: Any) -> Any:
        """What the weight's columns are multiplied by, a row for each column."""
        if isinstance(self._layer, torch.nn.Linear):
            return inp.reshape((-1, inp.shape[-1])).t()
        layer, padding = self._layer, self._layer.padding
        inp = inp.unsqueeze(0) if inp.dim() == 3 else inp
        if isinstance(padding, str) or layer.padding_mode != "zeros":
            mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
            inp = torch.nn.functional.pad(inp, layer._reversed_padding_repeated_twice, mode=mode)
            padding = 0
        unfold = torch.nn.Unfold(layer.kernel_size, dilation=layer.dilation, padding=padding, stride=layer.stride)
        return unfold(inp).permute([1, 0, 2]).flatten(1)

    def cleanup(self) -> None:
        """Forget the batches, and what was computed from them."""
        self._nsamples, self._hessian = 0, None
        self.factors = _columns.Factors()

    def compress(self) -> None:
        """Change the layer's weight, and give the layer the buffers that ``coremltools.convert`` reads.

        Raises
        ------
        ValueError
            When that cannot be done, with the reason.
        """
        try:
            done = self.result()
        except Declined as reason:
            raise ValueError(str(reason)) from reason
        weight = self._layer.weight
        weight.data = done.value.to(weight.device)
        done.metadata.register(self._layer, device=weight.device)

    def result(self) -> Compressed:
        """What becomes of the weight, which stays as it is.

        Raises
        ------
        Declined
            When it is left alone, with the reason.
        """
        with torch.no_grad():
            weight = self._layer.weight.detach().cpu().flatten(1).to(torch.float32, copy=True)
            weight = weight.contiguous()
            if not _is_finite(weight):
                raise Declined("the weight has an element that is not finite")
            if self._hessian is None:
                raise Declined("no input reached the module")
            hessian = self._hessian.cpu()
            if not _is_finite(hessian):
                raise Declined("the inputs of the module are not finite, or their squares are not")
            before = weight.clone()
            self._notes, self._found = [], None
            done = self._result(weight, hessian.clone())
            if done.value.dtype != torch.float32:
                self._found = None
            self._measure(before, done.value.flatten(1).float(), hessian)
        text = f"output error {100 * self.relative_loss:.3g} %"
        return replace(done, note="; ".join([text, *self._notes]))

    @abstractmethod
    def _result(self, weight: Any, hessian: Any) -> Compressed:
        """Compress; both may be overwritten."""

    def _measure(self, before: Any, after: Any, hessian: Any) -> None:
        gap = before - after
        signal = _elimination.quadratic(before, hessian)
        loss = None if self._found is None else self._undamped(gap, after, hessian)
        self.loss = _elimination.quadratic(gap, hessian) if loss is None else loss
        self.relative_loss = self.loss / signal if signal > 0 else 0.0

    def _undamped(self, gap: Any, after: Any, hessian: Any) -> float | None:
        """The loss without what was added to the Hessian; None where that is most of it, as the rest would be rounding."""
        assert self._found is not None
        total, added = self._found
        # Columns that are always multiplied by 0 became 0 first, and count once more; see `_remove_dead`.
        dead = torch.diag(hessian) == 0
        gap[:, dead] = after[:, dead]
        apart = added * float(torch.linalg.vector_norm(gap)) ** 2 + float(torch.linalg.vector_norm(gap[:, dead])) ** 2
        return total - apart if total > 1.1 * apart else None

    def _factor(self, hessian: Any, compute: Callable[[Any, float], Any]) -> tuple[Any, float]:
        """A factor and its dampening; in double precision, and with more of it, where it takes that."""
        try:
            dampening = self._config.hessian_dampening
            found = self.factors.find(hessian, dampening, compute)
            return (self.factors.make(hessian, dampening, compute) if found is None else found), dampening
        except torch.linalg.LinAlgError:
            pass
        for times in _DAMPENINGS:
            dampening = times * max(self._config.hessian_dampening, 1e-4)
            try:
                factor = compute(hessian.double(), dampening).float()
            except torch.linalg.LinAlgError:
                continue
            self._notes.append(f"Hessian factored in double precision with a dampening of {dampening:g}")
            return factor, dampening
        raise Declined("the Hessian of the inputs is not positive definite; a larger hessian_dampening may help")

    def _parameters(self, weight: Any, granularity: Any, block: int | None) -> _columns.Parameters:
        bits = self._config.weight_n_bits
        return _columns.Parameters(
            weight,
            block=block,
            max_code=2**bits - 1,
            per_channel=granularity is not QuantizationGranularity.per_tensor,
            symmetric=self._config.quantization_scheme is QuantizationScheme.symmetric,
            table=NORMAL_FLOATS[bits] if self._config.enable_normal_float else None,
        )

    def _eliminate(
        self, weight: Any, hessian: Any, grid_of: Any, *, pruning: Any = None, exactly: bool = False
    ) -> None:
        """Compress the columns; `exactly`: by coremltools' steps, for its bits."""
        room = _columns if exactly else _elimination
        mean = float(torch.diag(hessian).mean())
        factor, dampening = self._factor(hessian, _columns.upper_factor if exactly else _elimination.root)
        size = self._config.processing_group_size
        try:
            losses, _ = room.eliminate(weight, factor, size, grid_of, pruning)
        except ValueError as error:
            raise Declined(str(error)) from error
        self._found = 2 * float(losses.sum()), dampening * mean

    def _quantized(
        self, weight: Any, parameters: Any, before: tuple[Any, ...], *, nonzero: int | None = None
    ) -> Compressed:
        """The result with the metadata of its scales and zero points; `nonzero` elements of it are stored."""
        config, bits = self._config, self._config.weight_n_bits
        scale = torch.cat([scale.t() for scale, _ in parameters.found], dim=1)
        zero = torch.cat([zero.t() for _, zero in parameters.found], dim=1)
        count = weight.numel() if nonzero is None else nonzero
        nbytes = -(-count * bits // 8) + scale.numel() * self._layer.weight.element_size()
        form: dict[str, Any] = {}
        if config.enable_normal_float:
            lut = torch.tensor(NORMAL_FLOATS[bits]).reshape([1] * self._layer.weight.dim() + [-1, 1])
            metadata = CompressionMetadata(
                "weight",
                lut=lut,
                palettization_scale=scale,
                compression_type=(*before, CompressionType.palettization),
            )
            form["palettization_mode"] = f"num_clusters={2**bits}, cluster_dim=1"
            scheme = f"nf{bits}"
            nbytes += lut.numel() * self._layer.weight.element_size()
        else:
            metadata = CompressionMetadata(
                "weight",
                quantization_n_bits=bits,
                quantization_scale=scale,
                zero_point=zero,
                compression_type=(*before, CompressionType.quantization),
            )
            form["dtype"] = f"dtype=int{bits}"
            scheme = f"uint{bits}, {config.quantization_scheme.value}"
            nbytes += -(-zero.numel() * bits // 8)
        return Compressed(self._shaped(weight), metadata, scheme, bits, nbytes, form)

    def _shaped(self, weight: Any) -> Any:
        return weight.reshape(self._layer.weight.shape).to(self._layer.weight.dtype)


def _is_finite(matrix: Any) -> bool:
    # A NaN is the least and the greatest of all.
    least, greatest = torch.aminmax(matrix)
    return math.isfinite(float(least)) and math.isfinite(float(greatest))


def _remove_dead(weight: Any, hessian: Any) -> None:
    """Columns whose inputs are always 0 become 0."""
    dead = torch.diag(hessian) == 0
    hessian[dead, dead] = 1
    weight[:, dead] = 0


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
        _remove_dead(weight, hessian)
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
        _remove_dead(weight, hessian)
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
        _remove_dead(weight, hessian)
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
            if not _is_finite(weight):
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
