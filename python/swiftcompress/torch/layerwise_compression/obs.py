"""What the algorithms for one layer have in common: the Hessian of the layer's outputs, its factor, and the result.

The Hessian is coremltools 9.0's (``coremltools/optimize/torch/layerwise_compression/algorithms.py``, BSD-3-Clause), the same bits; it
is factored once instead of three times, so what follows from it is the same within the order of sums in float32.
"""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import torch

from swiftcompress import _columns
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
        self.loss = self._relative_loss = 0.0
        # What `relative_loss` will be computed from.
        self._ratio_of: tuple[Any, Any] | None = None
        self.factors = _columns.Factors()
        self.products: Products | None = None
        self._notes: list[str] = []
        # What the elimination has for the loss, what was added to the diagonal of the Hessian for it, and the sum of the squares
        # of what it took off the weights, where it has that.
        self._found: tuple[float, float, float | None] | None = None

    @property
    def relative_loss(self) -> float:
        """`loss` over trace(W H W^T): noise over signal of the outputs, bias aside; 0 where the inputs are zeros.

        Computed when first asked for: until then the weight of before is kept. NaN if `cleanup` came first.
        """
        if self._ratio_of is not None:
            signal = _elimination.quadratic(*self._ratio_of)
            self._relative_loss, self._ratio_of = self.loss / signal if signal > 0 else 0.0, None
        return self._relative_loss

    @property
    def has_batches(self) -> bool:
        """Whether there were inputs."""
        return self._nsamples > 0

    def add_batch(self, inp: Any, out: Any) -> None:
        """Add a batch of inputs to the Hessian, 2 / n times the sum of x x^T; `out` is not needed."""
        if inp.numel() == 0:  # an expert that no token reached
            return
        if self._ratio_of is not None:  # of the Hessian that is about to change
            _ = self.relative_loss
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
        if self._ratio_of is not None:
            self._relative_loss, self._ratio_of = math.nan, None
        self.factors = _columns.Factors()

    def compress(self) -> None:
        """Change the layer's weight, and give the layer the buffers that ``coremltools.convert`` reads.

        Raises
        ------
        ValueError
            When that cannot be done, with the reason.
        """
        try:
            done = self._compressed()
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
        done = self._compressed()
        text = f"output error {100 * self.relative_loss:.3g} %"
        return replace(done, note="; ".join([text, *self._notes]))

    def _compressed(self) -> Compressed:
        """The same without the error of the outputs; `loss` is known."""
        with torch.no_grad():
            before = self._layer.weight.detach().cpu().flatten(1).float()
            if not is_finite(before):
                raise Declined("the weight has an element that is not finite")
            if self._hessian is None:
                raise Declined("no input reached the module")
            hessian = self._hessian.cpu()
            if not is_finite(hessian):
                raise Declined("the inputs of the module are not finite, or their squares are not")
            self._notes, self._found, self._ratio_of = [], None, None
            done = self._result(before.clone(memory_format=torch.contiguous_format), hessian)
            if done.value.dtype != torch.float32:
                self._found = None
            after = done.value.flatten(1).float()
            loss = self._undamped(before, after, hessian)
            self.loss = _elimination.quadratic(before - after, hessian) if loss is None else loss
            self._ratio_of = before, hessian
        return done

    @abstractmethod
    def _result(self, weight: Any, hessian: Any) -> Compressed:
        """Compress; the weight may be overwritten, the Hessian not."""

    def _undamped(self, before: Any, after: Any, hessian: Any) -> float | None:
        """The loss without what was added to the Hessian; None where that is most of it, as the rest would be rounding."""
        if self._found is None:
            return None
        total, added, squares = self._found
        # Columns that are always multiplied by 0 became 0 first, and count once more; see `remove_dead`.
        dead = torch.diag(hessian) == 0
        others = float(torch.linalg.vector_norm(after[:, dead])) ** 2
        if squares is None:
            gap = before - after
            gap[:, dead] = after[:, dead]
            squares = float(torch.linalg.vector_norm(gap)) ** 2
        apart = added * squares + others
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
        mean = float(torch.diag(hessian).mean())
        factor, dampening = self._factor(hessian, _columns.upper_factor if exactly else _elimination.root)
        size = self._config.processing_group_size
        squares = None
        try:
            if exactly:
                losses, _ = _columns.eliminate(weight, factor, size, grid_of, pruning)
            else:
                losses, squares = _elimination.eliminate(weight, factor, size, grid_of, pruning)
        except ValueError as error:
            raise Declined(str(error)) from error
        self._found = 2 * float(losses.sum()), dampening * mean, squares

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


def is_finite(matrix: Any) -> bool:
    """Whether all elements are finite: a NaN is the least and the greatest of all."""
    least, greatest = torch.aminmax(matrix)
    return math.isfinite(float(least)) and math.isfinite(float(greatest))


def remove_dead(weight: Any, hessian: Any) -> Any:
    """Columns whose inputs are always 0 become 0; the Hessian, or a copy of it with 1 on the diagonal there."""
    dead = torch.diag(hessian) == 0
    if bool(dead.any()):
        hessian = hessian.clone()
        hessian[dead, dead] = 1
        weight[:, dead] = 0
    return hessian
