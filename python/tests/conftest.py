"""Shared fixtures. The oracle is the installed coremltools 9.0; real models come from .models (scripts/get_models.py).

    pytest python/tests                 a few minutes: every property, the widest grids sampled with fixed seeds
    pytest python/tests --full          every point of every grid

SWIFTCOMPRESS_TEST_MODELS names further folders (separated like PATH) with real .mlpackage models; never required.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))
pytest.register_assert_rewrite("support.arrays", "support.oracle", "support.ours")

# NumPy and scikit-learn of the oracle would otherwise compete with the library for the cores while both are timed.
os.environ.setdefault("TQDM_DISABLE", "1")

REAL_MODELS = ("basic_pitch", "crepe_tiny", "crepe_full")
EXTRA_MODELS = ("minilm",)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="every point of the widest grids instead of a fixed sample")


def pytest_configure(config: pytest.Config) -> None:
    global _full
    _full = bool(config.getoption("--full"))


_full = False


def sample(points: Sequence[Any], count: int, seed: int = 0) -> list[Any]:
    """All points with --full, otherwise `count` of them, the same ones in every run."""
    points = list(points)
    if _full or len(points) <= count:
        return points
    chosen = sorted(random.Random(seed).sample(range(len(points)), count))
    return [points[i] for i in chosen]


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from support.package_factory import Factory

    return Factory(tmp_path_factory.mktemp("packages"))


def model_folders() -> list[Path]:
    folders = [ROOT / ".models"]
    folders += [Path(p) for p in os.environ.get("SWIFTCOMPRESS_TEST_MODELS", "").split(os.pathsep) if p]
    return folders


def find_model(name: str) -> Path | None:
    return next((f / f"{name}.mlpackage" for f in model_folders() if (f / f"{name}.mlpackage").is_dir()), None)


@pytest.fixture(scope="session")
def real_model() -> Any:
    """`real_model("crepe_tiny")` is its path; the test is skipped where the model is not there."""

    def find(name: str) -> Path:
        path = find_model(name)
        if path is None:
            places = ", ".join(str(f) for f in model_folders())
            how = (
                "scripts/get_models.py brings it"
                if name in REAL_MODELS
                else "SWIFTCOMPRESS_TEST_MODELS may name a folder"
            )
            pytest.skip(f"{name}.mlpackage is not in {places}; {how}")
        return path

    return find
