"""What digits.py and sentences.py have in common: methods of swiftcompress.torch at several widths, and a picture of them."""

import contextlib
import copy
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import machine

WIDTHS = (8, 6, 4, 3, 2)
LINES = {"palettization": "-", "quantization": "--", "layerwise_compression": ":"}


@dataclass(frozen=True)
class Method:
    """A class with a configuration that has a width to be filled in."""

    name: str
    room: str
    kind: str
    settings: dict[str, Any]
    widths: tuple[int, ...] = WIDTHS
    is_ours_alone: bool = False
    skipped: tuple[str, ...] = ()
    """Modules that are left as they are."""

    def at(self, bits: int) -> dict[str, Any]:
        """The configuration as a dictionary."""
        sign = "u" if self.room == "layerwise_compression" else ""
        width = {"n_bits": bits} if self.room == "palettization" else {"weight_dtype": f"{sign}int{bits}"}
        found: dict[str, Any] = {"global_config": {**width, **self.settings}}
        if self.skipped:
            found["module_name_configs"] = dict.fromkeys(self.skipped)
        return found


def palettizer(name: str, **settings: Any) -> Method:
    return Method(name, "palettization", "PostTrainingPalettizer", settings)


def sensitive(name: str, **settings: Any) -> Method:
    return Method(name, "palettization", "SKMPalettizer", settings)


def quantizer(name: str, **settings: Any) -> Method:
    return Method(name, "quantization", "PostTrainingQuantizer", settings, (8, 4))


def layerwise(name: str, algorithm: str, skipped: tuple[str, ...] = (), **settings: Any) -> Method:
    settings = {"algorithm": algorithm, **settings}
    is_ours_alone = "enable_palettization" in settings
    widths = (4, 3, 2) if is_ours_alone else (8, 4, 3)
    return Method(name, "layerwise_compression", "LayerwiseCompressor", settings, widths, is_ours_alone, skipped)


def compressor(room: Any, method: Method, bits: int, model: Any, **more: Any) -> Any:
    """Of a copy of the model; `room` is swiftcompress.torch or coremltools.optimize.torch, `more` goes into the configuration."""
    place = getattr(room, method.room)
    config = getattr(place, f"{method.kind}Config").from_dict({**method.at(bits), **more})
    return getattr(place, method.kind)(copy.deepcopy(model), config)


def quietly(call: Callable[..., Any], **keywords: Any) -> Any:
    """Without coremltools' progress bars."""
    with contextlib.redirect_stderr(io.StringIO()):
        return call(**keywords)


def bits_of(report: Any) -> float:
    """Bits per weight of what was compressed."""
    records = report.compressed
    weights = sum(torch.Size(record.shape).numel() for record in records)
    bits: float = 8 * sum(record.bytes_after for record in records) / weights
    return bits


def draw(
    target: Path,
    methods: Iterable[Method],
    points: Mapping[str, list[tuple[float, float]]],
    whole: float | None,
    **axis: Any,
) -> None:
    """Curves over bits per weight, where matplotlib is installed.

    Parameters
    ----------
    target
        An SVG file.
    methods
        What is drawn.
    points
        By the method's name: bits per weight, and what was reached.
    whole
        What is reached without compression; None: no line.
    axis
        Settings of the axes, such as the label of the second.
    """
    try:
        import matplotlib
    except ImportError:
        print(f"no picture: matplotlib is not installed; {target.relative_to(machine.ROOT)} is left as it is")
        return
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "swiftcompress"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5.5), layout="constrained")
    for number, method in enumerate(methods):
        # Squares: several scales or tables for each channel or group of channels.
        axes.plot(
            *zip(*points[method.name], strict=True),
            color=pyplot.get_cmap("tab20")(number % 20),
            linestyle=LINES[method.room],
            marker="s" if method.name[-1].isdigit() else "o",
            markersize=4,
            label=method.name,
        )
    if whole is not None:
        axes.axhline(whole, color="grey", linewidth=0.8, label="not compressed")
    axes.set(xlabel="bits per weight", **axis)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    figure.savefig(target, metadata={"Date": None})
    pyplot.close(figure)
    print(f"written: {target.relative_to(machine.ROOT)}")


def write_section(page: Path, marks: tuple[str, str], text: str) -> None:
    """Put a text between two marks of a page."""
    before, rest = page.read_text(encoding="utf-8").split(marks[0])
    _, after = rest.split(marks[1])
    page.write_text(f"{before}{marks[0]}\n{text}\n{marks[1]}{after}", encoding="utf-8")
    print(f"written: {page.relative_to(machine.ROOT)}")
