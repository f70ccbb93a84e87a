"""coremltools.optimize.torch with and without: palettizers on the CPU."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

pytest.importorskip("coremltools", reason="coremltools is not installed")
if os.environ.get("SWIFTCOMPRESS_TEST_TORCH", "1") == "0":
    pytest.skip("torch is left out: ./dev test --torch runs these tests", allow_module_level=True)
torch = pytest.importorskip("torch", reason="torch is not installed", exc_type=ImportError)

from coremltools.optimize.torch._utils import k_means
from coremltools.optimize.torch.palettization import PostTrainingPalettizer, PostTrainingPalettizerConfig
from coremltools.optimize.torch.palettization._efficient_kmeans import _EfficientKMeans

import swiftcompress as sc
from support.accelerated import both
from support.arrays import adversarial


def model(dtype: Any = None) -> Any:
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(16, 32, 3), torch.nn.Linear(96, 64), torch.nn.Embedding(50, 32)]
    built = torch.nn.Sequential(*layers)
    return built if dtype is None else built.to(dtype)


def state(trained: Any) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in trained.state_dict().items()}


def assert_equal(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        assert ours[name].dtype == expected.dtype and ours[name].shape == expected.shape, name
        assert torch.equal(ours[name], expected), name


def palettized(dtype: Any = None, workers: int = 1, **settings: Any) -> dict[str, Any]:
    config = PostTrainingPalettizerConfig.from_dict({"global_config": settings})
    return state(PostTrainingPalettizer(model(dtype), config).compress(num_kmeans_workers=workers))


@pytest.mark.parametrize(
    "settings",
    [
        {"n_bits": 4},
        {"n_bits": 2, "granularity": "per_grouped_channel", "group_size": 16},
        {"n_bits": 3, "granularity": "per_grouped_channel", "group_size": 8, "channel_axis": 1},
        {"n_bits": 4, "enable_per_channel_scale": True},
        {"n_bits": 4, "lut_dtype": torch.int8},
        {"n_bits": 6, "granularity": "per_grouped_channel", "group_size": 16, "lut_dtype": torch.int8},
    ],
    ids=str,
)
def test_post_training_palettizer(settings: dict[str, Any]) -> None:
    ours, theirs, status = both("KMeans._cluster_weights_worker", lambda: palettized(**settings))
    assert status.state == "replaced" and status.ours == 1
    assert_equal(ours, theirs)


def test_half_precision() -> None:
    ours, theirs, _ = both("KMeans._cluster_weights_worker", lambda: palettized(torch.float16, n_bits=4))
    assert_equal(ours, theirs)


def test_without_the_fast_mode() -> None:
    ours, theirs, _ = both("KMeans._cluster_weights_1d", lambda: palettized(n_bits=4, enable_fast_kmeans_mode=False))
    assert_equal(ours, theirs)


def test_workers_are_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = palettized(n_bits=4)
    monkeypatch.setattr(k_means._mp, "get_context", lambda name: pytest.fail("a process was started"))
    with sc.accelerate_coremltools():
        for workers in (2, 4):
            assert_equal(palettized(workers=workers, n_bits=4), expected)


@pytest.mark.parametrize("case", ["normal", "many duplicates", "zeros and a few", "one outlier", "sixteen values"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_one_block(dtype: Any, case: str) -> None:
    block = torch.from_numpy(adversarial(dtype, rows=40, columns=50)[case])
    for fast in (True, False):
        for nbits in (1, 4):
            config = k_means.KMeansConfig(n_bits=nbits, cluster_dim=1, enable_fast_kmeans_mode=fast)
            (centers, labels), theirs, _ = both(
                "KMeans._cluster_weights_1d",
                lambda config=config: k_means.KMeans._cluster_weights_1d(block, None, config),
            )
            assert centers.dtype == theirs[0].dtype and labels.dtype == theirs[1].dtype
            repeats = not fast and dtype == np.float32 and len(block.unique()) < block.numel()
            torch.testing.assert_close(centers, theirs[0], rtol=1e-12 if repeats else 0, atol=0)
            assert torch.equal(labels, theirs[1])


def test_a_large_block() -> None:
    block = torch.randn(300, 200, generator=torch.Generator().manual_seed(1))
    config = k_means.KMeansConfig(n_bits=4, cluster_dim=1)
    ours, theirs, status = both(
        "KMeans._cluster_weights_1d", lambda: k_means.KMeans._cluster_weights_1d(block, None, config)
    )
    assert status.ours == 1
    assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])


def test_importance() -> None:
    rng = torch.Generator().manual_seed(2)
    block, importance = torch.randn(40, 50, generator=rng), torch.rand(40, 50, generator=rng) + 1e-3
    config = k_means.KMeansConfig(n_bits=4, cluster_dim=1)
    ours, theirs, status = both(
        "KMeans._cluster_weights_1d", lambda: k_means.KMeans._cluster_weights_1d(block, importance, config)
    )
    assert status.ours == 1
    assert torch.equal(ours[1], theirs[1])
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-12, atol=0)


def test_sensitive_groups_and_masks() -> None:
    """What SKM hands on: importances, a mask, groups; and vectors, which are other random numbers."""
    rng = torch.Generator().manual_seed(3)
    weight = torch.randn(64, 96, generator=rng)
    importance = torch.rand(64, 96, generator=rng) + 1e-3
    mask = torch.rand(64, 96, generator=rng) > 0.3

    def cluster(**options: Any) -> dict[str, Any]:
        layer = torch.nn.Sequential(torch.nn.Linear(96, 64))
        layer[0].weight.data = weight.clone()
        layer[0].bias.data.zero_()
        config = {"0": {"weight": k_means.KMeansConfig(n_bits=3, **options)}}
        return state(k_means.SequentialKMeans.cluster_weights(layer, config))

    for options in (
        {"importance": importance},
        {"importance": importance, "block_size": 16},
        {"importance": importance, "block_size": 32, "axis": 1},
        {"mask": mask},
        {"mask": mask, "importance": importance, "block_size": 16},
    ):
        ours, theirs, _ = both("_worker", lambda options=options: cluster(**options))
        assert_equal(ours, theirs)


def test_vectors_are_no_worse() -> None:
    rng = torch.Generator().manual_seed(4)
    points = torch.randn(1500, 2, generator=rng)
    errors: dict[bool, list[float]] = {False: [], True: []}
    for seed in range(6):
        for accelerated in (False, True):
            torch.manual_seed(seed)
            np.random.seed(seed)
            with sc.accelerate_coremltools() if accelerated else _nothing():
                found = _EfficientKMeans(n_clusters=16, init="kmeans++", n_init=5, max_iter=300).fit(points)
            dense = found.cluster_centers_[found.labels_.long()]
            errors[accelerated].append(float((dense - points).square().sum()))
    assert np.mean(errors[True]) <= np.mean(errors[False])


def test_scalars_are_optimal_and_seeds_decide() -> None:
    points = torch.randn(800, 1, generator=torch.Generator().manual_seed(5))

    def fit(data: Any, seed: int) -> Any:
        torch.manual_seed(seed)
        return _EfficientKMeans(n_clusters=8, init="kmeans++", n_init=2).fit(data)

    with sc.accelerate_coremltools():
        found = fit(points, 0)
        pairs = points.reshape(-1, 2)
        assert torch.equal(fit(pairs, 1).cluster_centers_, fit(pairs, 1).cluster_centers_)
    best = sc.kmeans_1d(points.numpy().astype(float), 8)
    assert float(found.inertia_) == pytest.approx(best.inertia, rel=1e-4)


class _nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...
