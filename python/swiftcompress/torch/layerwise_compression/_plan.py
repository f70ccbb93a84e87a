"""In which order the layers of a model are compressed, and whether they are a chain."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch

from swiftcompress.torch.layerwise_compression.input_cacher import DefaultInputCacher, StopExecution, call


@dataclass
class Units:
    """Layers in the order in which they run."""

    layers: list[tuple[str, Any]]
    is_chain: bool
    """Whether each gets what the one before it returns, and nothing else that changes."""
    calls: dict[str, int] = field(default_factory=dict)
    """How often each ran for the first batch."""


@dataclass
class _Seen:
    """One call of a layer."""

    name: str
    arguments: Any
    keywords: Any
    output: Any = None


def units(model: Any, config: Any, batch: Any) -> Units:
    """Run the model on a batch and see what its layers do; those of a Sequential that does not run are taken for a chain.

    Parameters
    ----------
    model
        In evaluation mode, on the device of the batch.
    config
        A `LayerwiseCompressorConfig`.
    batch
        See `call`.
    """
    candidates = dict(config.get_layers(model))
    if not candidates and config.layers is None:
        candidates = {"": model}
    modules = {name: module for name, module in model.named_modules() if _below(name, candidates)}
    seen: list[_Seen] = []
    with ExitStack() as stack:
        for name, module in modules.items():
            stack.callback(module.register_forward_pre_hook(_before(name, seen), with_kwargs=True).remove)
            stack.callback(module.register_forward_hook(_after(name, seen)).remove)
        try:
            call(model, batch)
        except (TypeError, ValueError, RuntimeError):
            # A Sequential does not run where a layer takes several results of the one before; as a chain it does. Any other
            # model is run wrongly, or is wrong.
            if not isinstance(model, torch.nn.Sequential):
                raise
            return Units(list(candidates.items()), is_chain=True)
    calls: dict[str, int] = {}
    for each in seen:
        calls[each.name] = calls.get(each.name, 0) + 1
    chosen = {each: None for name in candidates for each in _called(name, modules, calls)}
    order = [name for name in calls if name in chosen]
    top = [each for each in seen if each.name in chosen]
    is_chain = order == list(candidates) and _is_chain(top, batch, config.input_cacher)
    return Units([(name, modules[name]) for name in order], is_chain, calls)


def _below(name: str, candidates: dict[str, Any]) -> bool:
    return any(not each or name == each or name.startswith(f"{each}.") for each in candidates)


def _called(name: str, modules: dict[str, Any], calls: dict[str, int]) -> Iterator[str]:
    """The layer itself if it ran, otherwise those in it that did: a list of layers does not run itself."""
    if name in calls:
        yield name
        return
    for child, _ in modules[name].named_children():
        inner = f"{name}.{child}" if name else child
        if inner in modules:
            yield from _called(inner, modules, calls)


def _before(name: str, seen: list[_Seen]) -> Any:
    def note(_: Any, arguments: Any, keywords: Any) -> None:
        seen.append(_Seen(name, arguments, dict(keywords)))

    return note


def _after(name: str, seen: list[_Seen]) -> Any:
    def note(_: Any, arguments: Any, output: Any) -> None:
        next(each for each in reversed(seen) if each.name == name and each.output is None).output = output

    return note


def _is_chain(seen: list[_Seen], batch: Any, cacher: Any) -> bool:
    """Whether every layer is called once, with what the one before returned and the keywords of the first."""
    if not seen or len({each.name for each in seen}) != len(seen):
        return False
    if cacher is DefaultInputCacher:
        given = (
            (batch,) if isinstance(batch, torch.Tensor) else tuple(batch) if isinstance(batch, list | tuple) else None
        )
        if given is None or seen[0].keywords or not _same(seen[0].arguments, given):
            return False
    for before, after in pairwise(seen):
        handed = before.output if isinstance(before.output, tuple) else (before.output,)
        if not _same(after.arguments, handed) or after.keywords.keys() != seen[0].keywords.keys():
            return False
        if any(after.keywords[key] is not value for key, value in seen[0].keywords.items()):
            return False
    return True


def _same(found: tuple[Any, ...], given: tuple[Any, ...]) -> bool:
    return len(found) == len(given) and all(a is b for a, b in zip(found, given, strict=True))


def run_up_to(model: Any, batch: Any, last: Any) -> None:
    """Run the model on a batch until a layer is through; None: to its end."""
    if last is None:
        call(model, batch)
        return

    def stop(*_: Any) -> None:
        raise StopExecution

    handle = last.register_forward_hook(stop)
    try:
        call(model, batch)
    except StopExecution:
        pass
    finally:
        handle.remove()
