"""The report object."""

import json
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

import swiftcompress.coreml as cto


@pytest.fixture(scope="module")
def report(fixtures: Path) -> cto.CompressionReport:
    config = cto.OptimizationConfig(cto.OpPalettizerConfig(nbits=4), op_type_configs={"conv": None})
    report: cto.CompressionReport = cto.palettize_weights(fixtures / "mixed_ios18.mlpackage", config).report
    return report


def test_records(report: cto.CompressionReport) -> None:
    assert len(report) == len(report.weights) == len(report.compressed) + len(report.declined)
    by_name = {record.name: record for record in report.weights}
    linear, conv = by_name["linear_weight"], by_name["conv_weight"]
    assert (linear.action, linear.reason, linear.nbits, linear.shape) == ("palettized", None, 4, (48, 64))
    assert (linear.bytes_before, linear.bytes_after) == (48 * 64 * 2, 48 * 64 // 2 + 16 * 2)
    assert linear.bits_per_weight == pytest.approx(linear.bytes_after * 8 / (48 * 64))
    assert linear.snr_db is not None
    assert 15 < linear.snr_db < 25
    assert conv.action == "declined"
    assert conv.reason
    assert conv.snr_db is None
    with pytest.raises(FrozenInstanceError):
        conv.action = "palettized"  # type: ignore[misc]


def test_totals(report: cto.CompressionReport) -> None:
    assert report.bytes_before == sum(record.bytes_before for record in report.weights)
    assert report.bytes_after == sum(record.bytes_after for record in report.weights) < report.bytes_before
    assert report.package_bytes[1] < report.package_bytes[0]
    assert report.specification_version == (9, 9)
    assert report.operation == "palettize"


def test_dictionary_is_a_copy(report: cto.CompressionReport) -> None:
    values = report.to_dict()
    assert json.loads(json.dumps(values)) == values
    assert len(values["weights"]) == len(report)
    values["weights"].clear()
    assert len(report.to_dict()["weights"]) == len(report)
    assert str(cto.CompressionReport(report.to_dict())) == str(report)
    assert str(cto.CompressionReport.from_json(json.dumps(report.to_dict()))) == str(report)


def test_fields_of_a_later_version_are_kept_in_the_dictionary(report: cto.CompressionReport) -> None:
    values = report.to_dict()
    values["weights"][0]["cosine"] = 1.0
    later = cto.CompressionReport(values)
    assert later.weights == report.weights
    assert later.to_dict()["weights"][0]["cosine"] == 1.0


def test_table(report: cto.CompressionReport) -> None:
    lines = str(report).splitlines()
    assert lines[0].split()[0] == "weight"
    assert len(lines) == len(report) + 3 + len(report.warnings)
    assert all(record.name in line for record, line in zip(report.weights, lines[2:], strict=False))
    assert f"{len(report.compressed)} of {len(report)} weights palettized" in lines[len(report) + 2]
    assert "\n" not in repr(report)


def test_actions_and_notes(report: cto.CompressionReport) -> None:
    values = report.to_dict()
    first = values["weights"][0]
    for operation, action in (
        ("palettize", "palettized"),
        ("quantize", "quantized"),
        ("prune", "pruned"),
        ("decompress", "decompressed"),
    ):
        values["operation"] = operation
        first |= {"action": action, "reason": None, "scheme": "the scheme", "note": "a remark"}
        made = cto.CompressionReport(values)
        assert made.weights[0].note == "a remark"
        assert made.weights[0] in made.compressed
        lines = str(made).splitlines()
        assert f"{action}: the scheme (a remark)" in lines[2]
        assert f"{len(made.compressed)} of {len(made)} weights {action} " in lines[len(made) + 2]
        assert repr(made).startswith(f"CompressionReport({operation}: ")
    del first["note"]  # a report of an earlier version
    assert cto.CompressionReport(values).weights[0].note is None


def test_page(report: cto.CompressionReport, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    report.to_html(target)
    page = target.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert page.rstrip().endswith("</html>")
    text = page.replace("<wbr>", "")
    assert all(f"<code>{record.name}</code>" in text for record in report.weights)
    assert "http" not in page
    report.to_html(str(target))
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_page_escapes_names(report: cto.CompressionReport, tmp_path: Path) -> None:
    values = report.to_dict()
    values["weights"][0]["name"] = "<b>&\u00e9"
    cto.CompressionReport(values).to_html(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;&amp;\u00e9" in page
    assert "<b>" not in page


def test_page_that_cannot_be_written(report: cto.CompressionReport, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        report.to_html(tmp_path / "missing" / "report.html")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        report.to_html(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
