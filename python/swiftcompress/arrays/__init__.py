"""Compression of arrays: palettization, k-means, packing."""

from swiftcompress.arrays.clustering import KMeansResult, kmeans, kmeans_1d
from swiftcompress.arrays.packing import pack_bits, unpack_bits
from swiftcompress.arrays.palettization import Palettized, palettize

__all__ = ["KMeansResult", "Palettized", "kmeans", "kmeans_1d", "pack_bits", "palettize", "unpack_bits"]
