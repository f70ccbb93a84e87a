"""The grid of data-free compression of packages, and the comparison of one of its points with coremltools.

Used by the tests (a sample of the grid, all of it with --full) and by scripts/parity_table.py, which counts the outcomes.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from . import ours, reference
from .chains import Chain, Leaf, difference, original_name, package_chains, program_chains
from .decoding import decode
from .oracle import OraclePackage, assert_same_but

BEFORE_IOS18 = ("iOS15", "iOS16", "iOS17")
SINCE_IOS18 = ("iOS18", "iOS26")
TARGETS = BEFORE_IOS18 + SINCE_IOS18


class Outcome(enum.Enum):
    SAME = "same bits"
    LOWER = "lower error"
    EQUAL = "same error, other bits"
    RIGHT = "reference fails, ours right"
    DECLINED = "declined by both"
    REFUSED = "refused by both"
    DIFFERENT = "different"


@dataclass(frozen=True)
class Point:
    """One package, one target, one operation with its settings; `first` says what the input was compressed with."""

    package: str
    target: str
    operation: str
    options: dict[str, Any]
    first: str | None = None

    def __str__(self) -> str:
        values = [
            f"{k}={v}" if k in ("block_size", "dim", "weight_threshold") else str(v) for k, v in self.options.items()
        ]
        return "-".join([self.package, self.target, *([self.first] if self.first else []), self.operation, *values])


# MARK: settings

GROUPED: dict[str, Any] = {"granularity": "per_grouped_channel", "group_size": 8}

QUANTIZE: list[dict[str, Any]] = [
    {"mode": m, "dtype": d, "granularity": g, **({"block_size": 8} if g == "per_block" else {})}
    for m, d, g in product(
        ("linear", "linear_symmetric"), ("int8", "uint8", "int4", "uint4"), ("per_tensor", "per_channel", "per_block")
    )
]
QUANTIZE_MORE: list[dict[str, Any]] = [
    {},
    {"weight_threshold": 0},
    {"weight_threshold": 6000, "mode": "linear"},
    {"dtype": "int4", "granularity": "per_block", "block_size": 32},
    {"dtype": "int4", "granularity": "per_block", "block_size": 7},
    {"dtype": "uint4", "mode": "linear", "granularity": "per_block", "block_size": 4, "weight_threshold": 0},
]
PRUNE: list[dict[str, Any]] = [
    *({"target_sparsity": s} for s in (0.0, 0.1, 0.5, 0.9)),
    {"target_sparsity": 0.5, "weight_threshold": 0},
    {"target_sparsity": 0.75, "block_size": 2},
    {"target_sparsity": 0.3, "block_size": 4, "dim": 1},
    {"target_sparsity": 0.5, "block_size": 24},
    {"n_m_ratio": [2, 4]},
    {"n_m_ratio": [1, 4], "dim": 0},
    {"n_m_ratio": [3, 7], "dim": 1},
    {"type": "threshold_pruner", "threshold": 0.02, "minimum_sparsity_percentile": 0.1},
    {"type": "threshold_pruner", "threshold": 0.02},
    {"type": "threshold_pruner"},
]
PALETTIZE: list[dict[str, Any]] = [
    *({"mode": m, "nbits": n} for m, n in product(("kmeans", "uniform"), (1, 2, 4, 6, 8))),
    {"mode": "unique"},
    {"mode": "kmeans", "nbits": 4, "weight_threshold": 0},
]
PALETTIZE_IOS18: list[dict[str, Any]] = [
    {"mode": "kmeans", "nbits": 3},
    *({"mode": m, "nbits": n, **GROUPED} for m, n in product(("kmeans", "uniform"), (3, 4))),
    {"mode": "unique", **GROUPED},
    {"mode": "kmeans", "nbits": 4, **GROUPED, "channel_axis": 1},
]


def needs_ios18(options: dict[str, Any]) -> bool:
    return (
        options.get("dtype") in ("int4", "uint4")
        or options.get("granularity") in ("per_block", "per_grouped_channel")
        or options.get("nbits") == 3
    )


def settings(operation: str, target: str) -> list[dict[str, Any]]:
    """Those that the target has."""
    every = {
        "quantize": QUANTIZE + QUANTIZE_MORE,
        "prune": PRUNE,
        "palettize": PALETTIZE + PALETTIZE_IOS18,
    }[operation]
    return [s for s in every if target in SINCE_IOS18 or not needs_ios18(s)]


# MARK: packages

PACKAGES = (
    "layers", "layers_float32", "tied", "nested", "classifier", "pipeline", "shared_blobs", "immediates", "divisibility", "small",
    "few_values", "integer_consts", "int8_consts", "already_palettized", "scalar_output", "extra_items", "garbage_words",
    "no_weights", "multifunction", "stateful",
)  # fmt: skip


def possible(package: str, target: str) -> bool:
    if package == "stateful":
        return target in SINCE_IOS18
    # Functions came with iOS18; two kinds of packages are made by the reference, which raises the target of iOS15 itself.
    return package != "multifunction" or target in SINCE_IOS18


def points(operation: str) -> list[Point]:
    found = []
    for package, target in product(PACKAGES, TARGETS):
        if possible(package, target):
            found += [Point(package, target, operation, s) for s in settings(operation, target)]
    # `unique` before iOS18 on 5 values: there the reference fails as a whole (test_selection.test_unique_before_ios18).
    return [
        p
        for p in found
        if not (p.package == "few_values" and p.options.get("mode") == "unique" and p.target in BEFORE_IOS18)
    ]


# MARK: joint compression

FIRST: dict[str, tuple[str, dict[str, Any]]] = {
    "lut4": ("palettize", {"mode": "kmeans", "nbits": 4}),
    "lut6_grouped": ("palettize", {"mode": "kmeans", "nbits": 6, **GROUPED}),
    "vectors": ("palettize", {"mode": "kmeans", "nbits": 4, "cluster_dim": 2}),
    "int8": ("quantize", {}),
    "int8_offset": ("quantize", {"mode": "linear"}),
    "uint8": ("quantize", {"dtype": "uint8", "granularity": "per_tensor"}),
    "int4": ("quantize", {"dtype": "int4", "granularity": "per_block", "block_size": 8}),
    "sparse": ("prune", {"target_sparsity": 0.5}),
    "ratio": ("prune", {"n_m_ratio": [2, 4]}),
}
SECOND: list[tuple[str, dict[str, Any]]] = [
    ("quantize", {"granularity": "per_tensor"}),
    ("quantize", {"granularity": "per_tensor", "mode": "linear", "dtype": "uint8"}),
    ("quantize", {"mode": "linear"}),
    ("quantize", {"dtype": "int4", "granularity": "per_block", "block_size": 8}),
    ("palettize", {"mode": "uniform", "nbits": 4}),
    ("palettize", {"mode": "unique"}),
    ("palettize", {"mode": "uniform", "nbits": 2, **GROUPED}),
    ("palettize", {"mode": "kmeans", "nbits": 4}),
    ("prune", {"target_sparsity": 0.5}),
    ("prune", {"type": "threshold_pruner", "threshold": 0.02, "minimum_sparsity_percentile": 0.1}),
]
JOINT_PACKAGES = ("layers", "layers_float32", "tied", "small")


def joint_points() -> list[Point]:
    return [
        Point(package, target, operation, options, first)
        for package, target, first, (operation, options) in product(JOINT_PACKAGES, SINCE_IOS18, FIRST, SECOND)
    ]


def joint_input(packages: Any, point: Point, folder: Path) -> Path:
    """The package compressed once by the reference; made once in `folder`."""
    assert point.first is not None
    path = folder / f"{point.package}-{point.target}-{point.first}.mlpackage"
    if not path.exists():
        operation, options = FIRST[point.first]
        config = reference.any_config(operation, options)
        reference.compress_package(packages(point.package, point.target), operation, config, path)
    return path


def assert_agrees(path: Path, point: Point, scratch: Path) -> Comparison:
    """Same weights bit for bit, everything else byte for byte; or both refuse; or ours is right where the reference fails."""
    __tracebackhide__ = True
    found = compare(path, point, scratch)
    assert not found.problems, "\n".join(found.problems)
    assert Outcome.DIFFERENT not in found.outcomes.values(), found.outcomes
    return found


def assert_same_files(path: Path, point: Point, scratch: Path) -> None:
    """File against file: what the reference's public function wrote, its clean-up passes included, and what we wrote."""
    __tracebackhide__ = True
    config = reference.any_config(point.operation, point.options)
    joint = point.first is not None
    theirs = reference.compress_package(path, point.operation, config, scratch / "theirs.mlpackage", joint=joint)
    mine = scratch / "ours.mlpackage"
    ours.run(path, mine, point.operation, point.options, compat="coremltools", joint_compression=joint)
    a, b = package_chains(OraclePackage(mine)), package_chains(OraclePackage(theirs))
    assert set(a) == set(b)
    for name, chain in b.items():
        found = difference(a[name], chain, name)
        assert found is None, found
    before, after = OraclePackage(path).spec, OraclePackage(mine).spec
    assert after.specificationVersion == (
        ours.expected_specification(before.specificationVersion) if b else before.specificationVersion
    )


def assert_expands(output: Path, scratch: Path, names: set[str]) -> None:
    """coremltools loads the package and expands these weights to what the arrays in it say, and to what we expand them to."""
    __tracebackhide__ = True
    dense = OraclePackage(output).dense()
    report = ours.run(output, scratch / "dense.mlpackage", "decompress")
    mine = OraclePackage(scratch / "dense.mlpackage")
    assert not mine.constexprs()
    assert names <= {name for name, record in ours.by_name(report).items() if record["action"] == "decompressed"}
    theirs = reference.expanded(output, scratch / "expand_input.mlpackage")
    by_content = {(a.shape, a.dtype.str, a.tobytes()) for a in theirs.values()}
    for name in names:
        expanded = mine.consts()[name].values
        content = (dense[name].shape, dense[name].dtype.str, dense[name].tobytes())
        assert (expanded.shape, expanded.dtype.str, expanded.tobytes()) == content, name
        assert content in by_content, name


# MARK: comparison


@dataclass
class Comparison:
    outcomes: dict[str, Outcome]
    """By weight; the name is empty where the run as a whole has one."""
    problems: list[str]
    report: dict[str, Any] | None = None
    failure: Exception | None = None
    """What the reference raised."""


def expected(
    path: Path, operation: str, options: dict[str, Any], scratch: Path, *, joint: bool = False, exact: bool = True
) -> dict[str, Chain]:
    """What the reference makes of a package, its stages and functions one by one."""
    found: dict[str, Chain] = {}
    config = reference.any_config(operation, options)
    for prefix, part in reference.parts(path, scratch).items():
        program = reference.compress_program(
            part, operation, config, scratch / "reference_input.mlpackage", joint=joint, exact=exact
        )
        found.update({prefix + name: chain for name, chain in program_chains(program).items()})
    return found


def compare(path: Path, point: Point, scratch: Path, *, own_solver: bool = False) -> Comparison:
    """Runs both on one point.

    - own_solver: also lets the reference choose its solver for k-means, and compares errors where that is the approximate one.
    """
    joint = point.first is not None
    output = scratch / "ours.mlpackage"
    theirs: dict[str, Chain] = {}
    failure: Exception | None = None
    try:
        theirs = expected(path, point.operation, point.options, scratch, joint=joint)
    except reference.FAILURES as error:
        failure = error
    try:
        report = ours.run(path, output, point.operation, point.options, compat="coremltools", joint_compression=joint)
    except (ValueError, NotImplementedError) as error:
        if failure is not None:
            return Comparison({"": Outcome.REFUSED}, [], failure=failure)
        return Comparison({"": Outcome.DIFFERENT}, [f"ours raises {error!r}"])
    if failure is not None:
        problems = undecodable(path, output, report)
        return Comparison({"": Outcome.DIFFERENT if problems else Outcome.RIGHT}, problems, report, failure)
    return _by_weight(path, output, point, report, theirs, scratch, own_solver=own_solver)


def _by_weight(
    path: Path,
    output: Path,
    point: Point,
    report: dict[str, Any],
    theirs: dict[str, Chain],
    scratch: Path,
    *,
    own_solver: bool,
) -> Comparison:
    before, after = OraclePackage(path), OraclePackage(output)
    mine, old = package_chains(after), package_chains(before)
    done = ours.compressed(report)
    names = {original_name(name) for name in done}
    result = Comparison({}, [], report)
    own = expected(path, point.operation, point.options, scratch, exact=False) if own_solver else {}
    dense = (before.dense(), after.dense()) if own_solver else ({}, {})
    for key in sorted(set(mine) | set(theirs)):
        found = difference(mine[key], theirs[key], key) if key in mine and key in theirs else f"{key}: only one has it"
        if found:
            result.problems.append(found)
            result.outcomes[key] = Outcome.DIFFERENT
        elif key not in names:
            if key not in old or difference(mine[key], old[key]):
                result.problems.append(f"{key}: changed, but not in the report")
            result.outcomes[key] = Outcome.DECLINED  # compressed before, and left as it was
        elif own and difference(mine[key], own[key]):
            weight = dense[0][key]
            result.outcomes[key] = by_error(weight, dense[1][key], decoded(own[key]))
        else:
            result.outcomes[key] = Outcome.SAME
    for name, record in ours.by_name(report).items():
        if record["action"] == "declined":
            result.outcomes.setdefault(original_name(name), Outcome.DECLINED)
            if not record["reason"]:
                result.problems.append(f"{name}: declined without a reason")
    try:
        assert_same_but(before, after, done, compressed_before=point.first is not None)
    except AssertionError as error:
        result.problems.append(str(error))
    return result


def by_error(weight: np.ndarray, ours_dense: np.ndarray, theirs_dense: np.ndarray) -> Outcome:
    mine, theirs = (reference.squared_error(weight, dense) for dense in (ours_dense, theirs_dense))
    if mine == theirs:
        return Outcome.EQUAL
    return Outcome.LOWER if mine < theirs else Outcome.DIFFERENT


def decoded(chain: Chain, output: int = 0) -> np.ndarray:
    """The dense weight of a chain."""
    inputs = {
        key: value.values if isinstance(value, Leaf) else decoded(*value) for key, value in chain.parameters.items()
    }
    return decode(chain.type, inputs)[output]


def undecodable(path: Path, output: Path, report: dict[str, Any]) -> list[str]:
    """What is wrong with a package that the reference could not make: its errors must be those of the report, measured on
    what is written, and the reference must be able to load and expand it."""
    before, after = OraclePackage(path).dense(), OraclePackage(output).dense()
    problems = []
    for name, record in ours.by_name(report).items():
        if record["action"] == "declined":
            continue
        error = before[name].astype(np.float64) - after[name].astype(np.float64)
        if not np.isfinite(after[name]).all():
            problems.append(f"{name}: not finite")
        elif not np.isclose((error**2).mean(), record["mse"], rtol=1e-6, atol=0):
            problems.append(f"{name}: mean squared error {(error**2).mean()}, the report says {record['mse']}")
        elif record["snr_db"] is not None and record["snr_db"] < 0:
            problems.append(f"{name}: {record['snr_db']} dB")
    return problems
