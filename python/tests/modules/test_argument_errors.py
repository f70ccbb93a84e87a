"""What is wrong with an argument is said before any work: which, what was found, what is allowed. Needs torch alone."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.modules import torch
from swiftcompress.torch.layerwise_compression import LayerwiseCompressor, LayerwiseCompressorConfig
from swiftcompress.torch.palettization import (
    ModulePostTrainingPalettizerConfig,
    ModuleSKMPalettizerConfig,
    SKMPalettizer,
)


class Watched(torch.nn.Sequential):
    """A model that counts its runs and copies."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(torch.nn.Linear(16, 8), torch.nn.Linear(8, 8))
        self.uses: list[str] = []

    def forward(self, x: Any) -> Any:
        self.uses.append("run")
        return super().forward(x)

    def __deepcopy__(self, memo: Any) -> Any:
        self.uses.append("copied")
        return self


def data() -> list[Any]:
    return [torch.ones(4, 16)]


def refused(call: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=re.escape(text)) as caught:
        call()
    assert "allowed" in str(caught.value)


RETURNED = (
    (lambda model, x: None, TypeError, "found one that returns None"),
    (lambda model, x: float(model(x).sum()), TypeError, "found one that returns a float"),
    (lambda model, x: (model(x).sum(), 1), TypeError, "found one that returns a tuple"),
    (lambda model, x: model(x), ValueError, "found one that returns a tensor of shape (4, 8)"),
    (lambda model, x: model(x).sum().detach(), ValueError, "found one that returns a tensor without a gradient"),
    (lambda model, x: torch.tensor(1), ValueError, "found one that returns a tensor without a gradient"),
)


@pytest.mark.parametrize(("loss", "error", "text"), RETURNED)
def test_what_a_loss_function_returns(loss: Any, error: Any, text: str) -> None:
    model = Watched()
    palettizer = SKMPalettizer(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for name in ("loss_fn", "loss_function"):
        refused(lambda name=name: palettizer.compute_sensitivity(data(), **{name: loss}), error, f"] {name}: {text}")
        refused(lambda name=name: palettizer.compress(data(), inplace=True, **{name: loss}), error, f"] {name}: {text}")
    assert "copied" not in model.uses
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("wrong", [math.nan, math.inf, 1e30])
def test_a_loss_without_finite_gradients(wrong: float, tmp_path: Path) -> None:
    """1e30: finite, but its square is not."""
    model, path = Watched(), tmp_path / "sensitivities.pt"

    def loss(model: Any, x: Any) -> Any:
        return model(x).sum() * wrong

    palettizer = SKMPalettizer(model)
    text = "] loss_fn: found one whose squared gradients for"
    refused(lambda: palettizer.compute_sensitivity(data(), loss, path), ValueError, text)
    refused(lambda: palettizer.compress(data(), loss, inplace=True), ValueError, text)
    assert not path.exists()


def loss_fn(model: Any, x: Any) -> Any:
    return model(x).sum()


@pytest.mark.parametrize("loader", [3, torch.ones, object(), {"x": torch.ones(4, 16)}, "data", b"data"])
def test_a_loader_that_is_none(loader: Any) -> None:
    model = Watched()
    text = f"found a {type(loader).__name__}, allowed an iterable of batches"
    refused(lambda: SKMPalettizer(model).compress(loader, loss_fn), TypeError, f"] dataloader: {text}")
    refused(
        lambda: SKMPalettizer(model).compute_sensitivity(data_loader=loader, loss_fn=loss_fn),
        TypeError,
        f"] data_loader: {text}",
    )
    refused(lambda: LayerwiseCompressor(model).compress(loader), TypeError, f"] dataloader: {text}")
    assert model.uses == []


class Items:
    """Has no __iter__, as many datasets."""

    def __getitem__(self, number: int) -> Any:
        if number > 2:
            raise IndexError
        return torch.ones(4, 16)


def test_a_loader_of_items() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(16, 8))
    config = LayerwiseCompressorConfig.from_dict({"global_config": {"algorithm": "gptq"}})
    assert len(LayerwiseCompressor(model, config).compress(Items())) == 1
    assert set(SKMPalettizer(model).compute_sensitivity(Items(), loss_fn)) == {"0.weight", "0.bias"}


def test_other_arguments_before_the_loss_is_computed() -> None:
    model = Watched()
    for call, error, text in (
        (lambda: SKMPalettizer(model).compress(data(), loss_fn, inplace=1), TypeError, "] inplace: found 1"),
        (lambda: SKMPalettizer(model).compress(data(), 3), TypeError, "] loss_fn: found a int"),
        (lambda: SKMPalettizer(model).compress(data(), loss_function=3), TypeError, "] loss_function: found a int"),
        (lambda: LayerwiseCompressor(model).compress(data(), inplace=None), TypeError, "] inplace: found None"),
    ):
        refused(call, error, text)
    assert model.uses == []


ONES = {"0.weight": torch.ones(8, 16), "1.weight": torch.ones(8, 8)}
CONTENTS = (
    ([1, 2], "with a list, allowed a file that compute_sensitivity has written"),
    ({}, "found nothing, allowed a tensor for every weight"),
    ({"weight": torch.ones(8, 16)}, "found nothing for '0.weight' and 1 more, only 'weight', allowed a tensor"),
    (
        {**ONES, "1.weight": torch.ones(64)},
        "found '1.weight' with a tensor of shape (64,) in float32, allowed a tensor",
    ),
    ({**ONES, "1.weight": 3}, "found '1.weight' with a int, allowed a tensor of shape (8, 8)"),
    ({**ONES, "0.weight": -torch.ones(8, 16)}, "found '0.weight' with numbers from -1 to -1, allowed finite numbers"),
    ({**ONES, "0.weight": torch.full((8, 16), torch.nan)}, "found '0.weight' with numbers from nan to nan"),
)


@pytest.mark.parametrize(("content", "text"), CONTENTS, ids=range(len(CONTENTS)))
def test_files_with_something_else(content: Any, text: str, tmp_path: Path) -> None:
    model, path = Watched(), tmp_path / "sensitivity.pt"
    torch.save(content, path)
    with pytest.raises(ValueError, match=re.escape(text)) as caught:
        SKMPalettizer(model).compress(sensitivity_path=path)
    assert str(caught.value).startswith("[SKMPalettizer.compress] sensitivity_path: found ")
    assert model.uses == []


@pytest.mark.parametrize("content", [b"", b"no torch file at all", b"PK\x03\x04" + bytes(100), b"\x80\x02."])
def test_files_of_another_kind(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "sensitivity.pt"
    path.write_bytes(content)
    text = f"] sensitivity_path: found {str(path)!r}, which torch.load does not take"
    refused(lambda: SKMPalettizer(Watched()).compress(sensitivity_path=path), ValueError, text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, error in ((tmp_path / "nowhere.pt", FileNotFoundError), (tmp_path, IsADirectoryError)):
        with pytest.raises(
            error, match=r"\] sensitivity_path: found nothing that can be read .*, allowed a file"
        ) as at:
            SKMPalettizer(Watched()).compress(sensitivity_path=path)
        assert at.value.filename == str(path)
    text = "] sensitivity_path: found a int, allowed the path of a file"
    refused(lambda: SKMPalettizer(Watched()).compress(sensitivity_path=3), TypeError, text)


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    model = Watched()
    palettizer = SKMPalettizer(model)
    for path, error, text in (
        (tmp_path / "nowhere" / "s.pt", FileNotFoundError, "] sensitivity_path: found a path in no folder"),
        (tmp_path, IsADirectoryError, "] sensitivity_path: found a folder"),
        (3, TypeError, "] sensitivity_path: found a int"),
    ):
        refused(lambda path=path: palettizer.compute_sensitivity(data(), loss_fn, path), error, text)
    assert model.uses == []


@pytest.mark.parametrize("kind", [ModulePostTrainingPalettizerConfig, ModuleSKMPalettizerConfig])
def test_the_name_of_the_bits(kind: Any) -> None:
    operation = kind.__name__
    refused(lambda: kind(n_bits=5), ValueError, f"[{operation}] n_bits: found 5, allowed 1, 2, 3, 4, 6, 8")
    refused(lambda: kind(n_bits="four"), TypeError, f"[{operation}] n_bits: found 'four', allowed 1, 2, 3, 4, 6, 8")


def test_without_torch() -> None:
    """`swiftcompress.torch` is not there then, and its import says why."""
    code = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'")
sys.meta_path.insert(0, Blocked())
import swiftcompress
assert not hasattr(swiftcompress, "torch")
assert getattr(swiftcompress, "torch", None) is None
def says(text, kind, error):
    assert type(error) is kind and text in str(error) and "pip install torch" in str(error), repr(error)
try:
    swiftcompress.torch
except AttributeError as error:
    says("module 'swiftcompress' has no attribute 'torch'", AttributeError, error)
    says("swiftcompress.torch needs torch", ImportError, error.__cause__)
for text in ("import swiftcompress.torch", "from swiftcompress import torch", "from swiftcompress.torch import palettization"):
    try:
        exec(text)
    except ImportError as error:
        says("swiftcompress.torch needs torch", ImportError, error)
    else:
        raise SystemExit(text)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
