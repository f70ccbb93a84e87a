"""Compression of torch modules, with the names of ``coremltools.optimize.torch``.

Needs torch; neither coremltools nor a GPU. What is compressed here carries the buffers that ``coremltools.convert`` reads, so
that the package it writes has exactly these lookup tables, codes and scales.
"""

try:
    import torch as _torch  # noqa: F401  (whether it is there)
except ImportError as error:
    raise ImportError(
        f"swiftcompress.torch needs torch, which could not be imported ({error}): pip install torch"
    ) from error

from swiftcompress.torch import layerwise_compression, palettization, quantization
from swiftcompress.torch._report import ParameterRecord, TorchReport
from swiftcompress.torch.optimization_config import (
    ModuleOptimizationConfig,
    OptimizationConfig,
    PalettizationGranularity,
    QuantizationGranularity,
)

__all__ = [
    "ModuleOptimizationConfig",
    "OptimizationConfig",
    "PalettizationGranularity",
    "ParameterRecord",
    "QuantizationGranularity",
    "TorchReport",
    "layerwise_compression",
    "palettization",
    "quantization",
]
