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
from swiftcompress.coreml.metadata import (
    CoreMLOpMetaData,
    CoreMLWeightMetaData,
    WeightsMetadata,
    get_weights_metadata,
)
from swiftcompress.coreml.palettize import palettize_weights
from swiftcompress.coreml.prune import prune_weights
from swiftcompress.coreml.quantize import linear_quantize_weights
from swiftcompress.report import CompressionReport, WeightRecord

__all__ = [
    "CompressionGranularity",
    "CompressionReport",
    "CoreMLOpMetaData",
    "CoreMLWeightMetaData",
    "OpCompressorConfig",
    "OpLinearQuantizerConfig",
    "OpMagnitudePrunerConfig",
    "OpPalettizerConfig",
    "OpThresholdPrunerConfig",
    "OptimizationConfig",
    "WeightRecord",
    "WeightsMetadata",
    "decompress_weights",
    "get_weights_metadata",
    "linear_quantize_weights",
    "palettize_weights",
    "prune_weights",
]
