"""A pytest plugin that puts `swiftcompress.torch` where coremltools' tests look for `coremltools.optimize.torch`.

Public classes are replaced in the packages and modules that tests import them from, before any test module is. Tests of
coremltools' private k-means get one made of ours: `cluster_weights` of a `KMeansConfig` is what our palettizers do with the
same settings, in place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import coremltools.optimize.torch as reference
import pytest
from coremltools.optimize.torch import optimization_config
from coremltools.optimize.torch._utils import k_means
from coremltools.optimize.torch.layerwise_compression import algorithms, input_cacher, layerwise_compressor
from coremltools.optimize.torch.palettization import post_training_palettization, sensitive_k_means
from coremltools.optimize.torch.quantization import post_training_quantization

import swiftcompress.torch as ours

PLACES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    name: (getattr(room, name), places)
    for room, places, names in (
        (
            ours.palettization,
            (reference.palettization, post_training_palettization, sensitive_k_means),
            ours.palettization.__all__,
        ),
        (
            ours.layerwise_compression,
            (reference.layerwise_compression, algorithms, input_cacher, layerwise_compressor),
            ours.layerwise_compression.__all__,
        ),
        (ours.quantization, (reference.quantization, post_training_quantization), ours.quantization.__all__),
        (ours, (optimization_config,), ("QuantizationGranularity", "PalettizationGranularity")),
    )
    for name in names
}

reached: set[str] = set()
"""Which of ours the running test has called."""


def pytest_configure(config: pytest.Config) -> None:
    for name, (value, places) in PLACES.items():
        for place in places:
            if hasattr(place, name):
                setattr(place, name, value)
        if "compress" in vars(value):
            note(value, "compress")
            note(value, "__init__")
    k_means.SequentialKMeans = k_means.ParallelKMeans = KMeans


def note(kind: Any, method: str) -> None:
    function = getattr(kind, method)

    def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
        reached.add(kind.__name__)
        return function(self, *arguments, **keywords)

    setattr(kind, method, call)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    reached.clear()
    try:
        yield
    finally:
        item.user_properties += [("reached", name) for name in sorted(reached)]


class KMeans:
    """coremltools' private class of this name, by our palettizers."""

    @classmethod
    def cluster_weights(cls, model: Any, config: Any = None, num_workers: int = 1) -> Any:
        configs = config if isinstance(config, dict) else {}
        single = None if isinstance(config, dict) else (config or k_means.KMeansConfig())
        each = [value for parameters in configs.values() for value in parameters.values()] or [single]
        for value in each:
            assert value.mask is None, "masks are private to coremltools: no public class passes one"
            assert value.importance is None
        kind = ours.palettization.PostTrainingPalettizerConfig
        names = {name: cls.settings(value) for name, table in configs.items() for value in table.values()}
        chosen = kind(global_config=None if single is None else cls.settings(single), module_name_configs=names)
        palettizer = ours.palettization.PostTrainingPalettizer(model, chosen)
        return palettizer.compress(num_kmeans_workers=num_workers, inplace=True)

    @staticmethod
    def settings(value: Any) -> Any:
        return ours.palettization.ModulePostTrainingPalettizerConfig(
            n_bits=value.n_bits,
            channel_axis=value.axis,
            lut_dtype=value.lut_dtype,
            granularity="per_tensor" if value.block_size is None else "per_grouped_channel",
            group_size=value.block_size,
            cluster_dim=value.cluster_dim,
            enable_per_channel_scale=value.enable_per_channel_scale,
            enable_fast_kmeans_mode=value.enable_fast_kmeans_mode,
            rounding_precision=value.rounding_precision,
        )
