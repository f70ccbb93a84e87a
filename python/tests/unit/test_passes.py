"""The functions of swiftcompress.coreml on the engine: what is done, what comes back, and what is undone again."""

import gc
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import swiftcompress as sc
import swiftcompress.coreml as cto

CASES: list[tuple[str, Any, str]] = [
    ("palettize_weights", cto.OpPalettizerConfig(nbits=4, weight_threshold=0), "palettized"),
    ("linear_quantize_weights", cto.OpLinearQuantizerConfig(weight_threshold=0), "quantized"),
    ("linear_quantize_weights", cto.OpLinearQuantizerConfig("linear", "uint8", weight_threshold=0), "quantized"),
    ("prune_weights", cto.OpMagnitudePrunerConfig(target_sparsity=0.5, weight_threshold=0), "pruned"),
    ("prune_weights", cto.OpThresholdPrunerConfig(0.05, 0.0, weight_threshold=0), "pruned"),
]


@pytest.fixture
def source(fixtures: Path) -> Path:
    return fixtures / "mixed_ios18.mlpackage"


@pytest.mark.parametrize(("function", "config", "action"), CASES, ids=str)
@pytest.mark.parametrize("target", ["ios16", "ios18"])
def test_there_and_back(source: Path, tmp_path: Path, function: str, config: Any, action: str, target: str) -> None:
    source = source.with_name(f"mixed_{target}.mlpackage")
    before = sc.ModelPackage(source)
    compressed = getattr(cto, function)(source, cto.OptimizationConfig(config), output=tmp_path / "small.mlpackage")
    report = compressed.report
    assert {record.action for record in report.weights} <= {action, "declined"}
    done = {record.name for record in report.compressed}
    assert done == set(compressed.compressed)
    assert "linear_weight" in done
    assert all(record.reason for record in report.declined)
    assert f"weights {action} " in str(report)
    again = cto.decompress_weights(compressed)
    assert not again.compressed
    assert {record.action for record in again.report.compressed} == {"decompressed"}
    for name in done:
        dense = again.weights[name]
        assert np.array_equal(dense, compressed.decompressed(name))
        assert (dense.dtype, dense.shape) == (before.weights[name].dtype, before.weights[name].shape)
    for name in set(before.weights) - done:
        assert np.array_equal(again.weights[name], before.weights[name])


def test_pruned_numbers(source: Path) -> None:
    before = sc.ModelPackage(source).weights["linear_weight"]
    config = cto.OptimizationConfig(op_name_configs={"linear_weight": cto.OpMagnitudePrunerConfig(0.5)})
    result = cto.prune_weights(source, config)
    after = result.decompressed("linear_weight")
    kept = after != 0
    assert np.array_equal(after[kept], before[kept])
    assert np.mean(kept) == pytest.approx(0.5, abs=0.01)
    assert np.abs(before[~kept]).max() <= np.abs(before[kept]).min()
    assert list(result.compressed) == ["linear_weight"]


def test_targets(source: Path, tmp_path: Path) -> None:
    ios16 = source.with_name("mixed_ios16.mlpackage")
    config = cto.OptimizationConfig(cto.OpLinearQuantizerConfig(dtype="int4"))
    with pytest.raises(ValueError, match="iOS18"):
        cto.linear_quantize_weights(ios16, config, output=tmp_path / "out.mlpackage")
    with pytest.raises(ValueError, match="minimum_deployment_target"):
        cto.linear_quantize_weights(ios16, config, minimum_deployment_target="iOS99")
    assert not list(tmp_path.iterdir())
    raised = cto.linear_quantize_weights(ios16, config, minimum_deployment_target="iOS18")
    assert raised.report.specification_version == (7, 9)
    assert raised.weights["linear_weight.data"].dtype == np.int8
    assert raised.weights.info("linear_weight.data").dtype == "int4"


def test_joint_compression(source: Path) -> None:
    pruned = cto.prune_weights(source, cto.OptimizationConfig(cto.OpMagnitudePrunerConfig(0.5)))
    both = cto.palettize_weights(pruned, cto.OptimizationConfig(cto.OpPalettizerConfig(nbits=4)), True)
    assert "linear_weight" in {record.name for record in both.report.compressed}
    values = both.decompressed("linear_weight")
    assert np.array_equal(values == 0, pruned.decompressed("linear_weight") == 0)
    assert len(np.unique(values)) <= 17


def test_strict(source: Path) -> None:
    config = cto.OptimizationConfig(op_name_configs={"no_such_weight": cto.OpThresholdPrunerConfig()})
    assert cto.prune_weights(source, config).report.warnings
    with pytest.raises(ValueError, match="no_such_weight"):
        cto.prune_weights(source, config, strict=True)


def test_metadata_of_the_results(source: Path) -> None:
    pruned = cto.prune_weights(source, cto.OptimizationConfig(cto.OpMagnitudePrunerConfig(0.75)))
    dense = cto.get_weights_metadata(cto.decompress_weights(pruned))
    assert dense["linear_weight"].sparsity == pytest.approx(0.75, abs=0.01)
    names = {name for name in cto.get_weights_metadata(pruned, 1) if name.startswith("linear_weight")}
    assert len(names) >= 2


def test_temporary_packages_go_with_the_object(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for function, config, _ in CASES:
        result = getattr(cto, function)(source, cto.OptimizationConfig(config))
        again = cto.decompress_weights(result)
        assert len(list(tmp_path.iterdir())) == 2
        del result, again
        gc.collect()
        assert not list(tmp_path.iterdir())
