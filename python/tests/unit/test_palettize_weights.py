"""cto.palettize_weights as a Python function: inputs, outputs, callbacks, clean-up. The bits are the package tests' business."""

import gc
import io
import os
import signal
import sys
import tempfile
import threading
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np
import pytest

import swiftcompress as sc
import swiftcompress.coreml as cto

FOUR = cto.OptimizationConfig(cto.OpPalettizerConfig(nbits=4, weight_threshold=0))


@pytest.fixture
def source(fixtures: Path) -> Path:
    return fixtures / "mixed_ios18.mlpackage"


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made; empty unless somebody left something."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_output(source: Path, tmp_path: Path, scratch: Path) -> None:
    target = tmp_path / "out.mlpackage"
    for model in (source, str(source), sc.ModelPackage(source)):
        result = cto.palettize_weights(model, FOUR, output=target)
        assert isinstance(result, sc.ModelPackage)
        assert Path(result.path) == target
        assert result.weights["conv_weight.lut"].shape == (1, 1, 1, 1, 16, 1)
        assert len(result.report.compressed) == 12
    assert not list(scratch.iterdir())


def test_without_output_the_package_goes_with_the_object(source: Path, scratch: Path) -> None:
    result = cto.palettize_weights(source, FOUR)
    path = Path(result.path)
    assert path.is_dir()
    assert path.name == source.name
    lut = result.weights["conv_weight.lut"]
    kept = lut.copy()
    del result
    gc.collect()
    assert not list(scratch.iterdir())
    assert np.array_equal(lut, kept)


def test_array_and_package_agree(source: Path) -> None:
    before = sc.ModelPackage(source)
    after = cto.palettize_weights(source, FOUR)
    for name in after.compressed:
        expected = sc.palettize(before.weights[name], 4)
        assert np.array_equal(after.weights[f"{name}.lut"], expected.lut)
        assert np.array_equal(after.weights[f"{name}.indices"], expected.indices)
        assert np.array_equal(after.decompressed(name), expected.decompress())


def test_failures_leave_nothing(source: Path, tmp_path: Path, scratch: Path) -> None:
    too_new = cto.OptimizationConfig(cto.OpPalettizerConfig(nbits=3))
    ios16 = source.with_name("mixed_ios16.mlpackage")
    with pytest.raises(ValueError, match="iOS18"):
        cto.palettize_weights(ios16, too_new)
    with pytest.raises(ValueError, match="iOS18"):
        cto.palettize_weights(ios16, too_new, output=tmp_path / "out.mlpackage")
    with pytest.raises(FileNotFoundError):
        cto.palettize_weights(tmp_path / "missing.mlpackage", FOUR)
    with pytest.raises(sc.ModelFormatError, match="neuralNetwork"):
        cto.palettize_weights(source.with_name("neural_network.mlpackage"), FOUR)
    assert not list(scratch.iterdir())
    assert [p.name for p in tmp_path.iterdir()] == ["scratch"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"joint_compression": None}, TypeError),
        ({"config": {"nbits": 4}}, TypeError),
        ({"config": cto.OpPalettizerConfig(nbits=4)}, TypeError),
        ({"model": 3}, TypeError),
        ({"model": None}, TypeError),
        ({"num_threads": 0}, ValueError),
        ({"num_threads": 1.0}, TypeError),
        ({"progress": "yes"}, TypeError),
        ({"strict": 1}, TypeError),
        ({"compat": "mlx"}, ValueError),
        ({"compat": 9}, TypeError),
        ({"output": 3}, TypeError),
    ],
    ids=str,
)
def test_arguments(source: Path, arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        cto.palettize_weights(**{"model": source, "config": FOUR, **arguments})


def test_strict(source: Path) -> None:
    config = cto.OptimizationConfig(op_name_configs={"no_such_operation": None})
    report = cto.palettize_weights(source, config).report
    assert "no_such_operation" in " ".join(report.warnings)
    with pytest.raises(ValueError, match="no_such_operation"):
        cto.palettize_weights(source, config, strict=True)


def test_compat_changes_the_scale(source: Path) -> None:
    config = cto.OptimizationConfig(
        op_name_configs={"linear_weight": cto.OpPalettizerConfig(nbits=4, enable_per_channel_scale=True)}
    )
    right = cto.palettize_weights(source, config)
    theirs = cto.palettize_weights(source, config, compat="coremltools")
    # Ours multiplies what the operation computes, one number for each output channel.
    assert right.weights["linear_weight_scale"].shape == (48,)
    assert theirs.weights["linear_weight_palette.scale"].shape == (1, 64, 1, 1)


class TestCustomFunction:
    @staticmethod
    def signs(group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        size = np.abs(group).mean(dtype=np.float32)
        return np.array([-size, size]), (group > 0).astype(np.uint8)

    def test_runs_on_the_calling_thread(self, source: Path) -> None:
        seen: list[tuple[Any, ...]] = []

        def function(group: np.ndarray) -> Any:
            seen.append((threading.current_thread(), group.dtype, group.shape))
            return self.signs(group)

        config = cto.OptimizationConfig(
            cto.OpPalettizerConfig(nbits=2),
            op_name_configs={"transpose_weight": cto.OpPalettizerConfig("custom", lut_function=function)},
        )
        result = cto.palettize_weights(source, config)
        # The channel axis (1 for a transposed convolution) comes first.
        assert seen == [(threading.current_thread(), np.float16, (32, 16, 3, 3))]
        weight = sc.ModelPackage(source).weights["transpose_weight"]
        assert np.array_equal(result.decompressed("transpose_weight") > 0, weight > 0)
        assert result.weights["transpose_weight.lut"].shape == (1, 1, 1, 1, 2, 1)

    def test_two_functions(self, source: Path) -> None:
        def ternary(group: np.ndarray) -> Any:
            return [-1, 0, 1, 0], np.sign(group).astype(np.int8) + 1

        config = cto.OptimizationConfig(
            op_name_configs={
                "linear_weight": cto.OpPalettizerConfig("custom", lut_function=self.signs),
                "matmul_y": cto.OpPalettizerConfig("custom", lut_function=ternary),
            }
        )
        result = cto.palettize_weights(source, config)
        assert set(np.unique(result.decompressed("matmul_y"))) <= {-1, 0, 1}
        assert len(np.unique(result.decompressed("linear_weight"))) == 2

    @pytest.mark.parametrize("error", [LookupError("mine"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
    def test_its_exceptions_come_through(self, source: Path, scratch: Path, error: BaseException) -> None:
        def broken(group: np.ndarray) -> Any:
            raise error

        with pytest.raises(type(error)) as caught:
            cto.palettize_weights(source, cto.OptimizationConfig(cto.OpPalettizerConfig("custom", lut_function=broken)))
        assert caught.value is error
        assert not list(scratch.iterdir())

    def test_nonsense_is_refused(self, source: Path) -> None:
        config = cto.OptimizationConfig(cto.OpPalettizerConfig("custom", lut_function=lambda group: (group, group)))
        with pytest.raises(ValueError, match=r"\[palettize_weights\] lut: found an array of shape"):
            cto.palettize_weights(source, config)


class FakeTqdm:
    """As much of tqdm as is used; the real one reads its environment once, when it is imported."""

    def __init__(self, *, total: int | None, desc: str, unit: str, file: Any) -> None:
        self.total, self.n, self.file = total, 0, file
        file.write(f"{desc} {self.n}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        assert self.n == self.total
        self.file.write("\n")

    def set_postfix_str(self, text: str, refresh: bool) -> None:
        assert not refresh
        self.file.write(f" {text}")

    def update(self, count: int) -> None:
        self.n += count


class TestProgress:
    def test_function(self, source: Path) -> None:
        calls: list[tuple[int, int, str]] = []
        report = cto.palettize_weights(source, FOUR, progress=lambda *call: calls.append(call)).report
        done, total, name = calls[-1]
        assert len(report.compressed) <= done == total <= len(report)
        assert name in {record.name for record in report.weights}
        assert [call[0] for call in calls] == sorted(call[0] for call in calls)

    def test_its_exceptions_stop_the_run(self, source: Path, scratch: Path) -> None:
        def stop(done: int, total: int, name: str) -> None:
            raise RuntimeError("enough")

        with pytest.raises(RuntimeError, match="enough"):
            cto.palettize_weights(source, FOUR, progress=stop)
        assert not list(scratch.iterdir())

    @pytest.mark.parametrize("tqdm", [False, True])
    @pytest.mark.parametrize("terminal", [False, True])
    @pytest.mark.parametrize("wanted", [False, True])
    def test_only_on_a_terminal(
        self, source: Path, monkeypatch: pytest.MonkeyPatch, tqdm: bool, terminal: bool, wanted: bool
    ) -> None:
        class Stream(io.StringIO):
            def isatty(self) -> bool:
                return terminal

        module = ModuleType("tqdm")
        module.tqdm = FakeTqdm  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "tqdm", module if tqdm else None)
        stream = Stream()
        monkeypatch.setattr(sys, "stderr", stream)
        cto.palettize_weights(source, FOUR, progress=wanted)
        shown = stream.getvalue()
        assert bool(shown) is (terminal and wanted)
        if shown:
            assert shown.startswith("palettizing 0" if tqdm else "\rpalettizing: ")
            assert shown.endswith("\n")


def test_ctrl_c_ends_a_package_run_and_leaves_nothing(source: Path, scratch: Path) -> None:
    def interrupt(done: int, total: int, name: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests may ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            cto.palettize_weights(source, FOUR, progress=interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not list(scratch.iterdir())


def test_other_threads_run_meanwhile() -> None:
    """The GIL is released: a Python thread counts while a long call runs."""
    values = np.random.default_rng(0).standard_normal(200_000)
    counted = 0
    running = True

    def count() -> None:
        nonlocal counted
        while running:
            counted += 1

    thread = threading.Thread(target=count)
    thread.start()
    before = counted
    sc.kmeans_1d(values, 64)
    during = counted - before
    running = False
    thread.join()
    assert during > 100


class FakeMLModel:
    """As much of coremltools' MLModel as is used."""

    def __init__(self, path: str, **options: Any) -> None:
        self.path = path
        self.options = options
        self.is_package = True
        self.__proxy__ = None if options["skip_model_load"] else object()
        self.compute_unit = options["compute_units"]
        self.function_name = options["function_name"]
        self.optimization_hints = options["optimization_hints"]

    def save(self, path: str) -> None:
        sc.ModelPackage(self.path).save(path)


@pytest.fixture
def ml_model(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, "coremltools", ModuleType("coremltools"))
    return type("MLModel", (FakeMLModel,), {"__module__": "coremltools.models.model"})


@pytest.mark.parametrize("skip", [False, True])
def test_an_mlmodel_gives_an_mlmodel(source: Path, scratch: Path, tmp_path: Path, ml_model: Any, skip: bool) -> None:
    options = {
        "skip_model_load": skip,
        "compute_units": "CPU_ONLY",
        "function_name": "main",
        "optimization_hints": {"reshapeFrequency": "Frequent"},
    }
    model = ml_model(str(source), **options)
    result = cto.palettize_weights(model, FOUR)
    assert type(result) is ml_model
    assert result.options == options
    assert len(result.report.compressed) == 12
    assert sc.ModelPackage(result.path).compressed
    assert [p.name for p in Path(result.path).parent.iterdir()] == ["model.mlpackage"]
    del result
    gc.collect()
    assert not list(scratch.iterdir())
    target = tmp_path / "out.mlpackage"
    assert cto.palettize_weights(model, FOUR, output=target).path == str(target)
    gc.collect()
    assert not list(scratch.iterdir())
    assert target.is_dir()


def test_an_mlmodel_of_the_old_kind(source: Path, ml_model: Any) -> None:
    options = dict.fromkeys(("skip_model_load", "compute_units", "function_name", "optimization_hints"))
    model = ml_model(str(source), **options)
    model.is_package = False
    with pytest.raises(TypeError, match="ML Program"):
        cto.palettize_weights(model, FOUR)


def coremltools_class(name: str, **values: Any) -> Any:
    return type(name, (), {"__module__": "coremltools.optimize.coreml._config", **values})()


def test_coremltools_configurations(source: Path, ml_model: Any) -> None:
    granularity = Enum("CompressionGranularity", "PER_TENSOR PER_GROUPED_CHANNEL").PER_GROUPED_CHANNEL  # type: ignore[attr-defined]
    op = coremltools_class(
        "OpPalettizerConfig",
        mode="KMEANS",
        nbits=2,
        lut_function=None,
        granularity=granularity,
        group_size=16,
        channel_axis=None,
        cluster_dim=1,
        enable_per_channel_scale=False,
        num_kmeans_workers=4,
        weight_threshold=0,
    )
    theirs = coremltools_class(
        "OptimizationConfig",
        global_config=op,
        op_type_configs={"conv": None},
        op_name_configs={},
        _op_selector=None,
    )
    ours = cto.OptimizationConfig(
        cto.OpPalettizerConfig(nbits=2, granularity="per_grouped_channel", group_size=16, weight_threshold=0),
        op_type_configs={"conv": None},
    )
    left = cto.palettize_weights(source, theirs)
    right = cto.palettize_weights(source, ours)
    assert set(left.weights) == set(right.weights)
    assert all(np.array_equal(left.weights[name], right.weights[name]) for name in left.weights)
    theirs.global_config = coremltools_class("OpLinearQuantizerConfig")
    with pytest.raises(ValueError, match="OpPalettizerConfig"):
        cto.palettize_weights(source, theirs)
    theirs._op_selector = print
    with pytest.raises(NotImplementedError, match="op_selector"):
        cto.palettize_weights(source, theirs)
