"""Configurations of torch compressors: fields, dictionaries, YAML, and which module gets which.

The names and rules are those of ``coremltools/optimize/torch/optimization_config.py`` (coremltools 9.0, BSD-3-Clause).
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field, fields, replace
from enum import Enum
from pathlib import Path
from typing import IO, Any, ClassVar, Self, cast

import torch

from swiftcompress._checks import message
from swiftcompress._config_values import read_yaml, whole_number


class QuantizationGranularity(Enum):
    """Which elements share a scale."""

    per_tensor = "per_tensor"
    per_channel = "per_channel"
    per_block = "per_block"


class PalettizationGranularity(Enum):
    """Which elements share a lookup table."""

    per_tensor = "per_tensor"
    per_grouped_channel = "per_grouped_channel"


class _Config:
    """What configurations have in common: they come from dictionaries and YAML, and check what is assigned.

    Subclasses are dataclasses whose ``__post_init__`` checks and normalises the fields, and ends with `_finish`.
    """

    # How values of dictionaries and YAML files become those of the constructor, by field.
    _FROM_TEXT: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__dict__.get("_is_made", False):
            if name not in self._field_names():
                raise AttributeError(f"{type(self).__name__} has no field {name!r}.")
            # Others may follow from it.
            self.__dict__.update(replace(cast(Any, self), **self._assigned(name, value)).__dict__)
            return
        object.__setattr__(self, name, value)

    def _assigned(self, name: str, value: Any) -> dict[str, Any]:
        """What `replace` gets for an assignment."""
        return {name: value}

    @classmethod
    def _field_names(cls) -> tuple[str, ...]:
        return tuple(entry.name for entry in fields(cast(Any, cls)) if entry.init)

    def _finish(self) -> None:
        """End of the constructor: from now on, assignments are checked."""
        object.__setattr__(self, "_is_made", True)

    @classmethod
    def _check_keys(cls, config_dict: Any) -> None:
        if not isinstance(config_dict, Mapping):
            raise TypeError(message(cls.__name__, "config_dict", type(config_dict).__name__, "a dictionary"))
        for key in config_dict:
            if key not in cls._field_names():
                raise ValueError(
                    f"Found unrecognized key {key} in config_dict: {dict(config_dict)}. "
                    f"The keys of {cls.__name__} are {', '.join(cls._field_names())}."
                )

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any]) -> Self:
        """Make a configuration of its fields by name.

        Raises
        ------
        TypeError, ValueError
            When a key or a value is not one that it can have.
        """
        cls._check_keys(config_dict)
        values = {
            key: cls._FROM_TEXT[key](value) if key in cls._FROM_TEXT else value for key, value in config_dict.items()
        }
        return cls(**values)

    @classmethod
    def from_yaml(cls, yml: str | Path | IO[Any]) -> Self:
        """Make a configuration of a YAML file of the structure of `from_dict`: its path, or the opened file.

        Raises
        ------
        ImportError
            When PyYAML is not installed.
        ValueError
            When it is not YAML, or not a configuration.
        OSError
            When it cannot be read.
        """
        return cls.from_dict(read_yaml(cls.__name__, yml, empty={}))

    def as_dict(self) -> dict[str, Any]:
        """Copy the fields into a dictionary, configurations inside it included."""
        return {entry.name: _plain(getattr(self, entry.name)) for entry in fields(cast(Any, self))}


def _plain(value: Any) -> Any:
    if isinstance(value, _Config):
        return value.as_dict()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return value


class ModuleOptimizationConfig(_Config):
    """How one module is compressed; every compressor has its own."""


@dataclass
class NarrowTypeConfig(ModuleOptimizationConfig):
    """One with a `weight_dtype` of 8 bits or fewer, and `weight_n_bits`: torch has no types of fewer than 8.

    The narrow type goes along with copies in a pseudo-field, so that `dataclasses.replace` does not forget it: as long as
    `weight_dtype` is what it was, it is of as many bits.
    """

    _narrow: InitVar[str | None] = field(default=None, kw_only=True)

    def _given_type(self, narrow: str | None) -> Any:
        """`weight_dtype`, or the narrow type that it stands for."""
        given = self.__dict__["weight_dtype"]
        stands = narrow is not None and given is (torch.uint8 if narrow.startswith("u") else torch.int8)
        return narrow if stands else given

    def _keep_type(self, dtype: Any, bits: int) -> None:
        narrow = _integer_name(dtype, bits) if bits < 8 else None
        self.__dict__.update(weight_dtype=dtype, weight_n_bits=bits, _narrow=narrow)

    def _assigned(self, name: str, value: Any) -> dict[str, Any]:
        return {name: value, "_narrow": None} if name == "weight_dtype" else {name: value}

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any]) -> Self:
        """Make a configuration of its fields by name; see the base class.

        Parameters
        ----------
        config_dict
            May have `weight_n_bits`, too, as `as_dict` gives it: with torch.int8 and torch.uint8 the bits of a code, with a name
            those that it has.

        Raises
        ------
        TypeError, ValueError
            When a key or a value is not one that it can have.
        """
        if not isinstance(config_dict, Mapping) or "weight_n_bits" not in config_dict:
            return super().from_dict(config_dict)
        values = dict(config_dict)
        bits = whole_number(values.pop("weight_n_bits"))
        if values.get("weight_dtype") in (torch.int8, torch.uint8):
            values["weight_dtype"] = _integer_name(values["weight_dtype"], bits)
        config = super().from_dict(values)
        known = config.__dict__["weight_n_bits"]
        if bits != known or isinstance(bits, bool):
            raise ValueError(message(cls.__name__, "weight_n_bits", repr(bits), f"{known}, as weight_dtype has"))
        return config


def _integer_name(dtype: Any, bits: Any) -> str:
    return f"{'u' if dtype == torch.uint8 else ''}int{bits}"


@dataclass
class OptimizationConfig(_Config):
    """Configurations for all modules, for those of some types, and for some by name.

    A module's configuration is looked up in `module_name_configs`, in order, then under its type in
    `module_type_configs`; `global_config` is for the rest. None leaves a module alone.

    Parameters
    ----------
    global_config
        For every module that the others do not name.
    module_type_configs
        By module class, or its name: ``torch.nn.Linear`` or "Linear". Only modules of exactly that class count.
    module_name_configs
        By regular expression, which must match a module's whole qualified name ("encoder.layers.0.linear1").

    Raises
    ------
    TypeError, ValueError
        When a value is neither a configuration of the right class nor None.
    """

    global_config: Any = None
    module_type_configs: dict[Any, Any] = field(default_factory=dict)
    module_name_configs: dict[str, Any] = field(default_factory=dict)

    # The classes of configurations of one module that this takes.
    _MODULE_CONFIGS: ClassVar[tuple[type[ModuleOptimizationConfig], ...]] = (ModuleOptimizationConfig,)
    # Whether nothing at all means the default configuration for all modules.
    _HAS_DEFAULT: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self.global_config = self._checked("global_config", self.global_config)
        self.module_type_configs = {
            _module_type(key): self._checked(f"module_type_configs[{key!r}]", value)
            for key, value in self._table("module_type_configs", self.module_type_configs)
        }
        self.module_name_configs = {
            _pattern(type(self).__name__, key): self._checked(f"module_name_configs[{key!r}]", value)
            for key, value in self._table("module_name_configs", self.module_name_configs)
        }
        nothing = self.global_config is None and not self.module_type_configs and not self.module_name_configs
        if nothing and self._HAS_DEFAULT:
            self.global_config = self._MODULE_CONFIGS[0]()
        self._finish()

    def _table(self, name: str, value: Any) -> Any:
        if value is None:
            return ()
        if not isinstance(value, Mapping):
            raise TypeError(message(type(self).__name__, name, type(value).__name__, "a dictionary"))
        return value.items()

    @classmethod
    def _checked(cls, name: str, value: Any) -> Any:
        if value is None or isinstance(value, cls._MODULE_CONFIGS):
            return value
        allowed = " or ".join(kind.__name__ for kind in cls._MODULE_CONFIGS)
        raise TypeError(message(cls.__name__, name, f"a {type(value).__name__}", f"a {allowed}, or None"))

    @classmethod
    def _module_config(cls, name: str, values: Any) -> Any:
        """One module's configuration of a dictionary; objects and None stay what they are."""
        if not isinstance(values, Mapping):
            return cls._checked(name, values)
        try:
            return cls._MODULE_CONFIGS[0].from_dict(values)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}: {error}") from error

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any]) -> Self:
        """Make a configuration of nested dictionaries.

        Parameters
        ----------
        config_dict
            "global_config": the fields of one module's configuration, or None. "module_type_configs" and
            "module_name_configs": such fields by type and by name. It is not changed.

        Raises
        ------
        TypeError, ValueError
            When a key or a value is not one that it can have.
        """
        cls._check_keys(config_dict)
        values = dict(config_dict)
        if "global_config" in values:
            values["global_config"] = cls._module_config("global_config", values["global_config"])
        for table in ("module_type_configs", "module_name_configs"):
            given = values.get(table)
            if isinstance(given, Mapping):
                values[table] = {key: cls._module_config(f"{table}[{key!r}]", value) for key, value in given.items()}
        return super().from_dict(values)

    def set_global(self, global_config: Any) -> Self:
        """Use this for every module that nothing else names; None leaves them alone. Returns the object itself."""
        self.global_config = global_config
        return self

    def set_module_type(self, object_type: Any, opt_config: Any) -> Self:
        """Use this for modules of a class, given itself or by name; None leaves them alone. Returns the object itself."""
        self.module_type_configs = {**self.module_type_configs, _module_type(object_type): opt_config}
        return self

    def set_module_name(self, module_name: str, opt_config: Any) -> Self:
        """Use this for modules whose whole name the expression matches; None leaves them alone. Returns the object itself."""
        self.module_name_configs = {**self.module_name_configs, module_name: opt_config}
        return self

    def get_module_config(self, name: str, module: Any) -> Any:
        """The configuration of the module of this qualified name, or None."""
        for pattern, config in self.module_name_configs.items():
            if re.fullmatch(pattern, name):
                return config
        for key in (type(module), type(module).__name__):
            if key in self.module_type_configs:
                return self.module_type_configs[key]
        return self.global_config

    def _module_configs(self) -> list[tuple[str, Any]]:
        """All configurations of modules that there are, with where each stands."""
        found = [("global_config", self.global_config)]
        found += [(f"module_type_configs[{_name(key)!r}]", each) for key, each in self.module_type_configs.items()]
        found += [(f"module_name_configs[{key!r}]", each) for key, each in self.module_name_configs.items()]
        return [(place, config) for place, config in found if config is not None]

    def unmatched(self, model: Any) -> tuple[str, ...]:
        """Say which types and names no module of the model has: they may be misspelt."""
        modules = dict(model.named_modules())
        kinds = {kind for module in modules.values() for kind in (type(module), type(module).__name__)}
        texts = [
            f"module_type_configs: no module of the model is a {_name(key)}"
            for key in self.module_type_configs
            if key not in kinds
        ]
        texts += [
            f"module_name_configs: {pattern!r} matches no module of the model"
            for pattern in self.module_name_configs
            if not any(re.fullmatch(pattern, name) for name in modules)
        ]
        return tuple(texts)


def _name(key: Any) -> str:
    return getattr(key, "__name__", str(key))


def _pattern(operation: str, key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(message(operation, "module_name_configs", f"the key {key!r}", "names or regular expressions"))
    try:
        re.compile(key)
    except re.error as error:
        raise ValueError(
            message(operation, "module_name_configs", f"the key {key!r} ({error})", "names or regular expressions")
        ) from error
    return key


def _module_type(key: Any) -> Any:
    """The class of a name that torch has, as coremltools finds it; other names stay text, and match by class name."""
    if not isinstance(key, str):
        if not callable(key):
            raise TypeError(message("OptimizationConfig", "module_type_configs", f"the key {key!r}", "module classes"))
        return key
    for prefix, place in (("operator.", operator), ("torch.", torch)):
        if re.fullmatch(re.escape(prefix) + "[a-z]+", key) and hasattr(place, key.split(".")[-1]):
            return getattr(place, key.split(".")[-1])
    for place in (torch.nn, torch.nn.functional):
        if hasattr(place, key):
            return getattr(place, key)
    return key
