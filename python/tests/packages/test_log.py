"""A weight that nobody asked to leave alone is a line in the log, and an error where that is strict; what was asked for is not."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import swiftcompress as sc
import swiftcompress.coreml as cto

GROUPS = {"granularity": "per_grouped_channel", "group_size": 16}


def palettize(path: Path, settings: dict[str, Any], **options: Any) -> Any:
    config = cto.OptimizationConfig(cto.OpPalettizerConfig(**settings))
    return cto.palettize_weights(path, config, **options)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert all(record.name == "swiftcompress" for record in caplog.records)
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    "package, settings",
    [
        ("special_values", {"nbits": 4}),
        ("divisibility", {"nbits": 4, **GROUPS}),
        ("few_values", {"mode": "unique"}),
        ("divisibility", {"nbits": 4, "cluster_dim": 3}),
    ],
)
def test_a_line_for_each_weight(
    packages: Any, package: str, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    path = packages(package, "iOS18")
    report = palettize(path, settings).report
    unplanned = [record for record in report.declined if not record.planned]
    assert unplanned and any(record.planned for record in report.declined)
    found = [line for line in lines(caplog) if line.endswith("Skipped this op.")]
    assert len(found) == len(unplanned)
    for record, line in zip(unplanned, found, strict=True):
        assert repr(record.name) in line and record.consumer in line and str(record.reason) in line
    with pytest.raises(ValueError, match="strict"):
        palettize(path, settings, strict=True)


def test_what_was_asked_for_is_not_a_line(packages: Any, caplog: pytest.LogCaptureFixture) -> None:
    path = packages("layers", "iOS18")
    names = list(cto.get_weights_metadata(path))
    config = cto.OptimizationConfig(
        cto.OpPalettizerConfig(nbits=4, weight_threshold=5000), op_type_configs={"conv": None}
    )
    config.set_op_name(names[0], None)
    report = cto.palettize_weights(path, config).report
    assert report.compressed and report.declined
    assert all(record.planned for record in report.declined)
    assert all(record.planned is None for record in report.compressed)
    assert not lines(caplog)


def test_names_that_match_nothing(packages: Any, caplog: pytest.LogCaptureFixture) -> None:
    config = cto.OptimizationConfig(cto.OpPalettizerConfig(nbits=4), op_name_configs={"misspelt": None})
    report = cto.palettize_weights(packages("layers", "iOS18"), config).report
    assert len(report.warnings) == 1 and "misspelt" in report.warnings[0]
    assert [line for line in lines(caplog) if "misspelt" in line] == [f"{report.input}: {report.warnings[0]}"]


@pytest.mark.parametrize(
    "package, settings, words",
    [  # of coremltools, whose own tests look for them (scripts/coremltools_tests.py)
        ("few_values", {"mode": "unique"}, "Unique values in weight cannot be represented by 8 bits palettization."),
        ("divisibility", {"nbits": 4, "cluster_dim": 3}, "The `cluster_dim` is invalid for "),
        ("divisibility", {"nbits": 4, **GROUPS}, "Cannot perform palettization on "),
    ],
)
def test_words_of_coremltools(
    packages: Any, package: str, settings: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    palettize(packages(package, "iOS18"), settings)
    assert any(words in line for line in lines(caplog))


@pytest.mark.parametrize(
    "word, compress",
    [
        (
            "quantization",
            lambda path: cto.linear_quantize_weights(path, cto.OptimizationConfig(cto.OpLinearQuantizerConfig())),
        ),
        (
            "pruning",
            lambda path: cto.prune_weights(
                path, cto.OptimizationConfig(cto.OpMagnitudePrunerConfig(target_sparsity=0.5))
            ),
        ),
    ],
)
def test_other_operations(packages: Any, word: str, compress: Any, caplog: pytest.LogCaptureFixture) -> None:
    compress(packages("special_values", "iOS18"))
    assert any(line.startswith(f"Cannot perform {word} on 'mask'") for line in lines(caplog))


def test_the_function_where_there_are_several(packages: Any, caplog: pytest.LogCaptureFixture) -> None:
    path = packages("multifunction", "iOS18")
    palettize(path, {"nbits": 4, "granularity": "per_grouped_channel", "group_size": 7, "weight_threshold": 0})
    functions = sc.ModelPackage(path).functions
    assert {name for name in functions if any(f"of function {name!r}" in line for line in lines(caplog))}


def test_it_can_be_seen_and_silenced(packages: Any) -> None:
    """Without any handler Python prints warnings on standard error; `setLevel` is all that it takes."""
    code = """
import logging, sys
import swiftcompress.coreml as cto
if sys.argv[2] == "quiet":
    logging.getLogger("swiftcompress").setLevel(logging.ERROR)
cto.palettize_weights(sys.argv[1], cto.OptimizationConfig(cto.OpPalettizerConfig(nbits=4)))
"""
    path = str(packages("special_values", "iOS18"))
    said = {
        how: subprocess.run([sys.executable, "-c", code, path, how], capture_output=True, text=True, check=True).stderr
        for how in ("loud", "quiet")
    }
    assert "'mask'" in said["loud"] and "'w_nan'" in said["loud"]
    assert said["quiet"] == ""
