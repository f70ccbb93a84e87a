"""Compression of Core ML packages, with the names of ``coremltools.optimize.coreml``."""

from swiftcompress.coreml.config import (
    CompressionGranularity,
    OpCompressorConfig,
    OpPalettizerConfig,
    OptimizationConfig,
)
from swiftcompress.coreml.palettize import palettize_weights
from swiftcompress.report import CompressionReport, WeightRecord

__all__ = [
    "CompressionGranularity",
    "CompressionReport",
    "OpCompressorConfig",
    "OpPalettizerConfig",
    "OptimizationConfig",
    "WeightRecord",
    "palettize_weights",
]
