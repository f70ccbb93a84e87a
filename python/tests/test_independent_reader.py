"""scripts/mlpackage_reader.py is what the demo and the benchmarks trust; here coremltools checks it.

Packages that coremltools compresses, once or twice, are decoded by both, and must come out the same.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from mlpackage_reader import Package

ct = pytest.importorskip("coremltools")
cto = pytest.importorskip("coremltools.optimize.coreml")

PALETTIZED = [
    pytest.param("iOS16", {"nbits": 1}, id="iOS16-1"),
    pytest.param("iOS16", {"nbits": 6}, id="iOS16-6"),
    pytest.param("iOS18", {"nbits": 3}, id="iOS18-3"),
    pytest.param("iOS18", {"nbits": 2, "granularity": "per_grouped_channel", "group_size": 8}, id="grouped"),
    pytest.param(
        "iOS18",
        {"nbits": 4, "granularity": "per_grouped_channel", "group_size": 4, "channel_axis": 1},
        id="grouped-axis-1",
    ),
    pytest.param("iOS18", {"nbits": 4, "cluster_dim": 4}, id="vectors"),
    pytest.param("iOS18", {"nbits": 4, "enable_per_channel_scale": True}, id="scaled"),
]
LUT, INT8 = cto.OpPalettizerConfig(nbits=4), cto.OpLinearQuantizerConfig()
TENSOR = cto.OpLinearQuantizerConfig(granularity="per_tensor")
LINEAR = cto.OpLinearQuantizerConfig(mode="linear")
HALF = cto.OpMagnitudePrunerConfig(target_sparsity=0.5)


def block(dtype: str, mode: str) -> Any:
    return cto.OpLinearQuantizerConfig(dtype=dtype, mode=mode, granularity="per_block", block_size=8)


CHAINS = [
    ("iOS16", [INT8], {"constexpr_affine_dequantize"}),
    ("iOS16", [LINEAR], {"constexpr_affine_dequantize"}),
    ("iOS16", [cto.OpLinearQuantizerConfig(dtype="uint8", granularity="per_tensor")], {"constexpr_affine_dequantize"}),
    ("iOS16", [HALF], {"constexpr_sparse_to_dense"}),
    ("iOS18", [HALF], {"constexpr_sparse_to_dense"}),
    ("iOS18", [INT8], {"constexpr_blockwise_shift_scale"}),
    ("iOS18", [LINEAR], {"constexpr_blockwise_shift_scale"}),
    ("iOS18", [block("int4", "linear_symmetric")], {"constexpr_blockwise_shift_scale"}),
    ("iOS18", [block("int4", "linear")], {"constexpr_blockwise_shift_scale"}),
    ("iOS18", [block("uint4", "linear")], {"constexpr_blockwise_shift_scale"}),
    ("iOS18", [LUT, TENSOR], {"constexpr_lut_to_dense", "constexpr_blockwise_shift_scale"}),
    ("iOS18", [INT8, LUT], {"constexpr_lut_to_dense", "constexpr_blockwise_shift_scale"}),
    ("iOS26", [LINEAR, LUT], {"constexpr_lut_to_dense", "constexpr_blockwise_shift_scale"}),
    ("iOS18", [HALF, block("int4", "linear")], {"constexpr_sparse_blockwise_shift_scale", "constexpr_sparse_to_dense"}),
    ("iOS18", [INT8, HALF], {"constexpr_sparse_blockwise_shift_scale", "constexpr_sparse_to_dense"}),
    ("iOS18", [HALF, LUT], {"constexpr_lut_to_sparse", "constexpr_sparse_to_dense"}),
    ("iOS18", [LUT, HALF], {"constexpr_lut_to_sparse", "constexpr_sparse_to_dense"}),
    (
        "iOS18",
        [HALF, LUT, TENSOR],
        {"constexpr_lut_to_sparse", "constexpr_sparse_to_dense", "constexpr_blockwise_shift_scale"},
    ),
]


def convolution(target: str) -> Any:
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil.mil import types

    weight = np.random.default_rng(1).standard_normal((32, 16, 3, 3)).astype(np.float16)

    @mb.program(
        input_specs=[mb.TensorSpec(shape=(1, 16, 8, 8), dtype=types.fp16)],
        opset_version=getattr(ct.target, target),
    )
    def program(x: Any) -> Any:
        return mb.conv(x=x, weight=weight, name="conv")

    return ct.convert(
        program, minimum_deployment_target=getattr(ct.target, target), convert_to="mlprogram", skip_model_load=True
    )


@pytest.mark.parametrize(("target", "settings"), PALETTIZED)
def test_decodes_what_coremltools_decodes(target: str, settings: dict[str, Any], tmp_path: Path) -> None:
    config = cto.OpPalettizerConfig(mode="kmeans", **settings)
    types = assert_decodes([config], target, tmp_path)
    assert "constexpr_lut_to_dense" in types


@pytest.mark.parametrize(("target", "configs", "operations"), CHAINS)
def test_every_operation(target: str, configs: list[Any], operations: set[str], tmp_path: Path) -> None:
    assert assert_decodes(configs, target, tmp_path) == operations


def assert_decodes(configs: list[Any], target: str, folder: Path) -> set[str]:
    """The types of operations that the weight is made of."""
    model = convolution(target)
    for number, config in enumerate(configs):
        function = {
            cto.OpPalettizerConfig: cto.palettize_weights,
            cto.OpLinearQuantizerConfig: cto.linear_quantize_weights,
            cto.OpMagnitudePrunerConfig: cto.prune_weights,
        }[type(config)]
        options = cto.OptimizationConfig(global_config=config)
        model = function(model, options, joint_compression=True) if number else function(model, options)
    model.save(str(folder / "compressed.mlpackage"))
    cto.decompress_weights(model).save(str(folder / "plain.mlpackage"))

    package = Package(folder / "compressed.mlpackage")
    kind, ours = max(package.float_constants().values(), key=lambda found: found[1].size)
    _, theirs = max(Package(folder / "plain.mlpackage").float_constants().values(), key=lambda found: found[1].size)
    assert kind != "const"
    assert ours.dtype == theirs.dtype
    assert np.array_equal(ours, theirs)
    return {operation.type for operation in package.operations if operation.type.startswith("constexpr_")}


def test_refuses_an_offset_without_a_record(tmp_path: Path) -> None:
    convolution("iOS16").save(str(tmp_path / "model.mlpackage"))
    with pytest.raises(ValueError, match="no blob record at offset 128"):
        Package(tmp_path / "model.mlpackage").blob("@model_path/weights/weight.bin", 128)
