"""How layers are compressed one after the other.

Names and rules are those of ``coremltools/optimize/torch/layerwise_compression`` (coremltools 9.0, BSD-3-Clause).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import torch

from swiftcompress._checks import LARGEST, integer, message
from swiftcompress._config_values import whole_number
from swiftcompress.torch._fields import flag, member, optional_whole
from swiftcompress.torch.layerwise_compression._registry import Registry
from swiftcompress.torch.layerwise_compression.input_cacher import FirstLayerInputCacher
from swiftcompress.torch.optimization_config import (
    ModuleOptimizationConfig,
    NarrowTypeConfig,
    OptimizationConfig,
    QuantizationGranularity,
)
from swiftcompress.torch.quantization.config import QuantizationScheme

_QUANTIZED = {"uint8": 8, "uint4": 4, "uint3": 3}
_TABLES = {**_QUANTIZED, "uint6": 6, "uint2": 2, "uint1": 1}
_BITS = {**_TABLES, "float16": 16, "float32": 32}


class LayerwiseCompressionAlgorithmConfig(Registry, ModuleOptimizationConfig):
    """How one layer is compressed. `register` adds a class under the name that dictionaries have in "algorithm"."""

    REGISTRY: ClassVar[dict[Any, Any]] = {}

    @classmethod
    def _field_names(cls) -> tuple[str, ...]:
        # Classes that are registered may be made by attrs, too.
        attributes = getattr(cls, "__attrs_attrs__", None)
        if attributes is not None:
            return tuple(each.name for each in attributes if each.init)
        return super()._field_names()


def _weight_dtype(operation: str, value: Any, allowed: tuple[str, ...]) -> tuple[Any, int]:
    """The torch type, and bits of a code."""
    text = str(value).removeprefix("torch.").lower()
    if not isinstance(value, str | torch.dtype) or text not in allowed:
        raise ValueError(message(operation, "weight_dtype", repr(value), ", ".join(allowed)))
    bits = _BITS[text]
    return (torch.uint8 if bits <= 8 else getattr(torch, text)), bits


def _dampening(operation: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(message(operation, "hessian_dampening", repr(value), "a number of 0 or more"))
    if not 0 <= value < float("inf"):
        raise ValueError(message(operation, "hessian_dampening", value, "a number of 0 or more"))
    return float(value)


def _check_normal_float(operation: str, is_enabled: bool, bits: int) -> None:
    if is_enabled and bits not in (3, 4):
        raise ValueError(message(operation, "enable_normal_float", f"True with {bits} bits", "True with 3 or 4 bits"))


@LayerwiseCompressionAlgorithmConfig.register("gptq")
@dataclass
class ModuleGPTQConfig(NarrowTypeConfig, LayerwiseCompressionAlgorithmConfig):
    """How `GPTQ` compresses one layer.

    Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", 2022,
    arXiv:2210.17323.

    Parameters
    ----------
    weight_dtype
        "uint8", "uint4", "uint3" or torch.uint8; kept as the latter, with `weight_n_bits`. With `enable_palettization` also
        "uint6", "uint2" and "uint1". "float32" or torch.float32 leaves the weight alone.
    granularity
        "per_tensor": one scale. "per_channel": one for each output channel. "per_block": see `block_size`.
    quantization_scheme
        "symmetric": from -a to a, where a is the greatest magnitude. "affine": from the least to the greatest element.
    block_size
        That many neighbouring input channels share a scale; None: all do. A weight that it does not divide is left alone.
    enable_normal_float
        Steps as wide as those of a normal distribution, of 3 or 4 bits: a lookup table with a scale. Of a linear layer
        with `block_size` as well, coremltools 9.0 cannot convert the result.
    hessian_dampening
        This times the mean diagonal element of the Hessian is added to its diagonal.
    use_activation_order_heuristic
        The columns of the greatest Hessian diagonal go first.
    processing_group_size
        Columns whose errors are taken to the others together; never changes more than roundings.
    enable_palettization
        Ours alone: a lookup table of 2^`weight_n_bits` entries instead of a linear grid, by an exact k-means in which columns
        count by their Hessian diagonal. Columns then go to the nearest entries, the errors of that to those behind them.
    palettization_group_size
        For `enable_palettization`: output channels that share a table; None: all do.

    Attributes
    ----------
    weight_n_bits
        Bits of a code: those of `weight_dtype`; 32 with float32.

    Raises
    ------
    TypeError, ValueError
        When a value is not one of those above, or they contradict each other.
    """

    weight_dtype: Any = "uint8"
    granularity: QuantizationGranularity | str = QuantizationGranularity.per_channel
    quantization_scheme: QuantizationScheme | str = QuantizationScheme.symmetric
    block_size: int | None = None
    enable_normal_float: bool = False
    hessian_dampening: float = 0.01
    use_activation_order_heuristic: bool = False
    processing_group_size: int = 128
    algorithm: str = "gptq"
    enable_palettization: bool = False
    palettization_group_size: int | None = None
    weight_n_bits: int = field(init=False, default=8)

    _FROM_TEXT: ClassVar[Mapping[str, Callable[[Any], Any]]] = dict.fromkeys(
        ("block_size", "processing_group_size", "palettization_group_size"), whole_number
    )

    def __post_init__(self, _narrow: str | None) -> None:
        operation = type(self).__name__
        self.enable_palettization = flag(operation, "enable_palettization", self.enable_palettization)
        widths = _TABLES if self.enable_palettization else _QUANTIZED
        self._keep_type(*_weight_dtype(operation, self._given_type(_narrow), (*widths, "float32")))
        self.granularity = member(operation, "granularity", self.granularity, QuantizationGranularity)
        self.quantization_scheme = member(
            operation, "quantization_scheme", self.quantization_scheme, QuantizationScheme
        )
        self.block_size = optional_whole(operation, "block_size", self.block_size, 1, LARGEST)
        self.enable_normal_float = flag(operation, "enable_normal_float", self.enable_normal_float)
        self.hessian_dampening = _dampening(operation, self.hessian_dampening)
        self.use_activation_order_heuristic = flag(
            operation, "use_activation_order_heuristic", self.use_activation_order_heuristic
        )
        self.processing_group_size = integer(
            operation, "processing_group_size", self.processing_group_size, 1, "a whole number of 1 or more"
        )
        if self.algorithm != "gptq":
            raise ValueError(message(operation, "algorithm", repr(self.algorithm), "'gptq'"))
        _check_normal_float(operation, self.enable_normal_float, self.weight_n_bits)
        self._check_palettization(operation)
        self._finish()

    def _check_palettization(self, operation: str) -> None:
        size = optional_whole(operation, "palettization_group_size", self.palettization_group_size, 1, LARGEST)
        self.palettization_group_size = size
        if not self.enable_palettization:
            if size is not None:
                raise ValueError(
                    message(operation, "palettization_group_size", size, "None without enable_palettization")
                )
            return
        for name, value, allowed in (
            ("enable_normal_float", self.enable_normal_float, False),
            ("block_size", self.block_size, None),
        ):
            if value != allowed:
                raise ValueError(message(operation, name, value, f"{allowed} with enable_palettization"))


@LayerwiseCompressionAlgorithmConfig.register("sparse_gpt")
@dataclass
class ModuleSparseGPTConfig(NarrowTypeConfig, LayerwiseCompressionAlgorithmConfig):
    """How `SparseGPT` compresses one layer.

    Frantar and Alistarh, "SparseGPT: Massive Language Models Can be Accurately Pruned in One-Shot", 2023, arXiv:2301.00774.

    Parameters
    ----------
    target_sparsity
        The share of elements to become zero, 0 to 1, 1 excluded.
    n_m_ratio
        (n, m): of every m neighbouring input channels n become zero; then `target_sparsity` is ignored.
    weight_dtype
        "uint8", "uint4", "uint3" or torch.uint8: the elements that stay are quantized. "float16" or "float32": they are
        rounded to that type only.
    quantization_granularity, quantization_scheme, enable_normal_float, hessian_dampening, processing_group_size
        As in `ModuleGPTQConfig`; "per_block" is "per_channel" here, as in coremltools. The share is reached in every group
        of `processing_group_size` columns.

    Attributes
    ----------
    weight_n_bits
        Bits of a code: 8, 4 or 3; 16 and 32 without quantization.

    Raises
    ------
    TypeError, ValueError
        When a value is not one of those above, or they contradict each other.
    """

    target_sparsity: float = 0.5
    n_m_ratio: tuple[int, int] | list[int] | None = None
    weight_dtype: Any = "uint8"
    quantization_granularity: QuantizationGranularity | str = QuantizationGranularity.per_channel
    quantization_scheme: QuantizationScheme | str = QuantizationScheme.symmetric
    enable_normal_float: bool = False
    hessian_dampening: float = 0.01
    processing_group_size: int = 128
    algorithm: str = "sparse_gpt"
    weight_n_bits: int = field(init=False, default=8)

    _FROM_TEXT: ClassVar[Mapping[str, Callable[[Any], Any]]] = {"processing_group_size": whole_number}

    def __post_init__(self, _narrow: str | None) -> None:
        operation = type(self).__name__
        allowed = (*_QUANTIZED, "float16", "float32")
        self._keep_type(*_weight_dtype(operation, self._given_type(_narrow), allowed))
        share = self.target_sparsity
        if isinstance(share, bool) or not isinstance(share, int | float):
            raise TypeError(message(operation, "target_sparsity", repr(share), "a number from 0 to 1, 1 excluded"))
        if not 0 <= share < 1:
            raise ValueError(message(operation, "target_sparsity", share, "a number from 0 to 1, 1 excluded"))
        self.target_sparsity = float(share)
        self._check_ratio(operation)
        self.quantization_granularity = member(
            operation, "quantization_granularity", self.quantization_granularity, QuantizationGranularity
        )
        self.quantization_scheme = member(
            operation, "quantization_scheme", self.quantization_scheme, QuantizationScheme
        )
        self.enable_normal_float = flag(operation, "enable_normal_float", self.enable_normal_float)
        self.hessian_dampening = _dampening(operation, self.hessian_dampening)
        self.processing_group_size = integer(
            operation, "processing_group_size", self.processing_group_size, 1, "a whole number of 1 or more"
        )
        if self.algorithm != "sparse_gpt":
            raise ValueError(message(operation, "algorithm", repr(self.algorithm), "'sparse_gpt'"))
        if self.weight_n_bits < 16:
            _check_normal_float(operation, self.enable_normal_float, self.weight_n_bits)
        self._finish()

    def _check_ratio(self, operation: str) -> None:
        if self.n_m_ratio is None:
            return
        allowed = "None, or (n, m) with 0 < n <= m"
        if not isinstance(self.n_m_ratio, list | tuple) or len(self.n_m_ratio) != 2:
            raise TypeError(message(operation, "n_m_ratio", repr(self.n_m_ratio), allowed))
        n, m = (integer(operation, "n_m_ratio", whole_number(each), 1, allowed) for each in self.n_m_ratio)
        if n > m:
            raise ValueError(message(operation, "n_m_ratio", (n, m), allowed))
        self.n_m_ratio = (n, m)


@dataclass
class LayerwiseCompressorConfig(OptimizationConfig):
    """Which layers `LayerwiseCompressor` compresses, and how; see `OptimizationConfig` for the first three.

    In dictionaries each module's configuration has an "algorithm": "gptq", "sparse_gpt", or what was registered.

    Parameters
    ----------
    layers
        The layers to go through, in this order of the model: modules, names, or regular expressions that match whole names.
        None: the children of the model. What is outside of them is left alone.
    input_cacher
        "default", "gpt", a name that was registered, or a subclass of `FirstLayerInputCacher`; kept as the class.
    calibration_nsamples
        Batches of the data that are used at most, 1 or more.

    Examples
    --------
    >>> from swiftcompress.torch.layerwise_compression import LayerwiseCompressorConfig
    >>> config = LayerwiseCompressorConfig.from_dict({"global_config": {"algorithm": "gptq", "weight_dtype": "uint4"}})
    >>> config.global_config.weight_n_bits
    4
    """

    layers: Any = None
    input_cacher: Any = "default"
    calibration_nsamples: int = 128

    _MODULE_CONFIGS: ClassVar[tuple[type[ModuleOptimizationConfig], ...]] = (LayerwiseCompressionAlgorithmConfig,)
    _FROM_TEXT: ClassVar[Mapping[str, Callable[[Any], Any]]] = {"calibration_nsamples": whole_number}

    def __post_init__(self) -> None:
        operation = type(self).__name__
        if self.layers is not None:
            allowed = "None, or a list of modules, names and regular expressions"
            if not isinstance(self.layers, list | tuple | torch.nn.ModuleList) or not all(
                isinstance(each, torch.nn.Module | str) for each in self.layers
            ):
                raise TypeError(message(operation, "layers", repr(self.layers), allowed))
        if not (isinstance(self.input_cacher, type) and issubclass(self.input_cacher, FirstLayerInputCacher)):
            self.input_cacher = FirstLayerInputCacher.get_class(self.input_cacher)
        self.calibration_nsamples = integer(
            operation, "calibration_nsamples", self.calibration_nsamples, 1, "a whole number of 1 or more"
        )
        super().__post_init__()

    @classmethod
    def _module_config(cls, name: str, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return cls._checked(name, values)
        if "algorithm" not in values:
            raise ValueError(message(cls.__name__, name, "no 'algorithm'", LayerwiseCompressionAlgorithmConfig.names()))
        kind = LayerwiseCompressionAlgorithmConfig.get_class(values["algorithm"])
        try:
            return kind.from_dict(values)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}: {error}") from error

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any]) -> Self:
        """Make a configuration of nested dictionaries; see the base class.

        Raises
        ------
        TypeError, ValueError
            When a key or a value is not one that it can have.
        NotImplementedError
            When "algorithm" or "input_cacher" is a name that nothing was registered under.
        """
        return super().from_dict(config_dict)

    def get_layers(self, model: Any) -> Iterator[tuple[str, Any]]:
        """The names and modules of `layers` in a model, in the order of the model; each once."""
        if self.layers is None:
            yield from model.named_children()
            return
        for name, module in model.named_modules():
            if any(re.fullmatch(each, name) if isinstance(each, str) else each is module for each in self.layers):
                yield name, module
