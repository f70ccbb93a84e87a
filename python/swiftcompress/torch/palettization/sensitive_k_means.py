"""`SKMPalettizer`: palettization with a k-means that is weighted by how much the loss depends on each weight."""

import warnings
from collections.abc import Iterable
from itertools import islice
from typing import Any, ClassVar

import torch

from swiftcompress._checks import boolean, message
from swiftcompress.torch._before import all_or_nothing
from swiftcompress.torch._metadata import register_metadata_version
from swiftcompress.torch._optimizer import Compressed, ParameterCompressor, elements, workers
from swiftcompress.torch._selection import Selected, Weight, select
from swiftcompress.torch.optimization_config import OptimizationConfig
from swiftcompress.torch.palettization import _sensitivities
from swiftcompress.torch.palettization._clustering import palettize
from swiftcompress.torch.palettization._sensitivities import AnyPath, LossFunction
from swiftcompress.torch.palettization.config import SKMPalettizerConfig


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
        sensitivity_path: AnyPath | None = None,
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
            When an argument is not of the kind or in the range described, or there is no sample; when `loss_fn` returns
            anything but a tensor of one element with a gradient.
        OSError
            When the file cannot be written; where its folder does not exist, before anything is computed.
        """
        operation = f"{type(self).__name__}.compute_sensitivity"
        (of_loader, loader), (of_loss, loss) = _both_names(operation, dataloader, loss_fn, data_loader, loss_function)
        if num_sensitivity_workers != 1 or fsdp_auto_wrap_policy is not None:
            text = "num_sensitivity_workers and fsdp_auto_wrap_policy have no effect: the gradients are computed here"
            warnings.warn(f"[{operation}] {text}", stacklevel=2)
        if loader is None or loss is None:
            allowed = "both, unless compress has a sensitivity_path"
            found = "neither" if loader is None and loss is None else "only one of them"
            raise ValueError(message(operation, "dataloader, loss_fn", found, allowed))
        if not callable(loss):
            raise TypeError(message(operation, of_loss, f"a {type(loss).__name__}", "a function"))
        if sensitivity_path is not None:
            _sensitivities.check_place(operation, sensitivity_path)
        samples = islice(elements(operation, of_loader, loader), self._config.calibration_nsamples)
        wanted = {id(selected.weight.parameter) for selected in self._selected()}
        sums = _sensitivities.squared_gradients(operation, self._original, wanted, samples, loss, of_loss)
        sensitivities = {name: _sensitivities.normalized(total) for name, total in sums.items()}
        if sensitivity_path is not None:
            torch.save(sensitivities, sensitivity_path)
        return sensitivities

    def _selected(self) -> list[Selected]:
        found = select(self._original, self._config_of, self._supported_modules)
        return [selected for selected in found if selected.reason is None]

    def compress(
        self,
        dataloader: Iterable[Any] | None = None,
        loss_fn: LossFunction | None = None,
        sensitivity_path: AnyPath | None = None,
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
            When an argument is not of the kind or in the range described; when the file is none of `compute_sensitivity`, or
            has nothing, another shape or a number below 0 for a weight that is to be palettized.
        OSError
            When it cannot be read.
        """
        operation = f"{type(self).__name__}.compress"
        threads = workers(type(self).__name__, "num_kmeans_workers", num_kmeans_workers)
        inplace = boolean(type(self).__name__, "inplace", inplace)
        with all_or_nothing(self._original, inplace) as before:
            if sensitivity_path is None:
                others: dict[str, Any] = {"data_loader": data_loader, "loss_function": loss_function}
                sensitivities: Any = self.compute_sensitivity(
                    *(dataloader, loss_fn, None, num_sensitivity_workers),
                    fsdp_auto_wrap_policy=fsdp_auto_wrap_policy,
                    **{name: given for name, given in others.items() if given is not None},
                )
            else:
                _both_names(operation, dataloader, loss_fn, data_loader, loss_function)
                sensitivities = _sensitivities.read(operation, sensitivity_path)
            found = _sensitivities.of_weights(operation, self._selected(), sensitivities)
            model = self._get_model_for_compression(inplace)

            def compress_one(weight: Weight, config: Any, each: int) -> Compressed:
                return palettize(weight, config, found[weight.name], each)

            report = self._compress_parameters(model, before, compress_one, threads)
            register_metadata_version(model)
        self._model, self._report = model, report
        return model


def _both_names(
    operation: str, dataloader: Any, loss_fn: Any, data_loader: Any, loss_function: Any
) -> list[tuple[str, Any]]:
    """The code of coremltools has one pair of names, its guide the other: which were used, and for what."""
    pairs = (
        ("dataloader", dataloader, "data_loader", data_loader),
        ("loss_fn", loss_fn, "loss_function", loss_function),
    )
    for name, value, other, same in pairs:
        if value is not None and same is not None:
            raise TypeError(message(operation, f"{name}, {other}", "both", "one of them, which are the same"))
    return [(other, same) if value is None else (name, value) for name, value, other, same in pairs]
