"""Palettization of torch modules, with the names of ``coremltools.optimize.torch.palettization``."""

from swiftcompress.torch.palettization.config import (
    ModulePostTrainingPalettizerConfig,
    ModuleSKMPalettizerConfig,
    PostTrainingPalettizerConfig,
    SKMPalettizerConfig,
)
from swiftcompress.torch.palettization.post_training import PostTrainingPalettizer
from swiftcompress.torch.palettization.sensitive_k_means import SKMPalettizer

__all__ = [
    "ModulePostTrainingPalettizerConfig",
    "ModuleSKMPalettizerConfig",
    "PostTrainingPalettizer",
    "PostTrainingPalettizerConfig",
    "SKMPalettizer",
    "SKMPalettizerConfig",
]
