"""`LayerwiseCompressor`: layer after layer, each for what the compressed layers before it hand on.

The class and its calls are those of ``coremltools/optimize/torch/layerwise_compression/layerwise_compressor.py`` (coremltools
9.0, BSD-3-Clause).
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from swiftcompress._checks import boolean, message
from swiftcompress._columns import Factors
from swiftcompress.torch._before import Before, all_or_nothing
from swiftcompress.torch._metadata import CompressionMetadata, compression_types, register_metadata_version
from swiftcompress.torch._optimizer import (
    BaseModelOptimizer,
    Compressed,
    compare,
    compressed,
    declined,
    elements,
    keep,
    to_array,
    write,
)
from swiftcompress.torch._report import TorchReport
from swiftcompress.torch._selection import Declined, Selected, select
from swiftcompress.torch.layerwise_compression import _plan
from swiftcompress.torch.layerwise_compression.config import LayerwiseCompressorConfig
from swiftcompress.torch.layerwise_compression.input_cacher import batches, call
from swiftcompress.torch.layerwise_compression.obs import (
    LayerwiseCompressionAlgorithm,
    OBSCompressionAlgorithm,
    Products,
)
from swiftcompress.torch.optimization_config import OptimizationConfig

__all__ = ["LayerLoss", "LayerwiseCompressor"]


@dataclass(frozen=True)
class LayerLoss:
    """How far the outputs of a compressed layer are from those of the layer before, for the same inputs."""

    loss: float
    """Twice the mean over the samples of the sum of squared errors: trace((W - Q) H (W - Q)^T)."""
    relative: float
    """That over the same of the outputs themselves, bias aside."""


@dataclass
class _Work:
    """What is to be done with one weight."""

    selected: Selected
    algorithm: Any = None
    waiting: set[str] = field(default_factory=set)
    """The modules that have it whose layers are still to come."""


class LayerwiseCompressor(BaseModelOptimizer):
    """Compress the layers of a model one after the other by `GPTQ`, `SparseGPT` or a registered algorithm.

    A layer is a child of the model, or what the configuration lists. It is run on the data, its linear layers and convolutions
    are compressed for what they got, and what it then makes of the data goes to the next one. Where the layers are a chain,
    each a function of the one before, every layer runs twice for each batch, as in coremltools, with the same results. Where
    they are not (residuals around layers, several inputs, layers that are called twice), the model is run up to each layer.

    Parameters
    ----------
    model
        A ``torch.nn.Module``.
    config
        A `LayerwiseCompressorConfig`.

    Attributes
    ----------
    losses
        After `compress`: for each compressed weight, by its qualified name, a `LayerLoss`.

    Raises
    ------
    TypeError
        When an argument is of another type.

    Examples
    --------
    >>> import torch
    >>> from swiftcompress.torch.layerwise_compression import LayerwiseCompressor, LayerwiseCompressorConfig
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    >>> config = LayerwiseCompressorConfig.from_dict({"global_config": {"algorithm": "gptq", "weight_dtype": "uint4"}})
    >>> compressor = LayerwiseCompressor(model, config)
    >>> small = compressor.compress(dataloader=[torch.randn(32, 8) for _ in range(4)], device="cpu")
    >>> sorted(compressor.losses)
    ['0.weight', '2.weight']
    """

    _CONFIG: ClassVar[type[OptimizationConfig]] = LayerwiseCompressorConfig
    _OPERATION: ClassVar[str] = "compress"
    _supported_modules: ClassVar[tuple[Any, ...]] = (torch.nn.Conv2d, torch.nn.Linear)

    def __init__(self, model: Any, config: Any = None) -> None:
        super().__init__(model, config)
        self.losses: dict[str, LayerLoss] = {}

    def compress(self, dataloader: Iterable[Any], device: Any = "cpu", inplace: bool = False) -> Any:
        """Compress the model; `report` then says what was done to each weight, `losses` what it cost.

        Parameters
        ----------
        dataloader
            Batches: a tensor, a tuple or list of the model's arguments, or a dictionary of them by name.
        device
            Where the model is run. Afterwards it is where it was.
        inplace
            True: the model itself is changed and returned; what ends the call early, Ctrl-C too, leaves it as it was. False:
            a copy.

        Returns
        -------
        torch.nn.Module
            With the buffers that ``coremltools.convert`` reads.

        Raises
        ------
        TypeError, ValueError
            When an argument is not of the kind described, or there is no batch.
        """
        started = time.perf_counter()
        operation = type(self).__name__
        try:
            where = torch.device(device)
        except (RuntimeError, TypeError) as error:
            raise ValueError(message(operation, "device", repr(device), "a torch device, such as 'cpu'")) from error
        inplace = boolean(operation, "inplace", inplace)
        given = elements(operation, "dataloader", dataloader)
        # A list, so that what finds the inputs and what runs the model see the same batches.
        data = batches(given, self._config.calibration_nsamples, where)
        if not data:
            raise ValueError(message(operation, "dataloader", "no batch", "one batch or more"))
        model = self._get_model_for_compression(inplace)
        with all_or_nothing(model, model is self._original) as before:
            run = _Run(self, model, data, where, before)
            with torch.no_grad(), _evaluation(model), _placed(model, where):
                run.layers()
                run.finish()
            register_metadata_version(model)
        self._model, self.losses = model, run.losses
        self._report = TorchReport(
            self._OPERATION,
            tuple(run.records[id(work.selected)] for work in run.works),
            self._config.unmatched(model),
            time.perf_counter() - started,
            run.forms,
        )
        return model


class _Run:
    """One call of `compress`."""

    def __init__(
        self, compressor: LayerwiseCompressor, model: Any, data: list[Any], device: Any, before: Before | None
    ) -> None:
        self.model, self.data, self.device, self.before = model, data, device, before
        self.config = compressor._config
        if before is not None:
            for buffer in model.buffers():  # running the model may change it
                before.keep(buffer)
        found = select(model, compressor._config_of, compressor._supported_modules)
        self.works = [_Work(selected) for selected in found]
        self.records: dict[int, Any] = {}
        self.forms: dict[str, dict[str, Any]] = {}
        self.losses: dict[str, LayerLoss] = {}
        self.by_module: dict[int, _Work] = {}
        for work in self.works:
            self._begin(work)

    def _begin(self, work: _Work) -> None:
        selected = work.selected
        reason = selected.reason
        if reason is None and compression_types(selected.weight.module, selected.weight.parameter_name):
            reason = "it is compressed already"
        if reason is None:
            try:
                kind = LayerwiseCompressionAlgorithm.get_class(selected.config.algorithm)
                work.algorithm = kind(selected.weight.module, selected.config)
            except (NotImplementedError, ValueError) as error:
                reason = str(error)
        if reason is not None:
            self._decline(work, reason)
            return
        for place in selected.compressed_places:
            self.by_module[id(place.module)] = work

    def layers(self) -> None:
        """Go through the layers."""
        units = _plan.units(self.model, self.config, self.data[0])
        for name, unit in units.layers:
            for module_name, module in unit.named_modules(prefix=name):
                if id(module) in self.by_module:
                    self.by_module[id(module)].waiting.add(module_name)
        if units.is_chain:
            self._chain(units)
            return
        for name, unit in units.layers:
            with self._watched(unit) as watched:
                if watched:
                    for batch in self.data:
                        _plan.run_up_to(self.model, batch, unit if units.calls[name] == 1 else None)
            self._compress(name, unit)

    def _chain(self, units: _plan.Units) -> None:
        cacher = self.config.input_cacher(self.model, self.config.layers)
        inputs, keywords = cacher.cache(self.data, self.config.calibration_nsamples, self.device)
        for name, unit in units.layers:
            with self._watched(unit) as watched:
                for each in inputs if watched else ():
                    call(unit, each, keywords)
            self._compress(name, unit)
            inputs = [call(unit, each, keywords) for each in inputs]

    @contextmanager
    def _watched(self, unit: Any) -> Iterator[bool]:
        """While this lasts, modules to be compressed tell their inputs; gives whether there are any."""
        modules = [module for module in unit.modules() if id(module) in self.by_module]
        products = Products()
        with ExitStack() as stack:
            for module in modules:
                algorithm = self.by_module[id(module)].algorithm
                if isinstance(algorithm, OBSCompressionAlgorithm):
                    algorithm.products = products
                    stack.callback(setattr, algorithm, "products", None)

                def note(_: Any, arguments: Any, keywords: Any, out: Any, algorithm: Any = algorithm) -> None:
                    given = arguments[0] if arguments else keywords["input"]
                    algorithm.add_batch(given.detach(), out.detach())

                stack.callback(module.register_forward_hook(note, with_kwargs=True).remove)
            yield bool(modules)

    def _compress(self, name: str, unit: Any) -> None:
        """Compress the weights of a layer, but those that a later layer has too."""
        factors = Factors()
        for module_name, module in unit.named_modules(prefix=name):
            work = self.by_module.get(id(module))
            if work is None:
                continue
            work.waiting.discard(module_name)
            if not work.waiting and id(work.selected) not in self.records:
                if isinstance(work.algorithm, OBSCompressionAlgorithm):
                    work.algorithm.factors = factors
                self._finish(work)

    def _finish(self, work: _Work) -> None:
        started = time.perf_counter()
        selected, algorithm = work.selected, work.algorithm
        parameter = selected.weight.parameter
        before = to_array(parameter).copy()
        try:
            if isinstance(algorithm, OBSCompressionAlgorithm):
                done = algorithm.result()
                write(selected, done, self.before)
            else:
                done = self._by_another(selected, algorithm)
        except Declined as reason:
            self._decline(work, str(reason))
            return
        finally:
            algorithm.cleanup()
        errors = compare(before, to_array(done.value))
        record = compressed(selected, done, "compressed", errors, time.perf_counter() - started)
        self.records[id(selected)], self.forms[record.name] = record, done.form
        if isinstance(algorithm, OBSCompressionAlgorithm):
            self.losses[record.name] = LayerLoss(algorithm.loss, algorithm.relative_loss)

    def _by_another(self, selected: Selected, algorithm: Any) -> Compressed:
        """Let an algorithm that somebody registered change the module, metadata included."""
        keep(selected, self.before)
        if self.before is not None:
            for place in selected.compressed_places:
                self.before.keep_module(place.module)
        algorithm.compress()
        value = selected.weight.parameter.detach().cpu()
        bits, size = 8 * value.element_size(), value.numel() * value.element_size()
        metadata = CompressionMetadata(selected.weight.parameter_name)
        return Compressed(value, metadata, selected.config.algorithm, bits, size, {})

    def _decline(self, work: _Work, reason: str) -> None:
        # Chosen, so that it shares the memory of the original's as yet.
        if work.selected.reason is None:
            keep(work.selected, self.before)
        self.records[id(work.selected)] = declined(work.selected, reason)

    def finish(self) -> None:
        """Say of what no layer had that it was left alone, and give all forms the same columns, as coremltools does."""
        columns = list(dict.fromkeys(key for form in self.forms.values() for key in form))
        self.forms = {name: {key: form.get(key, -1) for key in columns} for name, form in self.forms.items()}
        for work in self.works:
            if id(work.selected) not in self.records:
                inside = self.config.layers is None or work.waiting
                self._decline(work, "no input reached the module" if inside else "not in one of the configured layers")


@contextmanager
def _evaluation(model: Any) -> Iterator[None]:
    """In evaluation mode; afterwards each module is in its own mode again."""
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def _placed(model: Any, device: Any) -> Iterator[None]:
    """On a device; afterwards, if that went well, on the one where it was, unless it was on several."""
    places = {tensor.device for tensor in (*model.parameters(), *model.buffers())}
    elsewhere = any(place.type != device.type or (device.index or place.index) != place.index for place in places)
    if elsewhere:
        model.to(device)
    yield
    if elsewhere and len(places) == 1:
        model.to(places.pop())
