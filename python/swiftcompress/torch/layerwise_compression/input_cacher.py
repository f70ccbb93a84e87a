"""What the first layers to be compressed get, from the data that the model gets.

The classes and their calls are those of ``coremltools/optimize/torch/layerwise_compression/input_cacher.py`` (coremltools 9.0,
BSD-3-Clause).
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, ClassVar

import torch

from swiftcompress._checks import message
from swiftcompress.torch.layerwise_compression._registry import Registry


class StopExecution(ValueError):  # noqa: N818  (coremltools' name)
    """Ends a run of the model when what it was for is known."""


def moved(value: Any, device: Any) -> Any:
    """`value` with all its tensors on a device: a tensor, or lists, tuples and dictionaries of them."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: moved(each, device) for key, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(moved(each, device) for each in value))
    if isinstance(value, list | tuple):
        return type(value)(moved(each, device) for each in value)
    return value


def call(module: Any, batch: Any, keywords: Mapping[str, Any] | None = None) -> Any:
    """Run a module on a batch: a tensor, a list or tuple of arguments, or a dictionary of them by name."""
    if isinstance(batch, Mapping):
        return module(**batch, **(keywords or {}))
    if isinstance(batch, list | tuple):
        return module(*batch, **(keywords or {}))
    return module(batch, **(keywords or {}))


def batches(dataloader: Iterable[Any], nsamples: int, device: Any) -> list[Any]:
    """The first `nsamples` batches, on the device."""
    found: list[Any] = []
    for batch in dataloader:
        found.append(moved(batch, device))
        if len(found) >= nsamples:
            break
    return found


class FirstLayerInputCacher(Registry, ABC):
    """Finds the inputs of the first of the layers that are compressed.

    Parameters
    ----------
    model
        The model that they are in.
    layers
        As in `LayerwiseCompressorConfig`.
    """

    REGISTRY: ClassVar[dict[Any, Any]] = {}

    def __init__(self, model: Any, layers: Any) -> None:
        self._model = model
        self._layers = layers

    @abstractmethod
    def cache(self, dataloader: Iterable[Any], nsamples: int, device: Any) -> tuple[list[Any], dict[str, Any]]:
        """Find the inputs.

        Parameters
        ----------
        dataloader
            Batches, as the model takes them.
        nsamples
            How many batches to use at most.
        device
            Where the results shall be.

        Returns
        -------
        inputs
            For each batch what the layer gets: a tensor, or several in a tuple.
        keywords
            What it gets by name, the same for all batches.
        """


@FirstLayerInputCacher.register("default")
class DefaultInputCacher(FirstLayerInputCacher):
    """For models whose first layer gets what the model gets."""

    def cache(self, dataloader: Iterable[Any], nsamples: int, device: Any) -> tuple[list[Any], dict[str, Any]]:
        """Return the batches themselves; see the base class."""
        return batches(dataloader, nsamples, device), {}


@FirstLayerInputCacher.register("gpt")
class GPTFirstLayerInputCacher(FirstLayerInputCacher):
    """For models in which something comes before the layers, as embeddings do: runs the model up to the first of them.

    Parameters
    ----------
    model
        The model.
    layers
        A regular expression that matches the names of the layers, or a list whose first item is one, or a module.
    """

    def __init__(self, model: Any, layers: Any) -> None:
        super().__init__(model, layers)
        self._first_layer: Any = None
        for name, module in model.named_modules():
            if self._first_layer_match(name, module):
                self._first_layer = module
                break

    def _first_layer_match(self, name: str, module: Any) -> bool:
        first = self._layers
        if isinstance(first, list | tuple | torch.nn.ModuleList):
            first = first[0] if len(first) else None
        if isinstance(first, str):
            return re.fullmatch(first, name) is not None
        return first is not None and first is module

    def cache(self, dataloader: Iterable[Any], nsamples: int, device: Any) -> tuple[list[Any], dict[str, Any]]:
        """Run the model on the batches up to the first layer; see the base class.

        Raises
        ------
        ValueError
            When no layer matches.
        """
        if self._first_layer is None:
            allowed = "a name or regular expression of a layer of the model, or the layer"
            raise ValueError(message(type(self).__name__, "layers", repr(self._layers), allowed))
        inputs: list[Any] = []
        keywords: dict[str, Any] = {}

        def note(module: Any, arguments: Any, named: Any) -> None:
            inputs.append(arguments)
            keywords.update(named)
            raise StopExecution

        handle = self._first_layer.register_forward_pre_hook(note, with_kwargs=True)
        try:
            for batch in batches(dataloader, nsamples, device):
                with suppress(StopExecution):
                    call(self._model, batch)
        finally:
            handle.remove()
        return moved(inputs, device), moved(keywords, device)
