"""Compression of Core ML models: arrays here, packages in `swiftcompress.coreml`.

Needs NumPy alone; coremltools and torch are used where they are passed in, and never imported for it.
"""

from typing import TYPE_CHECKING, Any

from swiftcompress._native import VERSION as __version__
from swiftcompress._native import ModelFormatError
from swiftcompress.arrays import (
    KMeansResult,
    Palettized,
    Quantized,
    Sparse,
    kmeans,
    kmeans_1d,
    pack_bits,
    palettize,
    prune,
    quantize,
    unpack_bits,
)
from swiftcompress.model_package import ModelPackage

if TYPE_CHECKING:
    from swiftcompress import coreml
    from swiftcompress.accelerate import accelerate_coremltools

__all__ = [
    "KMeansResult",
    "ModelFormatError",
    "ModelPackage",
    "Palettized",
    "Quantized",
    "Sparse",
    "__version__",
    "accelerate_coremltools",
    "coreml",
    "kmeans",
    "kmeans_1d",
    "pack_bits",
    "palettize",
    "prune",
    "quantize",
    "unpack_bits",
]


def __getattr__(name: str) -> Any:
    """Import `swiftcompress.coreml`, `.torch` and `.accelerate` when they are first asked for."""
    if name in ("coreml", "torch"):
        from importlib import import_module

        try:
            return import_module(f"swiftcompress.{name}")
        except ImportError as error:  # so that hasattr and getattr with a default say no
            raise AttributeError(f"module {__name__!r} has no attribute {name!r} here: {error}") from error
    if name == "accelerate_coremltools":
        from swiftcompress.accelerate import accelerate_coremltools

        return accelerate_coremltools
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
