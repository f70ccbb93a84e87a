"""The library under test, called the way the package tests need it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np

from swiftcompress import _native, coreml

from .oracle import Constexpr, OraclePackage
from .reference import SPECIFICATION, Palette


def configuration(**options: Any) -> Any:
    """Options of one OpPalettizerConfig as a global configuration."""
    return coreml.OptimizationConfig(global_config=coreml.OpPalettizerConfig(**options))


_ARGUMENTS = ("num_threads", "strict", "compat", "progress", "minimum_deployment_target")


def compress(path: Path, output: Path, config: Any = None, **options: Any) -> Any:
    extra = {k: options.pop(k) for k in _ARGUMENTS if k in options}
    extra.setdefault("progress", False)
    config = configuration(**options) if config is None else config
    return coreml.palettize_weights(str(path), config, output=str(output), **extra)


def records(result: Any) -> list[dict[str, Any]]:
    return list(result.report.to_dict()["weights"])


def record(result: Any, name: str) -> dict[str, Any]:
    found = [r for r in records(result) if r["name"] == name]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} records of {name}: {[r['name'] for r in records(result)]}")
    return found[0]


def palettized(result: Any) -> set[str]:
    return {r["name"] for r in records(result) if r["action"] == "palettized"}


def new_constexprs(before: OraclePackage, after: OraclePackage) -> dict[str, Constexpr]:
    old = before.constexprs()
    return {key: value for key, value in after.constexprs().items() if key not in old}


def final_names(operations: dict[str, Constexpr]) -> set[str]:
    """Operations whose output is a weight, not a step towards one (bound by another operation)."""
    steps = set()
    for key, operation in operations.items():
        prefix = key[: len(key) - len(operation.name)]
        steps |= {prefix + name for name in operation.bound.values()}
    prefixes = {key: key[: len(key) - len(operation.name)] for key, operation in operations.items()}
    return {
        key for key, operation in operations.items() if not any(prefixes[key] + o in steps for o in operation.outputs)
    }


def assert_palette(
    operations: dict[str, Constexpr], key: str, expected: Palette, dtype: Any, shape: tuple[int, ...]
) -> None:
    """The operations that make the weight `key` hold exactly these arrays."""
    __tracebackhide__ = True
    operation = operations[key]
    prefix = key[: len(key) - len(operation.name)]
    assert operation.output_shape == shape
    lut = expected.lut
    if expected.scale is not None and operation.type == "constexpr_blockwise_shift_scale":
        # The form of iOS26, and of the reference's pass itself: look up, then scale.
        assert set(operation.arrays) == {"scale"}
        same(operation.arrays["scale"].values, expected.scale, f"{key}.scale")
        operation = operations[prefix + operation.bound["data"]]
        assert operation.output_shape == shape
    elif expected.scale is not None:
        # The form the reference writes for iOS18: tables repeated to one per scale, scaled, then looked up.
        scaled = operations[prefix + operation.bound["lut"]]
        assert scaled.type == "constexpr_blockwise_shift_scale"
        assert set(scaled.arrays) == {"data", "scale"}
        for axis, (scales, tables) in enumerate(zip(expected.scale.shape, lut.shape, strict=False)):
            if scales > tables:
                lut = np.repeat(lut, scales // tables, axis=axis)
        same(scaled.arrays["scale"].values, expected.scale.reshape(*expected.scale.shape, 1, 1), f"{key}.scale")
        same(scaled.arrays["data"].values, lut, f"{key}.lut")
        assert scaled.output_shape == lut.shape
        operation.arrays["lut"] = scaled.arrays["data"]  # compared below like any other table
    assert operation.type == "constexpr_lut_to_dense"
    if expected.lut.ndim == 1:
        assert set(operation.arrays) == {"lut", "indices", "shape"}
        stored = operation.arrays["shape"]
        assert stored.type_name == "uint32"
        assert stored.values.tolist() == list(shape)
        assert operation.arrays["indices"].type_name == "uint8"
    else:
        wanted = {"lut", "indices"} | (set() if expected.vector_axis is None else {"vector_axis"})
        assert set(operation.arrays) == wanted, f"{key}: {set(operation.arrays)}"
        nbits = int(expected.lut.shape[-2]).bit_length() - 1
        assert operation.arrays["indices"].type_name == f"uint{nbits}"
        if expected.vector_axis is not None:
            assert operation.arrays["vector_axis"].type_name == "int32"
            assert int(operation.arrays["vector_axis"].values) == expected.vector_axis
    assert operation.arrays["lut"].values.dtype == dtype
    same(operation.arrays["lut"].values, lut, f"{key}.lut")
    same(operation.arrays["indices"].values, np.asarray(expected.indices).astype(np.uint8), f"{key}.indices")


def same(ours: np.ndarray, theirs: np.ndarray, what: str) -> None:
    from .arrays import assert_same_bits

    __tracebackhide__ = True
    assert_same_bits(
        np.asarray(ours), np.ascontiguousarray(theirs).astype(theirs.dtype.type).reshape(theirs.shape), what
    )


def expected_specification(before: int) -> int:
    """iOS15 packages become iOS16 ones when something is compressed; newer ones stay."""
    return max(before, SPECIFICATION["iOS16"])


def run(path: Path, output: Path, operation: str, config: Any = None, **options: Any) -> dict[str, Any]:
    """The report of one run: `config` for every weight, further options as the engine's JSON has them."""
    given = {"operation": operation, **options}
    if config is not None:
        given["global"] = config
    text = json.dumps(given).encode()
    report = json.loads(_native.compress(os.fsencode(path), os.fsencode(output), text, None, None))
    assert isinstance(report, dict)
    return report


def by_name(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Records by the weight's name, with the function's before it unless that is `main`, as `OraclePackage` names them."""
    named = {r["function"] for r in report["weights"]} - {"main"}
    return {f"{r['function']}/{r['name']}" if named else r["name"]: r for r in report["weights"]}


def compressed(report: dict[str, Any]) -> set[str]:
    return {name for name, record in by_name(report).items() if record["action"] != "declined"}


def command() -> str:
    """The installed `swiftcompress` command."""
    beside = Path(sysconfig.get_path("scripts")) / "swiftcompress"
    found = str(beside) if beside.exists() else shutil.which("swiftcompress")
    if not found:
        raise AssertionError("the swiftcompress command is not installed")
    return found


def run_command(*arguments: str | Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [command(), *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )
