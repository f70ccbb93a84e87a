"""What all compressors of torch models do alike: copies, devices, tied parameters, buffers, the report.

A compressor of weights one by one derives from `ParameterCompressor` and says what becomes of one of them.
"""

import copy
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch

from swiftcompress._checks import LARGEST, boolean, integer, message
from swiftcompress.arrays.inputs import Array
from swiftcompress.torch._before import Before
from swiftcompress.torch._metadata import CompressionMetadata
from swiftcompress.torch._report import ParameterRecord, TorchReport
from swiftcompress.torch._selection import SUPPORTED_MODULES, Declined, Selected, Weight, select
from swiftcompress.torch.optimization_config import OptimizationConfig

# Elements compared at a time, and sums of squares that float32 holds without overflow or loss.
_CHUNK = 1 << 18
_SAFE = (1e-25, 1e30)


@dataclass(frozen=True, eq=False)
class Compressed:
    """What became of one parameter."""

    value: Any
    """A tensor on the CPU in the parameter's dtype and shape."""
    metadata: CompressionMetadata
    """For each module that has it; `param_name` is set there."""
    scheme: str
    """How it was compressed, for people."""
    nbits: int
    """Bits of a code."""
    nbytes: int
    """Bytes that the compressed form takes."""
    form: dict[str, Any]
    """What coremltools' report says of it."""
    note: str | None = None
    errors: "Errors | None" = None
    """How `value` differs from the parameter; None: still to be measured."""


CompressOne = Callable[[Weight, Any, int], Compressed]


class BaseModelOptimizer:
    """Holds a model, its configuration, and the report of what was done.

    Attributes
    ----------
    report
        A `TorchReport` of the last `compress`. It can be called, as coremltools' method of this name.
    """

    _CONFIG: ClassVar[type[OptimizationConfig]] = OptimizationConfig
    _OPERATION: ClassVar[str] = "compress"
    _DONE: ClassVar[str] = "compressed"
    _supported_modules: ClassVar[tuple[Any, ...]] = SUPPORTED_MODULES

    def __init__(self, model: Any, config: Any = None) -> None:
        operation = type(self).__name__
        if not isinstance(model, torch.nn.Module) or isinstance(model, torch.jit.ScriptModule):
            allowed = "a torch.nn.Module; a script can be made of the result"
            raise TypeError(message(operation, "model", f"a {type(model).__name__}", allowed))
        if config is None:
            config = self._CONFIG()
        if not isinstance(config, self._CONFIG):
            allowed = f"a {self._CONFIG.__name__}, or None"
            raise TypeError(message(operation, "config", f"a {type(config).__name__}", allowed))
        self._original = model
        self._model = model
        self._config: Any = config
        self._report = TorchReport(self._OPERATION)

    @property
    def supported_modules(self) -> tuple[Any, ...]:
        """The classes of modules that are compressed."""
        return self._supported_modules

    @property
    def report(self) -> TorchReport:
        """What the last `compress` did."""
        return self._report

    def _get_model_for_compression(self, inplace: Any) -> Any:
        """The model itself, or a copy of it in which tied parameters are tied too.

        In a copy the parameters that will be compressed share the memory of the original's, until `write` or `keep` gives
        them their own: they would be copied only to be replaced.
        """
        if boolean(type(self).__name__, "inplace", inplace):
            return self._original
        memo: dict[int, Any] = {}
        for selected in select(self._original, self._config_of, self._supported_modules):
            for place in selected.places if selected.reason is None else ():
                parameter = place.parameter
                if type(parameter) is torch.nn.Parameter:
                    memo[id(parameter)] = torch.nn.Parameter(parameter.detach(), parameter.requires_grad)
        return copy.deepcopy(self._original, memo)

    def _config_of(self, name: str, module: Any) -> Any:
        """The configuration of the module of this name, or None."""
        return self._config.get_module_config(name, module)


class ParameterCompressor(BaseModelOptimizer):
    """A compressor that treats each parameter by itself."""

    def _compress_parameters(
        self,
        model: Any,
        before: Before | None,
        compress_one: CompressOne,
        threads: int = 0,
    ) -> TorchReport:
        """Compress what the configuration selects, in the model itself; what was done.

        Parameters
        ----------
        model
            What `_get_model_for_compression` returned.
        before
            See `all_or_nothing`.
        compress_one
            Called with a weight, its configuration and a number of threads for the engine, from several threads at once.
        threads
            At most; 0: one for each core.
        """
        started = time.perf_counter()
        everything = select(model, self._config_of, self._supported_modules)
        todo = [selected for selected in everything if selected.reason is None]
        count = threads or cores()
        # A weight by itself has all threads; of many, each has one, and they go side by side.
        each = max(1, min(count, -(-2 * count // max(len(todo), 1))))
        records = {id(selected): declined(selected, selected.reason) for selected in everything if selected.reason}
        forms = {}
        jobs = [partial(_attempt, selected, compress_one, each) for selected in todo]
        with torch.no_grad():
            for selected, outcome in zip(todo, _side_by_side(jobs, count), strict=True):
                if isinstance(outcome, Declined):
                    keep(selected, before)
                    records[id(selected)] = declined(selected, str(outcome))
                    continue
                done, errors, seconds = outcome
                write(selected, done, before)
                record = compressed(selected, done, self._DONE, errors, seconds)
                records[id(selected)], forms[record.name] = record, done.form
        return TorchReport(
            self._OPERATION,
            tuple(records[id(selected)] for selected in everything),
            self._config.unmatched(model),
            time.perf_counter() - started,
            forms,
        )


def _attempt(selected: Selected, compress_one: CompressOne, threads: int) -> Any:
    """A `Compressed` with its errors and the time it took, or a `Declined`."""
    started = time.perf_counter()
    with torch.no_grad():
        try:
            done = compress_one(selected.weight, selected.config, threads)
        except Declined as reason:
            return reason
        errors = done.errors or compare(to_array(selected.weight.parameter), to_array(done.value))
    return done, errors, time.perf_counter() - started


def _side_by_side(jobs: Sequence[Callable[[], Any]], threads: int) -> Iterator[Any]:
    """The results in order; on this thread where that is enough, so that Ctrl-C reaches the engine."""
    if threads == 1 or len(jobs) <= 1:
        for job in jobs:
            yield job()
        return
    pool = ThreadPoolExecutor(min(threads, len(jobs)))
    # Few at a time: results wait in memory until those before them are written.
    running: deque[Future[Any]] = deque()
    try:
        for job in jobs:
            running.append(pool.submit(job))
            if len(running) > threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Tensors


def to_array(tensor: Any) -> Array:
    """The values of a tensor on any device, as an array on the CPU: its memory where it is there, bfloat16 as float32."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    array: Array = tensor.numpy()
    return array


def to_tensor(array: Array, dtype: Any) -> Any:
    """An array as a tensor of `dtype`, rounded as torch rounds; shares the memory where nothing has to change."""
    return torch.from_numpy(array).to(dtype)


def write(selected: Selected, done: Compressed, before: Before | None) -> None:
    """Put the new values and the buffers where the parameter is used.

    In place, the values go where the old ones are, which `before` keeps. In a copy, for which it is None, they are memory of
    the copy's own, which all that are tied share.
    """
    parameter = selected.weight.parameter
    if before is not None:
        before.keep(parameter)
        parameter.data.copy_(done.value)
    else:
        _replace(selected, done.value.to(parameter.device))
    for place in selected.compressed_places:
        metadata = copy.copy(done.metadata)
        metadata.param_name = place.parameter_name
        metadata.register(place.module, device=parameter.device)


def keep(selected: Selected, before: Before | None) -> None:
    """Leave the values as they are; in a copy, for which `before` is None, in memory of its own."""
    if before is None:
        _replace(selected, selected.weight.parameter.detach().clone())


def _replace(selected: Selected, value: Any) -> None:
    parameter = selected.weight.parameter
    if value.stride() != parameter.stride():
        value = torch.empty_like(parameter).copy_(value)
    for place in selected.places:
        place.parameter.data = value


# Records


@dataclass(frozen=True)
class Errors:
    """How two arrays differ."""

    snr_db: float | None
    max_error: float
    mse: float

    @classmethod
    def of_sums(cls, noise: float, signal: float, greatest: float, count: int) -> "Errors":
        """From the sums of squares of the difference and of the original, and the greatest magnitude of the difference."""
        snr = 10 * math.log10(signal / noise) if noise > 0 and signal > 0 else None
        return cls(snr, greatest, noise / count if count else 0.0)


def compare(before: Array, after: Array) -> Errors:
    """Compare two arrays of one shape, in float32 where its range is enough, otherwise in float64."""
    old, new = before.reshape(-1), after.reshape(-1)
    with np.errstate(over="ignore"):  # it is looked at
        signal, noise, greatest = _sums(old, new, np.dtype(np.float64 if old.dtype == np.float64 else np.float32))
    if greatest > 0 and not (noise > _SAFE[0] and signal < _SAFE[1] and noise < _SAFE[1]):
        signal, noise, greatest = _sums(old, new, np.dtype(np.float64))
    return Errors.of_sums(noise, signal, greatest, old.size)


def _sums(old: Array, new: Array, dtype: np.dtype[Any]) -> tuple[float, float, float]:
    """Squares of the old array and of the difference, and its greatest magnitude."""
    signal, noise, greatest = 0.0, 0.0, 0.0
    for start in range(0, old.size, _CHUNK):
        part = old[start : start + _CHUNK].astype(dtype, copy=False)
        difference = part - new[start : start + _CHUNK]
        signal += float(np.dot(part, part))
        noise += float(np.dot(difference, difference))
        greatest = max(greatest, float(difference.max()), -float(difference.min()))
    return signal, noise, greatest


def _record(selected: Selected, **values: Any) -> ParameterRecord:
    weight = selected.weight
    names = [place.name for place in selected.places if place is not weight]
    notes = [f"tied to {', '.join(names)}"] if names else []
    notes += [text for text in (values.pop("note", None),) if text]
    parameter = weight.parameter
    is_known = not isinstance(parameter, torch.nn.parameter.UninitializedTensorMixin)
    return ParameterRecord(
        name=weight.name,
        module=weight.module_name,
        module_type=type(weight.module).__name__,
        parameter=weight.parameter_name,
        dtype=str(parameter.dtype).removeprefix("torch."),
        shape=tuple(parameter.shape) if is_known else (),
        note="; ".join(notes) or None,
        **values,
    )


def _nbytes(selected: Selected) -> tuple[int, int]:
    """Elements and bytes of a parameter."""
    parameter = selected.weight.parameter
    if isinstance(parameter, torch.nn.parameter.UninitializedTensorMixin):
        return 0, 0
    return parameter.numel(), parameter.numel() * parameter.element_size()


def declined(selected: Selected, reason: str) -> ParameterRecord:
    """The record of a parameter that was left as it was."""
    count, size = _nbytes(selected)
    return _record(
        selected,
        action="declined",
        reason=reason,
        scheme=None,
        nbits=None,
        bits_per_weight=8 * size / count if count else 0.0,
        bytes_before=size,
        bytes_after=size,
        snr_db=None,
        max_error=None,
        mse=None,
        seconds=0.0,
    )


def compressed(selected: Selected, done: Compressed, action: str, errors: Errors, seconds: float) -> ParameterRecord:
    """The record of a parameter that was compressed."""
    count, size = _nbytes(selected)
    return _record(
        selected,
        action=action,
        reason=None,
        scheme=done.scheme,
        nbits=done.nbits,
        bits_per_weight=8 * done.nbytes / count,
        bytes_before=size,
        bytes_after=done.nbytes,
        snr_db=errors.snr_db,
        max_error=errors.max_error,
        mse=errors.mse,
        seconds=seconds,
        note=done.note,
    )


# Arguments


def elements(operation: str, name: str, loader: Any) -> Iterator[Any]:
    """What goes through a data loader, from its start. Raises TypeError where it is none; a dictionary or text is a batch."""
    kind = type(loader)
    if isinstance(loader, str | bytes | Mapping) or not (hasattr(kind, "__iter__") or hasattr(kind, "__getitem__")):
        allowed = "an iterable of batches, such as a list or a torch.utils.data.DataLoader"
        raise TypeError(message(operation, name, f"a {kind.__name__}", allowed))
    return iter(loader)


def workers(operation: str, name: str, value: Any) -> int:
    """A number of workers as threads for the engine: 1, the default of coremltools, and None mean one for each core."""
    if value is None:
        return 0
    number = integer(operation, name, value, 1, "None, or a whole number of 1 or more", min(LARGEST, 2**31 - 1))
    return number if number > 1 else 0
