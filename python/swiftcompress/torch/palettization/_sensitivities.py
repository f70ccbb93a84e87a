"""How sensitive a loss is to each weight: squared gradients summed up, or read from a file.

The numbers are those of ``coremltools/optimize/torch/palettization/sensitive_k_means.py`` (coremltools 9.0, BSD-3-Clause).
"""

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from swiftcompress._checks import message
from swiftcompress.torch._before import once, to_the_end
from swiftcompress.torch._selection import Selected

AnyPath = str | PathLike[str]
LossFunction = Callable[[Any, Any], Any]

# No sensitivity is less than this part of the greatest one.
_LEAST = 1e-12
# Names of a file that a message lists.
_SHOWN = 5


def check_place(operation: str, path: Any) -> None:
    """See that a file can be written there before anything is computed for it.

    Raises
    ------
    TypeError
        When it is no path.
    OSError
        When its folder does not exist, or it is a folder itself.
    """
    if hasattr(path, "write"):  # an open file, which torch takes too
        return
    if not isinstance(path, str | PathLike):
        raise TypeError(message(operation, "sensitivity_path", f"a {type(path).__name__}", "None, or a path"))
    allowed = "the path of a file in a folder that exists"
    if Path(path).is_dir():
        text = message(operation, "sensitivity_path", "a folder", allowed)
        raise IsADirectoryError(errno.EISDIR, text, str(path))
    if not Path(path).parent.is_dir():
        text = message(operation, "sensitivity_path", "a path in no folder", allowed)
        raise FileNotFoundError(errno.ENOENT, text, str(path))


def read(operation: str, path: Any) -> Any:
    """What `compute_sensitivity` has written: tensors by the names of parameters.

    Raises
    ------
    TypeError
        When it is no path.
    OSError
        When it cannot be read.
    ValueError
        When it is something else.
    """
    allowed = "a file that compute_sensitivity has written"
    if not isinstance(path, str | PathLike) and not hasattr(path, "read"):
        raise TypeError(message(operation, "sensitivity_path", f"a {type(path).__name__}", "the path of " + allowed))
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        text = message(operation, "sensitivity_path", f"nothing that can be read ({error.strerror})", allowed)
        raise type(error)(error.errno, text, str(path)) from error
    except MemoryError:
        raise
    except Exception as error:  # what pickle and zip make of anything at all
        text = message(operation, "sensitivity_path", f"{str(path)!r}, which torch.load does not take", allowed)
        raise ValueError(f"{text} ({type(error).__name__})") from error
    if not isinstance(found, Mapping):
        text = f"{str(path)!r} with a {type(found).__name__}"
        raise ValueError(message(operation, "sensitivity_path", text, allowed))
    return found


def of_weights(operation: str, selected: list[Selected], sensitivities: Mapping[str, Any]) -> dict[str, Any]:
    """The sensitivity of each weight by its first name; it may be known by any of its names.

    Raises
    ------
    ValueError
        When one has none, or it has another shape, or numbers that are no sensitivities.
    """
    found, missing = {}, []
    for each in selected:
        names = [place.name for place in each.places if place.name in sensitivities]
        if names:
            found[each.weight.name] = _checked(operation, names[0], sensitivities[names[0]], each.weight.parameter)
        else:
            missing.append(each.places[0].name)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        there = ", ".join(repr(name) for name in list(sensitivities)[:_SHOWN])
        rest = ", ..." if len(sensitivities) > _SHOWN else ""
        text = f"nothing for {missing[0]!r}{more}, only {there}{rest}" if there else "nothing"
        raise ValueError(message(operation, "sensitivity_path", text, "a tensor for every weight that is palettized"))
    return found


def _checked(operation: str, name: str, values: Any, parameter: Any) -> Any:
    if values is None:
        return None
    shape = tuple(parameter.shape)
    if not isinstance(values, torch.Tensor) or tuple(values.shape) != shape or values.is_complex():
        kind = f"a {type(values).__name__}"
        if isinstance(values, torch.Tensor):
            kind = f"a tensor of shape {tuple(values.shape)} in {str(values.dtype).removeprefix('torch.')}"
        raise ValueError(message(operation, "sensitivity_path", f"{name!r} with {kind}", f"a tensor of shape {shape}"))
    values = values if values.is_floating_point() else values.float()
    least, greatest = (float(each) for each in torch.aminmax(values))
    if not (least >= 0 and greatest < float("inf")):
        text = f"{name!r} with numbers from {least:g} to {greatest:g}"
        raise ValueError(message(operation, "sensitivity_path", text, "finite numbers of 0 or more"))
    return values


def squared_gradients(
    operation: str, model: Any, wanted: set[int], samples: Iterator[Any], loss: LossFunction, name_of_loss: str
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
            _checked_loss(operation, name_of_loss, loss(model, sample)).backward()
            count += 1
    if count == 0:
        raise ValueError(message(operation, "dataloader", "no sample", "an iterable of at least one"))
    for name, total in sums.items():
        if not torch.isfinite(total).all():
            text = f"one whose squared gradients for {name!r} add up to NaN or infinity"
            raise ValueError(message(operation, name_of_loss, text, "a function with finite gradients"))
    return sums


def _checked_loss(operation: str, name: str, loss: Any) -> Any:
    """What a loss function returned, if it has a gradient."""
    allowed = "a function that returns the loss: a tensor of one element that depends on the parameters"
    if not isinstance(loss, torch.Tensor):
        kind = "None" if loss is None else f"a {type(loss).__name__}"
        raise TypeError(message(operation, name, f"one that returns {kind}", allowed))
    if loss.numel() != 1:
        raise ValueError(message(operation, name, f"one that returns a tensor of shape {tuple(loss.shape)}", allowed))
    if not loss.requires_grad:
        text = (
            "one that returns a tensor without a gradient (detached, or computed in torch.no_grad or of no parameter)"
        )
        raise ValueError(message(operation, name, text, allowed))
    return loss


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

        def restore() -> None:
            with torch.no_grad():
                for module, name, buffer, value in buffers:
                    if buffer is not None:
                        once(buffer).copy_(value)
                    module._buffers[name] = buffer
            for parameter, gradient, requires in before:
                parameter.grad = gradient
                parameter.requires_grad_(requires)

        to_the_end(restore)


def normalized(total: Any) -> Any:
    """Sums of squares as numbers from 1e-12 to 1, on the CPU, in the order of coremltools' operations."""
    values = 100 * total.cpu()
    if not values.any():
        return torch.ones_like(values)
    values = values / values.max()
    values[values == 0] = values[values != 0].min()
    values[values < _LEAST] = _LEAST
    return values
