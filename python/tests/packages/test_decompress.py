"""Decompression of packages: every form that coremltools writes and every form that we write becomes a const again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conftest import sample
from support import grid, ours, reference
from support.chains import original_name
from support.oracle import OraclePackage, assert_same_but, tree

FORMS: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    # first operation, its settings, second operation ("" for none), its settings
    *((operation, options, "", {}) for operation, options in grid.FIRST.values()),
    ("palettize", {"mode": "kmeans", "nbits": 3, "enable_per_channel_scale": True}, "", {}),
    ("palettize", {"mode": "kmeans", "nbits": 2, "cluster_dim": 4}, "", {}),
    ("quantize", {"dtype": "uint4", "mode": "linear", "granularity": "per_block", "block_size": 8}, "", {}),
    ("quantize", {}, "palettize", {"mode": "uniform", "nbits": 4}),
    ("quantize", {"mode": "linear"}, "palettize", {"mode": "uniform", "nbits": 2}),
    ("palettize", {"nbits": 4}, "quantize", {"granularity": "per_tensor"}),
    ("palettize", {"nbits": 4}, "prune", {"target_sparsity": 0.5}),
    ("quantize", {"mode": "linear"}, "prune", {"target_sparsity": 0.5}),
    ("prune", {"target_sparsity": 0.5}, "quantize", {"dtype": "int4", "granularity": "per_block", "block_size": 8}),
    ("prune", {"target_sparsity": 0.5}, "palettize", {"nbits": 4}),
]  # fmt: skip
GRID = [
    (package, target, form)
    for package in (
        "layers",
        "layers_float32",
        "nested",
        "small",
        "tied",
        "stateful",
        "classifier",
        "multifunction",
        "pipeline",
    )
    for target in grid.TARGETS
    for form in FORMS
    if grid.possible(package, target)
    if target in grid.SINCE_IOS18
    or not (form[2] or grid.needs_ios18(form[1]) or {"cluster_dim", "enable_per_channel_scale"} & set(form[1]))
]


def compressed(
    path: Path, scratch: Path, form: tuple[str, dict[str, Any], str, dict[str, Any]], *, theirs: bool
) -> Path:
    """By the reference, or by us where it refuses the package or fails (see test_joint)."""
    first, options, second, more = form
    made = scratch / "first.mlpackage"
    steps = [(first, options, False), (second, more, True)] if second else [(first, options, False)]
    for number, (operation, settings, joint) in enumerate(steps):
        made = scratch / f"step_{number}.mlpackage"
        source = path if number == 0 else scratch / f"step_{number - 1}.mlpackage"
        if theirs:
            config = reference.any_config(operation, settings)
            reference.compress_package(source, operation, config, made, joint=joint)
        else:
            ours.run(source, made, operation, settings, joint_compression=joint)
    return made


@pytest.mark.parametrize("package, target, form", sample(GRID, 40, seed=51), ids=str)
def test_grid(packages: Any, tmp_path: Path, package: str, target: str, form: Any) -> None:
    """Our consts are the reference's bit for bit, and what the arrays in the file say by definition; nothing else changes."""
    theirs = package not in ("multifunction", "pipeline") and not (
        target == "iOS26" and form[0] == "palettize" and form[2]
    )
    path = compressed(packages(package, target), tmp_path, form, theirs=theirs)
    output = tmp_path / "dense.mlpackage"
    report = ours.run(path, output, "decompress")
    before, after = OraclePackage(path), OraclePackage(output)
    names = ours.final_names(before.constexprs())
    assert names == ours.compressed(report)
    assert not after.constexprs()
    dense, consts = before.dense(), after.consts()
    for name in names:
        assert consts[name].values.dtype == dense[name].dtype
        assert consts[name].values.tobytes() == dense[name].tobytes(), name
    assert_same_but(before, after, names, compressed_before=True)
    assert after.spec.specificationVersion == before.spec.specificationVersion
    if package not in ("multifunction", "pipeline"):
        expanded = reference.expanded(path, tmp_path / "expand_input.mlpackage")
        contents = {(a.shape, a.dtype.str, a.tobytes()) for a in expanded.values()}
        for name in names:
            values = consts[name].values
            assert (values.shape, values.dtype.str, values.tobytes()) in contents, name
        by_name = {original_name(k): v for k, v in expanded.items()}
        for name in {original_name(n) for n in names} & set(by_name):
            assert by_name[name].dtype.kind == "f"


@pytest.mark.parametrize("name", ["layers", "no_weights", "integer_consts", "multifunction"])
def test_nothing_to_decompress(packages: Any, tmp_path: Path, name: str) -> None:
    output = tmp_path / "out.mlpackage"
    report = ours.run(packages(name, "iOS18"), output, "decompress")
    assert ours.compressed(report) == set()
    assert_same_but(OraclePackage(packages(name, "iOS18")), OraclePackage(output), set())


@pytest.mark.parametrize("name", ["basic_pitch", "crepe_tiny"])
@pytest.mark.parametrize(
    "operation, options", [("quantize", {}), ("palettize", {"nbits": 4}), ("prune", {"target_sparsity": 0.5})]
)
def test_real_models(real_model: Any, tmp_path: Path, name: str, operation: str, options: dict[str, Any]) -> None:
    once = tmp_path / "once.mlpackage"
    report = ours.run(real_model(name), once, operation, options)
    grid.assert_expands(once, tmp_path, ours.compressed(report))


def test_lossless_forms_give_the_weights_back(packages: Any, tmp_path: Path) -> None:
    """`unique` on few values and pruning to 0 zeros: compressed and expanded, every weight has the bits it had."""
    for package, operation, options in (
        ("few_values", "palettize", {"mode": "unique"}), ("layers", "prune", {"target_sparsity": 0.0}),
    ):  # fmt: skip
        path = packages(package, "iOS18")
        ours.run(path, tmp_path / "once.mlpackage", operation, options)
        ours.run(tmp_path / "once.mlpackage", tmp_path / "dense.mlpackage", "decompress")
        assert OraclePackage(tmp_path / "dense.mlpackage").consts() == OraclePackage(path).consts()


def test_configurations_are_an_error(packages: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="decompress"):
        ours.run(packages("small", "iOS18"), tmp_path / "out.mlpackage", "decompress", op_types={"linear": {}})
    assert list(tmp_path.iterdir()) == []


# MARK: threads


@pytest.mark.parametrize("operation, options, joint", [
    ("quantize", {}, False),
    ("quantize", {"dtype": "uint4", "mode": "linear", "granularity": "per_block", "block_size": 8}, False),
    ("prune", {"target_sparsity": 0.5}, False),
    ("prune", {"n_m_ratio": [2, 4]}, False),
    ("palettize", {"nbits": 4, "enable_per_channel_scale": True}, False),
    ("quantize", {"granularity": "per_tensor"}, True),
    ("prune", {"target_sparsity": 0.5}, True),
    ("decompress", None, False),
], ids=str)  # fmt: skip
def test_threads_do_not_change_a_byte(
    packages: Any, tmp_path: Path, operation: str, options: dict[str, Any] | None, joint: bool
) -> None:
    path = packages("layers", "iOS18")
    if joint or operation == "decompress":
        ours.run(path, tmp_path / "once.mlpackage", "palettize", {"nbits": 4})
        path = tmp_path / "once.mlpackage"
    trees = []
    for threads in (1, 2, 3, 8):
        output = tmp_path / f"{threads}.mlpackage"
        ours.run(path, output, operation, options, joint_compression=joint, num_threads=threads)
        trees.append(tree(output))
    assert trees[0] == trees[1] == trees[2] == trees[3]
    assert trees[0] != tree(path)
