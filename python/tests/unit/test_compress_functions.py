"""The functions that compress or decompress a package: what they take, what the engine is told, what comes back.

The engine is replaced here by one that copies the package; what the real one does with the options is the package tests'
business.
"""

import inspect
import json
import os
import sys
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import swiftcompress as sc
import swiftcompress.coreml as cto
from swiftcompress import _native

FUNCTIONS: dict[str, Any] = {
    "palettize_weights": cto.OpPalettizerConfig(nbits=4),
    "linear_quantize_weights": cto.OpLinearQuantizerConfig(dtype="int4"),
    "prune_weights": cto.OpMagnitudePrunerConfig(target_sparsity=0.5),
}
OPERATIONS = {
    "palettize_weights": "palettize",
    "linear_quantize_weights": "quantize",
    "prune_weights": "prune",
    "decompress_weights": "decompress",
}
ALL = [*FUNCTIONS, "decompress_weights"]


@pytest.fixture
def source(fixtures: Path) -> Path:
    return fixtures / "mixed_ios18.mlpackage"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The options of each call."""
    calls: list[dict[str, Any]] = []

    def compress(source: bytes, target: bytes, options: bytes, progress: Any, lut_function: Any) -> bytes:
        calls.append(json.loads(options))
        sc.ModelPackage(os.fsdecode(source)).save(os.fsdecode(target))
        if progress is not None:
            progress(0, 0, "")
        report = {
            "input": os.fsdecode(source),
            "output": os.fsdecode(target),
            "operation": calls[-1]["operation"],
            "specification_version": {"before": 9, "after": 9},
            "package_bytes": {"before": 1, "after": 1},
            "seconds": 0.0,
            "warnings": [],
            "weights": [],
        }
        return json.dumps(report).encode()

    monkeypatch.setattr(_native, "compress", compress)
    return calls


def call(function: str, *model: Any, **arguments: Any) -> Any:
    if function in FUNCTIONS:
        arguments.setdefault("config", cto.OptimizationConfig(FUNCTIONS[function]))
    return getattr(cto, function)(*model, **arguments)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_options(source: Path, told: list[dict[str, Any]], function: str) -> None:
    one = FUNCTIONS[function]
    config = cto.OptimizationConfig(one, {"conv": None}, {"head": one})
    cto_function = getattr(cto, function)
    cto_function(source, config)
    default = {
        "operation": OPERATIONS[function],
        "global": one._to_options([]),
        "op_types": {"conv": None},
        "op_names": {"head": one._to_options([])},
        "joint_compression": False,
        "strict": False,
        "compat": None,
        "minimum_deployment_target": None,
        "num_threads": 0,
    }
    assert told == [default]
    cto_function(
        source, config, True, num_threads=3, strict=True, compat="coremltools", minimum_deployment_target="iOS18"
    )
    changed = {
        "joint_compression": True,
        "num_threads": 3,
        "strict": True,
        "compat": "coremltools",
        "minimum_deployment_target": "iOS18",
    }
    assert told[1] == default | changed


def test_decompression_has_no_options(source: Path, told: list[dict[str, Any]]) -> None:
    cto.decompress_weights(source)
    cto.decompress_weights(source, num_threads=2)
    assert told == [{"operation": "decompress", "num_threads": 0}, {"operation": "decompress", "num_threads": 2}]


def test_both_pruners(source: Path, told: list[dict[str, Any]]) -> None:
    config = cto.OptimizationConfig(
        cto.OpThresholdPrunerConfig(), {"conv": cto.OpMagnitudePrunerConfig(n_m_ratio=(1, 2))}
    )
    cto.prune_weights(source, config)
    assert told[0]["global"]["type"] == "threshold_pruner"
    assert told[0]["op_types"]["conv"]["type"] == "magnitude_pruner"


@pytest.mark.parametrize("function", ALL)
def test_models_and_outputs(source: Path, tmp_path: Path, told: list[dict[str, Any]], function: str) -> None:
    for number, model in enumerate((source, str(source), sc.ModelPackage(source))):
        result = call(function, model)
        assert isinstance(result, sc.ModelPackage)
        assert result.report is not None
        assert result.report.operation == OPERATIONS[function]
        target = tmp_path / f"{number}.mlpackage"
        assert call(function, model, output=target).path == str(target)
    assert isinstance(call(function, model=source), sc.ModelPackage)


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"model": 3}, TypeError),
        ({"model": None}, TypeError),
        ({"num_threads": 0}, ValueError),
        ({"num_threads": 1.0}, TypeError),
        ({"progress": "yes"}, TypeError),
        ({"output": 3}, TypeError),
        ({"config": {"nbits": 4}}, TypeError),
        ({"config": cto.OpPalettizerConfig(nbits=4)}, TypeError),
        ({"joint_compression": None}, TypeError),
        ({"joint_compression": 1}, TypeError),
        ({"strict": 1}, TypeError),
        ({"compat": "mlx"}, ValueError),
        ({"compat": 9}, TypeError),
        ({"minimum_deployment_target": 18}, TypeError),
    ],
    ids=str,
)
def test_arguments(
    source: Path, told: list[dict[str, Any]], function: str, arguments: dict[str, Any], error: type[Exception]
) -> None:
    name = next(iter(arguments))
    if name not in inspect.signature(getattr(cto, function)).parameters:
        error = TypeError  # not one of its arguments at all
    with pytest.raises(error):
        call(function, **{"model": source, **arguments})
    assert not told


@pytest.mark.parametrize("function", FUNCTIONS)
def test_configurations_of_another_kind(source: Path, told: list[dict[str, Any]], function: str) -> None:
    for other, config in FUNCTIONS.items():
        if other != function:
            with pytest.raises(
                ValueError, match=rf"^{function} only accept .* type config\. Got {type(config).__name__}"
            ):
                call(function, source, config=cto.OptimizationConfig(op_name_configs={"a": config}))
    assert not told


@pytest.mark.parametrize("function", ALL)
def test_progress(source: Path, told: list[dict[str, Any]], function: str) -> None:
    calls: list[Any] = []
    call(function, source, progress=lambda *state: calls.append(state))
    assert calls == [(0, 0, "")]


def test_targets_of_coremltools(source: Path, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coremltools", ModuleType("coremltools"))
    target = Enum("AvailableTarget", "iOS17 iOS18", module="coremltools.converters")
    call("prune_weights", source, minimum_deployment_target=target.iOS18)  # type: ignore[attr-defined]
    assert told[0]["minimum_deployment_target"] == "iOS18"


@pytest.mark.parametrize("function", ALL)
def test_docstrings_have_every_argument(function: str) -> None:
    text = inspect.getdoc(getattr(cto, function)) or ""
    for name in inspect.signature(getattr(cto, function)).parameters:
        assert f"\n{name}\n    " in text
    for heading in ("Parameters", "Returns", "Raises", "References", "Examples"):
        assert f"\n{heading}\n{'-' * len(heading)}\n" in text


def test_all_names_exist() -> None:
    assert sorted(cto.__all__) == cto.__all__
    assert all(hasattr(cto, name) for name in cto.__all__)
