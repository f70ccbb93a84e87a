"""Which parameters of a model are weights that can be compressed, and which configuration each gets."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

_MATRICES = (torch.nn.Linear, torch.nn.Embedding, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
TRANSPOSED = (torch.nn.ConvTranspose1d, torch.nn.ConvTranspose2d, torch.nn.ConvTranspose3d)
_ATTENTION = torch.nn.MultiheadAttention
_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")

SUPPORTED_MODULES = (*_MATRICES, *TRANSPOSED, _ATTENTION)


class Declined(Exception):  # noqa: N818  (no error: a decision)
    """A parameter is left as it is; the text is the reason in the report."""


@dataclass(frozen=True, eq=False)
class Weight:
    """A parameter where one module has it."""

    module_name: str
    """Qualified; empty for the model itself."""
    module: Any
    parameter_name: str
    parameter: Any

    @property
    def name(self) -> str:
        """Its qualified name."""
        return f"{self.module_name}.{self.parameter_name}" if self.module_name else self.parameter_name

    @property
    def output_axis(self) -> int:
        """The axis of the output channels."""
        return 1 if isinstance(self.module, TRANSPOSED) else 0

    @property
    def is_transposed(self) -> bool:
        """Whether the input channels come first."""
        return isinstance(self.module, TRANSPOSED)


@dataclass(frozen=True, eq=False)
class Selected:
    """A parameter of a model, wherever it is used, with its configuration or the reason why it is left alone."""

    places: tuple[Weight, ...]
    """Where it is used, in the order of the modules: tied parameters in several places."""
    compressed_places: tuple[Weight, ...]
    """Those of them where it is a weight that can be compressed."""
    config: Any
    reason: str | None

    @property
    def weight(self) -> Weight:
        """The place that it is compressed for."""
        return self.compressed_places[0] if self.compressed_places else self.places[0]


def weight_names(module: Any, supported: tuple[Any, ...] = SUPPORTED_MODULES) -> tuple[str, ...]:
    """The parameters of a module that are compressed; none where its class, and those above it, are not `supported`."""
    if not isinstance(module, supported):
        return ()
    return _PROJECTIONS if isinstance(module, _ATTENTION) else ("weight",)


def parameters(model: Any) -> Iterator[Weight]:
    """Every parameter of every module; a tied one in each place."""
    for module_name, module in model.named_modules():
        for parameter_name, parameter in module._parameters.items():
            if parameter is not None:
                yield Weight(module_name, module, parameter_name, parameter)


def select(
    model: Any, config_of: Callable[[str, Any], Any], supported: tuple[Any, ...] = SUPPORTED_MODULES
) -> list[Selected]:
    """Decide about every parameter of a model.

    Parameters
    ----------
    model
        A ``torch.nn.Module``.
    config_of
        The configuration of a module, by its qualified name and itself, or None.
    supported
        The classes of modules whose weights can be compressed.

    Returns
    -------
    list of Selected
        In the order of the modules. A tied parameter comes once, and is left alone where its places have different
        configurations.
    """
    groups: dict[Any, list[Weight]] = {}
    for place in parameters(model):
        groups.setdefault(_memory(place.parameter), []).append(place)
    overlaps = _overlaps([places[0] for places in groups.values()])
    return [_decide(tuple(places), config_of, supported, overlaps) for places in groups.values()]


def _overlaps(places: list[Weight]) -> dict[str, str]:
    """Names of parameters that have a part of their memory in common with another one, and its name."""
    stretches: dict[Any, list[tuple[int, int, str]]] = {}
    for place in places:
        key = _memory(place.parameter)
        if isinstance(key, tuple):
            device, pointer, start, shape, strides = key
            length = 1 + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
            stretches.setdefault((device, pointer), []).append((start, start + length, place.name))
    found: dict[str, str] = {}
    for stretch in stretches.values():
        furthest = (-1, -1, "")
        for each in sorted(stretch):
            if each[0] < furthest[1]:
                found.setdefault(furthest[2], each[2])
                found[each[2]] = furthest[2]
            furthest = max(furthest, each, key=lambda one: one[1])
    return found


def _memory(parameter: Any) -> Any:
    """Equal for parameters that are the same, or the same memory."""
    if isinstance(parameter, torch.nn.parameter.UninitializedTensorMixin) or parameter.layout != torch.strided:
        return id(parameter)
    try:
        pointer = parameter.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return id(parameter)
    if not pointer or not parameter.numel():
        return id(parameter)
    return parameter.device, pointer, parameter.storage_offset(), tuple(parameter.shape), parameter.stride()


def _decide(
    places: tuple[Weight, ...],
    config_of: Callable[[str, Any], Any],
    supported: tuple[Any, ...],
    overlaps: dict[str, str],
) -> Selected:
    usable = tuple(place for place in places if place.parameter_name in weight_names(place.module, supported))
    if not usable:
        return Selected(places, (), None, _not_a_weight(places[0], supported))
    configs = [config_of(place.module_name, place.module) for place in usable]
    reason = None
    if any(config != configs[0] for config in configs):
        others = ", ".join(repr(place.name) for place in usable[1:])
        reason = f"tied to {others}, and their configurations differ"
    elif configs[0] is None:
        reason = "no configuration applies to the module"
    elif places[0].name in overlaps:
        reason = f"a part of its memory is that of {overlaps[places[0].name]!r}"
    else:
        reason = _unusable(usable[0].parameter)
    return Selected(places, usable, configs[0], reason)


def _not_a_weight(place: Weight, supported: tuple[Any, ...]) -> str:
    kind = type(place.module).__name__
    names = [name for name in weight_names(place.module, supported) if place.module._parameters.get(name) is not None]
    if names:
        return f"of a {kind} only {', '.join(names)} is compressed"
    if kind == "ParametrizationList" or isinstance(place.module, supported):
        return "the weight is computed from it: make its parametrization or pruning permanent first"
    return f"modules of type {kind} are not compressed"


def _unusable(parameter: Any) -> str | None:
    """Why a parameter cannot be read or written."""
    if isinstance(parameter, torch.nn.parameter.UninitializedTensorMixin):
        return "not initialized yet: run the model once"
    if type(parameter.data) is not torch.Tensor:
        return f"its elements are in a {type(parameter.data).__name__}, not in a plain tensor"
    if parameter.device.type == "meta":
        return "on the meta device: it has no values"
    if parameter.layout != torch.strided:
        return f"its layout is {parameter.layout}, not dense"
    if parameter.dtype not in FLOATS:
        return f"its elements are {parameter.dtype}, not floating-point numbers"
    if parameter.ndim < 2:
        return f"it has {parameter.ndim} axes; a weight has two or more"
    if parameter.numel() == 0:
        return "it has no elements"
    if any(step == 0 and size > 1 for size, step in zip(parameter.shape, parameter.stride(), strict=True)):
        return "several of its elements are one place in memory"
    return None
