"""`PostTrainingPalettizer` and `SKMPalettizer` beside coremltools' classes: every buffer and weight, bit for bit."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from conftest import sample
from support.modules import REFERENCE_FLOATS, assert_same_state, buffer, compressed, layers, torch

pytest.importorskip("coremltools", reason="coremltools is not installed")
import coremltools.optimize.torch.palettization as theirs
from coremltools.optimize.torch.palettization._efficient_kmeans import _EfficientKMeans

import swiftcompress.torch.palettization as ours

GRID: list[dict[str, Any]] = [
    {
        "n_bits": bits,
        "granularity": "per_grouped_channel" if group else "per_tensor",
        **({"group_size": group, "channel_axis": axis} if group else {}),
        "enable_per_channel_scale": scaled,
        "enable_fast_kmeans_mode": fast,
        "rounding_precision": precision,
        "lut_dtype": lut,
    }
    for bits, (group, axis), scaled, (fast, precision), lut in itertools.product(
        (1, 2, 3, 4, 6, 8),
        ((0, 0), (8, 0), (4, 1)),
        (False, True),
        ((True, 4), (True, 3), (False, 4)),
        (None, "int8", "uint8"),
    )
    # As many distinct values as entries, or fewer, are another test's.
    if not (bits == 8 and group)
]


def both(model: Any, values: dict[str, Any], **keywords: Any) -> tuple[Any, Any]:
    return (
        compressed(ours.PostTrainingPalettizer, ours.PostTrainingPalettizerConfig, model, values, **keywords),
        compressed(theirs.PostTrainingPalettizer, theirs.PostTrainingPalettizerConfig, model, values),
    )


@pytest.mark.parametrize("dtype", REFERENCE_FLOATS, ids=str)
@pytest.mark.parametrize("settings", sample(GRID, 24), ids=str)
def test_scalars(settings: dict[str, Any], dtype: Any) -> None:
    mine, expected = both(layers().to(dtype), {"global_config": settings})
    # In float64, before it is rounded to the table's type, a centroid's last bit depends on the order of equal values, which is
    # that of an unstable sort in coremltools; only the scales of a quantized table are stored like that.
    scales = tuple(name for name in expected.state_dict() if name.endswith("quantization_scale"))
    assert assert_same_state(mine, expected, except_for=scales) > 10
    for name in scales:
        torch.testing.assert_close(mine.state_dict()[name], expected.state_dict()[name], rtol=1e-15, atol=0)


@pytest.mark.parametrize("dtype", REFERENCE_FLOATS, ids=str)
def test_large_weights_of_one_table(dtype: Any) -> None:
    """These are counted by their float16 patterns."""
    torch.manual_seed(4)
    model = torch.nn.Sequential(torch.nn.Linear(384, 256), torch.nn.Conv2d(64, 128, 3)).to(dtype)
    for settings in (
        {},
        {"n_bits": 8, "rounding_precision": 2},
        {"lut_dtype": "int8", "enable_per_channel_scale": True},
    ):
        assert_same_state(*both(model, {"global_config": settings}))


@pytest.mark.parametrize("fast", [True, False])
def test_more_elements_than_a_chunk(fast: bool) -> None:
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(384, 256), torch.nn.Conv2d(64, 96, 3))
    settings = {"granularity": "per_grouped_channel", "group_size": 32, "enable_fast_kmeans_mode": fast}
    assert_same_state(*both(model, {"global_config": settings}))


def test_beyond_float16_in_some_groups() -> None:
    """There coremltools clusters the numbers as they are, group by group."""
    model = layers()
    with torch.no_grad():
        model[0].weight[3] *= 1e6
        model[1].weight[9, 5] = -1e5
    for axis in (0, 1):
        settings = {"granularity": "per_grouped_channel", "group_size": 4, "channel_axis": axis}
        assert_same_state(*both(model, {"global_config": settings}))


def test_which_modules() -> None:
    values = {
        "global_config": {"n_bits": 2},
        "module_type_configs": {"Linear": {"n_bits": 3}, torch.nn.Embedding: None},
        "module_name_configs": {"3.*": {"n_bits": 6}, "0": {"n_bits": 1}},
    }
    assert_same_state(*both(layers(), values))


def test_what_does_not_fit_is_left_alone() -> None:
    model = layers()
    for settings in (
        {"granularity": "per_grouped_channel", "group_size": 5},
        {"cluster_dim": 7},
    ):
        assert_same_state(*both(model, {"global_config": settings}))


def test_threads_change_nothing() -> None:
    settings = {"global_config": {"granularity": "per_grouped_channel", "group_size": 8}}
    one, _ = both(layers(), settings)
    many, _ = both(layers(), settings, num_kmeans_workers=3)
    assert_same_state(one, many)


def test_fewer_distinct_values_than_entries() -> None:
    """The weights are equal. Left over entries are 0 here; in exact mode coremltools repeats values instead."""
    torch.manual_seed(0)
    model = torch.nn.Linear(16, 16)
    with torch.no_grad():
        model.weight.copy_(torch.randint(-2, 3, (16, 16)) / 4)
    fast = both(model, {"global_config": {"n_bits": 3}})
    assert_same_state(*fast)
    mine, expected = both(model, {"global_config": {"n_bits": 3, "enable_fast_kmeans_mode": False}})
    assert torch.equal(mine.weight, model.weight)
    assert torch.equal(expected.weight, model.weight)
    assert buffer(mine, "lut").unique().numel() == buffer(expected, "lut").unique().numel() == 5


@pytest.mark.parametrize(("axis", "dimension"), [(0, 2), (0, 4), (1, 2), (1, 4)])
def test_vectors(axis: int, dimension: int) -> None:
    """Shapes and types are coremltools'; the squared error is at most that of its k-means, on average."""
    ratios = []
    for seed in range(4):
        torch.manual_seed(seed)
        np.random.seed(seed)
        model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.Conv2d(16, 32, 3), torch.nn.Embedding(256, 32))
        settings = {"n_bits": 4, "cluster_dim": dimension, "channel_axis": axis}
        mine, expected = both(model, {"global_config": settings})
        names = [name for name in expected.state_dict() if name.endswith(("lut", "weight"))]
        assert_same_state(mine, expected, except_for=tuple(names))
        for name in ("0.weight", "1.weight", "2.weight"):
            original = model.state_dict()[name]
            errors = [float((original - done.state_dict()[name]).square().sum()) for done in (mine, expected)]
            ratios.append(errors[0] / errors[1])
    assert np.mean(ratios) <= 1.0


def test_our_k_means_of_vectors_against_theirs() -> None:
    torch.manual_seed(0)
    points = torch.randn(4096, 4)
    theirs_found = _EfficientKMeans(n_clusters=16, init="kmeans++", n_init=5, max_iter=300).fit(points)
    reached = float((points - theirs_found.cluster_centers_[theirs_found.labels_]).square().sum())
    model = torch.nn.Linear(4, 4096, bias=False)
    with torch.no_grad():
        model.weight.copy_(points)
    values = {"global_config": {"cluster_dim": 4, "channel_axis": 1}}
    mine = compressed(ours.PostTrainingPalettizer, ours.PostTrainingPalettizerConfig, model, values)
    assert float((points - mine.weight).square().sum()) <= reached


def regression() -> tuple[Any, list[Any]]:
    torch.manual_seed(1)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(16 * 36, 40),
        torch.nn.BatchNorm1d(40),
        torch.nn.Linear(40, 10),
    )
    return model, [(torch.randn(4, 3, 8, 8), torch.randn(4, 10)) for _ in range(5)]


def loss_fn(model: Any, data: Any) -> Any:
    return torch.nn.functional.mse_loss(model(data[0]), data[1])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"n_bits": 2, "granularity": "per_grouped_channel", "group_size": 2},
        {"n_bits": 3, "granularity": "per_grouped_channel", "group_size": 4, "channel_axis": 1},
        {"enable_per_channel_scale": True},
        {"lut_dtype": "int8"},
    ],
    ids=str,
)
def test_sensitive_k_means(settings: dict[str, Any], tmp_path: Any) -> None:
    """Sensitivities are equal bit for bit; so are the tables here, where no two splits cost the same."""
    model, data = regression()
    values = {"global_config": settings, "calibration_nsamples": 4}
    mine = ours.SKMPalettizer(model, ours.SKMPalettizerConfig.from_dict(values))
    expected = compressed_by_theirs(values, data)
    found = mine.compute_sensitivity(data, loss_fn, tmp_path / "sensitivity.pt")
    wanted = theirs.SKMPalettizer(regression()[0], theirs.SKMPalettizerConfig.from_dict(values))
    for name, value in wanted.compute_sensitivity(data, loss_fn).items():
        assert torch.equal(found[name], value), name
    assert_close(mine.compress(dataloader=data, loss_fn=loss_fn), expected)
    assert_close(mine.compress(sensitivity_path=tmp_path / "sensitivity.pt"), expected)


def assert_close(mine: Any, expected: Any) -> None:
    names = tuple(name for name in expected.state_dict() if name.endswith(("lut", "weight", "quantization_scale")))
    assert_same_state(mine, expected, except_for=names)
    for name in names:
        torch.testing.assert_close(mine.state_dict()[name], expected.state_dict()[name], rtol=1e-5, atol=1e-7)


def compressed_by_theirs(values: dict[str, Any], data: Any) -> Any:
    palettizer = theirs.SKMPalettizer(regression()[0], theirs.SKMPalettizerConfig.from_dict(values))
    return palettizer.compress(dataloader=data, loss_fn=loss_fn)


def test_a_file_of_theirs(tmp_path: Any) -> None:
    model, data = regression()
    path = str(tmp_path / "sensitivity.pt")
    theirs.SKMPalettizer(regression()[0]).compute_sensitivity(data, loss_fn, path)
    expected = theirs.SKMPalettizer(regression()[0]).compress(sensitivity_path=path)
    assert_close(ours.SKMPalettizer(model).compress(sensitivity_path=path), expected)
