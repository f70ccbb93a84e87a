"""Compression of torch modules layer by layer, with the names of ``coremltools.optimize.torch.layerwise_compression``."""

from swiftcompress.torch.layerwise_compression.algorithms import (
    GPTQ,
    LayerwiseCompressionAlgorithm,
    OBSCompressionAlgorithm,
    SparseGPT,
)
from swiftcompress.torch.layerwise_compression.config import (
    LayerwiseCompressionAlgorithmConfig,
    LayerwiseCompressorConfig,
    ModuleGPTQConfig,
    ModuleSparseGPTConfig,
)
from swiftcompress.torch.layerwise_compression.input_cacher import (
    DefaultInputCacher,
    FirstLayerInputCacher,
    GPTFirstLayerInputCacher,
)
from swiftcompress.torch.layerwise_compression.layerwise_compressor import LayerLoss, LayerwiseCompressor

__all__ = [
    "GPTQ",
    "DefaultInputCacher",
    "FirstLayerInputCacher",
    "GPTFirstLayerInputCacher",
    "LayerLoss",
    "LayerwiseCompressionAlgorithm",
    "LayerwiseCompressionAlgorithmConfig",
    "LayerwiseCompressor",
    "LayerwiseCompressorConfig",
    "ModuleGPTQConfig",
    "ModuleSparseGPTConfig",
    "OBSCompressionAlgorithm",
    "SparseGPT",
]
