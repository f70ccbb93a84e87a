"""How torch modules are quantized linearly."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar

import torch

from swiftcompress._checks import integer, message
from swiftcompress._config_values import whole_number
from swiftcompress.torch._fields import member, torch_dtype
from swiftcompress.torch.optimization_config import (
    ModuleOptimizationConfig,
    NarrowTypeConfig,
    OptimizationConfig,
    QuantizationGranularity,
)

# float32 leaves the weight alone.
_DTYPES = ("int8", "uint8", "int4", "uint4", "float32")


class QuantizationScheme(Enum):
    """Whether 0 is in the middle of the range, or anywhere."""

    symmetric = "symmetric"
    affine = "affine"


def _sizes(value: Any) -> Any:
    return tuple(map(whole_number, value)) if isinstance(value, list | tuple) else whole_number(value)


@dataclass
class ModulePostTrainingQuantizerConfig(NarrowTypeConfig):
    """How `PostTrainingQuantizer` quantizes one module; the fields are those of coremltools' class of this name.

    Parameters
    ----------
    weight_dtype
        "int8", "uint8", "int4" or "uint4", or torch.int8 or torch.uint8; kept as the latter, with `weight_n_bits`.
        "float32" or torch.float32 leaves the weight alone.
    granularity
        "per_tensor": one scale. "per_channel": one for each output channel. "per_block": see `block_size`.
    quantization_scheme
        "symmetric": from -a to a, where a is the greatest magnitude. "affine": from the least to the greatest element (and
        0), with a zero point.
    block_size
        For "per_block"; None otherwise. A number, or a tuple of one: that many neighbouring input channels of one output
        channel share a scale. A tuple: the size along the output channels, then along the input channels, then 0 or the whole
        axis. A weight that it does not divide is left alone.

    Attributes
    ----------
    weight_n_bits
        Bits of a code: 8 or 4; 32 with float32.

    Raises
    ------
    TypeError, ValueError
        When a value is not one of those above, or they contradict each other.

    Examples
    --------
    >>> from swiftcompress.torch.quantization import ModulePostTrainingQuantizerConfig
    >>> config = ModulePostTrainingQuantizerConfig(weight_dtype="int4", granularity="per_block", block_size=32)
    >>> config.weight_dtype, config.weight_n_bits, config.block_size
    (torch.int8, 4, (32,))
    """

    weight_dtype: Any = "int8"
    granularity: QuantizationGranularity | str = QuantizationGranularity.per_channel
    quantization_scheme: QuantizationScheme | str = QuantizationScheme.symmetric
    block_size: int | tuple[int, ...] | list[int] | None = None
    weight_n_bits: int = field(init=False, default=8)

    _FROM_TEXT: ClassVar[Mapping[str, Callable[[Any], Any]]] = {"block_size": _sizes}

    def __post_init__(self, _narrow: str | None) -> None:
        operation = type(self).__name__
        given = self._given_type(_narrow)
        dtype = torch_dtype(operation, "weight_dtype", given, _DTYPES)
        bits = 32 if dtype == torch.float32 else 4 if str(given).lower().endswith("int4") else 8
        self._keep_type(dtype, bits)
        self.granularity = member(operation, "granularity", self.granularity, QuantizationGranularity)
        self.quantization_scheme = member(
            operation, "quantization_scheme", self.quantization_scheme, QuantizationScheme
        )
        self._check_block_size(operation)
        self._finish()

    def _check_block_size(self, operation: str) -> None:
        size = self.block_size
        if self.granularity is not QuantizationGranularity.per_block:
            if size is not None:
                allowed = f"None with granularity {self.granularity.value!r}"  # type: ignore[union-attr]
                raise ValueError(message(operation, "block_size", size, allowed))
            return
        allowed = "a whole number of 0 or more, or a tuple of them, with granularity 'per_block'"
        sizes = size if isinstance(size, list | tuple) else (size,)
        if size is None or not sizes:
            raise ValueError(message(operation, "block_size", repr(size), allowed))
        self.block_size = tuple(integer(operation, "block_size", each, 0, allowed) for each in sizes)

    @property
    def is_signed(self) -> bool:
        """Whether codes have a sign."""
        return bool(self.weight_dtype != torch.uint8)


@dataclass
class PostTrainingQuantizerConfig(OptimizationConfig):
    """Which modules `PostTrainingQuantizer` quantizes, and how; see `OptimizationConfig`.

    All configurations have one `quantization_scheme`. Nothing at all means `ModulePostTrainingQuantizerConfig` as it is, for
    every module.

    Examples
    --------
    >>> from swiftcompress.torch.quantization import PostTrainingQuantizerConfig
    >>> config = PostTrainingQuantizerConfig.from_dict({"global_config": {"weight_dtype": "int4"}})
    >>> config.global_config.weight_n_bits
    4
    """

    _MODULE_CONFIGS: ClassVar[tuple[type[ModuleOptimizationConfig], ...]] = (ModulePostTrainingQuantizerConfig,)
    _HAS_DEFAULT: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        first = None
        for place, config in self._module_configs():
            first = first or (place, config.quantization_scheme)
            if config.quantization_scheme is not first[1]:
                found = f"{config.quantization_scheme.value!r} in {place}"
                allowed = f"{first[1].value!r} everywhere, as in {first[0]}"
                raise ValueError(message(type(self).__name__, "quantization_scheme", found, allowed))
