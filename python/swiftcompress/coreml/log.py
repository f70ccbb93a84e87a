"""What was left alone, said through Python's `logging` as well as in the report."""

import logging
import re

from swiftcompress.report import CompressionReport, WeightRecord

_logger = logging.getLogger("swiftcompress")

_NOUNS = {
    "palettize": "palettization",
    "quantize": "quantization",
    "prune": "pruning",
    "decompress": "decompression",
}
# Sentences of coremltools, for those who look for them in a log; {} is the weight.
_AS_THERE = (
    (re.compile(r"cluster_dim "), "The `cluster_dim` is invalid for {}"),
    (
        re.compile(r"unique: .* 256"),
        "Cannot perform palettization on {}. Unique values in weight cannot be represented by 8 bits palettization.",
    ),
)


def log_declined(report: CompressionReport) -> None:
    """Log a warning for each weight that nobody asked to leave alone, and for what the caller may not have meant."""
    several = len({record.function for record in report.weights}) > 1
    for record in report.declined:
        if record.planned is False:
            _logger.warning("%s Skipped this op.", _sentence(report.operation, record, several))
    for text in report.warnings:
        _logger.warning("%s: %s", report.input, text)


def _sentence(operation: str, record: WeightRecord, several: bool) -> str:
    reason = record.reason or "no reason is known"
    start = f"Cannot perform {_NOUNS.get(operation, operation)} on {{}}"
    for pattern, words in _AS_THERE:
        if pattern.match(reason):
            start = words
    weight = f"{record.name!r}" + (f" of function {record.function!r}" if several else "")
    if record.consumer:
        weight += f" ({record.consumer_type} {record.consumer!r})"
    start = start.format(weight)
    return f"{start} ({reason})." if start.endswith(".") else f"{start}: {reason}."
