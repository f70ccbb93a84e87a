"""The two contenders, behind one face: palettize a package from a path to a path, and say how long it took."""

import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")  # coremltools draws progress bars while it is timed


@dataclass(frozen=True)
class Settings:
    nbits: int
    group_size: int | None = None  # None: one LUT per tensor

    def arguments(self) -> dict[str, Any]:
        grouped = {"granularity": "per_grouped_channel", "group_size": self.group_size}
        return {"mode": "kmeans", "nbits": self.nbits} | (grouped if self.group_size else {})


@dataclass(frozen=True)
class Times:
    """Seconds. `call` is the compression alone; `whole` also reads the package and writes the result; `cpu` is what the
    call took of all processors together, which another program's load on the machine changes less."""

    call: float
    whole: float
    cpu: float


class SwiftCompress:
    """`swiftcompress.coreml.palettize_weights`, which reads, compresses and writes in one call: call == whole."""

    name = "swiftcompress"

    def __init__(self, threads: int | None = None) -> None:
        import swiftcompress.coreml

        self.module = swiftcompress.coreml
        self.threads = threads

    def palettize(self, source: Path, output: Path, settings: Settings) -> Times:
        m = self.module
        started, cpu = time.perf_counter(), time.process_time()
        config = m.OptimizationConfig(global_config=m.OpPalettizerConfig(**settings.arguments()))
        m.palettize_weights(str(source), config, output=str(output), num_threads=self.threads, progress=False)
        seconds = time.perf_counter() - started
        return Times(seconds, seconds, time.process_time() - cpu)


class CoreMLTools:
    """`coremltools.optimize.coreml.palettize_weights` on a model in memory; `call` leaves out loading and saving."""

    name = "coremltools"

    def __init__(self, workers: int = 1) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.coremltools = import_coremltools()
        self.workers = workers

    def palettize(self, source: Path, output: Path, settings: Settings) -> Times:
        ct = self.coremltools
        cto = ct.optimize.coreml
        started = time.perf_counter()
        model = ct.models.MLModel(str(source), skip_model_load=True)
        loaded, cpu = time.perf_counter(), time.process_time()
        arguments = settings.arguments() | {"num_kmeans_workers": self.workers}
        config = cto.OptimizationConfig(global_config=cto.OpPalettizerConfig(**arguments))
        smaller = cto.palettize_weights(model, config)
        compressed, cpu = time.perf_counter(), time.process_time() - cpu
        smaller.save(str(output))
        return Times(compressed - loaded, time.perf_counter() - started, cpu)


def import_coremltools() -> Any:
    """coremltools, without the notes it logs about what it cannot do on this system."""
    import logging

    logging.disable(logging.WARNING)
    import coremltools
    import coremltools.optimize.coreml

    return coremltools
