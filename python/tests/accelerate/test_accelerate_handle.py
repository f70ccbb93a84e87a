"""Putting ours in place and the originals back: order of imports, nesting, other versions, processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import swiftcompress as sc

pytest.importorskip("coremltools", reason="coremltools is not installed")

import coremltools
from coremltools._deps import kmeans1d
from coremltools.optimize import _utils as utils
from coremltools.optimize.coreml import _quantization_passes as passes

from swiftcompress.accelerate import patching
from swiftcompress.accelerate.catalogue import ROUTINES
from swiftcompress.accelerate.patching import package_modules, raw


def everything() -> dict[tuple[str, str], int]:
    """The identity of every routine, and of every name in every module of coremltools that is bound to a function."""
    found = {
        (module.__name__, name): id(value)
        for module in package_modules()
        for name, value in vars(module).items()
        if callable(value)
    }
    for routine in ROUTINES:
        module = sys.modules.get(routine.module)
        if module is not None:
            found[routine.module, routine.name] = id(raw(module, routine.name))
    return found


def run(code: str, *arguments: str, timeout: float = 240, status: int = 0) -> str:
    """Standard output of a fresh interpreter."""
    result = subprocess.run(
        [sys.executable, *(arguments or ("-c", code))],
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert result.returncode == status, result.stdout + result.stderr
    return result.stdout


class TestRestore:
    def test_everything_is_back(self) -> None:
        before, finders = everything(), list(sys.meta_path)
        accelerator = sc.accelerate_coremltools()
        changed = {key for key, identity in everything().items() if before.get(key) != identity}
        assert ("coremltools.optimize._utils", "lut_to_dense") in changed
        assert accelerator.active
        accelerator.restore()
        assert not accelerator.active
        assert everything() == before
        assert sys.meta_path == finders
        accelerator.restore()
        assert everything() == before

    def test_names_that_were_imported_from_elsewhere(self) -> None:
        original = passes._get_kmeans_lookup_table_and_weight
        cluster = kmeans1d.cluster
        with sc.accelerate_coremltools():
            assert passes._get_kmeans_lookup_table_and_weight is not original
            assert kmeans1d.cluster is kmeans1d.core.cluster is not cluster
        assert passes._get_kmeans_lookup_table_and_weight is original
        assert kmeans1d.cluster is cluster

    def test_kinds_of_methods(self) -> None:
        with sc.accelerate_coremltools():
            assert isinstance(vars(passes.prune_weights)["compress_by_magnitude"], staticmethod)
        assert isinstance(vars(passes.prune_weights)["compress_by_magnitude"], staticmethod)

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
    def test_nested_in_any_order(self, order: tuple[int, ...]) -> None:
        before = everything()
        handles = [sc.accelerate_coremltools() for _ in order]
        during = everything()
        for place in order:
            assert everything() == during
            handles[place].restore()
        assert everything() == before

    def test_an_error_in_the_block(self) -> None:
        before = everything()
        with pytest.raises(KeyError), sc.accelerate_coremltools():
            raise KeyError
        assert everything() == before

    def test_a_reference_that_outlives_it(self) -> None:
        with sc.accelerate_coremltools() as accelerator:
            ours = utils.lut_to_dense
        status = accelerator.routines[3]
        assert ours is not utils.lut_to_dense
        dense = ours(np.array([1, 0], np.uint8), np.array([3.0, 4.0]).reshape(1, 2, 1))
        assert dense.tolist() == [4.0, 3.0]
        assert status.routine.name == "lut_to_dense" and status.ours == 0

    def test_someone_else_replaces_ours(self) -> None:
        original = utils.lut_to_dense

        def theirs(*arguments: Any) -> Any:
            return ours(*arguments)

        with sc.accelerate_coremltools():
            ours = utils.lut_to_dense
            utils.lut_to_dense = theirs
        try:
            assert utils.lut_to_dense is theirs
            assert theirs(np.array([1], np.uint8), np.array([3.0, 4.0]).reshape(1, 2, 1)).tolist() == [4.0]
        finally:
            utils.lut_to_dense = original

    def test_someone_else_was_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(utils, "lut_to_dense", lambda indices, lut, vector_axis=None: "theirs")
        with sc.accelerate_coremltools() as accelerator:
            assert utils.lut_to_dense(1, 2) == "theirs"
            (status,) = (each for each in accelerator.routines if each.routine.name == "lut_to_dense")
            assert status.state == "left alone" and "source" in status.reason

    def test_someone_replaces_the_solver_meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        weight = np.random.default_rng(0).standard_normal((40, 30)).astype(np.float16)
        with sc.accelerate_coremltools():
            monkeypatch.setattr(
                passes,
                "_get_kmeans_lookup_table_and_weight",
                lambda nbits, weight, **_: (np.full(1 << nbits, 7.0), np.zeros(weight.size)),
            )
            result = passes.palettize_weights.grouped_channelwise_compress(weight, "KMEANS", 2, 0, 0)
        assert np.all(result.lut == 7)


class TestImports:
    @pytest.mark.parametrize("first", ["coremltools", "swiftcompress"])
    def test_order(self, first: str) -> None:
        code = f"""
            import {first}
            import sys, swiftcompress as sc
            accelerator = sc.accelerate_coremltools()
            assert first == "coremltools" or "coremltools" not in sys.modules
            waiting = [s for s in accelerator.routines if s.state == "waiting"]
            import coremltools
            import coremltools.optimize.coreml._quantization_passes as passes
            from coremltools.optimize import _utils
            print(sum(s.state == "replaced" for s in accelerator.routines), len(waiting))
            assert not hasattr(_utils.__spec__.loader, "_then") and _utils.__loader__ is _utils.__spec__.loader
            import inspect; assert "numpy" in inspect.getsource(_utils)
            accelerator.restore()
            names = [n for m in list(sys.modules.values()) if m.__name__.startswith("coremltools")
                     for n, v in vars(m).items() if "_swiftcompress_routine" in getattr(v, "__dict__", ())]
            assert not names, names
            assert not [f for f in sys.meta_path if type(f).__module__.startswith("swiftcompress")]
            for holder in (passes.prune_weights, passes.palettize_weights):
                for value in vars(holder).values():
                    assert not hasattr(getattr(value, "__func__", value), "_swiftcompress_routine")
        """.replace("first ==", f"{first!r} ==")
        replaced, waiting = map(int, run(_dedent(code)).split()[-2:])
        of_torch = sum("torch" in routine.module for routine in ROUTINES)
        assert replaced >= len(ROUTINES) - of_torch
        assert first == "coremltools" or waiting == len(ROUTINES)

    def test_nothing_heavy_is_imported(self) -> None:
        code = "import swiftcompress as sc, sys; sc.accelerate_coremltools(); print(*sys.modules)"
        loaded = {name.split(".")[0] for name in run(code).split()}
        assert not loaded & {"coremltools", "torch", "sklearn", "attrs"}

    def test_without_coremltools(self) -> None:
        code = """
            import sys
            sys.modules["coremltools"] = None
            import importlib.metadata as metadata
            def version(name): raise metadata.PackageNotFoundError(name)
            metadata.version = version
            import swiftcompress as sc
            print(sc.accelerate_coremltools().summary)
        """
        assert run(_dedent(code)).startswith("coremltools is not installed")


class TestVersions:
    def test_an_unknown_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is unchanged is replaced; what is changed is not."""
        monkeypatch.setattr(coremltools, "__version__", "10.0b1")

        def sparse_to_dense(nonzero_data: Any, mask: Any) -> Any:
            return "new"

        def pack_elements_into_bits(elements: Any, nbits: Any, order: Any = "little") -> Any:
            return "new"

        monkeypatch.setattr(utils, "sparse_to_dense", sparse_to_dense)
        monkeypatch.setattr(utils, "pack_elements_into_bits", pack_elements_into_bits)
        monkeypatch.delattr(utils, "restore_elements_from_packed_bits")
        monkeypatch.setattr(utils, "get_quant_range", lambda n_bits, signed, mode: (0, 1))
        with sc.accelerate_coremltools() as accelerator:
            states = {status.routine.key: status for status in accelerator.routines}
            text = str(accelerator)
        utils_states = {key.partition(":")[2]: each for key, each in states.items() if "optimize._utils" in key}
        assert utils_states["lut_to_dense"].state == "replaced"
        for name, reason in (
            ("sparse_to_dense", "another source"),
            ("pack_elements_into_bits", "another signature"),
            ("restore_elements_from_packed_bits", "there is no"),
            ("compute_qparams_by_dtype", "get_quant_range has another source"),
        ):
            assert utils_states[name].state == "left alone"
            assert reason in utils_states[name].reason
            assert reason in text
        assert "10.0b1" in text and "only what is unchanged" in text

    def test_sources_that_cannot_be_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unreadable(function: Any) -> str:
            raise OSError

        monkeypatch.setattr(patching, "_read", {})
        monkeypatch.setattr(patching.inspect, "getsource", unreadable)
        with sc.accelerate_coremltools() as accelerator:
            assert {status.state for status in accelerator.routines} <= {"replaced", "waiting"}
        monkeypatch.setattr(coremltools, "__version__", "10.0b1")
        with sc.accelerate_coremltools() as accelerator:
            reasons = {status.reason for status in accelerator.routines if status.state == "left alone"}
        assert reasons and all("no source to verify" in reason for reason in reasons)


class TestDescription:
    def test_words(self) -> None:
        with sc.accelerate_coremltools() as accelerator:
            utils.lut_to_dense(np.array([1], np.uint8), np.array([3.0, 4.0]).reshape(1, 2, 1))
            text = accelerator.describe()
        assert str(accelerator).startswith(accelerator.summary) and "(restored)" in accelerator.summary
        assert repr(accelerator) == f"<Accelerator {accelerator.summary}>"
        for part in ("coremltools 9.0", "differs: ", "calls: 1 ours, 0 original", "GPTQ", "instead of scikit-learn"):
            assert part in text

    @pytest.mark.parametrize("number", [0, -1])
    def test_threads(self, number: int) -> None:
        with pytest.raises(ValueError, match="num_threads"):
            sc.accelerate_coremltools(num_threads=number)
        with sc.accelerate_coremltools(num_threads=3), sc.accelerate_coremltools() as inner:
            assert inner._session is not None and inner._session._threads() == 3


class TestThreads:
    def test_from_several(self) -> None:
        weight = np.random.default_rng(1).standard_normal((200, 100)).astype(np.float16)
        compress = passes.palettize_weights.grouped_channelwise_compress
        expected = compress(weight, "KMEANS", 4, 0, 0)
        failures: list[BaseException] = []

        def work() -> None:
            try:
                for _ in range(20):
                    with sc.accelerate_coremltools():
                        found = passes.palettize_weights.grouped_channelwise_compress(weight, "KMEANS", 4, 0, 0)
                    assert np.array_equal(found.lut, expected.lut)
            except Exception as error:  # noqa: BLE001
                failures.append(error)

        before = everything()
        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive()
        assert not failures
        assert everything() == before

    def test_workers_twice_and_after_scikit_learn(self) -> None:
        """The pool that is closed once for all, and the fork after OpenMP that hangs."""
        code = """
            import numpy as np, swiftcompress as sc
            from sklearn.cluster import KMeans
            import coremltools
            from coremltools.optimize.coreml import _quantization_passes as passes
            weight = np.random.default_rng(0).standard_normal((64, 128)).astype(np.float32)
            compress = passes.palettize_weights.grouped_channelwise_compress
            KMeans(4, n_init=1).fit(weight)
            with sc.accelerate_coremltools():
                results = [
                    passes.palettize_weights.grouped_channelwise_compress(
                        weight, "KMEANS", 4, 0, 16, None, 1, workers)
                    for workers in (1, 2, 4)
                ]
                vectors = [
                    passes.palettize_weights.grouped_channelwise_compress(
                        weight, "KMEANS", 4, 0, 16, None, 2, workers)
                    for workers in (1, 2)
                ]
                passes.palettize_weights().__del__()
                passes.palettize_weights.grouped_channelwise_compress(weight, "KMEANS", 4, 0, 16, None, 1, 2)
            assert passes.palettize_weights._compress_pool is None
            for result in results[1:]:
                assert np.array_equal(result.lut, results[0].lut)
                assert np.array_equal(result.indices, results[0].indices)
            assert np.array_equal(vectors[0].indices, vectors[1].indices)
            print("done")
        """
        pytest.importorskip("sklearn", reason="scikit-learn is not installed")
        assert run(_dedent(code)).endswith("done\n")

    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_processes_after_use(self, method: str, tmp_path: Path) -> None:
        script = tmp_path / "processes.py"
        script.write_text(
            _dedent(f"""
            import multiprocessing, warnings
            import numpy as np, swiftcompress as sc
            import coremltools
            from coremltools.optimize import _utils
            from coremltools.optimize.coreml import _quantization_passes as passes

            def work(seed):
                weight = np.random.default_rng(seed).standard_normal((120, 100)).astype(np.float16)
                result = passes.palettize_weights.grouped_channelwise_compress(weight, "KMEANS", 4, 0, 0)
                return _utils.lut_to_dense(result.indices, result.lut)

            if __name__ == "__main__":
                warnings.simplefilter("ignore")
                with sc.accelerate_coremltools():
                    here = [work(seed) for seed in range(4)]
                    with multiprocessing.get_context({method!r}).Pool(2) as pool:
                        there = pool.map_async(work, range(4)).get(200)
                    for a, b in zip(here, there):
                        assert np.array_equal(a, b)
                print("done")
            """)
        )
        assert run("", str(script)).endswith("done\n")


def _dedent(code: str) -> str:
    import textwrap

    return textwrap.dedent(code)
