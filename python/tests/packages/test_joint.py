"""Joint compression: what is compressed already is compressed once more, as coremltools does it on iOS18 and later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import sample
from support import grid, ours, reference
from support.chains import Chain, Leaf, package_chains
from support.grid import Outcome, Point
from support.oracle import OraclePackage, assert_same_but


@pytest.fixture(scope="session")
def once(packages: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Packages that the reference has compressed once; each made on first use."""
    folder = tmp_path_factory.mktemp("once")
    return lambda point: grid.joint_input(packages, point, folder)


def point_of(package: str, target: str, first: str, operation: str, **options: Any) -> Point:
    return Point(package, target, operation, options, first)


@pytest.mark.parametrize("point", sample(grid.joint_points(), 60, seed=31), ids=str)
def test_grid(once: Any, tmp_path: Path, point: Point) -> None:
    grid.assert_agrees(once(point), point, tmp_path)


FILES = [
    p
    for p in grid.joint_points()
    if p.package in ("layers", "small")
    and (p.first, p.operation) in {
        ("lut4", "quantize"), ("lut6_grouped", "quantize"), ("int8", "palettize"), ("int8_offset", "palettize"),
        ("int8", "prune"), ("int4", "prune"), ("lut4", "prune"), ("sparse", "quantize"), ("sparse", "palettize"),
        ("ratio", "quantize"), ("ratio", "palettize"),
    }
]  # fmt: skip


@pytest.mark.parametrize("point", sample(FILES, 12, seed=32), ids=str)
def test_written_files(once: Any, tmp_path: Path, point: Point) -> None:
    """The reference's public functions with `joint_compression=True`."""
    path = once(point)
    try:
        reference.compress_package(
            path,
            point.operation,
            reference.any_config(point.operation, point.options),
            tmp_path / "try.mlpackage",
            joint=True,
        )
    except reference.FAILURES as error:
        pytest.skip(f"the reference fails: {error}")
    grid.assert_same_files(path, point, tmp_path)


@pytest.mark.parametrize("point", sample(FILES, 10, seed=33), ids=str)
def test_coremltools_expands_ours(once: Any, tmp_path: Path, point: Point) -> None:
    output = tmp_path / "ours.mlpackage"
    try:
        report = ours.run(once(point), output, point.operation, point.options, joint_compression=True)
    except NotImplementedError:
        pytest.skip("quantized lookup tables take one scale")
    grid.assert_expands(output, tmp_path, ours.compressed(report))


@pytest.mark.parametrize("second, third", [
    (("quantize", {}), ("palettize", {"mode": "uniform", "nbits": 4})),
    (("palettize", {"nbits": 4}), ("quantize", {"granularity": "per_tensor"})),
    (("palettize", {"nbits": 6}), ("quantize", {"granularity": "per_tensor", "mode": "linear"})),
])  # fmt: skip
@pytest.mark.parametrize("target", ["iOS18", "iOS26"])
def test_three_steps(packages: Any, tmp_path: Path, target: str, second: Any, third: Any) -> None:
    """Pruned, then palettized, then its tables quantized: all three by us, expanded by coremltools. What has no form is left."""
    path = packages("small", target)
    ours.run(path, tmp_path / "1.mlpackage", "prune", {"target_sparsity": 0.5})
    ours.run(tmp_path / "1.mlpackage", tmp_path / "2.mlpackage", second[0], second[1], joint_compression=True)
    report = ours.run(tmp_path / "2.mlpackage", tmp_path / "3.mlpackage", third[0], third[1], joint_compression=True)
    if second[0] == "quantize":
        assert ours.compressed(report) == set()
        assert "no form" in ours.by_name(report)["w"]["reason"]
    else:
        assert ours.compressed(report) == {"w"}
    grid.assert_expands(tmp_path / "3.mlpackage", tmp_path, {"w"})


def test_what_is_not_compressed_is_left_alone_by_joint_pruning(packages: Any, tmp_path: Path) -> None:
    path, output = packages("small", "iOS18"), tmp_path / "out.mlpackage"
    report = ours.run(path, output, "prune", {"target_sparsity": 0.5}, joint_compression=True)
    assert ours.compressed(report) == set()
    assert "not compressed" in ours.by_name(report)["w"]["reason"]
    assert_same_but(OraclePackage(path), OraclePackage(output), set())


@pytest.mark.parametrize("target", ["iOS15", "iOS16", "iOS17"])
@pytest.mark.parametrize(
    "operation, options", [("quantize", {}), ("palettize", {"nbits": 4}), ("prune", {"target_sparsity": 0.5})]
)
def test_needs_ios18(packages: Any, tmp_path: Path, target: str, operation: str, options: dict[str, Any]) -> None:
    first = tmp_path / "first.mlpackage"
    ours.run(
        packages("small", target),
        first,
        "quantize" if operation == "palettize" else "palettize",
        {"nbits": 4} if operation != "palettize" else {},
    )
    with pytest.raises(ValueError) as caught:
        ours.run(first, tmp_path / "out.mlpackage", operation, options, joint_compression=True)
    text = str(caught.value)
    assert "joint_compression" in text and "iOS18" in text and "'w'" in text and "minimum_deployment_target" in text
    assert [p.name for p in tmp_path.iterdir()] == ["first.mlpackage"]


# MARK: where the reference fails

FAILS: list[tuple[Point, str, str, str]] = [
    # point, what the reference says, our action, our reason
    (point_of("layers", "iOS26", "lut4", "quantize", granularity="per_tensor"), "same rank", "quantized", ""),
    (point_of("small", "iOS26", "vectors", "quantize", granularity="per_tensor"), "vector_axis", "quantized", ""),
    (point_of("layers", "iOS18", "vectors", "prune", target_sparsity=0.5), "boolean index", "declined", "vectors"),
    (point_of("small", "iOS18", "int4", "palettize", mode="uniform", nbits=4), "expects tensor or scalar", "declined", "int8 and uint8"),
    (point_of("tied", "iOS18", "sparse", "quantize", mode="linear"), "not supported between", "quantized", "disagree about the channel axis"),
    (point_of("tied", "iOS18", "sparse", "palettize", mode="uniform", nbits=4), "not supported between", "palettized", "disagree about the channel axis"),
]  # fmt: skip


@pytest.mark.parametrize("point, says, action, reason", FAILS, ids=str)
def test_where_the_reference_fails(
    once: Any, tmp_path: Path, point: Point, says: str, action: str, reason: str
) -> None:
    """Its public function raises; ours compresses what has a form, right to the bit that the report gives, and says why it
    leaves the rest."""
    path, output = once(point), tmp_path / "ours.mlpackage"
    config = reference.any_config(point.operation, point.options)
    with pytest.raises(Exception, match=says):
        reference.compress_package(path, point.operation, config, tmp_path / "theirs.mlpackage", joint=True)
    report = ours.run(path, output, point.operation, point.options, joint_compression=True)
    assert action in {r["action"] for r in report["weights"]}
    assert any(reason in (r["reason"] or "") for r in report["weights"])
    assert grid.undecodable(path, output, report) == []
    assert_same_but(OraclePackage(path), OraclePackage(output), ours.compressed(report), compressed_before=True)
    if ours.compressed(report):
        grid.assert_expands(output, tmp_path, ours.compressed(report))


def test_quantized_tables_take_one_scale(once: Any, tmp_path: Path) -> None:
    """Both say so, before any work."""
    point = point_of("small", "iOS18", "lut4", "quantize", granularity="per_channel")
    found = grid.assert_agrees(once(point), point, tmp_path)
    assert set(found.outcomes.values()) == {Outcome.REFUSED}
    with pytest.raises(NotImplementedError, match=r"granularity.*per_tensor.*'w"):
        ours.run(once(point), tmp_path / "out.mlpackage", "quantize", point.options, joint_compression=True)


# MARK: deliberate differences


def table(chain: Chain, *path: str) -> np.ndarray:
    """The array at the end of a path of parameters."""
    for key in path[:-1]:
        inner = chain.parameters[key]
        assert not isinstance(inner, Leaf)
        chain = inner[0]
    leaf = chain.parameters[path[-1]]
    assert isinstance(leaf, Leaf)
    return leaf.values


@pytest.mark.parametrize("first", ["int8", "int8_offset", "uint8"])
def test_integer_tables_are_rounded(once: Any, tmp_path: Path, first: str) -> None:
    """The reference cuts the centroids off toward zero when it makes integers of them. Rounded to the nearest they are up to
    one closer to the middle of their cluster, and the weight has a lower error."""
    options = {"mode": "kmeans", "nbits": 4}
    path = once(point_of("layers", "iOS26", first, "palettize", **options))
    errors, tables = [], []
    for compat in (None, "coremltools"):
        output = tmp_path / f"{compat}.mlpackage"
        report = ours.run(path, output, "palettize", options, joint_compression=True, compat=compat)
        names = ours.compressed(report)
        before, after = OraclePackage(path).dense(), OraclePackage(output).dense()
        errors.append(sum(reference.squared_error(before[n], after[n]) for n in names))
        chains = package_chains(OraclePackage(output))
        tables.append(np.concatenate([table(chain, "data", "lut").ravel() for _, chain in sorted(chains.items())]))
    assert tables[0].dtype == tables[1].dtype == np.dtype(first.removesuffix("_offset"))
    assert np.abs(tables[0].astype(int) - tables[1].astype(int)).max() == 1
    assert errors[0] < errors[1]


def test_vectors_on_sparse_weights_are_left_alone(once: Any, tmp_path: Path) -> None:
    """The reference clusters vectors of the dense weight and then keeps codes by the elements' mask, which has another
    shape: it fails."""
    point = point_of("small", "iOS18", "sparse", "palettize", mode="kmeans", nbits=4, cluster_dim=2)
    path, output = once(point), tmp_path / "ours.mlpackage"
    with pytest.raises(Exception, match="boolean index"):
        reference.compress_program(
            path,
            "palettize",
            reference.any_config("palettize", point.options),
            tmp_path / "input.mlpackage",
            joint=True,
        )
    report = ours.run(path, output, "palettize", point.options, joint_compression=True)
    assert ours.compressed(report) == set()
    assert any("vectors" in (r["reason"] or "") for r in report["weights"])


@pytest.mark.parametrize("target, types", [
    ("iOS18", ["constexpr_lut_to_dense", "constexpr_blockwise_shift_scale"]),
    ("iOS26", ["constexpr_blockwise_shift_scale", "constexpr_lut_to_dense"]),
])  # fmt: skip
@pytest.mark.parametrize("first, operation, options", [
    ("lut4", "quantize", {"granularity": "per_tensor"}),
    ("int8", "palettize", {"mode": "uniform", "nbits": 4}),
])  # fmt: skip
def test_order_of_table_and_scale(
    once: Any, tmp_path: Path, target: str, types: list[str], first: str, operation: str, options: dict[str, Any]
) -> None:
    """Up to iOS18 the table is scaled, then looked up; from iOS26 on the other way round; for every rank of weight."""
    point = Point("layers", target, operation, options, first)
    output = tmp_path / "ours.mlpackage"
    report = ours.run(once(point), output, operation, options, joint_compression=True)
    assert ours.compressed(report)
    for name, chain in package_chains(OraclePackage(output)).items():
        found = [chain.type] + [v[0].type for v in chain.parameters.values() if not isinstance(v, Leaf)]
        assert len(found) == 1 or found == types, name
    assert grid.undecodable(once(point), output, report) == []
