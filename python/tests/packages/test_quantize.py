"""Linear quantization of packages: coremltools' bits, and finite, right numbers where its arithmetic breaks down."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import sample
from support import grid, ours, reference
from support.grid import Outcome, Point
from support.oracle import OraclePackage, assert_same_but, tree


@pytest.mark.parametrize("point", sample(grid.points("quantize"), 50, seed=11), ids=str)
def test_grid(packages: Any, tmp_path: Path, point: Point) -> None:
    grid.assert_agrees(packages(point.package, point.target), point, tmp_path)


FILES = [
    Point(package, target, "quantize", options)
    for package, target in (
        ("layers", "iOS15"), ("layers", "iOS16"), ("layers", "iOS17"), ("layers", "iOS18"), ("layers", "iOS26"),
        ("layers_float32", "iOS16"), ("layers_float32", "iOS18"), ("nested", "iOS16"), ("nested", "iOS18"),
        ("classifier", "iOS16"), ("stateful", "iOS18"),
    )
    for options in grid.settings("quantize", target)
]  # fmt: skip


@pytest.mark.parametrize("point", sample(FILES, 10, seed=12), ids=str)
def test_written_files(packages: Any, tmp_path: Path, point: Point) -> None:
    grid.assert_same_files(packages(point.package, point.target), point, tmp_path)


@pytest.mark.parametrize("point", sample(FILES, 8, seed=13), ids=str)
def test_coremltools_expands_ours(packages: Any, tmp_path: Path, point: Point) -> None:
    output = tmp_path / "ours.mlpackage"
    report = ours.run(packages(point.package, point.target), output, "quantize", point.options)
    grid.assert_expands(output, tmp_path, ours.compressed(report))


@pytest.mark.parametrize("name, options", [
    ("basic_pitch", {}),
    ("basic_pitch", {"mode": "linear", "dtype": "uint8", "granularity": "per_tensor"}),
    ("crepe_tiny", {}),
    ("crepe_tiny", {"mode": "linear"}),
    ("crepe_tiny", {"granularity": "per_tensor", "weight_threshold": 0}),
    ("crepe_full", {}),
    *sample([("minilm", {}), ("minilm", {"mode": "linear"})], 1),
], ids=str)  # fmt: skip
def test_real_models(real_model: Any, tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    found = grid.assert_agrees(real_model(name), Point(name, "", "quantize", options), tmp_path)
    assert Outcome.SAME in found.outcomes.values()


@pytest.mark.parametrize("options", [
    {"dtype": "int4"},
    {"dtype": "int4", "granularity": "per_block", "block_size": 32},
    {"dtype": "uint4", "mode": "linear", "granularity": "per_block", "block_size": 8},
], ids=str)  # fmt: skip
def test_real_models_for_ios18(real_model: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    path = reference.raise_target(real_model("crepe_tiny"), "iOS18", tmp_path / "ios18.mlpackage")
    found = grid.assert_agrees(path, Point("crepe_tiny", "iOS18", "quantize", options), tmp_path)
    assert Outcome.SAME in found.outcomes.values()


# MARK: where the reference's arithmetic breaks down


@pytest.mark.parametrize("name, target", [("layers", "iOS16"), ("layers", "iOS18"), ("layers_float32", "iOS26")])
def test_default_arithmetic_is_the_references_on_ordinary_weights(
    packages: Any, tmp_path: Path, name: str, target: str
) -> None:
    """`compat` changes nothing there: every byte of the two packages is the same."""
    for number, options in enumerate(sample(grid.settings("quantize", target), 5, seed=14)):
        outputs = []
        for compat in (None, "coremltools"):
            output = tmp_path / f"{number}_{compat}.mlpackage"
            ours.run(packages(name, target), output, "quantize", options, compat=compat)
            outputs.append(tree(output))
        assert outputs[0] == outputs[1], options


ODD = [
    (t, {"mode": m, "dtype": d, "granularity": g, **({"block_size": 32} if g == "per_block" else {})})
    for t, m, d, g in product(
        ("iOS16", "iOS18", "iOS26"), ("linear", "linear_symmetric"), ("int8", "uint8", "int4", "uint4"),
        ("per_channel", "per_block"),
    )
    if t != "iOS16" or (d in ("int8", "uint8") and g == "per_channel")
]  # fmt: skip


@pytest.mark.parametrize("target, options", sample(ODD, 14, seed=15), ids=str)
def test_odd_ranges(packages: Any, tmp_path: Path, target: str, options: dict[str, Any]) -> None:
    """Rows of zeros, rows whose scale underflows, rows that span more than the type: every decoded weight is finite, and the
    error half a step, up to the rounding of the type itself. A block of zeros has scale 0, as in the reference."""
    path, output = packages("odd_ranges", target), tmp_path / "out.mlpackage"
    report = ours.run(path, output, "quantize", options)
    assert ours.compressed(report) == {"w_half", "w_single"}
    before, after = OraclePackage(path), OraclePackage(output)
    assert_same_but(before, after, {"w_half", "w_single"})
    dense = after.dense()
    for name in ("w_half", "w_single"):
        weight = before.consts()[name].values
        assert dense[name].dtype == weight.dtype
        assert np.isfinite(dense[name]).all()
        step = after.constexprs()[name].arrays["scale"].values.astype(np.float64)
        step = step.reshape(len(weight), -1)
        blocks = np.abs(weight).reshape(*step.shape, -1).max(axis=2)
        assert np.isfinite(step).all() and ((step > 0) == (blocks > 0)).all(), "only blocks of zeros have scale 0"
        step = np.repeat(step, weight.shape[1] // step.shape[1], axis=1)
        error = np.abs(weight.astype(np.float64) - dense[name].astype(np.float64))
        rounding = np.finfo(weight.dtype)
        allowed = (
            0.55 * step + np.abs(weight.astype(np.float64)) * float(rounding.eps) + float(rounding.smallest_subnormal)
        )
        worst = np.unravel_index((error / allowed).argmax(), error.shape)
        assert (error <= allowed).all(), (
            f"{name}{list(worst)}: {weight[worst]!r} became {dense[name][worst]!r}, step {step[worst]}"
        )
        assert (dense[name][weight == 0] == 0).all(), "a zero is no longer zero"


@pytest.mark.parametrize("target, options", sample(ODD, 10, seed=16), ids=str)
def test_odd_ranges_as_the_reference_has_them(
    packages: Any, tmp_path: Path, target: str, options: dict[str, Any]
) -> None:
    """`compat="coremltools"`: its bits, divisions by zero and infinite scales included."""
    found = grid.compare(packages("odd_ranges", target), Point("odd_ranges", target, "quantize", options), tmp_path)
    assert found.outcomes["w_half"] is found.outcomes["w_single"] is Outcome.SAME, found.problems


# MARK: errors before any work


@pytest.mark.parametrize("target", ["iOS15", "iOS16", "iOS17"])
@pytest.mark.parametrize("options, word", [
    ({"dtype": "int4"}, "int4"),
    ({"dtype": "uint4", "mode": "linear"}, "uint4"),
    ({"granularity": "per_block", "block_size": 8}, "per_block"),
], ids=str)  # fmt: skip
def test_needs_ios18(packages: Any, tmp_path: Path, target: str, options: dict[str, Any], word: str) -> None:
    """Says what needs it, which weight, which target the model has, and the ways out; nothing is written."""
    with pytest.raises(ValueError) as caught:
        ours.run(packages("layers", target), tmp_path / "out.mlpackage", "quantize", options)
    text = str(caught.value)
    assert word in text and target in text and "'conv_w'" in text
    for way in ("minimum_deployment_target", "ct.target.iOS18", "int8", "op_names"):
        assert way in text
    assert list(tmp_path.iterdir()) == []


def test_block_sizes_of_another_rank(packages: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"block_size.*2 sizes.*'conv_w'"):
        ours.run(
            packages("layers", "iOS18"), tmp_path / "out.mlpackage", "quantize",
            {"granularity": "per_block", "block_size": [1, 8]},
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []
