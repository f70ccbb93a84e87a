"""How to quantize weights linearly."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from swiftcompress._config_values import whole_number
from swiftcompress.arrays.lut_function import CheckedLUTFunction
from swiftcompress.coreml.config.base import (
    CompressionGranularity,
    OpCompressorConfig,
    check_integer,
    check_mode,
    granularity_from,
    is_integer,
    threshold_option,
)

_DTYPES = ("int8", "uint8", "int4", "uint4")
# Types that models have; what is said of others is that there is no such type.
_MIL_TYPES = (
    *("bool", "fp16", "fp32", "fp64", "int4", "int8", "int16", "int32", "int64"),
    *("uint1", "uint2", "uint3", "uint4", "uint6", "uint8", "uint16", "uint32", "uint64"),
)


@dataclass
class OpLinearQuantizerConfig(OpCompressorConfig):
    """How to quantize weights linearly; the fields are those of ``coremltools.optimize.coreml.OpLinearQuantizerConfig``.

    Parameters
    ----------
    mode
        "linear_symmetric": from -R to R, the greatest magnitude, without a zero point for signed integers. "linear":
        from the least to the greatest value, 0 included, with a zero point. In any case; kept in upper case, as
        coremltools does.
    dtype
        "int8", "uint8", "int4" or "uint4", NumPy's type of that name, or coremltools' (``types.int4``); kept as text.
    granularity
        Which elements share a scale: "per_tensor", "per_channel" or "per_block", or a `CompressionGranularity`.
    block_size
        For "per_block". An integer: so many elements along the input channels, one output channel, and all of the
        other axes. A list or tuple: the size of a block along every axis. 0 is the whole axis. A weight with an axis
        that its block does not divide is left alone.
    weight_threshold
        A weight is compressed when it has more elements than this.

    Attributes
    ----------
    nbits
        Bits of one element: 8 or 4.
    signed
        Whether elements have a sign.

    Raises
    ------
    TypeError, ValueError
        When a value is not one of those above.

    Examples
    --------
    >>> from swiftcompress.coreml import OpLinearQuantizerConfig
    >>> config = OpLinearQuantizerConfig(dtype="int4", granularity="per_block", block_size=32)
    >>> config.mode, config.dtype, config.nbits, config.signed
    ('LINEAR_SYMMETRIC', 'int4', 4, True)
    """

    mode: str = "linear_symmetric"
    dtype: Any = "int8"
    granularity: CompressionGranularity | str = CompressionGranularity.PER_CHANNEL
    block_size: int | list[int] | tuple[int, ...] | None = 32
    weight_threshold: int | None = 2048

    _MODES: ClassVar[tuple[str, ...]] = ("LINEAR_SYMMETRIC", "LINEAR")
    _GRANULARITIES: ClassVar[tuple[CompressionGranularity, ...]] = (
        CompressionGranularity.PER_TENSOR,
        CompressionGranularity.PER_CHANNEL,
        CompressionGranularity.PER_BLOCK,
    )
    _FROM_TEXT: ClassVar[Mapping[str, Callable[[Any], Any]]] = {"weight_threshold": whole_number}

    def __post_init__(self) -> None:
        self.dtype = _dtype_name(self.dtype)
        self.granularity = granularity_from(self.granularity, self._GRANULARITIES)
        mode = check_mode(self.mode)
        if mode not in self._MODES:
            raise ValueError(
                f'Only mode {self._MODES} supported for weight affine quantization. Got mode: "{self.mode}".'
            )
        self.mode = mode
        self._check_block_size()
        check_integer("weight_threshold", self.weight_threshold, 0, optional=True)
        self._finish()

    def _check_block_size(self) -> None:
        size = self.block_size
        if size is None:
            return
        if isinstance(size, list | tuple):
            if not all(is_integer(entry) and entry >= 0 for entry in size):
                raise ValueError("All values in block_size must be non-negative values.")
        elif not is_integer(size):
            raise ValueError(f"The block_size should be int or list/tuple of int, but got {type(size)}.")
        elif size < 0:
            raise ValueError(f"The block_size must be non-negative values, but got {size}")

    @property
    def nbits(self) -> int:
        """Bits of one element: 8 or 4."""
        return 4 if self.dtype.endswith("4") else 8

    @property
    def signed(self) -> bool:
        """Whether elements have a sign."""
        return not self.dtype.startswith("u")

    def _to_options(self, functions: list[CheckedLUTFunction]) -> dict[str, Any]:
        options: dict[str, Any] = {
            "type": "linear_quantizer",
            "mode": self.mode.lower(),
            "dtype": self.dtype,
            "granularity": granularity_from(self.granularity, self._GRANULARITIES).name.lower(),
            "weight_threshold": threshold_option(self.weight_threshold),
        }
        if self.block_size is None:
            if options["granularity"] == "per_block":
                raise ValueError('"block_size" cannot be None for the granularity "per_block"')
        elif isinstance(self.block_size, list | tuple):
            options["block_size"] = [int(entry) for entry in self.block_size]
        else:
            options["block_size"] = int(self.block_size)
        return options


def _dtype_name(dtype: Any) -> str:
    if isinstance(dtype, str):
        if dtype not in _MIL_TYPES:
            raise ValueError(f"Invalid dtype {dtype}. Only support int8/uint8/int4/uint4.")
        name = dtype
    elif hasattr(dtype, "__type_info__"):  # one of coremltools'
        name = str(dtype.__type_info__().name)
    else:
        numpy_type = np.dtype(dtype)  # raises TypeError for what is no type at all
        name = numpy_type.name
        if name not in _DTYPES and numpy_type.kind not in "iu":
            raise ValueError(f"dtype={dtype} is unsupported for OpLinearQuantizerConfig.")
    if name not in _DTYPES:
        raise ValueError(f"Invalid dtype. Should be int4/8 or uint4/8, but got {name}")
    return name
