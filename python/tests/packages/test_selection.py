"""Which weights are compressed, what the report says about the others, and what is an error before any work starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import ours, reference
from support.oracle import OraclePackage, assert_same_but
from swiftcompress import coreml

from .test_parity import GROUPED, compare


def both(**levels: Any) -> tuple[Any, Any]:
    """The same configuration for us and for the reference. Values are dicts of OpPalettizerConfig's arguments, or None."""

    def build(module: Any) -> Any:
        def op(options: Any) -> Any:
            return None if options is None else module.OpPalettizerConfig(**options)

        arguments: dict[str, Any] = {}
        if "global_config" in levels:
            arguments["global_config"] = op(levels["global_config"])
        for level in ("op_type_configs", "op_name_configs"):
            if level in levels:
                arguments[level] = {k: op(v) for k, v in levels[level].items()}
        return module.OptimizationConfig(**arguments)

    return build(coreml), build(reference.cto.coreml)


K4, K2, U8 = {"nbits": 4}, {"nbits": 2}, {"mode": "uniform", "nbits": 8}

LEVELS: dict[str, dict[str, Any]] = {
    "one type off": {"global_config": K4, "op_type_configs": {"conv": None}},
    "types only": {"op_type_configs": {"conv": K2, "linear": U8}},
    "types and global": {"global_config": K4, "op_type_configs": {"matmul": U8, "gather": K2}},
    "by consumer's name": {"global_config": K4, "op_name_configs": {"lin": U8, "mm_y": None}},
    "by weight's name": {"op_name_configs": {"conv_w": K4, "embedding_w": K2}},
    "weight's name beats consumer's": {"global_config": K4, "op_name_configs": {"linear_w": K2, "lin": U8}},
    "name beats type": {"op_type_configs": {"linear": K4}, "op_name_configs": {"lin": None, "linear_w": U8}},
    "thresholds": {"global_config": {"nbits": 4, "weight_threshold": 10_000}, "op_type_configs": {"conv": {"nbits": 2, "weight_threshold": 0}}},
    "nothing": {"global_config": None},
    "empty": {},
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(LEVELS))
@pytest.mark.parametrize("target", ["iOS16", "iOS18"])
def test_levels(packages: Any, tmp_path: Path, case: str, target: str) -> None:
    path = packages("layers", target)
    mine, theirs = both(**LEVELS[case])
    program = reference.palettize_program(path, theirs, tmp_path / "reference_input.mlpackage")
    result = ours.compress(path, tmp_path / "out.mlpackage", mine)
    compare(path, tmp_path / "out.mlpackage", result, reference.program_palettes(program))


@pytest.mark.parametrize("threshold", [0, 2559, 2560, 2561, 10**9])
def test_threshold_is_exclusive(packages: Any, tmp_path: Path, threshold: int) -> None:
    """40 x 64 = 2560 elements: compressed when the threshold is below that."""
    result = ours.compress(packages("small", "iOS16"), tmp_path / "out.mlpackage", nbits=4, weight_threshold=threshold)
    record = ours.record(result, "w")
    assert (record["action"] == "palettized") == (threshold < 2560)
    if threshold >= 2560:
        assert "threshold" in record["reason"]


def test_every_float_const_has_a_record(packages: Any, tmp_path: Path) -> None:
    path = packages("layers", "iOS18")
    result = ours.compress(path, tmp_path / "out.mlpackage", nbits=4)
    floats = {
        n: a.values
        for n, a in OraclePackage(path).consts().items()
        if a.values.dtype.kind == "f" and a.values.size >= 10
    }
    assert {r["name"] for r in ours.records(result)} == set(floats)
    for record in ours.records(result):
        assert record["shape"] == list(floats[record["name"]].shape)
        assert record["dtype"] == "fp16"
        assert record["bytes_before"] == floats[record["name"]].nbytes
        if record["action"] == "palettized":
            assert record["reason"] is None
            assert record["nbits"] == 4
            assert record["bytes_after"] < record["bytes_before"]
        else:
            assert record["action"] == "declined"
            assert record["reason"]
            assert record["bytes_after"] == record["bytes_before"]


def test_errors_in_the_report_are_true(packages: Any, tmp_path: Path) -> None:
    path = packages("layers", "iOS18")
    output = tmp_path / "out.mlpackage"
    result = ours.compress(path, output, nbits=3, granularity="per_grouped_channel", group_size=8)
    before, after = OraclePackage(path).consts(), OraclePackage(output).dense()
    for record in ours.records(result):
        if record["action"] != "palettized":
            continue
        weight = before[record["name"]].values.astype(np.float64)
        difference = weight - after[record["name"]].astype(np.float64)
        assert record["mse"] == pytest.approx((difference**2).mean(), rel=1e-9)
        assert record["max_error"] == pytest.approx(np.abs(difference).max(), rel=1e-9)
        snr = 10 * np.log10((weight**2).sum() / (difference**2).sum())
        assert record["snr_db"] == pytest.approx(snr, abs=1e-6)


def test_sizes_in_the_report_are_true(packages: Any, tmp_path: Path) -> None:
    path = packages("layers", "iOS16")
    output = tmp_path / "out.mlpackage"
    sizes = ours.compress(path, output, nbits=4).report.to_dict()["package_bytes"]
    assert sizes == {"before": size_of(path), "after": size_of(output)}
    assert sizes["after"] < sizes["before"] / 2


def size_of(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


# MARK: declined, with a reason, bit-identical


@pytest.mark.parametrize("target", ["iOS16", "iOS18"])
def test_not_finite_weights_are_declined(packages: Any, tmp_path: Path, target: str) -> None:
    """The reference dies in scikit-learn on these; here the other weights are compressed."""
    path = packages("special_values", target)
    output = tmp_path / "out.mlpackage"
    result = ours.compress(path, output, nbits=4)
    for name, word in (("mask", "inf"), ("w_nan", "nan")):
        record = ours.record(result, name)
        assert record["action"] == "declined"
        assert word in record["reason"].lower()
    assert ours.palettized(result) == {"w_constant", "w_few", "w_subnormal", "w_plain"}
    before, after = OraclePackage(path), OraclePackage(output)
    assert_same_but(before, after, ours.palettized(result))
    assert after.consts()["mask"] == before.consts()["mask"]
    assert after.consts()["w_nan"] == before.consts()["w_nan"]
    operations = after.constexprs()
    for name in ours.palettized(result):
        palette = reference.palettize_array(before.consts()[name].values, 4)
        assert palette is not None
        if target == "iOS16":
            stored = operations[name].arrays["lut"].values
            assert stored.tobytes() == palette.lut.ravel().tobytes(), name
        else:
            ours.assert_palette(operations, name, palette, np.float16, (64, 64))


@pytest.mark.parametrize("options, declined", [
    ({"nbits": 4, **GROUPED, "group_size": 16}, {"w_60", "w_59"}),
    ({"nbits": 4, **GROUPED, "group_size": 59}, {"w_64", "w_60"}),
    ({"mode": "unique", "cluster_dim": 2}, {"w_64", "w_60", "w_59"}),
    ({"nbits": 4, **GROUPED, "group_size": 20, "channel_axis": 1}, {"w_60"}),
    ({"nbits": 4, "cluster_dim": 4}, {"w_59"}),
    ({"nbits": 4, "cluster_dim": 4, "enable_per_channel_scale": True}, {"w_59"}),
    ({"nbits": 4, **GROUPED, "group_size": 10, "cluster_dim": 4}, {"w_64", "w_60", "w_59"}),
])  # fmt: skip
def test_not_divisible(packages: Any, tmp_path: Path, options: dict[str, Any], declined: set[str]) -> None:
    path = packages("divisibility", "iOS18")
    output = tmp_path / "out.mlpackage"
    result = ours.compress(path, output, **options)
    names = {"w_64", "w_60", "w_59"}
    assert ours.palettized(result) == names - declined
    before, after = OraclePackage(path), OraclePackage(output)
    for name in declined:
        assert ours.record(result, name)["reason"]
        assert after.consts()[name] == before.consts()[name]
    if "enable_per_channel_scale" not in options:  # what a scale adds: test_output_scale.py
        assert_same_but(before, after, names - declined)


@pytest.mark.parametrize("target", ["iOS15", "iOS16", "iOS17"])
def test_unique_before_ios18(packages: Any, tmp_path: Path, target: str) -> None:
    """5 values need 3 bits, which iOS16's operation does not have; there the reference fails as a whole. We decline that weight
    or spend 4 bits on it; the others are the reference's."""
    path, output = packages("few_values", target), tmp_path / "out.mlpackage"
    result = ours.compress(path, output, mode="unique")
    names = ours.palettized(result)
    assert names - {"w_5"} == {"w_2", "w_16", "w_200"}
    if "w_5" not in names:
        assert "iOS18" in ours.record(result, "w_5")["reason"]
    before, after = OraclePackage(path), OraclePackage(output)
    for name in names:
        weight = before.consts()[name].values
        assert np.array_equal(after.dense()[name], weight)
        expected = {"w_2": 2, "w_5": 16, "w_16": 16, "w_200": 256}[name]
        assert after.constexprs()[name].arrays["lut"].values.shape == (expected,)
    assert_same_but(before, after, names)


def test_a_weight_whose_consumers_disagree_about_the_axis(packages: Any, tmp_path: Path) -> None:
    result = ours.compress(packages("tied", "iOS18"), tmp_path / "out.mlpackage", nbits=4)
    assert ours.palettized(result) == {"table"}
    reason = ours.record(result, "square")["reason"]
    assert "axis" in reason or "axes" in reason


def test_strict_makes_a_declined_weight_an_error(packages: Any, tmp_path: Path) -> None:
    output = tmp_path / "out.mlpackage"
    with pytest.raises(ValueError, match=r"w_60|w_59"):
        ours.compress(
            packages("divisibility", "iOS18"),
            output,
            nbits=4,
            granularity="per_grouped_channel",
            group_size=16,
            strict=True,
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("level", ["op_type_configs", "op_name_configs"])
def test_names_that_match_nothing(packages: Any, tmp_path: Path, level: str) -> None:
    """The reference says nothing at all about a misspelt name."""
    mine, _ = both(global_config=K4, **{level: {"no_such_thing": K2}})
    result = ours.compress(packages("small", "iOS16"), tmp_path / "out.mlpackage", mine)
    assert any("no_such_thing" in w for w in result.report.to_dict()["warnings"])
    with pytest.raises(ValueError, match="no_such_thing"):
        ours.compress(packages("small", "iOS16"), tmp_path / "strict.mlpackage", mine, strict=True)


def test_consumers_with_different_configurations(packages: Any, tmp_path: Path) -> None:
    """The reference raises. The most careful configuration is used, and the report says so."""
    mine, _ = both(op_type_configs={"gather": K4, "linear": K2})
    result = ours.compress(packages("tied", "iOS18"), tmp_path / "out.mlpackage", mine)
    record = ours.record(result, "table")
    assert record["nbits"] == 4
    assert "op_types" in record["note"]
    assert "most careful" in record["note"]


# MARK: errors up front


@pytest.mark.parametrize("target", ["iOS15", "iOS16", "iOS17"])
@pytest.mark.parametrize("options", [
    {"nbits": 4, **GROUPED, "group_size": 8},
    {"nbits": 4, "cluster_dim": 2},
    {"nbits": 3},
    {"nbits": 4, "enable_per_channel_scale": True},
], ids=str)  # fmt: skip
def test_needs_ios18(packages: Any, tmp_path: Path, target: str, options: dict[str, Any]) -> None:
    """The reference raises; here it is an error that names iOS18, or every weight is declined with that reason."""
    path = packages("small", target)
    output = tmp_path / "out.mlpackage"
    try:
        result = ours.compress(path, output, **options)
    except (ValueError, NotImplementedError) as error:
        assert "iOS18" in str(error)
        assert list(tmp_path.iterdir()) == []
    else:
        assert ours.palettized(result) == set()
        assert "iOS18" in ours.record(result, "w")["reason"]
        assert_same_but(OraclePackage(path), OraclePackage(output), set())


@pytest.mark.parametrize("options", [
    {"nbits": 5},
    {"nbits": 0},
    {"nbits": None},
    {"nbits": 4, "mode": "unique"},
    {"nbits": 4, "mode": "kmean"},
    {"mode": "custom"},
    {"nbits": 4, "lut_function": len},
    {"nbits": 4, "granularity": "per_channel"},
    {"nbits": 4, **GROUPED, "group_size": -8},
    {"nbits": 4, **GROUPED, "group_size": 8, "channel_axis": 7},
    {"nbits": 4, **GROUPED, "group_size": 8, "channel_axis": -7},
    {"nbits": 4, "cluster_dim": 0},
    {"nbits": 4, "cluster_dim": -2},
    {"nbits": 4, "weight_threshold": -1},
], ids=str)  # fmt: skip
def test_bad_options(packages: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    """ValueError (NotImplementedError for what the reference has no meaning for), and no output."""
    path = packages("small", "iOS18")
    if options.get("channel_axis") in (7, -7):
        try:
            result = ours.compress(path, tmp_path / "out.mlpackage", **options)
        except ValueError as error:
            assert "channel_axis" in str(error)
            return
        assert ours.record(result, "w")["action"] == "declined"
        assert "axis" in ours.record(result, "w")["reason"]
        return
    with pytest.raises(ValueError):
        ours.compress(path, tmp_path / "out.mlpackage", **options)
    assert list(tmp_path.iterdir()) == []


# MARK: custom tables


@pytest.mark.parametrize("target, grouped", [("iOS16", False), ("iOS18", False), ("iOS18", True)])
def test_custom_function(packages: Any, tmp_path: Path, target: str, grouped: bool) -> None:
    def table(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        lut = np.quantile(values.astype(np.float64), np.linspace(0, 1, 4)).astype(values.dtype)
        codes = np.abs(values.reshape(-1, 1).astype(np.float64) - lut.astype(np.float64)).argmin(axis=1)
        return lut, codes.astype(np.uint8)

    options = {"mode": "custom", "lut_function": table, **({**GROUPED, "group_size": 8} if grouped else {})}
    mine, theirs = both(global_config=options)
    path = packages("layers", target)
    program = reference.palettize_program(path, theirs, tmp_path / "reference_input.mlpackage")
    result = ours.compress(path, tmp_path / "out.mlpackage", mine)
    compare(path, tmp_path / "out.mlpackage", result, reference.program_palettes(program))


def test_custom_function_that_raises(packages: Any, tmp_path: Path) -> None:
    def broken(values: np.ndarray) -> Any:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        ours.compress(packages("small", "iOS16"), tmp_path / "out.mlpackage", mode="custom", lut_function=broken)
    assert list(tmp_path.iterdir()) == []
