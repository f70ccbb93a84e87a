"""The report of a torch compressor: one record for each parameter of the model."""

from collections import UserDict
from dataclasses import asdict, dataclass
from typing import Any

from swiftcompress.report import Outcome, Records, size_text


@dataclass(frozen=True, slots=True)
class ParameterRecord(Outcome):
    """What was done with one parameter."""

    name: str
    """Its qualified name, such as "encoder.fc.weight"; of a tied one, the first."""
    module: str
    """The module's qualified name; empty for the model itself."""
    module_type: str
    """The module's class, such as "Linear"."""
    parameter: str
    """Its name in the module."""
    dtype: str
    """Such as "float32"."""
    shape: tuple[int, ...]
    """Its sizes."""
    action: str
    """"palettized", "quantized", ..., or "declined": left as it was."""
    reason: str | None
    """Why it was declined."""
    scheme: str | None
    """How it was compressed, for people."""
    nbits: int | None
    """Bits of a code."""
    bits_per_weight: float
    """Bits over elements, lookup tables and scales included."""
    bytes_before: int
    """Bytes in the parameter's dtype."""
    bytes_after: int
    """Bytes that the compressed form takes; equal to those before for a declined one."""
    snr_db: float | None
    """Signal-to-noise ratio in dB; None for parameters that were declined or are restored exactly."""
    max_error: float | None
    """The greatest absolute error."""
    mse: float | None
    """The mean squared error."""
    seconds: float
    """Time its compression took."""
    note: str | None = None
    """What is worth knowing about how it was done, such as the other names of a tied parameter."""


class ParameterErrors(UserDict[str, dict[str, Any]]):
    """What coremltools' ``report()`` returns: for each compressed parameter its root mean squared error and its form."""

    def __repr__(self) -> str:
        if not self.data:
            return ""
        names = list(dict.fromkeys(key for values in self.data.values() for key in values))
        rows = [("name", *names)]
        rows += [(name, *(_cell(values.get(key, -1)) for key in names)) for name, values in self.data.items()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [" | ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([lines[0], " | ".join("-" * width for width in widths), *lines[1:]])


def _cell(value: Any) -> str:
    return f"{value:.5f}" if isinstance(value, float) else str(value)


class TorchReport(Records[ParameterRecord]):
    """What a compressor did to a model. Prints as a table; called, it gives what coremltools' ``report()`` does.

    Attributes
    ----------
    weights
        One `ParameterRecord` for each parameter of the model, in the order of its modules; tied parameters have one.
    warnings
        What the caller may not have meant, such as a configuration that no module matches.
    operation
        "palettize", "quantize", ...
    seconds
        Time of the whole run.
    """

    def __init__(
        self,
        operation: str,
        weights: tuple[ParameterRecord, ...] = (),
        warnings: tuple[str, ...] = (),
        seconds: float = 0.0,
        forms: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        self.operation = operation
        self.weights = weights
        self.warnings = warnings
        self.seconds = seconds
        self._forms = forms or {}

    def to_dict(self) -> dict[str, Any]:
        """The report as dictionaries, lists, numbers and text, ready for JSON."""
        return {
            "operation": self.operation,
            "seconds": self.seconds,
            "warnings": list(self.warnings),
            "weights": [{**asdict(record), "shape": list(record.shape)} for record in self.weights],
        }

    def __call__(self) -> ParameterErrors:
        """What coremltools' method ``report()`` returns."""
        return ParameterErrors(
            {
                record.name: {
                    "error": 0.0 if record.mse is None else record.mse**0.5,
                    "#params": _count(record.shape),
                    **self._forms.get(record.name, {}),
                }
                for record in self.compressed
            }
        )

    def __len__(self) -> int:
        return len(self.weights)

    def __repr__(self) -> str:
        return (
            f"TorchReport({self.operation}: {len(self.compressed)} of {len(self.weights)} parameters, "
            f"{size_text(self.bytes_before)} -> {size_text(self.bytes_after)})"
        )

    def __str__(self) -> str:
        lines = self._table(("parameter", "of a"), lambda record: (record.name, record.module_type))
        lines.append(
            f"{len(self.compressed)} of {len(self.weights)} parameters compressed "
            f"({size_text(self.bytes_before)} -> {size_text(self.bytes_after)}) in {self.seconds:.2f} s"
        )
        lines += [f"warning: {text}" for text in self.warnings]
        return "\n".join(lines)


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
