"""Pruning of packages: coremltools' masks and values bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import sample
from support import grid, ours, reference
from support.chains import Leaf, difference, package_chains, program_chains
from support.grid import Outcome, Point
from support.oracle import OraclePackage
from support.package_factory import mb, program_for, save


@pytest.mark.parametrize("point", sample(grid.points("prune"), 45, seed=21), ids=str)
def test_grid(packages: Any, tmp_path: Path, point: Point) -> None:
    grid.assert_agrees(packages(point.package, point.target), point, tmp_path)


FILES = [
    Point(package, target, "prune", options)
    for package, target in (
        ("layers", "iOS15"), ("layers", "iOS16"), ("layers", "iOS17"), ("layers", "iOS18"), ("layers", "iOS26"),
        ("layers_float32", "iOS16"), ("layers_float32", "iOS18"), ("nested", "iOS16"), ("nested", "iOS18"),
        ("classifier", "iOS16"), ("stateful", "iOS18"),
    )
    for options in grid.PRUNE
]  # fmt: skip


@pytest.mark.parametrize("point", sample(FILES, 9, seed=22), ids=str)
def test_written_files(packages: Any, tmp_path: Path, point: Point) -> None:
    grid.assert_same_files(packages(point.package, point.target), point, tmp_path)


@pytest.mark.parametrize("point", sample(FILES, 7, seed=23), ids=str)
def test_coremltools_expands_ours(packages: Any, tmp_path: Path, point: Point) -> None:
    output = tmp_path / "ours.mlpackage"
    report = ours.run(packages(point.package, point.target), output, "prune", point.options)
    grid.assert_expands(output, tmp_path, ours.compressed(report))


@pytest.mark.parametrize("name, options", [
    ("basic_pitch", {"target_sparsity": 0.5}),
    ("crepe_tiny", {"target_sparsity": 0.75}),
    ("crepe_tiny", {"target_sparsity": 0.5, "block_size": 2}),
    ("crepe_tiny", {"n_m_ratio": [2, 4]}),
    ("crepe_tiny", {"type": "threshold_pruner", "threshold": 0.01, "minimum_sparsity_percentile": 0.2}),
    ("crepe_full", {"target_sparsity": 0.9}),
    *sample([("minilm", {"target_sparsity": 0.5})], 1),
], ids=str)  # fmt: skip
def test_real_models(real_model: Any, tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    found = grid.assert_agrees(real_model(name), Point(name, "", "prune", options), tmp_path)
    assert Outcome.SAME in found.outcomes.values()


@pytest.mark.parametrize("target", ["iOS16", "iOS18"])
def test_kept_elements_are_the_weights(packages: Any, tmp_path: Path, target: str) -> None:
    """What is not zero is what it was, bit for bit, and as much is zero as the report says."""
    path, output = packages("layers", target), tmp_path / "out.mlpackage"
    report = ours.run(path, output, "prune", {"target_sparsity": 0.6})
    before, after = OraclePackage(path), OraclePackage(output)
    dense = after.dense()
    for name in ours.compressed(report):
        weight = before.consts()[name].values
        kept = dense[name] != 0
        assert np.array_equal(dense[name][kept], weight[kept])
        assert np.abs(weight[~kept]).max() <= np.abs(weight[kept]).min()
        assert abs((~kept).mean() - 0.6) < 0.01
        assert f"{(~kept).mean() * 100:.1f} % zero" in ours.by_name(report)[name]["scheme"]


def test_a_name_allows_blocks_on_any_operation(packages: Any, tmp_path: Path) -> None:
    """Blocks and ratios are for conv and linear, unless the weight is named; as in the reference."""
    path, output = packages("layers", "iOS18"), tmp_path / "out.mlpackage"
    options = {"n_m_ratio": [2, 4]}
    config = reference.cto.coreml.OptimizationConfig(
        op_name_configs={"embedding_w": reference.op_config("prune", options)}
    )
    theirs = program_chains(reference.compress_program(path, "prune", config, tmp_path / "input.mlpackage"))
    report = ours.run(path, output, "prune", op_names={"embedding_w": options})
    assert ours.compressed(report) == set(theirs) == {"embedding_w"}
    assert difference(package_chains(OraclePackage(output))["embedding_w"], theirs["embedding_w"]) is None
    again = ours.run(path, tmp_path / "again.mlpackage", "prune", op_types={"gather": {"target_sparsity": 0.5}})
    assert ours.compressed(again) == {"embedding_w"}


def test_blocks_for_another_operation_type_are_an_error(packages: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"n_m_ratio.*gather.*conv, linear"):
        ours.run(
            packages("layers", "iOS18"), tmp_path / "out.mlpackage", "prune", op_types={"gather": {"n_m_ratio": [2, 4]}}
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("ratio", [(2, 4), (3, 7)], ids=str)
def test_ties_in_ratios(tmp_path: Path, dtype: Any, ratio: tuple[int, int]) -> None:
    """Of equal magnitudes the first become zero. In the reference NumPy's sort decides, which is not stable for float32 on
    processors with wide registers: its mask depends on the machine."""
    path, output = tmp_path / "in.mlpackage", tmp_path / "out.mlpackage"
    n, m = ratio
    weight = np.random.default_rng(1).choice([-2, -1, 1, 2, 3], (64, 70)).astype(dtype)
    kind = {np.float16: "fp16", np.float32: "fp32"}[dtype]

    @program_for("iOS18", [mb.TensorSpec(shape=(1, 70))])
    def program(x: Any) -> Any:
        x = mb.cast(x=x, dtype=kind, name="x_cast")
        x = mb.linear(x=x, weight=mb.const(val=weight, name="w"), name="lin")
        return mb.cast(x=x, dtype="fp32", name="out")

    save(program, "iOS18", path)
    report = ours.run(path, output, "prune", {"n_m_ratio": [n, m]})
    assert ours.compressed(report) == {"w"}
    padded = np.pad(weight, ((0, 0), (0, -70 % m)))
    groups = padded.reshape(-1, m).copy()
    np.put_along_axis(groups, np.argsort(np.abs(groups), axis=1, kind="stable")[:, :n], 0, axis=1)
    assert np.array_equal(OraclePackage(output).dense()["w"], groups.reshape(padded.shape)[:, :70])


# MARK: all zero


@pytest.mark.parametrize("target", ["iOS16", "iOS18", "iOS26"])
@pytest.mark.parametrize("options", [{"target_sparsity": 1.0}, {"n_m_ratio": [4, 4]}], ids=str)
def test_a_weight_that_becomes_zero(packages: Any, tmp_path: Path, target: str, options: dict[str, Any]) -> None:
    """`nonzero_data` has no elements then, as in the reference, and the report says so."""
    path, output = packages("small", target), tmp_path / "out.mlpackage"
    report = ours.run(path, output, "prune", options)
    assert ours.compressed(report) == {"w"}
    assert ours.by_name(report)["w"]["note"].startswith("nothing of it is left")
    point = Point("small", target, "prune", options)
    assert grid.assert_agrees(path, point, tmp_path).outcomes["w"] is Outcome.SAME
    grid.assert_same_files(path, point, tmp_path)
    chain = package_chains(OraclePackage(output))["w"]
    assert isinstance(chain.parameters["nonzero_data"], Leaf)
    assert chain.parameters["nonzero_data"].values.shape == (0,)
    grid.assert_expands(output, tmp_path, {"w"})


def test_ties_that_empty_a_weight(packages: Any, tmp_path: Path) -> None:
    """Of a weight with two values the percentile is one of them, and everything up to it becomes zero: all of it. The
    reference empties the weight at 90 % as at 100 %."""
    path, output = packages("few_values", "iOS18"), tmp_path / "out.mlpackage"
    report = ours.by_name(ours.run(path, output, "prune", {"target_sparsity": 0.9}))
    assert report["w_2"]["note"].startswith("nothing of it is left")
    assert report["w_2000"]["note"] is None
    assert not OraclePackage(output).dense()["w_2"].any()


@pytest.mark.parametrize("first", ["int8", "lut4"])
def test_joint_pruning_to_zero(packages: Any, tmp_path: Path, first: str) -> None:
    point = Point("small", "iOS18", "prune", {"target_sparsity": 1.0}, first)
    path = grid.joint_input(packages, point, tmp_path)
    report = ours.run(path, tmp_path / "out.mlpackage", "prune", point.options, joint_compression=True)
    (record,) = [record for record in report["weights"] if record["action"] == "pruned"]
    assert record["note"].startswith("nothing of it is left")
    assert grid.assert_agrees(path, point, tmp_path).outcomes["w"] is Outcome.SAME
