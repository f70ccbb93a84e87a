"""Torch models for tests, and comparison with coremltools.optimize.torch."""

from __future__ import annotations

import copy
import os
from typing import Any

import pytest

if os.environ.get("SWIFTCOMPRESS_TEST_TORCH", "1") == "0":
    pytest.skip("torch is left out: ./dev test --torch runs these tests", allow_module_level=True)
torch = pytest.importorskip("torch", reason="torch is not installed", exc_type=ImportError)

ALL_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Every floating-point type that weights may have; coremltools cannot read bfloat16."""
REFERENCE_FLOATS = (torch.float16, torch.float32, torch.float64)


def layers() -> Any:
    """One of each kind of module that coremltools' palettizer takes."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(8, 32, 3),
        torch.nn.Linear(64, 48),
        torch.nn.Embedding(96, 32),
        torch.nn.MultiheadAttention(32, 4),
    )


def convolutions() -> Any:
    """One of each kind of module that coremltools' quantizer takes."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv1d(8, 32, 3),
        torch.nn.Conv2d(8, 32, 3),
        torch.nn.Conv3d(8, 32, 3),
        torch.nn.Linear(64, 48),
        torch.nn.ConvTranspose1d(16, 32, 3),
        torch.nn.ConvTranspose2d(16, 32, 3),
        torch.nn.ConvTranspose3d(16, 32, 3),
        torch.nn.MultiheadAttention(32, 4),
        torch.nn.MultiheadAttention(32, 4, kdim=16, vdim=8),
    )


class Tied(torch.nn.Module):
    """An embedding whose weight is that of the output layer too."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(64, 32)
        self.middle = torch.nn.Linear(32, 32)
        self.head = torch.nn.Linear(32, 64, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Any) -> Any:
        return self.head(torch.relu(self.middle(self.embedding(tokens))))


def state(model: Any) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def assert_same_state(ours: Any, theirs: Any, except_for: tuple[str, ...] = ()) -> int:
    """Equal names in equal order, dtypes, shapes and bits; returns how many tensors were compared."""
    mine, expected = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(expected)
    for name, value in expected.items():
        assert mine[name].dtype == value.dtype, name
        assert mine[name].shape == value.shape, name
        if name not in except_for:
            assert torch.equal(mine[name], value), name
    return len(expected)


def compressed(kind: Any, config_kind: Any, model: Any, values: dict[str, Any], **keywords: Any) -> Any:
    """A copy of the model, compressed by a class of ours or of coremltools'."""
    return kind(copy.deepcopy(model), config_kind.from_dict(values)).compress(**keywords)


def buffer(module: Any, key: str, parameter: str = "weight") -> Any:
    return module.get_buffer(f"_COREML_/{parameter}/{key}")
