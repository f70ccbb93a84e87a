#!/usr/bin/env python3
"""Accuracy against bits per weight: networks trained on scikit-learn's digits, compressed by every method of swiftcompress.torch.

    ./dev bench --digits [--networks N]

Each network (convolution, convolution, linear, linear; trained on two thirds of the 1,797 images) is compressed by each method
at each width, by ours and by coremltools' class of the same name with the same configuration, and classifies the other third.
What coremltools does not have is ours alone. The table in docs/accuracy.md has the means over the networks, and
docs/accuracy.svg draws them where matplotlib is installed.
"""

import argparse
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
os.environ.setdefault("TQDM_DISABLE", "1")
# Sums in the same order on every machine.
os.environ["OMP_NUM_THREADS"] = "1"

import torch

import machine
import swiftcompress.torch as sct
from torch_methods import (
    Method,
    bits_of,
    compressor,
    draw,
    layerwise,
    palettizer,
    quantizer,
    quietly,
    sensitive,
    write_section,
)

PAGE = machine.ROOT / "docs" / "accuracy.md"
PLOT = machine.ROOT / "docs" / "accuracy.svg"
MARKS = ("<!-- digits -->\n", "<!-- end of digits -->\n")
GROUP = {"granularity": "per_grouped_channel", "group_size": 8}


METHODS = (
    palettizer("k-means per tensor"),
    palettizer("k-means, groups of 8", **GROUP),
    sensitive("sensitive k-means per tensor"),
    sensitive("sensitive k-means, groups of 8", **GROUP),
    quantizer("linear, per channel"),
    quantizer("linear, blocks of 16", granularity="per_block", block_size=16),
    layerwise("GPTQ, per channel", "gptq"),
    layerwise("GPTQ, blocks of 16", "gptq", granularity="per_block", block_size=16),
    layerwise("GPTQ, tables per tensor", "gptq", enable_palettization=True),
    layerwise("GPTQ, tables, groups of 8", "gptq", enable_palettization=True, palettization_group_size=8),
    layerwise("SparseGPT, half zero", "sparse_gpt", target_sparsity=0.5),
    # The first convolution has 9 columns, no multiple of 4: coremltools ends with an error there.
    layerwise("SparseGPT, 2 of 4 zero", "sparse_gpt", ("0",), n_m_ratio=[2, 4]),
)


@dataclass
class Point:
    method: str
    bits: int
    bits_per_weight: float
    ours: float
    theirs: float | None
    """None where coremltools has no such method."""
    alike: int = 0
    """Networks whose compressed weights are the same bits in both."""


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


def compress(room: Any, method: Method, bits: int, model: Any, data: Any) -> Any:
    """The compressor, and the compressed model."""
    made = compressor(room, method, bits, model)
    if method.room == "layerwise_compression":
        return made, quietly(made.compress, dataloader=[images for images, _ in data], device="cpu")
    if method.kind == "SKMPalettizer":
        return made, quietly(made.compress, dataloader=data, loss_fn=loss_fn)
    return made, quietly(made.compress)


def is_same(ours: Any, theirs: Any) -> bool:
    """Whether all weights are the same bits."""
    expected = dict(theirs.named_parameters())
    return all(torch.equal(weight, expected[name]) for name, weight in ours.named_parameters())


def measure(digits: Digits, networks: int) -> tuple[float, list[Point]]:
    import coremltools.optimize.torch as reference

    plain = 0.0
    sums: dict[tuple[str, int], Point] = {}
    for seed in range(networks):
        model = train(digits, seed)
        plain += digits.accuracy(model) / networks
        data = digits.batches(16)
        for method in METHODS:
            for bits in method.widths:
                made, ours = compress(sct, method, bits, model, data)
                point = sums.setdefault(
                    (method.name, bits), Point(method.name, bits, 0.0, 0.0, None if method.is_ours_alone else 0.0)
                )
                point.bits_per_weight += bits_of(made.report) / networks
                point.ours += digits.accuracy(ours) / networks
                if point.theirs is not None:
                    _, theirs = compress(reference, method, bits, model, data)
                    point.theirs += digits.accuracy(theirs) / networks
                    point.alike += is_same(ours, theirs)
        print(f"network {seed + 1} of {networks}", flush=True)
    return plain, list(sums.values())


def table(plain: float, points: list[Point], networks: int) -> str:
    lines = [
        f"{networks} network{'s' if networks > 1 else ''}; without compression {100 * plain:.2f} %.",
        "",
        "| method | bits | bits per weight | swiftcompress | coremltools | same bits |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for point in points:
        theirs, alike = "", ""
        if point.theirs is not None:
            theirs, alike = f"{100 * point.theirs:.2f} %", f"{point.alike} of {networks}"
        lines.append(
            f"| {point.method} | {point.bits} | {point.bits_per_weight:.2f} | {100 * point.ours:.2f} % "
            f"| {theirs} | {alike} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench --digits")
    parser.add_argument("--networks", type=int, default=5)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    plain, points = measure(Digits(), options.networks)
    text = table(plain, points, options.networks)
    print(text)
    write_section(PAGE, MARKS, text)
    curves = {
        method.name: [(each.bits_per_weight, 100 * each.ours) for each in points if each.method == method.name]
        for method in METHODS
    }
    draw(PLOT, METHODS, curves, 100 * plain, ylabel="accuracy in %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
