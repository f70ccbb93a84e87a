#!/usr/bin/env python3
"""Embeddings of sentences by a published encoder, all-MiniLM-L6-v2, before and after every method of swiftcompress.torch.

    ./dev bench --sentences

The encoder is that of minilm.py, with its published weights. The 36 linear layers of its six blocks are compressed, 10.6 million
weights; the tables of words and positions stay as they are. Methods that need data get the sentences of scikit-learn's
descriptions of data sets. Then the sentences below are embedded. docs/accuracy.md gets a table of how near each
embedding stays to the one before, docs/sentences.svg draws it where matplotlib is installed.
"""

import argparse
import importlib.resources
import logging
import os
import re
import sys
import tempfile
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
import minilm
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

FOLDER = machine.ROOT / ".models" / "minilm"
PAGE = machine.ROOT / "docs" / "accuracy.md"
PLOT = machine.ROOT / "docs" / "sentences.svg"
MARKS = ("<!-- sentences -->\n", "<!-- end of sentences -->\n")
# Each with another that says the same.
PAIRS = (
    ("The train to the coast was an hour late.", "We reached the seaside sixty minutes behind schedule by rail."),
    ("She planted tomatoes behind the house.", "There are tomato plants growing in her back garden."),
    ("The committee rejected the proposal.", "The plan was turned down by the board."),
    ("My phone's battery dies before noon.", "By midday my mobile is out of power."),
    ("He plays the violin in an orchestra.", "He is a violinist with a symphony."),
    ("Interest rates went up again this month.", "The central bank raised borrowing costs once more."),
    ("The cat is asleep on the windowsill.", "A kitten naps by the window."),
    ("Heavy rain flooded the streets downtown.", "Roads in the city centre were under water after the storm."),
    ("How do I reset my password?", "I forgot my login and need a new one."),
    ("The soup needs more salt.", "This broth tastes bland; season it."),
    ("The telescope discovered a distant galaxy.", "Astronomers found stars far beyond the Milky Way."),
    ("The museum is closed on Mondays.", "You cannot visit the exhibition at the beginning of the week."),
    ("Two goals in the last minute won the match.", "The team scored twice at the very end and took the game."),
    ("Vaccines protect children from measles.", "Immunization prevents infections in kids."),
    ("The program crashes when the file is empty.", "An input without any data makes the software fail."),
    ("He was sentenced to five years in prison.", "The judge sent him to jail for half a decade."),
    ("Our flight to Tokyo leaves at dawn.", "The plane for Japan departs early in the morning."),
    ("The bridge was built in the nineteenth century.", "Construction of the viaduct dates from the 1800s."),
    ("I would like to return these shoes.", "Can I get a refund for this pair of boots?"),
    ("The old man told stories about the war.", "Grandfather spoke of his time as a soldier."),
)
SENTENCES = [sentence for pair in PAIRS for sentence in pair]
SHORTEST, LONGEST = 5, 40
GROUP: dict[str, Any] = {"granularity": "per_grouped_channel", "group_size": 16}
BLOCK: dict[str, Any] = {"granularity": "per_block", "block_size": 32}
METHODS = (
    palettizer("k-means per tensor"),
    palettizer("k-means, groups of 16", **GROUP),
    sensitive("sensitive k-means per tensor"),
    sensitive("sensitive k-means, groups of 16", **GROUP),
    quantizer("linear, per channel"),
    quantizer("linear, blocks of 32", **BLOCK),
    layerwise("GPTQ, per channel", "gptq"),
    layerwise("GPTQ, blocks of 32", "gptq", **BLOCK),
    layerwise("GPTQ, tables per tensor", "gptq", enable_palettization=True),
    layerwise("GPTQ, tables, groups of 16", "gptq", enable_palettization=True, palettization_group_size=16),
    layerwise("SparseGPT, half zero", "sparse_gpt", target_sparsity=0.5),
)


@dataclass
class Point:
    method: str
    bits: int
    bits_per_weight: float
    mean: float
    least: float
    order: float
    """Rank correlation of the similarities of all pairs of sentences, before and after."""


def calibration(tokenizer: minilm.Tokenizer) -> list[Any]:
    """Sentences of prose that has nothing to do with those above, no tables nor lists; those of a length are a batch."""
    folder = importlib.resources.files("sklearn.datasets.descr")
    found: dict[int, list[list[int]]] = {}
    for path in sorted(folder.iterdir(), key=lambda each: each.name):
        if not path.name.endswith(".rst"):
            continue
        for paragraph in path.read_text(encoding="utf-8").split("\n\n"):
            for text in re.split(r"(?<=[.?!])\s+", " ".join(paragraph.split())):
                if text.endswith((".", "?", "!")) and len(re.findall(r"[A-Za-z ]", text)) > 0.9 * len(text):
                    numbers = tokenizer(text)
                    found.setdefault(len(numbers), []).append(numbers)
    return [tokenizer.batch(found[length]) for length in sorted(found) if SHORTEST <= length <= LONGEST]


def embed(model: Any, tokenizer: minilm.Tokenizer) -> Any:
    with torch.no_grad():
        return torch.cat([model(tokenizer.batch([tokenizer(sentence)])) for sentence in SENTENCES]).double()


def nearest(embeddings: Any) -> Any:
    """For each sentence the other one that is nearest."""
    return (embeddings @ embeddings.t()).fill_diagonal_(-2).argmax(1)


def ranks(embeddings: Any) -> Any:
    """The ranks of the similarities of all pairs."""
    first, second = torch.triu_indices(len(embeddings), len(embeddings), 1)
    return (embeddings @ embeddings.t())[first, second].argsort().argsort().double()


def sensitivities(model: Any, batches: list[Any], path: Path) -> None:
    """How much the squared distance of embeddings to those of the model grows with each weight: the diagonal of its Hessian.

    The distance itself has no gradient at the weights that it is measured from. The expectation of the squared gradient of an
    embedding's product with a random direction is that diagonal, but a factor.
    """
    random = torch.Generator().manual_seed(0)
    texts = [text[None] for batch in batches for text in batch]
    samples = [(text, torch.randn(model.words.embedding_dim, generator=random)) for text in texts]
    config = sct.palettization.SKMPalettizerConfig.from_dict(
        {
            "global_config": {"n_bits": 4},
            "module_type_configs": {"Embedding": None},
            "calibration_nsamples": len(samples),
        }
    )
    sct.palettization.SKMPalettizer(model, config).compute_sensitivity(
        samples, lambda network, sample: network(sample[0])[0] @ sample[1], sensitivity_path=path
    )


def compress(method: Method, bits: int, model: Any, batches: list[Any], path: Path) -> Any:
    """The report, and the compressed model."""
    if method.room == "layerwise_compression":
        made = compressor(sct, method, bits, model, layers=[r"layers\.\d+"])
        return made, quietly(made.compress, dataloader=batches, device="cpu")
    made = compressor(sct, method, bits, model, module_type_configs={"Embedding": None})
    if method.kind == "SKMPalettizer":
        return made, quietly(made.compress, sensitivity_path=str(path))
    return made, quietly(made.compress)


def measure(model: Any, tokenizer: minilm.Tokenizer, batches: list[Any]) -> list[Point]:
    before = embed(model, tokenizer)
    points = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sensitivities.pt"
        sensitivities(model, batches, path)
        for method in METHODS:
            for bits in method.widths:
                made, small = compress(method, bits, model, batches, path)
                after = embed(small, tokenizer)
                cosines = (before * after).sum(1)
                order = float(torch.corrcoef(torch.stack([ranks(before), ranks(after)]))[0, 1])
                size = bits_of(made.report)
                point = Point(method.name, bits, size, float(cosines.mean()), float(cosines.min()), order)
                print(row(point), flush=True)
                points.append(point)
    return points


def row(point: Point) -> str:
    return (
        f"| {point.method} | {point.bits} | {point.bits_per_weight:.2f} | {point.mean:.4f} | {point.least:.4f} "
        f"| {point.order:.4f} |"
    )


def table(points: list[Point], found: int, batches: list[Any]) -> str:
    intro = f"{len(SENTENCES)} sentences; before compression {found} of them are nearest to the one that says the same."
    lines = [
        f"{intro} Data: {sum(map(len, batches))} others of {SHORTEST} to {LONGEST} pieces.",
        "",
        "| method | bits | bits per weight | mean cosine | least cosine | order |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(row(point) for point in points),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    argparse.ArgumentParser(prog="./dev bench --sentences").parse_args()
    logging.disable(logging.CRITICAL)
    torch.manual_seed(0)
    if not FOLDER.is_dir():
        sys.exit(f"{FOLDER.relative_to(machine.ROOT)} is missing: scripts/get_models.py minilm brings it")
    tokenizer, model = minilm.Tokenizer(FOLDER), minilm.load(FOLDER)
    print(minilm.check(FOLDER, model, tokenizer, SENTENCES))
    partners = torch.arange(len(SENTENCES)) ^ 1
    found = int((nearest(embed(model, tokenizer)) == partners).sum())
    if found < len(SENTENCES) / 2:
        sys.exit(
            f"only {found} of {len(SENTENCES)} sentences are nearest to the one that says the same: a wrong encoder"
        )
    batches = calibration(tokenizer)
    points = measure(model, tokenizer, batches)
    write_section(PAGE, MARKS, table(points, found, batches))
    curves = {
        method.name: [(each.bits_per_weight, 1 - each.mean) for each in points if each.method == method.name]
        for method in METHODS
    }
    draw(PLOT, METHODS, curves, None, ylabel="1 - mean cosine", yscale="log")
    return 0


if __name__ == "__main__":
    sys.exit(main())
