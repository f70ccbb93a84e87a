"""Compression of arrays: palettization, linear quantization, pruning, k-means, packing."""

from swiftcompress.arrays.clustering import KMeansResult, kmeans, kmeans_1d
from swiftcompress.arrays.packing import pack_bits, unpack_bits
from swiftcompress.arrays.palettization import Palettized, palettize
from swiftcompress.arrays.pruning import Sparse, prune
from swiftcompress.arrays.quantization import Quantized, quantize

__all__ = [
    "KMeansResult",
    "Palettized",
    "Quantized",
    "Sparse",
    "kmeans",
    "kmeans_1d",
    "pack_bits",
    "palettize",
    "prune",
    "quantize",
    "unpack_bits",
]
