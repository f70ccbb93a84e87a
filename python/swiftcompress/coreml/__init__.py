"""Compression of Core ML packages, with the names of ``coremltools.optimize.coreml``."""

from swiftcompress.coreml.config import (
    CompressionGranularity,
    OpCompressorConfig,
    OpLinearQuantizerConfig,
    OpMagnitudePrunerConfig,
    OpPalettizerConfig,
    OpThresholdPrunerConfig,
    OptimizationConfig,
)
from swiftcompress.coreml.decompress import decompress_weights
from swiftcompress.coreml.palettize import palettize_weights
from swiftcompress.coreml.prune import prune_weights
from swiftcompress.coreml.quantize import linear_quantize_weights
from swiftcompress.report import CompressionReport, WeightRecord

__all__ = [
    "CompressionGranularity",
    "CompressionReport",
    "OpCompressorConfig",
    "OpLinearQuantizerConfig",
    "OpMagnitudePrunerConfig",
    "OpPalettizerConfig",
    "OpThresholdPrunerConfig",
    "OptimizationConfig",
    "WeightRecord",
    "decompress_weights",
    "linear_quantize_weights",
    "palettize_weights",
    "prune_weights",
]
