"""coremltools' functions on our results, and its configurations made of ours."""

from __future__ import annotations

import sys
from pathlib import Path

import coremltools as ct
import coremltools.optimize.coreml as theirs
import numpy as np
import pytest
from coremltools.models.utils import MultiFunctionDescriptor, save_multifunction

import swiftcompress as sc
import swiftcompress.coreml as cto
from support.mlmodels import COMPRESSORS, convert
from swiftcompress.coreml.adapters import as_config


def test_coremltools_goes_on_with_our_results(tmp_path: Path) -> None:
    """Without a program in memory: it reads ours from the package, like that of any model from a file."""
    result = COMPRESSORS["quantize"](convert("iOS18"))
    assert result._mil_program is None
    listed = theirs.get_weights_metadata(result)
    assert sorted(listed) == sorted(cto.get_weights_metadata(result))
    assert all(np.array_equal(listed[name].val, cto.get_weights_metadata(result)[name].val) for name in listed)
    pruned = COMPRESSORS["prune"](convert("iOS18"))
    both = theirs.palettize_weights(
        pruned, theirs.OptimizationConfig(theirs.OpPalettizerConfig(nbits=4)), joint_compression=True
    )
    assert len(sc.ModelPackage(both.package_path).compressed) == 2
    dense = theirs.decompress_weights(result)
    assert not sc.ModelPackage(dense.package_path).compressed
    both.save(str(tmp_path / "both.mlpackage"))
    assert len(cto.decompress_weights(tmp_path / "both.mlpackage").report.compressed) == 2


def test_our_results_become_functions(tmp_path: Path) -> None:
    descriptor = MultiFunctionDescriptor()
    for name in COMPRESSORS:
        COMPRESSORS[name](convert("iOS18")).save(str(tmp_path / f"{name}.mlpackage"))
        descriptor.add_function(str(tmp_path / f"{name}.mlpackage"), "main", name)
    descriptor.default_function_name = "prune"
    save_multifunction(descriptor, str(tmp_path / "all.mlpackage"))
    package = sc.ModelPackage(tmp_path / "all.mlpackage")
    assert sorted(package.functions) == sorted(COMPRESSORS)
    kinds = {operation.function: set() for operation in package.operations}
    for operation in package.operations:
        kinds[operation.function].add(operation.type)
    assert "constexpr_lut_to_dense" in kinds["palettize"]
    assert "constexpr_blockwise_shift_scale" in kinds["quantize"]
    assert "constexpr_sparse_to_dense" in kinds["prune"]


CONFIGURATIONS = {
    "kmeans": (cto.OpPalettizerConfig(nbits=np.int64(4), weight_threshold=np.int32(0)), "OpPalettizerConfig"),
    "groups": (
        cto.OpPalettizerConfig(
            mode="uniform", nbits=3, granularity="per_grouped_channel", group_size=16, channel_axis=1, cluster_dim=1
        ),
        "OpPalettizerConfig",
    ),
    "custom": (
        cto.OpPalettizerConfig(mode="custom", lut_function=lambda weight: (np.zeros(2), np.zeros(weight.size))),
        "OpPalettizerConfig",
    ),
    "vectors": (cto.OpPalettizerConfig(nbits=4, cluster_dim=2, enable_per_channel_scale=True), "OpPalettizerConfig"),
    "int8": (cto.OpLinearQuantizerConfig(mode="linear", dtype=np.uint8), "OpLinearQuantizerConfig"),
    "blocks": (
        cto.OpLinearQuantizerConfig(dtype="int4", granularity="per_block", block_size=[np.int64(1), 16]),
        "OpLinearQuantizerConfig",
    ),
    "half": (cto.OpMagnitudePrunerConfig(target_sparsity=np.float32(0.5)), "OpMagnitudePrunerConfig"),
    "ratio": (cto.OpMagnitudePrunerConfig(n_m_ratio=(2, 4), dim=0), "OpMagnitudePrunerConfig"),
    "threshold": (cto.OpThresholdPrunerConfig(threshold=0.01, weight_threshold=10), "OpThresholdPrunerConfig"),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configuration_becomes_theirs(name: str) -> None:
    ours, kind = CONFIGURATIONS[name]
    made = ours.to_coremltools()
    assert type(made) is getattr(theirs, kind)
    # Back again it says the same.
    config = theirs.OptimizationConfig(global_config=made)
    assert as_config("test", config, (type(ours),)).global_config == ours


def test_a_whole_configuration_becomes_theirs() -> None:
    ours = cto.OptimizationConfig(
        global_config=cto.OpPalettizerConfig(nbits=6),
        op_type_configs={"conv": None, "linear": cto.OpPalettizerConfig(nbits=8)},
        op_name_configs={"first": cto.OpPalettizerConfig(mode="unique"), "second": None},
    )
    made = ours.to_coremltools()
    assert type(made) is theirs.OptimizationConfig
    assert made.op_type_configs["conv"] is None and made.op_name_configs["second"] is None
    assert as_config("test", made, (cto.OpPalettizerConfig,)) == ours
    assert cto.OptimizationConfig().to_coremltools().global_config is None


def test_a_pass_pipeline_takes_our_configuration() -> None:
    """Compression while converting, with the options of coremltools' own pass."""
    config = cto.OptimizationConfig(cto.OpPalettizerConfig(mode="uniform", nbits=4))
    pipeline = ct.PassPipeline()
    pipeline.append_pass("compression::palettize_weights")
    pipeline.set_options("compression::palettize_weights", {"config": config.to_coremltools()})
    converted = convert(pass_pipeline=pipeline)
    ours = cto.palettize_weights(convert(), config)
    found, expected = sc.ModelPackage(converted.package_path), sc.ModelPackage(ours.package_path)
    assert len(found.compressed) == len(expected.compressed) == 2
    assert sorted(op.type for op in found.operations) == sorted(op.type for op in expected.operations)


def test_without_coremltools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coremltools", None)
    monkeypatch.setitem(sys.modules, "coremltools.optimize.coreml", None)
    for config in (cto.OptimizationConfig(), cto.OpPalettizerConfig(nbits=4)):
        with pytest.raises(ImportError, match=f"{type(config).__name__}.to_coremltools needs coremltools"):
            config.to_coremltools()
