"""How torch modules are palettized."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from swiftcompress._checks import message
from swiftcompress._config_values import whole_number
from swiftcompress.arrays.packing import check_nbits
from swiftcompress.torch._fields import flag, member, optional_whole, torch_dtype, whole
from swiftcompress.torch.optimization_config import (
    ModuleOptimizationConfig,
    OptimizationConfig,
    PalettizationGranularity,
)

_NUMBERS: Mapping[str, Callable[[Any], Any]] = dict.fromkeys(
    ("n_bits", "group_size", "channel_axis", "cluster_dim", "rounding_precision"), whole_number
)
# 10 to this power and back are normal numbers of float32.
_DIGITS = 30


@dataclass
class ModuleSKMPalettizerConfig(ModuleOptimizationConfig):
    """How `SKMPalettizer` palettizes one module; the fields are those of coremltools' class of this name.

    Parameters
    ----------
    n_bits
        1, 2, 3, 4, 6 or 8, as Core ML has them: lookup tables have ``2**n_bits`` entries.
    lut_dtype
        torch.int8, torch.uint8 or their names: lookup tables are quantized to 8 bits. None: they stay as they are.
    granularity
        "per_tensor": one lookup table. "per_grouped_channel": one for every `group_size` channels.
    group_size
        Channels that share a lookup table, 1 or more; None with "per_tensor". A weight that it does not divide is left
        alone.
    channel_axis
        The axis of the channels of groups and vectors, 0 or 1.
    cluster_dim
        Length of an entry: that many neighbouring channels form a vector. None and 1: numbers. A weight that it does not
        divide is left alone.
    enable_per_channel_scale
        Divide every output channel by its greatest magnitude first. Not with vectors.

    Raises
    ------
    TypeError, ValueError
        When a value is not one of those above, or they contradict each other.
    """

    n_bits: int = 4
    lut_dtype: Any = None
    granularity: PalettizationGranularity | str = PalettizationGranularity.per_tensor
    group_size: int | None = None
    channel_axis: int = 0
    cluster_dim: int | None = None
    enable_per_channel_scale: bool = False

    _FROM_TEXT: ClassVar[Mapping[str, Callable[[Any], Any]]] = _NUMBERS

    def __post_init__(self) -> None:
        _check_palettizer(self)
        self._finish()


@dataclass
class ModulePostTrainingPalettizerConfig(ModuleOptimizationConfig):
    """How `PostTrainingPalettizer` palettizes one module; the fields are those of coremltools' class of this name.

    Parameters
    ----------
    n_bits
        1, 2, 3, 4, 6 or 8, as Core ML has them: lookup tables have ``2**n_bits`` entries. None is 4.
    lut_dtype
        torch.int8, torch.uint8 or their names: lookup tables are quantized to 8 bits. None: they stay as they are.
    granularity
        "per_tensor": one lookup table. "per_grouped_channel": one for every `group_size` channels.
    group_size
        Channels that share a lookup table, 1 or more; None with "per_tensor". A weight that it does not divide is left
        alone.
    channel_axis
        The axis of the channels of groups and vectors, 0 or 1.
    cluster_dim
        Length of an entry: that many neighbouring channels form a vector. None and 1: numbers. A weight that it does not
        divide is left alone.
    enable_per_channel_scale
        Divide every output channel by its greatest magnitude first. Not with vectors.
    enable_fast_kmeans_mode
        Cluster the numbers of each lookup table as they are after rounding to float16 and then to `rounding_precision`
        decimals, where they are in the range of float16. Not with vectors.
    rounding_precision
        Those decimals, -30 to 30. Weights below them become the same number: with weights of about 0.01 and less, more
        decimals are better, or `enable_fast_kmeans_mode` False.

    Raises
    ------
    TypeError, ValueError
        When a value is not one of those above, or they contradict each other.

    Examples
    --------
    >>> from swiftcompress.torch.palettization import ModulePostTrainingPalettizerConfig
    >>> ModulePostTrainingPalettizerConfig(n_bits=3, granularity="per_grouped_channel", group_size=16).cluster_dim
    """

    n_bits: int | None = 4
    lut_dtype: Any = None
    granularity: PalettizationGranularity | str = PalettizationGranularity.per_tensor
    group_size: int | None = None
    channel_axis: int = 0
    cluster_dim: int | None = None
    enable_per_channel_scale: bool | None = False
    enable_fast_kmeans_mode: bool | None = True
    rounding_precision: int | None = 4

    _FROM_TEXT: ClassVar[Mapping[str, Callable[[Any], Any]]] = _NUMBERS

    def __post_init__(self) -> None:
        if self.n_bits is None:
            self.n_bits = 4
        _check_palettizer(self)
        operation = type(self).__name__
        self.enable_fast_kmeans_mode = flag(operation, "enable_fast_kmeans_mode", self.enable_fast_kmeans_mode)
        if self.rounding_precision is None:
            self.rounding_precision = 4
        allowed = f"a whole number from -{_DIGITS} to {_DIGITS}"
        self.rounding_precision = whole(
            operation, "rounding_precision", self.rounding_precision, allowed, -_DIGITS, _DIGITS
        )
        self._finish()


def _check_palettizer(config: Any) -> None:
    """Check and normalise the fields that both have."""
    operation = type(config).__name__
    config.n_bits = check_nbits(operation, config.n_bits, "n_bits")
    if config.lut_dtype is not None:
        config.lut_dtype = torch_dtype(operation, "lut_dtype", config.lut_dtype, ("int8", "uint8"))
    config.granularity = member(operation, "granularity", config.granularity, PalettizationGranularity)
    config.group_size = optional_whole(operation, "group_size", config.group_size, 1, 2**62)
    if config.granularity is PalettizationGranularity.per_grouped_channel:
        if config.group_size is None:
            allowed = "a whole number of 1 or more with granularity 'per_grouped_channel'"
            raise ValueError(message(operation, "group_size", None, allowed))
    elif config.group_size is not None:
        allowed = "None with granularity 'per_tensor'"
        raise ValueError(message(operation, "group_size", config.group_size, allowed))
    config.channel_axis = whole(operation, "channel_axis", config.channel_axis, "0, 1", 0, 1)
    config.cluster_dim = optional_whole(operation, "cluster_dim", config.cluster_dim, 1, 2**62)
    config.enable_per_channel_scale = flag(operation, "enable_per_channel_scale", config.enable_per_channel_scale)
    if config.enable_per_channel_scale and (config.cluster_dim or 1) > 1:
        allowed = "False with cluster_dim above 1"
        raise ValueError(message(operation, "enable_per_channel_scale", True, allowed))


@dataclass
class PostTrainingPalettizerConfig(OptimizationConfig):
    """Which modules `PostTrainingPalettizer` palettizes, and how; see `OptimizationConfig`.

    Nothing at all means `ModulePostTrainingPalettizerConfig` as it is, for every module.

    Examples
    --------
    >>> from swiftcompress.torch.palettization import PostTrainingPalettizerConfig
    >>> config = PostTrainingPalettizerConfig.from_dict(
    ...     {
    ...         "global_config": {"n_bits": 4, "granularity": "per_grouped_channel", "group_size": 16},
    ...         "module_type_configs": {"Embedding": None},
    ...         "module_name_configs": {"head.*": {"n_bits": 8}},
    ...     }
    ... )
    >>> config.module_name_configs["head.*"].n_bits
    8
    """

    _MODULE_CONFIGS: ClassVar[tuple[type[ModuleOptimizationConfig], ...]] = (ModulePostTrainingPalettizerConfig,)
    _HAS_DEFAULT: ClassVar[bool] = True


@dataclass
class SKMPalettizerConfig(OptimizationConfig):
    """Which modules `SKMPalettizer` palettizes, and how; see `OptimizationConfig`.

    Nothing at all means `ModuleSKMPalettizerConfig` as it is, for every module.

    Parameters
    ----------
    calibration_nsamples
        Elements of the data loader that are used at most, 1 or more.
    """

    calibration_nsamples: int = 128

    _MODULE_CONFIGS: ClassVar[tuple[type[ModuleOptimizationConfig], ...]] = (ModuleSKMPalettizerConfig,)
    _HAS_DEFAULT: ClassVar[bool] = True
    _FROM_TEXT: ClassVar[Mapping[str, Callable[[Any], Any]]] = {"calibration_nsamples": whole_number}

    def __post_init__(self) -> None:
        self.calibration_nsamples = whole(
            "SKMPalettizerConfig",
            "calibration_nsamples",
            self.calibration_nsamples,
            "a whole number of 1 or more",
            1,
            2**62,
        )
        super().__post_init__()
