"""A small MLModel that was never saved, and what compresses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import coremltools as ct
from coremltools.converters.mil.mil import Builder as mb

import swiftcompress.coreml as cto
from support import reference
from support.package_factory import weights

PALETTIZE = cto.OptimizationConfig(cto.OpPalettizerConfig(nbits=4))
COMPRESSORS: dict[str, Callable[..., Any]] = {
    "palettize": lambda model, **options: cto.palettize_weights(model, PALETTIZE, **options),
    "quantize": lambda model, **options: cto.linear_quantize_weights(
        model, cto.OptimizationConfig(cto.OpLinearQuantizerConfig()), **options
    ),
    "prune": lambda model, **options: cto.prune_weights(
        model, cto.OptimizationConfig(cto.OpMagnitudePrunerConfig(target_sparsity=0.5)), **options
    ),
}


def program(target: str = "iOS16") -> Any:
    first, second = weights(1, 64, 64), weights(2, 64, 64)

    @mb.program(
        input_specs=[mb.TensorSpec(shape=(1, 64), dtype=ct.converters.mil.mil.types.fp16)],
        opset_version=reference.TARGETS[target],
    )
    def main(x: Any) -> Any:
        x = mb.linear(x=x, weight=mb.const(val=first, name="first"), name="linear_1")
        return mb.linear(x=x, weight=mb.const(val=second, name="second"), name="y")

    return main


def convert(target: str = "iOS16", **options: Any) -> Any:
    """A model that was never saved."""
    return ct.convert(
        program(target), convert_to="mlprogram", minimum_deployment_target=reference.TARGETS[target], **options
    )
