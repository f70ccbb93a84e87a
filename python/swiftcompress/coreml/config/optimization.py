"""Which weights get which configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from swiftcompress._config_values import read_yaml
from swiftcompress.arrays.lut_function import CheckedLUTFunction
from swiftcompress.coreml.config.base import OpCompressorConfig, coremltools_optimize
from swiftcompress.coreml.config.palettizer import OpPalettizerConfig
from swiftcompress.coreml.config.pruners import OpMagnitudePrunerConfig, OpThresholdPrunerConfig
from swiftcompress.coreml.config.quantizer import OpLinearQuantizerConfig

# The classes that dictionaries and YAML files name.
_CONFIG_TYPES: dict[str, type[OpCompressorConfig]] = {
    kind.__name__: kind
    for kind in (OpLinearQuantizerConfig, OpMagnitudePrunerConfig, OpPalettizerConfig, OpThresholdPrunerConfig)
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
        When a value is neither a configuration nor None, as coremltools has it; for blocks and n:m ratios for a type of
        operation other than "conv" and "linear".

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
            if config is not None and name == "op_type_configs":
                config._validate_op_type(key)
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
        values = dict(values)
        kind = values.pop("config_type", config_type)
        if not isinstance(kind, str) or kind not in _CONFIG_TYPES:
            raise ValueError(f"Invalid config_type {kind!r}. Supported types are {tuple(_CONFIG_TYPES)}.")
        return _CONFIG_TYPES[kind]._from_dict(values)

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
        return cls.from_dict(read_yaml("OptimizationConfig", yml))

    def to_coremltools(self) -> Any:
        """Make coremltools' ``OptimizationConfig`` of the same configurations, for what is coremltools' own.

        Such as the options of a pass of ``coremltools.PassPipeline``. The functions of ``swiftcompress.coreml`` take either.

        Raises
        ------
        ImportError
            When coremltools is not installed; it is imported here only.
        """

        def convert(config: OpCompressorConfig | None) -> Any:
            return None if config is None else config.to_coremltools()

        return coremltools_optimize(type(self).__name__).OptimizationConfig(
            global_config=convert(self.global_config),
            op_type_configs={name: convert(config) for name, config in self.op_type_configs.items()},
            op_name_configs={name: convert(config) for name, config in self.op_name_configs.items()},
        )

    def _to_options(self, functions: list[CheckedLUTFunction]) -> dict[str, Any]:
        def options(config: OpCompressorConfig | None) -> dict[str, Any] | None:
            return None if config is None else config._to_options(functions)

        return {
            "global": options(self.global_config),
            "op_types": {name: options(config) for name, config in self.op_type_configs.items()},
            "op_names": {name: options(config) for name, config in self.op_name_configs.items()},
        }
