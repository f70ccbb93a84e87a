"""all-MiniLM-L6-v2, a published encoder of sentences, in plain torch: its tokenizer, its layers, and its weights.

The weights are those of .models/minilm, which `scripts/get_models.py minilm` brings. The encoder takes no mask: the texts of a
batch have the same number of tokens.
"""

import json
import string
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

LENGTH = 256
"""Tokens of a text at most, as published."""
# From the names of the published weights to those here.
NAMES = (
    ("embeddings.LayerNorm", "norm"),
    ("embeddings.word_embeddings", "words"),
    ("embeddings.position_embeddings", "positions"),
    ("embeddings.token_type_embeddings", "kinds"),
    ("encoder.layer.", "layers."),
    ("attention.self.", ""),
    ("attention.output.LayerNorm", "attention_norm"),
    ("attention.output.dense", "attention_output"),
    ("intermediate.dense", "intermediate"),
    ("output.LayerNorm", "output_norm"),
    ("output.dense", "output"),
)


class Tokenizer:
    """Lower case without accents, words and punctuation, each cut into the longest pieces that the vocabulary has."""

    def __init__(self, folder: Path) -> None:
        lines = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
        self.numbers = {piece: number for number, piece in enumerate(lines)}

    def __call__(self, text: str) -> list[int]:
        """The numbers of a text's pieces, without those that begin and end it."""
        text = "".join(
            each for each in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(each) != "Mn"
        )
        spaced = "".join(f" {each} " if is_punctuation(each) else each for each in text)
        return [self.numbers[piece] for word in spaced.split() for piece in self._pieces(word)]

    def _pieces(self, word: str) -> list[str]:
        pieces: list[str] = []
        while word:
            start = "##" if pieces else ""
            fits = (size for size in range(len(word), 0, -1) if start + word[:size] in self.numbers)
            size = next(fits, 0)
            if not size:
                return ["[UNK]"]
            pieces.append(start + word[:size])
            word = word[size:]
        return pieces

    def batch(self, texts: list[list[int]]) -> Any:
        """Texts of the same length, begun and ended, as a tensor."""
        first, last = self.numbers["[CLS]"], self.numbers["[SEP]"]
        return torch.tensor([[first, *each[: LENGTH - 2], last] for each in texts])


def is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


class Layer(torch.nn.Module):  # type: ignore[misc] # torch is not there when types are checked
    """Attention and two linear layers, each with what it got added, and normalized."""

    def __init__(self, width: int, inner: int, heads: int, epsilon: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.attention_output = (torch.nn.Linear(width, width) for _ in range(4))
        self.attention_norm, self.output_norm = (torch.nn.LayerNorm(width, epsilon) for _ in range(2))
        self.intermediate = torch.nn.Linear(width, inner)
        self.output = torch.nn.Linear(inner, width)

    def forward(self, x: Any) -> Any:
        parts = (each(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in (self.query, self.key, self.value))
        found = functional.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
        x = self.attention_norm(x + self.attention_output(found))
        return self.output_norm(x + self.output(functional.gelu(self.intermediate(x))))


class Encoder(torch.nn.Module):  # type: ignore[misc]
    """From the numbers of pieces, (texts, pieces), to vectors of length 1, (texts, width)."""

    def __init__(self, shape: dict[str, Any]) -> None:
        super().__init__()
        width, epsilon = shape["hidden_size"], shape["layer_norm_eps"]
        self.words = torch.nn.Embedding(shape["vocab_size"], width)
        self.positions = torch.nn.Embedding(shape["max_position_embeddings"], width)
        self.kinds = torch.nn.Embedding(shape["type_vocab_size"], width)
        self.norm = torch.nn.LayerNorm(width, epsilon)
        self.layers = torch.nn.ModuleList(
            Layer(width, shape["intermediate_size"], shape["num_attention_heads"], epsilon)
            for _ in range(shape["num_hidden_layers"])
        )

    def states(self, numbers: Any) -> Any:
        """What the last layer makes of each piece."""
        places = torch.arange(numbers.shape[1])
        x = self.norm(self.words(numbers) + self.positions(places) + self.kinds.weight[0])
        for layer in self.layers:
            x = layer(x)
        return x

    def forward(self, numbers: Any) -> Any:
        return functional.normalize(self.states(numbers).mean(1), dim=-1)


def read_safetensors(path: Path) -> dict[str, Any]:
    """The float32 tensors of a file: 8 bytes of the header's size, the header in JSON, the data."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8:start]).items():
        if entry.get("dtype") == "F32":
            first, end = entry["data_offsets"]
            values = np.frombuffer(data[start + first : start + end], np.float32).reshape(entry["shape"])
            tensors[name] = torch.from_numpy(values.copy())
    return tensors


def load(folder: Path) -> Encoder:
    """The published encoder, for evaluation."""
    model = Encoder(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    weights = {}
    for name, tensor in read_safetensors(folder / "model.safetensors").items():
        for old, new in NAMES:
            name = name.replace(old, new)
        weights[name] = tensor
    # The embedding does not use the pooler.
    model.load_state_dict({name: value for name, value in weights.items() if not name.startswith("pooler.")})
    model.eval().requires_grad_(False)
    return model


def check(folder: Path, model: Encoder, tokenizer: Tokenizer, texts: list[str]) -> str:
    """Compares pieces and states with those of the package transformers, where it is installed, and says what was found.

    Raises
    ------
    SystemExit
        When they differ by more than rounding.
    """
    try:
        import transformers
        from tokenizers import Tokenizer as Published
    except ImportError:
        return "not compared with the package transformers: it is not installed"
    published = Published.from_file(str(folder / "tokenizer.json"))
    published.no_padding()
    reference = transformers.BertModel.from_pretrained(str(folder), local_files_only=True).eval()
    greatest = 0.0
    for text in texts:
        numbers = tokenizer.batch([tokenizer(text)])
        if numbers[0].tolist() != published.encode(text).ids:
            raise SystemExit(f"other pieces than those of the package tokenizers: {text!r}")
        with torch.no_grad():
            difference = model.states(numbers) - reference(numbers).last_hidden_state
        greatest = max(greatest, float(difference.abs().max()))
    if greatest > 1e-4:
        raise SystemExit(f"states differ from those of the package transformers by {greatest:g}")
    return f"pieces as in the package tokenizers; greatest difference to BertModel of the package transformers {greatest:.1g}"
