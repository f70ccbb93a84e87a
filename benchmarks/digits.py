#!/usr/bin/env python3
"""Accuracy against bits per weight: networks trained on scikit-learn's digits, compressed by every method of swiftcompress.torch.

    ./dev bench --digits [--networks N]

Each network (convolution, convolution, linear, linear; trained on two thirds of the 1,797 images) is compressed by each method
at each width, by ours and by coremltools' class of the same name with the same configuration, and classifies the other third.
The table in docs/accuracy.md has the means over the networks; a plot is written beside it where matplotlib is installed.
"""

import argparse
import contextlib
import copy
import importlib.util
import io
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
os.environ.setdefault("TQDM_DISABLE", "1")

import torch

import machine
import swiftcompress.torch as sct

PAGE = machine.ROOT / "docs" / "accuracy.md"
PLOT = machine.ROOT / "docs" / "accuracy.png"
MARKS = ("<!-- digits -->\n", "<!-- end of digits -->\n")
BITS = (8, 6, 4, 3, 2)
GROUP = {"granularity": "per_grouped_channel", "group_size": 8}


@dataclass(frozen=True)
class Method:
    """A class with a configuration that has a width to be filled in."""

    name: str
    room: str
    kind: str
    settings: dict[str, Any]
    needs_data: bool = False

    def at(self, bits: int) -> dict[str, Any] | None:
        """The fields, or None where there is no such width."""
        if self.room == "palettization":
            return {"n_bits": bits, **self.settings}
        return {"weight_dtype": f"int{bits}", **self.settings} if bits in (4, 8) else None


METHODS = (
    Method("k-means per tensor", "palettization", "PostTrainingPalettizer", {}),
    Method("k-means, groups of 8", "palettization", "PostTrainingPalettizer", GROUP),
    Method("sensitive k-means per tensor", "palettization", "SKMPalettizer", {}, needs_data=True),
    Method("sensitive k-means, groups of 8", "palettization", "SKMPalettizer", GROUP, needs_data=True),
    Method("linear, per channel", "quantization", "PostTrainingQuantizer", {}),
    Method(
        "linear, blocks of 16", "quantization", "PostTrainingQuantizer", {"granularity": "per_block", "block_size": 16}
    ),
)


@dataclass
class Point:
    method: str
    bits: int
    bits_per_weight: float
    ours: float
    theirs: float


class Digits:
    """The images, cut into training and test."""

    def __init__(self) -> None:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
        self.images = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8)[order] / 16
        self.labels = torch.tensor(labels)[order]
        self.trained = 2 * len(labels) // 3

    def batches(self, size: int) -> list[tuple[Any, Any]]:
        pairs = zip(self.images[: self.trained].split(size), self.labels[: self.trained].split(size), strict=True)
        return list(pairs)

    def accuracy(self, model: Any) -> float:
        with torch.no_grad():
            found = model.eval()(self.images[self.trained :]).argmax(1)
        return float((found == self.labels[self.trained :]).double().mean())


def loss_fn(model: Any, data: tuple[Any, Any]) -> Any:
    return torch.nn.functional.cross_entropy(model(data[0]), data[1])


def train(digits: Digits, seed: int) -> Any:
    torch.manual_seed(seed)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(32 * 16, 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, 16),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(25):
        for data in digits.batches(64):
            optimizer.zero_grad()
            loss_fn(model, data).backward()
            optimizer.step()
    return model.eval()


def compress(room: Any, method: Method, values: dict[str, Any], model: Any, data: Any) -> Any:
    """The compressor, and the compressed model."""
    place = getattr(room, method.room)
    config = getattr(place, f"{method.kind}Config").from_dict({"global_config": values})
    compressor = getattr(place, method.kind)(copy.deepcopy(model), config)
    with contextlib.redirect_stderr(io.StringIO()):
        if method.needs_data:
            return compressor, compressor.compress(dataloader=data, loss_fn=loss_fn)
        return compressor, compressor.compress()


def bits_of(report: Any) -> float:
    """Bits per weight of what was compressed."""
    records = report.compressed
    weights = sum(torch.Size(record.shape).numel() for record in records)
    bits: float = 8 * sum(record.bytes_after for record in records) / weights
    return bits


def measure(digits: Digits, networks: int) -> tuple[float, list[Point]]:
    import coremltools.optimize.torch as reference

    plain = 0.0
    sums: dict[tuple[str, int], Point] = {}
    for seed in range(networks):
        model = train(digits, seed)
        plain += digits.accuracy(model) / networks
        data = digits.batches(16)
        for method in METHODS:
            for bits in BITS:
                values = method.at(bits)
                if values is None:
                    continue
                compressor, ours = compress(sct, method, values, model, data)
                _, theirs = compress(reference, method, values, model, data)
                point = sums.setdefault((method.name, bits), Point(method.name, bits, 0.0, 0.0, 0.0))
                point.bits_per_weight += bits_of(compressor.report) / networks
                point.ours += digits.accuracy(ours) / networks
                point.theirs += digits.accuracy(theirs) / networks
    return plain, list(sums.values())


def table(plain: float, points: list[Point], networks: int) -> str:
    lines = [
        f"{networks} network{'s' if networks > 1 else ''}; without compression {100 * plain:.2f} %.",
        "",
        "| method | bits | bits per weight | swiftcompress | coremltools |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {point.method} | {point.bits} | {point.bits_per_weight:.2f} | {100 * point.ours:.2f} % "
        f"| {100 * point.theirs:.2f} % |"
        for point in points
    ]
    return "\n".join(lines) + "\n"


def plot(plain: float, points: list[Point]) -> bool:
    if importlib.util.find_spec("matplotlib") is None:
        return False
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for method in METHODS:
        mine = [point for point in points if point.method == method.name]
        axes.plot([each.bits_per_weight for each in mine], [100 * each.ours for each in mine], "o-", label=method.name)
    axes.axhline(100 * plain, color="grey", linestyle=":", label="not compressed")
    axes.set_xlabel("bits per weight")
    axes.set_ylabel("accuracy in %")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(PLOT, dpi=110)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench --digits")
    parser.add_argument("--networks", type=int, default=5)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    plain, points = measure(Digits(), options.networks)
    text = table(plain, points, options.networks)
    print(text)
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    image = "\n![Accuracy against bits per weight](accuracy.png)\n" if plot(plain, points) else ""
    PAGE.write_text(f"{before}{MARKS[0]}\n{text}{image}\n{MARKS[1]}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
