"""Beside scikit-learn, torch and their OpenMP in one process, in threads, and on both sides of a fork.

coremltools' own workers fail here: the pool is closed once for all ("Pool not running"), and processes that are forked after
OpenMP has threads wait for ever. Everything runs in a child process with a watchdog: what hangs is a failure.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("coremltools", reason="coremltools is not installed")
pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from support.watchdog import run_guarded

# A model of one linear layer, in float32 and small groups: what coremltools gives to scikit-learn and to its workers.
MODEL = """
import hashlib, os, sys, threading, warnings
import numpy as np

warnings.simplefilter("ignore")

def make(path):
    import coremltools as ct
    from coremltools.converters.mil.mil import Builder as mb

    weight = np.random.default_rng(0).standard_normal((64, 128)).astype(np.float32)

    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 128))], opset_version=ct.target.iOS18)
    def program(x):
        return mb.linear(x=x, weight=mb.const(val=weight, name="w"), name="y")

    ct.convert(
        program, convert_to="mlprogram", minimum_deployment_target=ct.target.iOS18,
        compute_precision=ct.precision.FLOAT32, skip_model_load=True,
    ).save(path)

def openmp():
    "Start the threads of every OpenMP that is here."
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_info
    KMeans(8, n_init=1).fit(np.random.default_rng(1).standard_normal((5000, 4)))
    if "torch" in sys.modules:
        sys.modules["torch"].rand(400, 400) @ sys.modules["torch"].rand(400, 400)
    assert any(each["user_api"] == "openmp" and each["num_threads"] > 1 for each in threadpool_info())

def compress(path, **options):
    "What stands for the bytes of a palettized model."
    import swiftcompress.coreml as cto
    config = cto.OptimizationConfig(
        cto.OpPalettizerConfig(nbits=4, granularity="per_grouped_channel", group_size=8, weight_threshold=0))
    model = cto.palettize_weights(path, config, progress=False, **options)
    return digest(model.path)

def digest(folder):
    import swiftcompress as sc
    package = sc.ModelPackage(folder)
    assert package.compressed
    total = hashlib.sha256()
    for name, array in sorted(package.weights.items()):
        total.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return total.hexdigest()
"""


def has_torch() -> bool:
    import importlib.util

    return importlib.util.find_spec("torch") is not None


ORDERS = [
    pytest.param("import sklearn.cluster, swiftcompress", id="scikit-learn first"),
    pytest.param("import swiftcompress, sklearn.cluster", id="scikit-learn last"),
    pytest.param(
        "import torch, swiftcompress, sklearn.cluster",
        id="torch first",
        marks=pytest.mark.skipif(not has_torch(), reason="torch is not installed: ./dev test --torch"),
    ),
    pytest.param(
        "import swiftcompress, sklearn.cluster, torch",
        id="torch last",
        marks=pytest.mark.skipif(not has_torch(), reason="torch is not installed: ./dev test --torch"),
    ),
]


@pytest.mark.parametrize("imports", ORDERS)
def test_beside_openmp(imports: str, tmp_path: Path) -> None:
    """Also from several threads at once, each with threads of its own in the engine."""
    code = f"""
{imports}
{MODEL}
from concurrent.futures import ThreadPoolExecutor
path = {str(tmp_path / "model.mlpackage")!r}
make(path)
expected = compress(path, num_threads=1)
openmp()
for threads in (2, 4, 1, 3):
    assert compress(path, num_threads=threads) == expected
with ThreadPoolExecutor(4) as pool:
    busy = pool.submit(openmp)
    found = list(pool.map(lambda number: compress(path, num_threads=1 + number % 4), range(12)))
    busy.result()
assert found == [expected] * 12
print("done")
"""
    assert run_guarded(tmp_path / "script.py", code).endswith("done\n")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_in_child_processes(method: str, tmp_path: Path) -> None:
    """The parent has used the engine and OpenMP; the children use the engine."""
    code = f"""
{MODEL}
def work(number):
    return compress(PATH, num_threads=1 + number % 3)

PATH = {str(tmp_path / "model.mlpackage")!r}
if __name__ == "__main__":
    import multiprocessing
    make(PATH)
    expected = compress(PATH, num_threads=4)
    openmp()
    for _ in range(2):
        with multiprocessing.get_context({method!r}).Pool(2) as pool:
            assert pool.map_async(work, range(6)).get(150) == [expected] * 6
    assert compress(PATH, num_threads=4) == expected  # and the parent goes on
    print("done")
"""
    assert run_guarded(tmp_path / "script.py", code).endswith("done\n")


# What follows forks often, so it is without coremltools, whose import takes seconds. A child that hangs says where and ends.
FORKS = """
import faulthandler, os, signal, sys, threading, time
import swiftcompress as sc
import swiftcompress.coreml as cto

path = sys.argv[1]
config = cto.OptimizationConfig(cto.OpPalettizerConfig(nbits=4))

def compress():
    package = cto.palettize_weights(path, config, progress=False, num_threads=2)
    return sorted((name, array.tobytes()) for name, array in package.weights.items())

def in_child(work):
    child = os.fork()
    if child == 0:
        faulthandler.register(signal.SIGALRM, chain=True)
        signal.alarm(60)
        try:
            os._exit(0 if work() else 3)
        finally:
            os._exit(4)
    status = os.waitpid(child, 0)[1]
    assert status == 0, f"a child ended with {os.waitstatus_to_exitcode(status)}"
"""


def test_forked_while_other_threads_compress(packages: Any, tmp_path: Path) -> None:
    """Whatever a lock protects at that moment, the child must not wait for it."""
    code = f"""
{FORKS}
expected = compress()
stop, failures = threading.Event(), []

def keep_busy():
    while not stop.is_set():
        if compress() != expected:
            failures.append("other bits")

threads = [threading.Thread(target=keep_busy, daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(40):
    in_child(lambda: compress() == expected)
stop.set()
for thread in threads:
    thread.join()
assert not failures
print("done")
"""
    arguments = (str(packages("layers", "iOS18")),)
    assert run_guarded(tmp_path / "script.py", code, arguments=arguments).endswith("done\n")


def test_forked_while_another_thread_reads_a_package(packages: Any, tmp_path: Path) -> None:
    """`functools.cached_property` of Python 3.11 has one lock for all packages."""
    code = f"""
{FORKS}
reading, go_on = threading.Event(), threading.Event()

class Slow(sc.ModelPackage):
    def _describe(self, *arguments):
        if threading.current_thread() is not threading.main_thread():
            reading.set()
            go_on.wait()
        return super()._describe(*arguments)

first = Slow(path)
thread = threading.Thread(target=lambda: first.operations, daemon=True)
thread.start()
reading.wait()
in_child(lambda: sc.ModelPackage(path).operations and sc.ModelPackage(path).weights)
go_on.set()
thread.join()
assert first.operations is first.operations
print("done")
"""
    arguments = (str(packages("layers", "iOS18")),)
    assert run_guarded(tmp_path / "script.py", code, arguments=arguments).endswith("done\n")


def test_forked_while_another_thread_accelerates(tmp_path: Path) -> None:
    code = f"""
{FORKS}
from swiftcompress.accelerate import handle
holding = threading.Event()

def hold():
    with handle._lock:
        holding.set()
        time.sleep(1)

def accelerate():
    with sc.accelerate_coremltools() as accelerator:
        return accelerator.active

thread = threading.Thread(target=hold)
thread.start()
holding.wait()
in_child(accelerate)
thread.join()
assert accelerate()
print("done")
"""
    assert run_guarded(tmp_path / "script.py", code, arguments=("",)).endswith("done\n")


# coremltools' own function with workers, as its users call it.
WORKERS = """
def with_workers(path, workers):
    import coremltools as ct
    import coremltools.optimize.coreml as cto
    model = ct.models.MLModel(path, skip_model_load=True)
    config = cto.OptimizationConfig(cto.OpPalettizerConfig(
        nbits=4, granularity="per_grouped_channel", group_size=8, weight_threshold=0, num_kmeans_workers=workers))
    return digest(cto.palettize_weights(model, config).package_path)
"""


def test_workers_of_coremltools_accelerated(tmp_path: Path) -> None:
    """Twice with workers ("Pool not running"), and with workers after scikit-learn: none of it happens.

    Without the accelerator the second call of these waits for ever, in `starmap`.
    """
    code = f"""
{MODEL}
{WORKERS}
import swiftcompress as sc
path = {str(tmp_path / "model.mlpackage")!r}
make(path)
openmp()
with sc.accelerate_coremltools():
    expected = with_workers(path, 1)
    for workers in (2, 4, 2):
        assert with_workers(path, workers) == expected
print("done")
"""
    assert run_guarded(tmp_path / "script.py", code).endswith("done\n")


def test_what_coremltools_does_there(tmp_path: Path) -> None:
    """The test above can fail: without the accelerator the second call with workers does."""
    code = f"""
{MODEL}
{WORKERS}
path = {str(tmp_path / "model.mlpackage")!r}
make(path)
with_workers(path, 2)
try:
    with_workers(path, 2)
except ValueError as error:
    assert "Pool not running" in str(error), error
    print("done")
"""
    assert run_guarded(tmp_path / "script.py", code).endswith("done\n")
