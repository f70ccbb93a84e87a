"""`SKMPalettizer`: palettization with a k-means that is weighted by how much the loss depends on each weight."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from os import PathLike
from typing import Any, ClassVar

import torch

from swiftcompress._checks import message
from swiftcompress.torch._before import all_or_nothing, once
from swiftcompress.torch._metadata import register_metadata_version
from swiftcompress.torch._optimizer import Compressed, ParameterCompressor, workers
from swiftcompress.torch._selection import Selected, Weight, select
from swiftcompress.torch.optimization_config import OptimizationConfig
from swiftcompress.torch.palettization._clustering import palettize
from swiftcompress.torch.palettization.config import SKMPalettizerConfig

Path = str | PathLike[str]
LossFunction = Callable[[Any, Any], Any]

# No sensitivity is less than this part of the greatest one.
_LEAST = 1e-12


class SKMPalettizer(ParameterCompressor):
    """Palettize the weights of a model by a k-means in which sensitive weights count more.

    How sensitive the loss is to each weight is estimated by the sum of its squared gradients over some samples (the diagonal
    of the Fisher information). Kim et al., "SqueezeLLM: Dense-and-Sparse Quantization", 2023, arXiv:2306.07629.

    Parameters
    ----------
    model
        A ``torch.nn.Module``.
    config
        An `SKMPalettizerConfig`; None: 4 bits per tensor, 128 samples.

    Raises
    ------
    TypeError
        When an argument is of another type.

    References
    ----------
    The class of the same name in coremltools 9.0 (BSD-3-Clause),
    ``coremltools/optimize/torch/palettization/sensitive_k_means.py``.

    Examples
    --------
    >>> import torch
    >>> from swiftcompress.torch.palettization import SKMPalettizer
    >>> samples = [(torch.randn(4, 8), torch.randn(4, 16)) for _ in range(3)]
    >>> def loss_fn(model, data):
    ...     return torch.nn.functional.mse_loss(model(data[0]), data[1])
    >>> model = SKMPalettizer(torch.nn.Linear(8, 16)).compress(dataloader=samples, loss_fn=loss_fn)
    >>> model.weight.unique().numel()
    16
    """

    _config: SKMPalettizerConfig
    _CONFIG: ClassVar[type[OptimizationConfig]] = SKMPalettizerConfig
    _OPERATION: ClassVar[str] = "palettize"
    _DONE: ClassVar[str] = "palettized"

    def compute_sensitivity(
        self,
        dataloader: Iterable[Any] | None = None,
        loss_fn: LossFunction | None = None,
        sensitivity_path: Path | None = None,
        num_sensitivity_workers: int = 1,
        fsdp_auto_wrap_policy: Any = None,
        *,
        data_loader: Iterable[Any] | None = None,
        loss_function: LossFunction | None = None,
    ) -> dict[str, Any]:
        """Sum up the squared gradients of the loss, each parameter's divided by their greatest.

        The model is used where it is, on its device and in its mode (training or evaluation); afterwards its buffers, such
        as the running statistics of a batch normalization, and its gradients are what they were before.

        Parameters
        ----------
        dataloader, data_loader
            An iterable of samples, under either name; `calibration_nsamples` of them are used at most.
        loss_fn, loss_function
            Called with the model and a sample; returns the loss, a number that depends on the parameters.
        sensitivity_path
            Where to save the result, for `compress`; None: nowhere.
        num_sensitivity_workers, fsdp_auto_wrap_policy
            Of coremltools, which can spread the model over several GPUs. Here the gradients are computed in this process;
            anything but the defaults is a warning.

        Returns
        -------
        dict of str to torch.Tensor
            For each parameter, by its first qualified name, numbers from 1e-12 to 1 in its shape, on the CPU, in float32 or
            the parameter's dtype if that is wider. All 1 where no gradient was found.

        Raises
        ------
        TypeError, ValueError
            When an argument is not of the kind or in the range described, or there is no sample.
        OSError
            When the file cannot be written.
        """
        operation = f"{type(self).__name__}.compute_sensitivity"
        loader, loss = _both_names(operation, dataloader, loss_fn, data_loader, loss_function)
        if num_sensitivity_workers != 1 or fsdp_auto_wrap_policy is not None:
            text = "num_sensitivity_workers and fsdp_auto_wrap_policy have no effect: the gradients are computed here"
            warnings.warn(f"[{operation}] {text}", stacklevel=2)
        if loader is None or loss is None:
            allowed = "both, unless compress has a sensitivity_path"
            found = "neither" if loader is None and loss is None else "only one of them"
            raise ValueError(message(operation, "dataloader, loss_fn", found, allowed))
        if not callable(loss):
            raise TypeError(message(operation, "loss_fn", f"a {type(loss).__name__}", "a function"))
        samples = islice(iter(loader), self._config.calibration_nsamples)
        wanted = {id(selected.weight.parameter) for selected in self._selected(self._original)}
        sums = _squared_gradients(operation, self._original, wanted, samples, loss)
        sensitivities = {name: _normalized(total) for name, total in sums.items()}
        if sensitivity_path is not None:
            torch.save(sensitivities, sensitivity_path)
        return sensitivities

    def _selected(self, model: Any) -> list[Selected]:
        return [
            selected for selected in select(model, self._config_of, self._supported_modules) if selected.reason is None
        ]

    def compress(
        self,
        dataloader: Iterable[Any] | None = None,
        loss_fn: LossFunction | None = None,
        sensitivity_path: Path | None = None,
        num_kmeans_workers: int | None = 1,
        num_sensitivity_workers: int = 1,
        inplace: bool = False,
        fsdp_auto_wrap_policy: Any = None,
        *,
        data_loader: Iterable[Any] | None = None,
        loss_function: LossFunction | None = None,
    ) -> Any:
        """Palettize every weight that the configuration selects; `report` then says what was done to each.

        Parameters
        ----------
        dataloader, data_loader, loss_fn, loss_function, num_sensitivity_workers, fsdp_auto_wrap_policy
            As in `compute_sensitivity`; not used with a `sensitivity_path`.
        sensitivity_path
            A file that `compute_sensitivity`, ours or coremltools', has written: for each parameter's name a tensor in its
            shape, of finite numbers of 0 or more.
        num_kmeans_workers
            Threads at most; 1, which is coremltools' default, and None: one for each core. Never changes a result.
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
            When an argument is not of the kind or in the range described; when the file has nothing, or another shape, for
            a weight that is to be palettized.
        OSError
            When it cannot be read.
        """
        operation = f"{type(self).__name__}.compress"
        threads = workers(type(self).__name__, "num_kmeans_workers", num_kmeans_workers)
        loader, loss = _both_names(operation, dataloader, loss_fn, data_loader, loss_function)
        model = self._get_model_for_compression(inplace)
        with all_or_nothing(model, model is self._original) as before:
            if sensitivity_path is None:
                sensitivities = self.compute_sensitivity(
                    loader, loss, None, num_sensitivity_workers, fsdp_auto_wrap_policy=fsdp_auto_wrap_policy
                )
            else:
                sensitivities = torch.load(sensitivity_path, map_location="cpu", weights_only=True)
            found = {
                selected.weight.parameter: _sensitivity_of(operation, selected, sensitivities)
                for selected in self._selected(model)
            }

            def compress_one(weight: Weight, config: Any, each: int) -> Compressed:
                return palettize(weight, config, found[weight.parameter], each)

            report = self._compress_parameters(model, before, compress_one, threads)
            register_metadata_version(model)
        self._model, self._report = model, report
        return model


def _both_names(operation: str, dataloader: Any, loss_fn: Any, data_loader: Any, loss_function: Any) -> tuple[Any, Any]:
    """The code of coremltools has one pair of names, its guide the other."""
    pairs = (
        ("dataloader", dataloader, "data_loader", data_loader),
        ("loss_fn", loss_fn, "loss_function", loss_function),
    )
    for name, value, other, same in pairs:
        if value is not None and same is not None:
            raise TypeError(message(operation, f"{name}, {other}", "both", "one of them, which are the same"))
    return (
        data_loader if dataloader is None else dataloader,
        loss_function if loss_fn is None else loss_fn,
    )


def _sensitivity_of(operation: str, selected: Selected, sensitivities: Any) -> Any:
    """The sensitivity of one parameter, which may be known by any of its names."""
    names = [place.name for place in selected.places]
    shape = tuple(selected.weight.parameter.shape)
    for name in names:
        if name not in sensitivities:
            continue
        sensitivity = sensitivities[name]
        if sensitivity is None:
            return None
        if not isinstance(sensitivity, torch.Tensor) or tuple(sensitivity.shape) != shape:
            found = f"{name!r} with {getattr(sensitivity, 'shape', type(sensitivity).__name__)}"
            raise ValueError(message(operation, "sensitivity", found, f"a tensor of shape {shape}"))
        return sensitivity if sensitivity.is_floating_point() else sensitivity.float()
    raise ValueError(message(operation, "sensitivity", f"nothing for {names[0]!r}", "a tensor for every weight"))


def _squared_gradients(
    operation: str, model: Any, wanted: set[int], samples: Iterator[Any], loss: LossFunction
) -> dict[str, Any]:
    """For each parameter that has a gradient, or is `wanted`, the sum of its squares, in float32 or wider."""
    names = {}
    sums: dict[str, Any] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad or id(parameter) in wanted:
            names[parameter] = name
            kind = torch.promote_types(parameter.dtype, torch.float32)
            sums[name] = torch.zeros_like(parameter, dtype=kind, requires_grad=False)

    def add(parameter: Any) -> None:
        gradient = parameter.grad.to(sums[names[parameter]].dtype)
        sums[names[parameter]] += gradient.square()
        parameter.grad = None

    count = 0
    with _as_before(model, names), torch.enable_grad(), ExitStack() as stack:
        for parameter in names:
            stack.callback(parameter.register_post_accumulate_grad_hook(add).remove)
        for sample in samples:
            loss(model, sample).backward()
            count += 1
    if count == 0:
        raise ValueError(message(operation, "dataloader", "no sample", "an iterable of at least one"))
    return sums


@contextmanager
def _as_before(model: Any, names: dict[Any, str]) -> Iterator[None]:
    """Afterwards buffers, gradients and `requires_grad` are what they were."""
    # A module may write into a buffer, or put another tensor in its place.
    buffers = [
        (module, name, buffer, None if buffer is None else once(buffer).clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
    ]
    before = [(parameter, parameter.grad, parameter.requires_grad) for parameter in model.parameters()]
    try:
        for parameter, _, _ in before:
            parameter.grad = None
        for parameter in names:
            parameter.requires_grad_(True)
        yield
    finally:
        with torch.no_grad():
            for module, name, buffer, value in buffers:
                if buffer is not None:
                    once(buffer).copy_(value)
                module._buffers[name] = buffer
        for parameter, gradient, requires in before:
            parameter.grad = gradient
            parameter.requires_grad_(requires)


def _normalized(total: Any) -> Any:
    """Sums of squares as numbers from 1e-12 to 1, on the CPU, in the order of coremltools' operations."""
    values = 100 * total.cpu()
    if not values.any():
        return torch.ones_like(values)
    values = values / values.max()
    values[values == 0] = values[values != 0].min()
    values[values < _LEAST] = _LEAST
    return values
