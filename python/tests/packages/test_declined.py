"""What is left alone: never modified, always with a reason; tied weights; weights that are shared stay shared."""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import sample
from support import grid, ours
from support.oracle import OraclePackage, assert_same_but
from support.package_factory import mb, program_for, save, weights

# MARK: declined weights

PROPERTY_PACKAGES = (
    "layers", "layers_float32", "divisibility", "tied", "special_values", "odd_ranges", "integer_consts", "few_values", "nested",
    "multifunction", "immediates", "shared_blobs",
)  # fmt: skip
SCALED = [
    {"nbits": 4, "enable_per_channel_scale": True},
    {"nbits": 3, **grid.GROUPED, "enable_per_channel_scale": True},
]
VECTORS = [{"nbits": 4, "cluster_dim": 4}, {"nbits": 2, "cluster_dim": 3, **grid.GROUPED}]


def random_run(seed: int) -> tuple[str, str, str, dict[str, Any]]:
    """A package, a target, an operation and its settings with all kinds of reasons to decline."""
    draw = random.Random(seed)
    target = draw.choice(grid.TARGETS)
    package = draw.choice([p for p in PROPERTY_PACKAGES if grid.possible(p, target)])
    operation = draw.choice(["palettize", "quantize", "prune"])
    choices = grid.settings(operation, target)
    if operation == "palettize" and target in grid.SINCE_IOS18 and draw.random() < 0.5:
        choices = SCALED + VECTORS + [{"mode": "unique", "cluster_dim": 2}]
    options = dict(draw.choice(choices))
    if draw.random() < 0.3:
        options["weight_threshold"] = draw.choice([0, 3000, 5000, 10_000])
    return package, target, operation, options


@pytest.mark.parametrize("seed", sample(range(400), 60, seed=61))
def test_declined_weights_keep_their_bits(packages: Any, tmp_path: Path, seed: int) -> None:
    """coremltools leaves weights that it skips divided by their scale (apple/coremltools#2777)."""
    package, target, operation, options = random_run(seed)
    path, output = packages(package, target), tmp_path / "out.mlpackage"
    report = ours.run(path, output, operation, options)
    before, after = OraclePackage(path).consts(), OraclePackage(output).consts()
    declined = [name for name, record in ours.by_name(report).items() if record["action"] == "declined"]
    for name in declined:
        record = ours.by_name(report)[name]
        assert record["reason"] and record["bytes_after"] == record["bytes_before"], name
        assert after[name] == before[name], f"{name} was declined ({record['reason']}), yet it changed"
    if not report["added_operations"]:
        assert_same_but(OraclePackage(path), OraclePackage(output), ours.compressed(report))


@pytest.mark.parametrize("target", ["iOS16", "iOS18"])
@pytest.mark.parametrize("operation, options", [
    ("palettize", {"nbits": 4}),
    ("quantize", {}),
    ("quantize", {"mode": "linear"}),
    ("prune", {"target_sparsity": 0.4}),
])  # fmt: skip
def test_not_finite_constants(
    packages: Any, tmp_path: Path, target: str, operation: str, options: dict[str, Any]
) -> None:
    """The reference ends in scikit-learn, makes integers of NaN, or codes a mask as sparse; here they stay, with the reason, and
    the others go on."""
    path, output = packages("special_values", target), tmp_path / "out.mlpackage"
    records = ours.by_name(ours.run(path, output, operation, options))
    for name, word in (("mask", "inf"), ("w_nan", "nan")):
        assert records[name]["action"] == "declined"
        assert "finite" in records[name]["reason"] or word in records[name]["reason"].lower()
    done = {"w_constant", "w_few", "w_subnormal", "w_plain"}
    for name in done:
        assert records[name]["action"] != "declined", name
    before, after = OraclePackage(path), OraclePackage(output)
    assert_same_but(before, after, done)
    for name in done:
        assert np.isfinite(after.dense()[name]).all()


@pytest.mark.parametrize(
    "operation, options", [("palettize", {"nbits": 4}), ("quantize", {}), ("prune", {"target_sparsity": 0.5})]
)
def test_integer_constants(packages: Any, tmp_path: Path, operation: str, options: dict[str, Any]) -> None:
    path, output = packages("integer_consts", "iOS18"), tmp_path / "out.mlpackage"
    report = ours.run(path, output, operation, {**options, "weight_threshold": 0})
    assert ours.compressed(report) == {"w"}
    assert_same_but(OraclePackage(path), OraclePackage(output), {"w"})


# MARK: tied weights

Q8, Q4 = {"dtype": "int8"}, {"dtype": "int4"}
K6, K2 = {"nbits": 6}, {"nbits": 2}
P5, P9 = {"target_sparsity": 0.5}, {"target_sparsity": 0.9}
TIED = [  # operation, gather's, linear's, what is used: bits, the part kept, or nothing
    ("quantize", Q8, Q4, Q8), ("quantize", Q4, Q8, Q8), ("quantize", Q4, {"dtype": "uint4"}, Q4),
    ("palettize", K6, K2, K6), ("palettize", K2, K6, K6), ("palettize", K2, {"nbits": 4, "cluster_dim": 4}, K2),
    ("prune", P5, P9, P5), ("prune", P9, P5, P5),
    ("quantize", None, Q8, None), ("quantize", Q8, None, None), ("palettize", K2, None, None), ("prune", None, P5, None),
]  # fmt: skip


@pytest.mark.parametrize("operation, of_gather, of_linear, used", TIED, ids=str)
def test_tied_weights(packages: Any, tmp_path: Path, operation: str, of_gather: Any, of_linear: Any, used: Any) -> None:
    """An embedding that is also the output head, configured twice: an exclusion wins, else what keeps most of the weight,
    else the first consumer's; the report says so. The reference raises."""
    path, output = packages("tied", "iOS18"), tmp_path / "out.mlpackage"
    report = ours.run(path, output, operation, op_types={"gather": of_gather, "linear": of_linear})
    record = ours.by_name(report)["table"]
    if used is None:
        assert record["action"] == "declined"
        assert "excluded by op_types" in record["reason"] and "uses it too" in record["reason"]
        assert OraclePackage(output).consts()["table"] == OraclePackage(path).consts()["table"]
        return
    consumer = "gather 'embed'" if used is of_gather else "linear 'head'"
    assert "different configurations" in record["note"] and consumer in record["note"]
    alone = tmp_path / "alone.mlpackage"
    ours.run(path, alone, operation, op_names={"table": used})
    made, wanted = OraclePackage(output).constexprs(), OraclePackage(alone).constexprs()
    assert made["table"].arrays == wanted["table"].arrays


def test_a_name_settles_it(packages: Any, tmp_path: Path) -> None:
    """As the note says: a configuration for the weight's own name comes before those of its consumers."""
    report = ours.run(
        packages("tied", "iOS18"), tmp_path / "out.mlpackage", "quantize",
        op_types={"gather": Q4, "linear": None}, op_names={"table": Q8},
    )  # fmt: skip
    record = ours.by_name(report)["table"]
    assert record["nbits"] == 8 and record["note"] is None


# MARK: shared data


def places(path: Path, keys: set[str]) -> dict[str, tuple[tuple[str, int], ...]]:
    """Where the arrays of these weights lie in the weight file."""
    found = {}
    for where, operation in OraclePackage(path).operations():
        key = f"{where}/{operation.outputs[0].name}" if operation.outputs else ""
        if key.removeprefix("main/") not in keys:
            continue
        values = [operation.attributes[k] for k in sorted(operation.attributes)]
        values += [b.value for k in sorted(operation.inputs) for b in operation.inputs[k].arguments]
        found[key.removeprefix("main/")] = tuple(
            (v.blobFileValue.fileName, v.blobFileValue.offset)
            for v in values
            if v.WhichOneof("value") == "blobFileValue"
        )
    return found


OPERATIONS: list[tuple[str, Any]] = [
    ("quantize", {}), ("quantize", {"mode": "linear"}), ("prune", {"target_sparsity": 0.5}), ("palettize", {"nbits": 4}),
]  # fmt: skip


def size(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*.bin"))


@pytest.mark.parametrize("target, step", list(product(grid.SINCE_IOS18, OPERATIONS)), ids=str)
def test_functions_share_what_they_shared(packages: Any, tmp_path: Path, target: str, step: tuple[str, Any]) -> None:
    """Compressed once, stored once, and expanded again still stored once. The reference refuses several functions."""
    path, output, dense = packages("multifunction", target), tmp_path / "out.mlpackage", tmp_path / "dense.mlpackage"
    keys = {"first/shared", "first/own", "second/shared", "second/own"}
    report = ours.run(path, output, *step)
    assert ours.compressed(report) == keys
    ours.run(output, dense, "decompress")
    for package in (path, output, dense):
        found = places(package, keys)
        assert set(found) == keys
        assert found["first/shared"] == found["second/shared"] != ()
        assert not set(found["first/own"]) & set(found["second/own"])
    own = sum(
        r["bytes_after"]
        for r in report["weights"]
        if r["action"] != "declined" and (r["function"], r["name"]) != ("second", "shared")
    )
    assert size(output) < own + 4096, "the arrays of one function alone, with headers and padding"
    assert size(path) - 64 <= size(dense) <= size(path) + 64
    seconds = {f"{r['function']}/{r['name']}": r["seconds"] for r in report["weights"]}
    assert 0 in (seconds["first/shared"], seconds["second/shared"]), "compressed once"


@pytest.mark.parametrize("target", ["iOS16", "iOS18"])
@pytest.mark.parametrize("step", OPERATIONS, ids=str)
def test_consts_on_one_blob(packages: Any, tmp_path: Path, target: str, step: tuple[str, Any]) -> None:
    path, output = packages("shared_blobs", target), tmp_path / "out.mlpackage"
    keys = {"w_first", "w_second"}
    assert ours.compressed(ours.run(path, output, *step)) == keys
    found = places(output, keys)
    assert found["w_first"] == found["w_second"] != ()
    assert_same_but(OraclePackage(path), OraclePackage(output), keys)


def test_one_blob_in_two_schemes(packages: Any, tmp_path: Path) -> None:
    """Consts on one blob with different configurations are two weights."""
    output = tmp_path / "out.mlpackage"
    report = ours.run(packages("shared_blobs", "iOS18"), output, "quantize", op_names={"w_first": Q8, "w_second": Q4})
    assert {name: record["nbits"] for name, record in ours.by_name(report).items() if record["nbits"]} == {
        "w_first": 8,
        "w_second": 4,
    }
    data = OraclePackage(output).constexprs()
    assert data["w_first"].arrays["data"].type_name == "int8" and data["w_second"].arrays["data"].type_name == "int4"


# MARK: names that collide


def test_new_names_avoid_those_that_are_there(tmp_path: Path) -> None:
    """A model that already has names like those of added operations and their constants."""
    path, output = tmp_path / "in.mlpackage", tmp_path / "out.mlpackage"

    @program_for("iOS18", [mb.TensorSpec(shape=(1, 64))])
    def program(x: Any) -> Any:
        x = mb.cast(x=x, dtype="fp16", name="lin_unscaled")
        w = mb.const(val=weights(1, 64, 64), name="w")
        x = mb.linear(x=x, weight=w, bias=mb.const(val=weights(2, 64), name="lin_bias_unscaled"), name="lin")
        x = mb.add(x=x, y=mb.const(val=weights(3, 64), name="w_scale"), name="lin_scaled")
        return mb.cast(x=x, dtype="fp32", name="out")

    save(program, "iOS18", path)
    report = ours.run(path, output, "palettize", {"nbits": 4, "enable_per_channel_scale": True})
    names = [o.outputs[0].name for _, o in OraclePackage(output).operations()]
    assert len(names) == len(set(names))
    assert report["added_operations"] not in ([], ["lin_scaled"])
    grid.assert_expands(output, tmp_path, {"w"})
