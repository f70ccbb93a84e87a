"""coremltools' own objects, recognized by class and attributes: coremltools is not imported for it."""

import os
import sys
from dataclasses import fields
from typing import Any

from swiftcompress._checks import message
from swiftcompress.coreml.config import OpCompressorConfig, OpPalettizerConfig, OptimizationConfig


def as_config(operation: str, config: Any) -> OptimizationConfig:
    """Our configuration, or coremltools' as ours.

    Raises
    ------
    TypeError
        For anything else.
    ValueError
        For configurations of another kind of compression.
    NotImplementedError
        For op selectors of coremltools' old API.
    """
    if isinstance(config, OptimizationConfig):
        return config
    if _is_from_coremltools(config, "OptimizationConfig"):
        if getattr(config, "_op_selector", None) is not None:
            raise NotImplementedError(
                message(operation, "config", "an op_selector", "configurations by type and by name")
            )
        return OptimizationConfig(
            global_config=_as_op_config(operation, config.global_config),
            op_type_configs={key: _as_op_config(operation, value) for key, value in config.op_type_configs.items()},
            op_name_configs={key: _as_op_config(operation, value) for key, value in config.op_name_configs.items()},
        )
    raise TypeError(
        message(operation, "config", type(config).__name__, "an OptimizationConfig of swiftcompress or of coremltools")
    )


def _as_op_config(operation: str, config: Any) -> OpCompressorConfig | None:
    if config is None or isinstance(config, OpCompressorConfig):
        return config
    if not _is_from_coremltools(config, "OpPalettizerConfig"):
        raise ValueError(message(operation, "config", type(config).__name__, "OpPalettizerConfig"))
    values = {entry.name: getattr(config, entry.name) for entry in fields(OpPalettizerConfig)}
    values["granularity"] = values["granularity"].name.lower()
    return OpPalettizerConfig(**values)


def is_mlmodel(model: Any) -> bool:
    """Whether this is a ``coremltools.models.MLModel``."""
    return _is_from_coremltools(model, "MLModel")


def _is_from_coremltools(value: Any, name: str) -> bool:
    return "coremltools" in sys.modules and any(
        base.__name__ == name and base.__module__.split(".")[0] == "coremltools" for base in type(value).__mro__
    )


def save_mlmodel(operation: str, model: Any, path: str) -> None:
    """Write an MLModel, with the changes made to its description, as a package."""
    if not model.is_package:
        raise ValueError(
            message(operation, "model", "an MLModel without a package", "an MLModel of the ML Program kind")
        )
    model.save(path)


def load_mlmodel(path: str, like: Any) -> Any:
    """Open the package at `path` as `like` was: same compute unit, loaded into Core ML only if that was."""
    return type(like)(
        os.fspath(path),
        skip_model_load=like.__proxy__ is None,
        compute_units=like.compute_unit,
        function_name=like.function_name,
        optimization_hints=like.optimization_hints,
    )
