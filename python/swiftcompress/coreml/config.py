"""What to compress, and how: coremltools' configuration classes, with its names, defaults and rules."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import IO, Any, ClassVar

from swiftcompress.arrays.lut_function import CheckedLUTFunction, LUTFunction, checked


class CompressionGranularity(Enum):
    """Which elements share one lookup table or scale."""

    PER_TENSOR = 1
    PER_GROUPED_CHANNEL = 2
    PER_CHANNEL = 3
    PER_BLOCK = 4


class OpCompressorConfig:
    """What all configurations of one weight have in common."""

    @classmethod
    def _from_dict(cls, values: Mapping[str, Any]) -> "OpCompressorConfig":
        raise NotImplementedError

    def _to_options(self, functions: list[CheckedLUTFunction]) -> dict[str, Any]:
        """Make the engine's JSON; functions are put into `functions` and referred to by their number."""
        raise NotImplementedError


def _integer(name: str, value: Any, low: int, *, optional: bool = False) -> None:
    if optional and value is None:
        return
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f'"{name}" must be an integer. Got {value!r}.')
    if value.__index__() < low:
        kind = "non-negative" if low == 0 else "positive"
        raise ValueError(f'"{name}" must be a {kind} integer. Got {value}.')


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
        Channels that share a lookup table, 1 or more; a weight whose channels it does not divide is left alone.
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
    _GRANULARITIES: ClassVar[dict[str, CompressionGranularity]] = {
        "per_tensor": CompressionGranularity.PER_TENSOR,
        "per_grouped_channel": CompressionGranularity.PER_GROUPED_CHANNEL,
    }

    def __post_init__(self) -> None:
        if not isinstance(self.mode, str):
            raise TypeError(f'"mode" must be a str. Got {self.mode!r}.')
        if self.mode.upper() not in self._MODES:
            raise ValueError(
                f'Only modes {self._MODES} are supported for weight palettization. Got "mode": "{self.mode}".'
            )
        self.mode = self.mode.upper()
        self._check_nbits()
        self._check_lut_function()
        self.granularity = self._granularity(self.granularity)
        _integer("group_size", self.group_size, 1)
        if self.channel_axis is not None and (
            isinstance(self.channel_axis, bool) or not hasattr(self.channel_axis, "__index__")
        ):
            raise TypeError(f'"channel_axis" must be an integer or None. Got {self.channel_axis!r}.')
        _integer("cluster_dim", self.cluster_dim, 1)
        if not isinstance(self.enable_per_channel_scale, bool):
            raise TypeError(f'"enable_per_channel_scale" must be a bool. Got {self.enable_per_channel_scale!r}.')
        _integer("num_kmeans_workers", self.num_kmeans_workers, 1)
        _integer("weight_threshold", self.weight_threshold, 0, optional=True)

    def _check_nbits(self) -> None:
        decided_by_values = self.mode in ("UNIQUE", "CUSTOM")
        if self.nbits is None and not decided_by_values:
            raise ValueError(f'"nbits" must be provided for {self.mode} mode')
        if self.nbits is not None and decided_by_values:
            raise ValueError(f'"nbits" must NOT be provided for {self.mode} mode')
        if self.nbits is not None:
            if isinstance(self.nbits, bool) or not hasattr(self.nbits, "__index__"):
                raise TypeError(f'"nbits" must be an integer. Got {self.nbits!r}.')
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
    def _granularity(cls, value: Any) -> CompressionGranularity:
        if isinstance(value, CompressionGranularity) and value in cls._GRANULARITIES.values():
            return value
        if isinstance(value, str) and value in cls._GRANULARITIES:
            return cls._GRANULARITIES[value]
        raise ValueError(f'"granularity" must be one of {tuple(cls._GRANULARITIES)}, but got {value!r}')

    @classmethod
    def _from_dict(cls, values: Mapping[str, Any]) -> "OpPalettizerConfig":
        if "lut_function" in values:
            raise ValueError(
                '"lut_function" cannot be given in a dictionary. Create the OpPalettizerConfig from scratch.'
            )
        known = [entry.name for entry in fields(cls)]
        for key in values:
            if key not in known:
                raise ValueError(f'Invalid key "{key}" for OpPalettizerConfig. Supported keys are {tuple(known)}.')
        return cls(**values)

    def _to_options(self, functions: list[CheckedLUTFunction]) -> dict[str, Any]:
        if self.weight_threshold is None:
            raise ValueError('"weight_threshold" cannot be None')
        options: dict[str, Any] = {
            "type": "palettizer",
            "mode": self.mode.lower(),
            "nbits": None if self.nbits is None else int(self.nbits),
            "granularity": self._granularity(self.granularity).name.lower(),
            "group_size": int(self.group_size),
            "channel_axis": None if self.channel_axis is None else int(self.channel_axis),
            "cluster_dim": int(self.cluster_dim),
            "enable_per_channel_scale": self.enable_per_channel_scale,
            "weight_threshold": int(self.weight_threshold),
        }
        if self.lut_function is not None:
            options["lut_function"] = len(functions)
            functions.append(checked("palettize_weights", self.lut_function, int(self.cluster_dim)))
        return options


# The classes that dictionaries and YAML files name.
_CONFIG_TYPES: dict[str, Callable[[Mapping[str, Any]], OpCompressorConfig]] = {
    "OpPalettizerConfig": OpPalettizerConfig._from_dict,
}


def _check_op_config(config: Any) -> None:
    if config is not None and not isinstance(config, OpCompressorConfig):
        raise ValueError(f"config must be type of OpCompressorConfig. Got {type(config)}.")


@dataclass
class OptimizationConfig:
    """Configurations for all weights, for those of some types of operations, and for some by name.

    A weight's configuration is looked up under its own name and that of the operation that uses it in
    `op_name_configs`, then under that operation's type in `op_type_configs`; `global_config` is for the rest. None
    leaves a weight alone.

    Parameters
    ----------
    global_config
        For every weight that the others do not name.
    op_type_configs
        By type of operation, such as "conv" or "linear".
    op_name_configs
        By name of a constant or of an operation.

    Raises
    ------
    ValueError
        When a value is neither a configuration nor None, as coremltools has it.

    Examples
    --------
    >>> from swiftcompress.coreml import OpPalettizerConfig, OptimizationConfig
    >>> config = OptimizationConfig(global_config=OpPalettizerConfig(nbits=6))
    >>> config.set_op_type("linear", OpPalettizerConfig(nbits=4))
    >>> config.set_op_name("head", None)
    >>> sorted(config.op_type_configs)
    ['linear']
    """

    global_config: OpCompressorConfig | None = None
    op_type_configs: dict[str, OpCompressorConfig | None] = field(default_factory=dict)
    op_name_configs: dict[str, OpCompressorConfig | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_op_config(self.global_config)
        self.op_type_configs = self._table("op_type_configs", self.op_type_configs)
        self.op_name_configs = self._table("op_name_configs", self.op_name_configs)

    @staticmethod
    def _table(name: str, value: Any) -> dict[str, OpCompressorConfig | None]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise TypeError(f"{name} must be type of dict. Got {type(value)}")
        for key, config in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{name} must have keys of type str. Got {key!r}.")
            _check_op_config(config)
        return dict(value)

    def set_global(self, op_config: OpCompressorConfig | None) -> None:
        """Use `op_config` for every weight that nothing else names; None leaves them alone."""
        _check_op_config(op_config)
        self.global_config = op_config

    def set_op_type(self, op_type: str, op_config: OpCompressorConfig | None) -> None:
        """Use `op_config` for the weights of operations of this type; None leaves them alone."""
        self.op_type_configs |= self._table("op_type_configs", {op_type: op_config})

    def set_op_name(self, op_name: str, op_config: OpCompressorConfig | None) -> None:
        """Use `op_config` for the constant, or the weights of the operation, of this name; None leaves them alone."""
        self.op_name_configs |= self._table("op_name_configs", {op_name: op_config})

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any]) -> "OptimizationConfig":
        """Make a configuration of nested dictionaries.

        Parameters
        ----------
        config_dict
            "config_type": the class of the configurations, such as "OpPalettizerConfig"; an entry may have its own.
            "global_config": the fields of one. "op_type_configs" and "op_name_configs": such fields by type and by
            name. It is not changed.

        Raises
        ------
        TypeError, ValueError
            When a key or a value is not one that it can have.

        Examples
        --------
        >>> from swiftcompress.coreml import OptimizationConfig
        >>> config = OptimizationConfig.from_dict(
        ...     {
        ...         "config_type": "OpPalettizerConfig",
        ...         "global_config": {"mode": "kmeans", "nbits": 4},
        ...         "op_type_configs": {"conv": {"mode": "uniform", "nbits": 1}, "linear": None},
        ...     }
        ... )
        >>> config.op_type_configs["conv"].nbits
        1
        """
        if not isinstance(config_dict, Mapping):
            raise TypeError(f"config_dict must be type of dict. Got {type(config_dict)}.")
        keys = ("config_type", "global_config", "op_name_configs", "op_type_configs")
        for key in config_dict:
            if key not in keys:
                raise ValueError(
                    f"Invalid key {key} to construct an OptimizationConfig object. Supported keys are {keys}."
                )
        config_type = config_dict.get("config_type")
        if not isinstance(config_type, str):
            raise ValueError("config_type must be provided with type of string.")
        tables = {}
        for key in ("op_type_configs", "op_name_configs"):
            table = config_dict.get(key) or {}
            if not isinstance(table, Mapping):
                raise ValueError(f"{key} must be type of dict. Got {type(table)}")
            tables[key] = {name: cls._op_config(config_type, values) for name, values in table.items()}
        return cls(global_config=cls._op_config(config_type, config_dict.get("global_config")), **tables)

    @staticmethod
    def _op_config(config_type: str, values: Any) -> OpCompressorConfig | None:
        if values is None:
            return None
        if not isinstance(values, Mapping):
            raise ValueError(f"a configuration must be type of dict, or None. Got {type(values)}")
        values = copy.copy(dict(values))
        kind = values.pop("config_type", config_type)
        if kind not in _CONFIG_TYPES:
            raise ValueError(f"Invalid config_type {kind!r}. Supported types are {tuple(_CONFIG_TYPES)}.")
        return _CONFIG_TYPES[kind](values)

    @classmethod
    def from_yaml(cls, yml: str | Path | IO[Any]) -> "OptimizationConfig":
        """Make a configuration of a YAML file of the structure of `from_dict`.

        Parameters
        ----------
        yml
            Its path, or the opened file.

        Raises
        ------
        ImportError
            When PyYAML is not installed.
        ValueError
            When it is not YAML, or not a configuration.
        """
        try:
            import yaml
        except ImportError as error:
            raise ImportError("OptimizationConfig.from_yaml needs PyYAML: pip install PyYAML") from error
        try:
            if isinstance(yml, str | Path):
                with open(yml, encoding="utf-8") as file:
                    values = yaml.safe_load(file)
            else:
                values = yaml.safe_load(yml)
        except yaml.YAMLError as error:
            raise ValueError(f"the configuration is not valid YAML: {error}") from error
        if not isinstance(values, Mapping):
            raise ValueError(f"the configuration must be a mapping. Got {type(values).__name__}.")
        return cls.from_dict(values)

    def _to_options(self, functions: list[CheckedLUTFunction]) -> dict[str, Any]:
        def options(config: OpCompressorConfig | None) -> dict[str, Any] | None:
            return None if config is None else config._to_options(functions)

        return {
            "global": options(self.global_config),
            "op_types": {name: options(config) for name, config in self.op_type_configs.items()},
            "op_names": {name: options(config) for name, config in self.op_name_configs.items()},
        }
