"""The door to the native engine; nothing else imports `_core`.

Importing this module checks that the extension module and the engine library beside it belong together, so that a
half-updated installation fails here, with the reason, and not later.
"""

from types import ModuleType


def _load() -> ModuleType:
    try:
        from swiftcompress import _core
    except ImportError as error:
        raise ImportError(
            f"swiftcompress: the native engine could not be loaded ({error}). Reinstall the package; in a source tree "
            "run `pip install -e .`, which needs Swift 6.3 or newer."
        ) from error
    if _core.abi_version() != _core.ABI_VERSION:
        raise ImportError(
            f"swiftcompress: the extension module was built for version {_core.ABI_VERSION} of the engine's interface, "
            f"the engine library has version {_core.abi_version()}. Reinstall the package."
        )
    return _core


_load()

from swiftcompress._core import (  # noqa: E402  (after the check above)
    VERSION,
    ModelFormatError,
    compress,
    dequantize,
    eliminate_columns,
    kmeans,
    kmeans_1d,
    pack_bits,
    package_decompress,
    package_describe,
    package_open,
    package_save,
    package_tensor,
    palettize,
    prune,
    quantize,
    report_html,
    round_to_codes,
    scatter_nonzero,
    unpack_bits,
    unpalettize,
    weight_statistics,
)

__all__ = [
    "VERSION",
    "ModelFormatError",
    "compress",
    "dequantize",
    "eliminate_columns",
    "kmeans",
    "kmeans_1d",
    "pack_bits",
    "package_decompress",
    "package_describe",
    "package_open",
    "package_save",
    "package_tensor",
    "palettize",
    "prune",
    "quantize",
    "report_html",
    "round_to_codes",
    "scatter_nonzero",
    "unpack_bits",
    "unpalettize",
    "weight_statistics",
]
