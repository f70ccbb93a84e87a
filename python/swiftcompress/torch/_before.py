"""All of a compression in place or nothing of it: what a model was like, until everything is done."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from swiftcompress.torch._metadata import PREFIX

_MEMBERS = ("_parameters", "_buffers", "_non_persistent_buffers_set")
_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)


@dataclass
class _Module:
    """A module as it was: pairs of what it has in a dictionary or set, and what was in there."""

    module: Any
    training: bool
    members: list[tuple[Any, Any]]
    hooks: list[tuple[Any, Any]]
    is_whole: bool = False
    """Whether all that came since is ours; otherwise what the model itself made while it ran stays."""


class Before:
    """A model as it is now: parameters, buffers, gradients, hooks and modes, and where values of parameters are.

    Values themselves are copied for `keep` alone, to the CPU.

    Parameters
    ----------
    model
        A ``torch.nn.Module``.
    """

    def __init__(self, model: Any) -> None:
        self._modules = {
            id(module): _Module(module, module.training, _copies(module, _MEMBERS), _copies(module, _HOOKS))
            for module in model.modules()
        }
        parameters = [
            parameter
            for parameter in model.parameters()
            if not isinstance(parameter, torch.nn.parameter.UninitializedTensorMixin)
        ]
        self._gradients = [(parameter, parameter.grad) for parameter in parameters]
        gradients = [gradient for _, gradient in self._gradients if gradient is not None]
        self._memory = {id(tensor): (tensor, tensor.data) for tensor in (*parameters, *gradients)}
        self._values: list[tuple[Any, Any]] = []

    def keep(self, tensor: Any) -> None:
        """Copy the values of a parameter or buffer that may be changed in its memory, before it is."""
        data = once(tensor.detach())
        known = self._memory.get(id(tensor))
        if data.device.type == "meta" or (known is not None and not _is_same_memory(known[1], data)):
            return  # no values, or the model was moved and those of before are still where they were
        self._values.append((data, data.to("cpu", copy=True)))

    def keep_module(self, module: Any) -> None:
        """The same for all of a module, which somebody else's code will change."""
        for tensor in (*module.parameters(), *module.buffers()):
            self.keep(tensor)
        for each in module.modules():
            self._modules[id(each)].is_whole = True

    def restore(self) -> None:
        """Make the model what it was; may be called again where it was interrupted."""
        with torch.no_grad():
            for data, values in reversed(self._values):
                with torch.inference_mode(data.is_inference()):
                    data.copy_(values)
            for tensor, data in self._memory.values():
                if not _is_same_memory(tensor, data):
                    tensor.data = data
            for parameter, gradient in self._gradients:
                parameter.grad = gradient
        for each in self._modules.values():
            each.module.training = each.training
            for now, then in each.members:
                later = [name for name in now if name not in then and not each.is_whole and not name.startswith(PREFIX)]
                then = {**then, **{name: now[name] for name in later}} if isinstance(now, dict) else then | set(later)
                now.clear()
                now.update(then)
            for now, then in each.hooks:
                for key in now.keys() - then.keys():
                    del now[key]


def _copies(module: Any, names: tuple[str, ...]) -> list[tuple[Any, Any]]:
    found = [module.__dict__.get(name) for name in names]
    return [(each, each.copy()) for each in found if isinstance(each, dict | set)]


def _is_same_memory(first: Any, second: Any) -> bool:
    """Also where that cannot be told: sparse tensors have no address."""
    try:
        return bool(first.device == second.device and first.data_ptr() == second.data_ptr())
    except (RuntimeError, NotImplementedError):
        return True


def once(tensor: Any) -> Any:
    """The part of a tensor that has each place in memory once: of an expanded axis the first element."""
    for axis, size in enumerate(tensor.shape if tensor.layout == torch.strided else ()):
        if size > 1 and tensor.stride(axis) == 0:
            tensor = tensor.narrow(axis, 0, 1)
    return tensor


@contextmanager
def all_or_nothing(model: Any, inplace: bool) -> Iterator[Before | None]:
    """Whatever ends this early, Ctrl-C too, leaves the model as it was.

    Gives a `Before`, for what will be changed; None where it is a copy that is changed, which nobody sees then.
    """
    if not inplace:
        yield None
        return
    before = Before(model)
    try:
        yield before
    except BaseException:
        to_the_end(before.restore)
        raise


def to_the_end(restore: Callable[[], None]) -> None:
    """Call what may be called again, until it has ended: Ctrl-C comes a second time from somebody who cannot wait."""
    while True:
        try:
            return restore()
        except KeyboardInterrupt:
            continue
