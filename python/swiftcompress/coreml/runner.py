"""One run of the engine over a package: what all functions of `swiftcompress.coreml` that compress have in common."""

import json
import os
import shutil
import tempfile
import weakref
from dataclasses import dataclass, field
from typing import Any

from swiftcompress import _checks, _native
from swiftcompress._checks import message
from swiftcompress.arrays.lut_function import CheckedLUTFunction
from swiftcompress.coreml import adapters
from swiftcompress.coreml.config import OpCompressorConfig
from swiftcompress.coreml.log import log_declined
from swiftcompress.coreml.progress import ProgressFunction, progress_function
from swiftcompress.model_package import ModelPackage
from swiftcompress.report import CompressionReport

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class Task:
    """What a function does, before its arguments are known."""

    function: str
    """Its name, for messages."""
    operation: str
    """The engine's word for it."""
    title: str
    """What the progress bar says."""
    kinds: tuple[type[OpCompressorConfig], ...] = ()
    """The configurations of one weight that it takes."""

    def compress(
        self,
        model: Any,
        config: Any,
        *,
        joint_compression: bool,
        output: Path | None,
        num_threads: int | None,
        progress: bool | ProgressFunction,
        strict: bool,
        compat: str | None,
        minimum_deployment_target: Any,
    ) -> Any:
        """Compress the weights of `model` as `config` says; see the functions for the arguments."""
        joint = _checks.boolean(self.function, "joint_compression", joint_compression)
        ours = adapters.as_config(self.function, config, self.kinds)
        if compat is not None:
            _checks.choice(self.function, "compat", compat, ("coremltools",))
        functions: list[CheckedLUTFunction] = []
        options = {
            **ours._to_options(functions),
            "joint_compression": joint,
            "strict": _checks.boolean(self.function, "strict", strict),
            "compat": compat,
            "minimum_deployment_target": _checks.target(self.function, minimum_deployment_target),
        }
        return self.run(model, options, output=output, num_threads=num_threads, progress=progress, functions=functions)

    def run(
        self,
        model: Any,
        options: dict[str, Any],
        *,
        output: Path | None,
        num_threads: int | None,
        progress: bool | ProgressFunction,
        functions: list[CheckedLUTFunction] | None = None,
    ) -> Any:
        """Run the engine with `options` on a path, a `ModelPackage` or an MLModel, and return what was given."""
        threads = _checks.threads(self.function, num_threads)
        if not isinstance(progress, bool) and not callable(progress):
            raise TypeError(message(self.function, "progress", repr(progress), "True, False, or a function"))
        settled = {"operation": self.operation, **options, "num_threads": threads}
        run = _Run(self, settled, progress, functions or [])
        if adapters.is_mlmodel(model):
            return run.from_mlmodel(model, output)
        if isinstance(model, ModelPackage):
            return run.from_package(model.path, output)
        if isinstance(model, str | os.PathLike):
            return run.from_package(os.fspath(model), output)
        allowed = "a path, a ModelPackage, or an MLModel of coremltools"
        raise TypeError(message(self.function, "model", type(model).__name__, allowed))


@dataclass(frozen=True)
class _Run:
    """One compression: what to do is settled, only from where to where is not."""

    task: Task
    options: dict[str, Any]
    progress: bool | ProgressFunction
    functions: list[CheckedLUTFunction] = field(default_factory=list)

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
            adapters.save_mlmodel(self.task.function, model, source)
            target = os.path.join(folder, "model.mlpackage") if output is None else os.fspath(output)
            report = self._compress(source, target)
            shutil.rmtree(source if output is None else folder)
            result = adapters.load_mlmodel(report.output, like=model)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        result.report = report
        if output is None:
            weakref.finalize(result, shutil.rmtree, folder, ignore_errors=True)
        return result

    def _compress(self, source: str, output: str) -> CompressionReport:
        with progress_function(self.progress, self.task.title) as progress:
            text = _native.compress(
                os.fsencode(source),
                os.fsencode(output),
                json.dumps(self.options).encode(),
                progress,
                self._call_function if self.functions else None,
            )
        report = CompressionReport.from_json(text)
        log_declined(report)
        return report

    def _call_function(self, number: int, group: Any) -> Any:
        return self.functions[number](number, group)


def _temporary_folder() -> str:
    return tempfile.mkdtemp(prefix="swiftcompress-")


def _package_name(source: str) -> str:
    name = os.path.basename(os.path.normpath(source))
    return name if name.endswith(".mlpackage") else f"{name}.mlpackage"
