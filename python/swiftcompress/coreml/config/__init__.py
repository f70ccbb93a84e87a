"""What to compress, and how: coremltools' configuration classes, with its names, defaults and rules."""

from swiftcompress.coreml.config.base import CompressionGranularity, OpCompressorConfig
from swiftcompress.coreml.config.optimization import OptimizationConfig
from swiftcompress.coreml.config.palettizer import OpPalettizerConfig
from swiftcompress.coreml.config.pruners import OpMagnitudePrunerConfig, OpThresholdPrunerConfig
from swiftcompress.coreml.config.quantizer import OpLinearQuantizerConfig

__all__ = [
    "CompressionGranularity",
    "OpCompressorConfig",
    "OpLinearQuantizerConfig",
    "OpMagnitudePrunerConfig",
    "OpPalettizerConfig",
    "OpThresholdPrunerConfig",
    "OptimizationConfig",
]
