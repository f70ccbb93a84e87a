"""How to palettize weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from swiftcompress._config_values import whole_number
from swiftcompress.arrays.lut_function import CheckedLUTFunction, LUTFunction, checked
from swiftcompress.coreml.config.base import (
    CompressionGranularity,
    OpCompressorConfig,
    check_integer,
    check_mode,
    granularity_from,
    is_integer,
    optional_int,
    threshold_option,
)


@dataclass
class OpPalettizerConfig(OpCompressorConfig):
    """How to palettize weights; the fields are those of ``coremltools.optimize.coreml.OpPalettizerConfig``.

    Parameters
    ----------
    mode
        "kmeans", "uniform", "unique" or "custom", in any case; kept in upper case, as coremltools does. See
        `swiftcompress.palettize`.
    nbits
        1, 2, 3, 4, 6 or 8. Required for "kmeans" and "uniform"; must not be given for "unique" (the fewest bits that
        hold the distinct values) and "custom" (the function decides).
    lut_function
        For "custom": called with each group of each weight; returns (lut, indices). See `swiftcompress.palettize`.
    granularity
        "per_tensor" or "per_grouped_channel", or a `CompressionGranularity`.
    group_size
        Channels that share a lookup table, 0 for all of them; a weight whose channels it does not divide is left alone.
    channel_axis
        The axis that groups are formed along; None: the output channels of the operation that uses the weight.
    cluster_dim
        Length of an entry of the lookup table, 1 or more.
    enable_per_channel_scale
        Divide each output channel by its greatest magnitude first, and keep that scale.
    num_kmeans_workers
        Accepted for coremltools' sake and not used: `num_threads` of `palettize_weights` says how many threads to use.
    weight_threshold
        A weight is compressed when it has more elements than this.

    Raises
    ------
    TypeError, ValueError
        When a value is not one of those above.

    Examples
    --------
    >>> from swiftcompress.coreml import OpPalettizerConfig
    >>> config = OpPalettizerConfig(mode="kmeans", nbits=4)
    >>> config.mode, config.granularity.name, config.weight_threshold
    ('KMEANS', 'PER_TENSOR', 2048)
    """

    mode: str = "kmeans"
    nbits: int | None = None
    lut_function: LUTFunction | None = None
    granularity: CompressionGranularity | str = CompressionGranularity.PER_TENSOR
    group_size: int = 32
    channel_axis: int | None = None
    cluster_dim: int = 1
    enable_per_channel_scale: bool = False
    num_kmeans_workers: int = 1
    weight_threshold: int | None = 2048

    _MODES: ClassVar[tuple[str, ...]] = ("KMEANS", "UNIFORM", "UNIQUE", "CUSTOM")
    _NBITS: ClassVar[tuple[int, ...]] = (1, 2, 3, 4, 6, 8)
    _GRANULARITIES: ClassVar[tuple[CompressionGranularity, ...]] = (
        CompressionGranularity.PER_TENSOR,
        CompressionGranularity.PER_GROUPED_CHANNEL,
    )
    _FROM_TEXT: ClassVar[Mapping[str, Callable[[Any], Any]]] = dict.fromkeys(
        ("nbits", "group_size", "channel_axis", "cluster_dim", "num_kmeans_workers", "weight_threshold"), whole_number
    )

    def __post_init__(self) -> None:
        mode = check_mode(self.mode)
        if mode not in self._MODES:
            raise ValueError(
                f'Only modes {self._MODES} are supported for weight palettization. Got "mode": "{self.mode}".'
            )
        self.mode = mode
        self._check_nbits()
        self._check_lut_function()
        self.granularity = granularity_from(self.granularity, self._GRANULARITIES)
        check_integer("group_size", self.group_size, 0)
        if self.channel_axis is not None and not is_integer(self.channel_axis):
            raise TypeError(f'"channel_axis" must be an integer or None. Got {self.channel_axis!r}.')
        check_integer("cluster_dim", self.cluster_dim, 1)
        if not isinstance(self.enable_per_channel_scale, bool):
            raise TypeError(f'"enable_per_channel_scale" must be a bool. Got {self.enable_per_channel_scale!r}.')
        check_integer("num_kmeans_workers", self.num_kmeans_workers, 1)
        check_integer("weight_threshold", self.weight_threshold, 0, optional=True)
        self._finish()

    def _check_nbits(self) -> None:
        decided_by_values = self.mode in ("UNIQUE", "CUSTOM")
        if self.nbits is None and not decided_by_values:
            raise ValueError(f'"nbits" must be provided for {self.mode} mode')
        if self.nbits is not None and decided_by_values:
            raise ValueError(f'"nbits" must NOT be provided for {self.mode} mode')
        if self.nbits is not None:
            check_integer("nbits", self.nbits, None)
            if self.nbits not in self._NBITS:
                raise ValueError(
                    f'Invalid value of "nbits" ({self.nbits}) for palettization. Supported "nbits" are {self._NBITS}'
                )

    def _check_lut_function(self) -> None:
        if self.lut_function is None and self.mode == "CUSTOM":
            raise ValueError('"lut_function" can not be None, if "mode" is "custom".')
        if self.lut_function is not None and self.mode != "CUSTOM":
            raise ValueError('"lut_function" must be None, if "mode" is not "custom".')
        if self.lut_function is not None and not callable(self.lut_function):
            found = type(self.lut_function)
            raise ValueError(
                f'A function object must be provided as "lut_function". Got a "lut_function" as type {found}'
            )

    @classmethod
    def _from_dict(cls, values: Mapping[str, Any]) -> Self:
        if "lut_function" in values:
            raise ValueError(
                '"lut_function" cannot be given in a dictionary. Create the OpPalettizerConfig from scratch.'
            )
        return super()._from_dict(values)

    def _to_options(self, functions: list[CheckedLUTFunction]) -> dict[str, Any]:
        options: dict[str, Any] = {
            "type": "palettizer",
            "mode": self.mode.lower(),
            "nbits": optional_int(self.nbits),
            "granularity": granularity_from(self.granularity, self._GRANULARITIES).name.lower(),
            "group_size": int(self.group_size),
            "channel_axis": optional_int(self.channel_axis),
            "cluster_dim": int(self.cluster_dim),
            "enable_per_channel_scale": self.enable_per_channel_scale,
            "weight_threshold": threshold_option(self.weight_threshold),
        }
        if self.lut_function is not None:
            options["lut_function"] = len(functions)
            functions.append(checked("palettize_weights", self.lut_function, int(self.cluster_dim)))
        return options
