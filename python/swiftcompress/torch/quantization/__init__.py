"""Linear quantization of torch modules, with the names of ``coremltools.optimize.torch.quantization``."""

from swiftcompress.torch.quantization.config import (
    ModulePostTrainingQuantizerConfig,
    PostTrainingQuantizerConfig,
    QuantizationScheme,
)
from swiftcompress.torch.quantization.post_training import PostTrainingQuantizer

__all__ = [
    "ModulePostTrainingQuantizerConfig",
    "PostTrainingQuantizer",
    "PostTrainingQuantizerConfig",
    "QuantizationScheme",
]
