"""scripts/mlpackage_reader.py is what the demo and the benchmarks trust; here coremltools checks it.

Packages that coremltools palettizes are decoded by both, and must come out the same.
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

SETTINGS = [
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


@pytest.mark.parametrize(("target", "settings"), SETTINGS)
def test_decodes_what_coremltools_decodes(target: str, settings: dict[str, Any], tmp_path: Path) -> None:
    config = cto.OptimizationConfig(global_config=cto.OpPalettizerConfig(mode="kmeans", **settings))
    compressed = cto.palettize_weights(convolution(target), config)
    compressed.save(str(tmp_path / "compressed.mlpackage"))
    cto.decompress_weights(compressed).save(str(tmp_path / "plain.mlpackage"))

    decoded = Package(tmp_path / "compressed.mlpackage").float_constants()
    kind, ours = max(decoded.values(), key=lambda found: (found[1].size, found[0] == "constexpr_blockwise_shift_scale"))
    _, theirs = max(Package(tmp_path / "plain.mlpackage").float_constants().values(), key=lambda found: found[1].size)
    assert kind != "const"
    assert ours.dtype == theirs.dtype
    assert np.array_equal(ours, theirs)


def test_refuses_an_offset_without_a_record(tmp_path: Path) -> None:
    convolution("iOS16").save(str(tmp_path / "model.mlpackage"))
    with pytest.raises(ValueError, match="no blob record at offset 128"):
        Package(tmp_path / "model.mlpackage").blob("@model_path/weights/weight.bin", 128)
