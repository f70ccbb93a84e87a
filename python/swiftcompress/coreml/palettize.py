"""`palettize_weights`: the palettization of a whole package."""

import json
import os
import shutil
import tempfile
import weakref
from dataclasses import dataclass
from typing import Any

from swiftcompress import _checks, _native
from swiftcompress._checks import message
from swiftcompress.arrays.lut_function import CheckedLUTFunction
from swiftcompress.coreml import adapters
from swiftcompress.coreml.progress import ProgressFunction, progress_function
from swiftcompress.model_package import ModelPackage
from swiftcompress.report import CompressionReport

_OPERATION = "palettize_weights"

Path = str | os.PathLike[str]


def palettize_weights(
    model: Any,
    config: Any,
    joint_compression: bool = False,
    *,
    output: Path | None = None,
    num_threads: int | None = None,
    progress: bool | ProgressFunction = True,
    strict: bool = False,
    compat: str | None = None,
    minimum_deployment_target: Any = None,
) -> Any:
    """Palettize the weights of a Core ML package.

    Which weights, along which axis and with which numbers: as ``coremltools.optimize.coreml.palettize_weights`` of
    coremltools 9.0, save for k-means, which is exact here for every size and type. Names of weights and operations
    stay what they are, and everything that is not a compressed weight is copied byte for byte.

    Parameters
    ----------
    model
        The path of an ``.mlpackage``, a `swiftcompress.ModelPackage`, or a ``coremltools.models.MLModel``. It is not
        changed.
    config
        An `OptimizationConfig`, ours or coremltools'.
    joint_compression
        Must be False: compressing what is compressed already is not implemented.
    output
        Where to write the result, a path that ends in ``.mlpackage``; it appears there complete or not at all, and
        may be the input. None: a temporary folder that goes away with the object returned.
    num_threads
        Threads at most; None: one for each core. Never changes a result.
    progress
        True: a progress bar on a terminal, nothing elsewhere. A function is called about every 50 ms with the weights
        done, the weights in all and the name of the last one.
    strict
        Make errors of names that match nothing, and of weights that are left alone for a reason nobody asked for.
    compat
        "coremltools": the per-channel scale reduces over the output channels, as in coremltools 9.0, instead of keeping
        them.
    minimum_deployment_target
        Raise the model to this target first, such as "iOS18" or ``coremltools.target.iOS18``, so that what needs that
        target can be used. Refused with a list of what blocks it, before any work, where an operation has no equal form
        there.

    Returns
    -------
    ModelPackage, or MLModel where that was given
        Its ``report`` says what was done to each weight.

    Raises
    ------
    TypeError, ValueError
        For arguments that are not of the kind or in the range described, or that the model's deployment target does
        not allow.
    NotImplementedError
        For joint compression.
    ModelFormatError
        When the package is damaged, or holds no ML Program.
    OSError
        When it cannot be read, or the result not be written.
    KeyboardInterrupt
        On Ctrl-C, within a fraction of a second; nothing is left behind then.

    Examples
    --------
    >>> from swiftcompress.coreml import OpPalettizerConfig, OptimizationConfig, palettize_weights
    >>> config = OptimizationConfig(global_config=OpPalettizerConfig(mode="kmeans", nbits=4))
    >>> model = palettize_weights("model.mlpackage", config, output="model-4bit.mlpackage")  # doctest: +SKIP
    >>> print(model.report)  # doctest: +SKIP
    """
    if _checks.boolean(_OPERATION, "joint_compression", joint_compression):
        raise NotImplementedError(message(_OPERATION, "joint_compression", True, "False: it is not implemented"))
    ours = adapters.as_config(_OPERATION, config)
    if compat is not None:
        _checks.choice(_OPERATION, "compat", compat, ("coremltools",))
    functions: list[CheckedLUTFunction] = []
    options = {
        "operation": "palettize",
        **ours._to_options(functions),
        "num_threads": _checks.threads(_OPERATION, num_threads),
        "strict": _checks.boolean(_OPERATION, "strict", strict),
        "compat": compat,
        "minimum_deployment_target": _checks.target(_OPERATION, minimum_deployment_target),
    }
    if not isinstance(progress, bool) and not callable(progress):
        raise TypeError(message(_OPERATION, "progress", repr(progress), "True, False, or a function"))
    run = _Run(options, functions, progress)
    if adapters.is_mlmodel(model):
        return run.from_mlmodel(model, output)
    if isinstance(model, ModelPackage):
        return run.from_package(model.path, output)
    if isinstance(model, str | os.PathLike):
        return run.from_package(os.fspath(model), output)
    raise TypeError(
        message(_OPERATION, "model", type(model).__name__, "a path, a ModelPackage, or an MLModel of coremltools")
    )


@dataclass(frozen=True)
class _Run:
    """One compression: what to do is settled, only from where to where is not."""

    options: dict[str, Any]
    functions: list[CheckedLUTFunction]
    progress: bool | ProgressFunction

    def from_package(self, source: str, output: Path | None) -> ModelPackage:
        if output is not None:
            report = self._compress(source, os.fspath(output))
            result = ModelPackage(report.output)
            result.report = report
            return result
        folder = _temporary_folder()
        try:
            report = self._compress(source, os.path.join(folder, _package_name(source)))
            result = ModelPackage(report.output)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        result.report = report
        weakref.finalize(result, shutil.rmtree, folder, ignore_errors=True)
        return result

    def from_mlmodel(self, model: Any, output: Path | None) -> Any:
        # The description of an MLModel may have been changed since it was read, so it is written anew first.
        folder = _temporary_folder()
        try:
            source = os.path.join(folder, "input.mlpackage")
            adapters.save_mlmodel(_OPERATION, model, source)
            target = os.path.join(folder, "model.mlpackage") if output is None else os.fspath(output)
            report = self._compress(source, target)
            shutil.rmtree(source)
            result = adapters.load_mlmodel(report.output, like=model)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        result.report = report
        weakref.finalize(result, shutil.rmtree, folder, ignore_errors=True)
        return result

    def _compress(self, source: str, output: str) -> CompressionReport:
        with progress_function(self.progress, "palettizing") as progress:
            text = _native.compress(
                os.fsencode(source),
                os.fsencode(output),
                json.dumps(self.options).encode(),
                progress,
                self._call_function if self.functions else None,
            )
        return CompressionReport.from_json(text)

    def _call_function(self, number: int, group: Any) -> Any:
        return self.functions[number](number, group)


def _temporary_folder() -> str:
    return tempfile.mkdtemp(prefix="swiftcompress-")


def _package_name(source: str) -> str:
    name = os.path.basename(os.path.normpath(source))
    return name if name.endswith(".mlpackage") else f"{name}.mlpackage"
