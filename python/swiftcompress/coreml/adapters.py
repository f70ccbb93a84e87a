"""coremltools' own objects, recognized by class and attributes: coremltools is not imported for it."""

import os
import sys
from typing import Any

from swiftcompress._checks import message
from swiftcompress.coreml.config import OpCompressorConfig, OptimizationConfig
from swiftcompress.model_package import ModelPackage


def as_config(operation: str, config: Any, kinds: tuple[type[OpCompressorConfig], ...]) -> OptimizationConfig:
    """Our configuration, or coremltools' as ours.

    Parameters
    ----------
    operation
        The function's name, for messages.
    config
        What it was given.
    kinds
        The configurations of one weight that it takes.

    Raises
    ------
    TypeError
        For anything else.
    ValueError
        For configurations of another kind of compression.
    NotImplementedError
        For op selectors of coremltools' old API.
    """
    if not isinstance(config, OptimizationConfig):
        if not _is_from_coremltools(config, "OptimizationConfig"):
            raise TypeError(
                message(
                    operation,
                    "config",
                    type(config).__name__,
                    "an OptimizationConfig of swiftcompress or of coremltools",
                )
            )
        if getattr(config, "_op_selector", None) is not None:
            raise NotImplementedError(
                message(operation, "config", "an op_selector", "configurations by type and by name")
            )

    def convert(given: Any) -> OpCompressorConfig | None:
        return _as_op_config(operation, given, kinds)

    return OptimizationConfig(
        global_config=convert(config.global_config),
        op_type_configs={key: convert(value) for key, value in config.op_type_configs.items()},
        op_name_configs={key: convert(value) for key, value in config.op_name_configs.items()},
    )


def _as_op_config(
    operation: str, config: Any, kinds: tuple[type[OpCompressorConfig], ...]
) -> OpCompressorConfig | None:
    if config is None or isinstance(config, kinds):
        return config
    for kind in kinds:
        if _is_from_coremltools(config, kind.__name__):
            return kind(**{name: getattr(config, name) for name in kind._field_names()})
    names = ", ".join(kind.__name__ for kind in kinds)
    raise ValueError(f"{operation} only accept {names} type config. Got {type(config).__name__}.")


def is_mlmodel(model: Any) -> bool:
    """Whether this is a ``coremltools.models.MLModel``."""
    return _is_from_coremltools(model, "MLModel")


def _is_from_coremltools(value: Any, name: str) -> bool:
    return "coremltools" in sys.modules and any(
        base.__name__ == name and base.__module__.split(".")[0] == "coremltools" for base in type(value).__mro__
    )


def as_package(operation: str, model: Any) -> ModelPackage:
    """A path, a `ModelPackage` or an MLModel, opened for reading.

    An MLModel is read where coremltools keeps its package; changes that were made to its description since are not in it.
    """
    if isinstance(model, ModelPackage):
        return model
    if isinstance(model, str | os.PathLike):
        return ModelPackage(model)
    if is_mlmodel(model):
        _require_package(operation, model)
        return ModelPackage(model.package_path)
    raise TypeError(
        message(operation, "model", type(model).__name__, "a path, a ModelPackage, or an MLModel of coremltools")
    )


def _require_package(operation: str, model: Any) -> None:
    if not model.is_package:
        # As in coremltools, a TypeError.
        raise TypeError(
            message(operation, "model", "an MLModel without a package", "an MLModel of the ML Program kind (mlprogram)")
        )


def save_mlmodel(operation: str, model: Any, path: str) -> None:
    """Write an MLModel, with the changes made to its description, as a package."""
    _require_package(operation, model)
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
