"""A pytest plugin that puts `swiftcompress.coreml` where coremltools' tests look for `coremltools.optimize.coreml`.

The public functions, configurations and metadata classes are replaced in the package and in the private modules that tests
import from, before any test module is. Two things are added that only a test can tell from coremltools:

- Tests read `MLModel._mil_program`. coremltools' results carry one from the conversion; ours, like every model read from a file,
  do not. It is read back from the package here, by coremltools' own reader, so that its tests look at what was written.
- Tests hand configurations to coremltools' private graph passes. There ours become coremltools', by their fields; and where
  tests take the classes from the module of those passes, they get ours from a module in front of it.
- Where a test makes a configuration with the private arguments that `ct.compression_utils`, deprecated since 7.0, hands to those
  passes, it gets coremltools' own, as it would from there: nothing replaces that door.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from enum import Enum
from types import ModuleType
from typing import Any

import coremltools.optimize.coreml as reference
import pytest
from coremltools.converters.mil.frontend.milproto import load as milproto
from coremltools.converters.mil.mil.passes.defs.optimize_activation_quantization import (
    insert_suffix_quantize_dequantize_pair as suffix_pass,
)
from coremltools.models import MLModel
from coremltools.models import utils as model_utils
from coremltools.optimize.coreml import _post_training_quantization as reference_functions
from coremltools.optimize.coreml import _quantization_passes as reference_passes

import swiftcompress.coreml as ours

COMPRESSORS = ("palettize_weights", "linear_quantize_weights", "prune_weights", "decompress_weights")
CLASSES = ("CoreMLWeightMetaData", "CoreMLOpMetaData")
CONFIGURATIONS = (
    "OptimizationConfig",
    "OpPalettizerConfig",
    "OpLinearQuantizerConfig",
    "OpMagnitudePrunerConfig",
    "OpThresholdPrunerConfig",
)

reached: set[str] = set()
"""Which of ours the running test has called."""

THEIRS = {name: getattr(reference, name) for name in CONFIGURATIONS}

PRIVATE = frozenset({"is_deprecated", "op_selector"})
"""Arguments of coremltools' OptimizationConfig that its documentation does not name."""


def pytest_configure(config: pytest.Config) -> None:
    for name in COMPRESSORS:
        replace(name, with_program(noted(name, getattr(ours, name))))
    replace("get_weights_metadata", noted("get_weights_metadata", ours.get_weights_metadata))
    for name in CLASSES + CONFIGURATIONS:
        kind = getattr(ours, name)
        kind.__init__ = noted(name, kind.__init__)
        replace(name, kind)
    leave_private_uses(ours.OptimizationConfig)
    for graph_pass in (
        reference_passes.AbstractCompressionPass,
        reference_passes.AbstractActCompressionPass,
        suffix_pass,
    ):
        accept_ours(graph_pass)
    front = ModuleType(reference_passes.__name__)
    vars(front).update({name: getattr(ours, name) for name in CONFIGURATIONS})
    vars(front)["__getattr__"] = functools.partial(getattr, reference_passes)
    reference._quantization_passes = front


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    reached.clear()
    try:
        yield
    finally:
        item.user_properties += [("reached", name) for name in sorted(reached)]


def noted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which leaves its name in `reached`."""

    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        reached.add(name)
        return function(*arguments, **keywords)

    return call


def replace(name: str, value: Any) -> None:
    setattr(reference, name, value)
    if hasattr(reference_functions, name):
        setattr(reference_functions, name, value)


def leave_private_uses(kind: Any) -> None:
    """Let `kind` make coremltools' own configuration when it is given private arguments."""

    def make(cls: Any, *arguments: Any, **keywords: Any) -> Any:
        if not PRIVATE & keywords.keys():
            return object.__new__(cls)
        return THEIRS["OptimizationConfig"](
            *map(as_theirs, arguments), **{name: as_theirs(value) for name, value in keywords.items()}
        )

    kind.__new__ = make


def with_program(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, with the program of its result read from the package that it wrote."""

    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        result = function(*arguments, **keywords)
        if isinstance(result, MLModel) and result.get_spec().WhichOneof("Type") == "mlProgram":
            version = result.get_spec().specificationVersion
            result._mil_program = model_utils._convert_model_spec_to_pymil_prog(result, version, milproto.load)
        return result

    return call


def accept_ours(compression_pass: Any) -> None:
    """Let a private graph pass of coremltools take our configurations."""
    initialize = compression_pass.__init__

    @functools.wraps(initialize)
    def call(self: Any, config: Any = None, *arguments: Any, **keywords: Any) -> None:
        initialize(self, as_theirs(config), *arguments, **keywords)

    if "__init__" in vars(compression_pass):  # the one for activations has options only
        compression_pass.__init__ = call
    plain = compression_pass.config
    compression_pass.config = plain.setter(lambda self, config: plain.fset(self, as_theirs(config)))


def as_theirs(config: Any) -> Any:
    if isinstance(config, ours.OptimizationConfig):
        return THEIRS["OptimizationConfig"](
            global_config=as_theirs(config.global_config),
            op_type_configs={key: as_theirs(value) for key, value in config.op_type_configs.items()},
            op_name_configs={key: as_theirs(value) for key, value in config.op_name_configs.items()},
        )
    if isinstance(config, ours.OpCompressorConfig):
        values = {name: getattr(config, name) for name in config._field_names()}
        plain = {name: value.name.lower() if isinstance(value, Enum) else value for name, value in values.items()}
        return THEIRS[type(config).__name__](**plain)
    return config
