"""The two contenders, behind one face: do a piece of work from a path to a path, and say how long it took."""

import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")  # coremltools draws progress bars while it is timed

CONFIGS = {
    "palettize": "OpPalettizerConfig",
    "quantize": "OpLinearQuantizerConfig",
    "prune": "OpMagnitudePrunerConfig",
}
FUNCTIONS = {
    "palettize": "palettize_weights",
    "quantize": "linear_quantize_weights",
    "prune": "prune_weights",
}


@dataclass(frozen=True)
class Work:
    """What is measured: an operation ("palettize", "quantize", "prune", "decompress" or "metadata"), and the fields of its
    configuration."""

    operation: str
    arguments: tuple[tuple[str, Any], ...] = ()

    @property
    def writes(self) -> bool:
        return self.operation != "metadata"

    def config(self, module: Any, **more: Any) -> Any:
        """The configuration, made of the classes of `module`: ours and coremltools' have the same names."""
        op_config = getattr(module, CONFIGS[self.operation])(**dict(self.arguments), **more)
        return module.OptimizationConfig(global_config=op_config)


@dataclass(frozen=True)
class Times:
    """Seconds. `call` is the operation alone; `whole` also reads the package and writes the result; `cpu` is what the
    call took of all processors together, which another program's load on the machine changes less."""

    call: float
    whole: float
    cpu: float


def read_metadata(metadata: Any) -> None:
    """Ours counts when it is asked, coremltools' at once."""
    for entry in metadata.values():
        _ = entry.sparsity, entry.unique_values


class SwiftCompress:
    """`swiftcompress.coreml`, which reads, computes and writes in one call: call == whole."""

    name = "swiftcompress"

    def __init__(self, threads: int | None = None) -> None:
        import swiftcompress.coreml

        self.module = swiftcompress.coreml
        self.threads = threads

    def run(self, work: Work, source: Path, output: Path) -> Times:
        m = self.module
        started, cpu = time.perf_counter(), time.process_time()
        options = {"output": str(output), "num_threads": self.threads, "progress": False}
        if work.operation == "metadata":
            read_metadata(m.get_weights_metadata(str(source)))
        elif work.operation == "decompress":
            m.decompress_weights(str(source), **options)
        else:
            getattr(m, FUNCTIONS[work.operation])(str(source), work.config(m), **options)
        seconds = time.perf_counter() - started
        return Times(seconds, seconds, time.process_time() - cpu)


class CoreMLTools:
    """`coremltools.optimize.coreml` on a model in memory; `call` leaves out loading and saving."""

    name = "coremltools"

    def __init__(self, workers: int = 1) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.coremltools = import_coremltools()
        self.workers = workers

    def run(self, work: Work, source: Path, output: Path) -> Times:
        ct = self.coremltools
        cto = ct.optimize.coreml
        function: Callable[[Any], Any]
        if work.operation == "metadata":
            function = cto.get_weights_metadata
        elif work.operation == "decompress":
            function = cto.decompress_weights
        else:
            more = {"num_kmeans_workers": self.workers} if work.operation == "palettize" else {}
            config = work.config(cto, **more)

            def function(model: Any) -> Any:
                return getattr(cto, FUNCTIONS[work.operation])(model, config)

        started = time.perf_counter()
        model = ct.models.MLModel(str(source), skip_model_load=True)
        loaded, cpu = time.perf_counter(), time.process_time()
        result = function(model)
        done, cpu = time.perf_counter(), time.process_time() - cpu
        if work.writes:
            result.save(str(output))
        return Times(done - loaded, time.perf_counter() - started, cpu)


def import_coremltools() -> Any:
    """coremltools, without the notes it logs about what it cannot do on this system."""
    import logging

    logging.disable(logging.WARNING)
    import coremltools
    import coremltools.optimize.coreml

    return coremltools
