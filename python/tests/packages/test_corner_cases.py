"""Settings at the end of their range that coremltools' own tests have: groups of all channels, weights of zeros alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import coremltools as ct
import coremltools.optimize.coreml as theirs
import numpy as np
import pytest
from coremltools.converters.mil.mil import Builder as mb

import swiftcompress as sc
import swiftcompress.coreml as ours
from support import reference
from support.package_factory import weights


def model_of(weight: np.ndarray, target: str) -> Any:
    @mb.program(
        input_specs=[mb.TensorSpec(shape=(1, 64), dtype=ct.converters.mil.mil.types.fp16)],
        opset_version=reference.TARGETS[target],
    )
    def program(x: Any) -> Any:
        return mb.linear(x=x, weight=mb.const(val=weight, name="w"), name="y")

    return ct.convert(
        program, convert_to="mlprogram", minimum_deployment_target=reference.TARGETS[target], skip_model_load=True
    )


def dense(model: Any) -> np.ndarray:
    """What coremltools reads in `model`."""
    [data] = theirs.get_weights_metadata(theirs.decompress_weights(model)).values()
    result: np.ndarray = data.val
    return result


@pytest.mark.parametrize(
    "options", [{}, {"channel_axis": 1}, {"cluster_dim": 2}, {"cluster_dim": 2, "channel_axis": 1}]
)
def test_a_group_of_all_channels(options: dict[str, Any], tmp_path: Path) -> None:
    """0 is all of them, as coremltools has it for blocks."""
    model = model_of(weights(1, 128, 64), "iOS18")
    found = []
    for group in (0, 64 if options.get("channel_axis") == 1 else 128):
        op = ours.OpPalettizerConfig(nbits=4, granularity="per_grouped_channel", group_size=group, **options)
        result = ours.palettize_weights(model, ours.OptimizationConfig(op), output=tmp_path / f"{group}.mlpackage")
        found.append(sc.ModelPackage(result.package_path))
    assert set(found[0].weights) == set(found[1].weights)
    for name, array in found[0].weights.items():
        assert array.tobytes() == found[1].weights[name].tobytes()
    lut = next(array for name, array in found[0].weights.items() if name.endswith("lut"))
    assert lut.shape == (1, 1, 16, options.get("cluster_dim", 1))
    if not options:
        assert theirs.OpPalettizerConfig(nbits=4, granularity="per_grouped_channel", group_size=0).group_size == 0


@pytest.mark.parametrize("target", ["iOS16", "iOS18"])
@pytest.mark.parametrize("zero", [False, True])
def test_pruning_everything(target: str, zero: bool, tmp_path: Path) -> None:
    """What is left are no elements and a mask of zeros."""
    weight = weights(1, 128, 64) * (0 if zero else 1)
    model = model_of(weight, target)
    arguments = {"target_sparsity": 0.5 if zero else 1.0}
    left = ours.prune_weights(model, ours.OptimizationConfig(ours.OpMagnitudePrunerConfig(**arguments)))
    right = theirs.prune_weights(model, theirs.OptimizationConfig(theirs.OpMagnitudePrunerConfig(**arguments)))
    assert next(record.action for record in left.report.weights if record.name == "w") == "pruned"
    for result in (left, right):
        assert np.array_equal(dense(result), np.zeros_like(weight))
        decompressed = ours.decompress_weights(result, output=tmp_path / "dense.mlpackage")
        [data] = ours.get_weights_metadata(decompressed).values()
        assert data.val.dtype == np.float16
        assert data.sparsity == 1
    stored, other = (sc.ModelPackage(result.package_path) for result in (left, right))
    shapes = [[array.shape for array in package.weights.values()] for package in (stored, other)]
    assert sorted(shapes[0]) == sorted(shapes[1])


@pytest.mark.parametrize("first", ["prune", "quantize"])
def test_both_on_zeros(first: str) -> None:
    model = model_of(np.zeros((128, 64), np.float16), "iOS18")
    steps: dict[str, Any] = {
        "prune": lambda m, c, **o: c.prune_weights(
            m, c.OptimizationConfig(c.OpMagnitudePrunerConfig(target_sparsity=0.5)), **o
        ),
        "quantize": lambda m, c, **o: c.linear_quantize_weights(
            m, c.OptimizationConfig(c.OpLinearQuantizerConfig(mode="linear", dtype="uint8")), **o
        ),
    }
    second = "quantize" if first == "prune" else "prune"
    kinds = []
    for library in (ours, theirs):
        result = steps[second](steps[first](model, library), library, joint_compression=True)
        assert np.array_equal(dense(result), np.zeros((128, 64), np.float16))
        kinds.append([o.type for o in sc.ModelPackage(result.package_path).operations if o.type != "const"])
    assert kinds[0] == kinds[1]
