"""The report of a compression: one record for each weight."""

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from swiftcompress import _native

# What the operations do to a weight.
_DONE = {"palettize": "palettized", "quantize": "quantized", "prune": "pruned", "decompress": "decompressed"}


class Outcome:
    """What the records of every report have, and how it is printed."""

    __slots__ = ()
    shape: tuple[int, ...]
    action: str
    reason: str | None
    scheme: str | None
    bits_per_weight: float
    bytes_before: int
    bytes_after: int
    snr_db: float | None
    note: str | None

    def _cells(self) -> tuple[str, ...]:
        done = self.reason if self.action == "declined" else self.scheme
        return (
            "x".join(map(str, self.shape)),
            (f"{self.action}: {done}" if done else self.action) + (f" ({self.note})" if self.note else ""),
            f"{self.bits_per_weight:.3f}",
            size_text(self.bytes_before),
            size_text(self.bytes_after),
            "" if self.snr_db is None else f"{self.snr_db:.1f} dB",
        )


_Record = TypeVar("_Record", bound=Outcome)


class Records(Generic[_Record]):
    """The records of one run, which every report has in `weights`."""

    weights: tuple[_Record, ...]

    @property
    def compressed(self) -> tuple[_Record, ...]:
        """The records of weights that were compressed; of a decompression, of those that were decompressed."""
        return tuple(record for record in self.weights if record.action != "declined")

    @property
    def declined(self) -> tuple[_Record, ...]:
        """The records of weights that were left as they were."""
        return tuple(record for record in self.weights if record.action == "declined")

    @property
    def bytes_before(self) -> int:
        """Stored bytes of all weights before."""
        return sum(record.bytes_before for record in self.weights)

    @property
    def bytes_after(self) -> int:
        """Stored bytes of all weights after."""
        return sum(record.bytes_after for record in self.weights)

    def _table(self, heads: tuple[str, str], names: Callable[[_Record], tuple[str, str]]) -> list[str]:
        """The lines of a table whose first two columns are `names`."""
        header = (*heads, "shape", "what was done", "bits/weight", "before", "after", "SNR")
        rows = [(*names(record), *record._cells()) for record in self.weights]
        widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
        numbers = (False, False, False, False, True, True, True, True)
        return [_line(row, widths, numbers) for row in [header, tuple("-" * width for width in widths), *rows]]


@dataclass(frozen=True, slots=True)
class WeightRecord(Outcome):
    """What was done with one weight."""

    name: str
    """The constant's name."""
    function: str
    """The function of the program that it is in."""
    consumer: str
    """The first operation that uses it; empty when none does."""
    consumer_type: str
    """That operation's type, such as "conv"."""
    dtype: str
    """Element type in MIL's words: "fp16", "fp32"."""
    shape: tuple[int, ...]
    """Its sizes."""
    action: str
    """"palettized", "quantized", "pruned", "decompressed"; or "declined": left as it was."""
    reason: str | None
    """Why it was declined."""
    scheme: str | None
    """How it was compressed, for people."""
    nbits: int | None
    """Bits of a code."""
    bits_per_weight: float
    """Stored bits over elements, lookup tables and scales included."""
    bytes_before: int
    """Stored bytes before."""
    bytes_after: int
    """Stored bytes after."""
    snr_db: float | None
    """Signal-to-noise ratio in dB; None for weights that were declined or are restored exactly."""
    max_error: float | None
    """The greatest absolute error."""
    mse: float | None
    """The mean squared error."""
    seconds: float
    """Time its compression took."""
    note: str | None = None
    """What is worth knowing about how it was done."""
    planned: bool | None = None
    """Of a declined weight: whether the configuration says so (a threshold, an exclusion, a kind that is not addressed).
    False: nobody asked for it; it is logged, and an error with ``strict=True``."""


class CompressionReport(Records[WeightRecord]):
    """What a run did to a package. Prints as a table.

    Attributes
    ----------
    weights
        One `WeightRecord` for each floating-point constant, in program order.
    warnings
        What the caller may not have meant.
    input, output
        Paths of the packages.
    operation
        "palettize", "quantize", "prune" or "decompress".
    specification_version, package_bytes
        (before, after).
    seconds
        Time of the whole run.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        names = {field.name for field in fields(WeightRecord)}
        self._values = values
        self.weights = tuple(_record(record, names) for record in values["weights"])
        self.warnings: tuple[str, ...] = tuple(values["warnings"])
        self.input: str = values["input"]
        self.output: str = values["output"]
        self.operation: str = values["operation"]
        self.specification_version = _change(values["specification_version"])
        self.package_bytes = _change(values["package_bytes"])
        self.seconds: float = values["seconds"]

    @classmethod
    def from_json(cls, text: bytes | str) -> "CompressionReport":
        """Read a report that the engine or the command wrote."""
        return cls(json.loads(text))

    def to_dict(self) -> dict[str, Any]:
        """Copy the report as dictionaries, lists, numbers and text: what the command prints with ``--json``."""
        copy: dict[str, Any] = json.loads(json.dumps(self._values))
        return copy

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Write the report as a page for a browser, complete in one file; an existing file is replaced in one step.

        Raises
        ------
        OSError
            When the file cannot be written.
        """
        target = Path(path)
        page = _native.report_html(json.dumps(self._values).encode())
        temporary = target.with_name(f".{target.name}.tmp-{secrets.token_hex(8)}")
        try:
            with open(temporary, "xb") as file:
                file.write(page)
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def __len__(self) -> int:
        return len(self.weights)

    def __repr__(self) -> str:
        return (
            f"CompressionReport({self.operation}: {len(self.compressed)} of {len(self.weights)} weights, "
            f"{size_text(self.bytes_before)} -> {size_text(self.bytes_after)})"
        )

    def __str__(self) -> str:
        lines = self._table(("weight", "used by"), lambda record: (record.name, record.consumer_type))
        before, after = self.package_bytes
        lines.append(
            f"{len(self.compressed)} of {len(self.weights)} weights {_DONE.get(self.operation, self.operation)}"
            f" ({size_text(self.bytes_before)} -> {size_text(self.bytes_after)});"
            f" package {size_text(before)} -> {size_text(after)} in {self.seconds:.2f} s"
        )
        lines += [f"warning: {text}" for text in self.warnings]
        return "\n".join(lines)


def _record(values: dict[str, Any], names: set[str]) -> WeightRecord:
    known = {key: value for key, value in values.items() if key in names}
    return WeightRecord(**{**known, "shape": tuple(values["shape"])})


def _change(values: dict[str, int]) -> tuple[int, int]:
    return values["before"], values["after"]


def size_text(count: int) -> str:
    """Bytes for people."""
    if count < 10_000:
        return f"{count} B"
    return f"{count / 1e3:.1f} kB" if count < 1e6 else f"{count / 1e6:.2f} MB"


def _line(row: tuple[str, ...], widths: list[int], numbers: tuple[bool, ...]) -> str:
    cells = (
        cell.rjust(width) if number else cell.ljust(width)
        for cell, width, number in zip(row, widths, numbers, strict=True)
    )
    return "  ".join(cells).rstrip()
