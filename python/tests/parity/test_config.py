"""The configuration classes beside coremltools': the same values accepted and kept, the same ones refused."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import coremltools.optimize.coreml as theirs
import numpy as np
import pytest
from coremltools.converters.mil.mil import types
from coremltools.optimize.coreml import _config as their_config

import swiftcompress.coreml as ours
from support import reference
from swiftcompress.coreml.adapters import as_config

QUANTIZER, MAGNITUDE = "OpLinearQuantizerConfig", "OpMagnitudePrunerConfig"
THRESHOLD, PALETTIZER = "OpThresholdPrunerConfig", "OpPalettizerConfig"
KINDS = {name: getattr(ours, name) for name in (QUANTIZER, MAGNITUDE, THRESHOLD, PALETTIZER)}


def lut_function(group: np.ndarray) -> Any:
    return group, group


# Values that both take, or both refuse with the same words.
SAME: list[tuple[str, dict[str, Any]]] = [
    (QUANTIZER, {}),
    (QUANTIZER, {"mode": "linear"}),
    (QUANTIZER, {"mode": "Linear_Symmetric"}),
    (QUANTIZER, {"mode": "kmeans"}),
    *((QUANTIZER, {"dtype": name}) for name in ("int8", "uint8", "int4", "uint4", "int7", "int32", "uint3", "fp16")),
    *(
        (QUANTIZER, {"dtype": kind})
        for kind in (np.int8, np.uint8, np.dtype("int8"), np.int16, np.float32, float, None)
    ),
    *((QUANTIZER, {"dtype": kind}) for kind in (types.int8, types.uint8, types.int4, types.uint4, types.fp16)),
    *((QUANTIZER, {"granularity": name}) for name in ("per_tensor", "per_channel", "per_block", "per_grouped_channel")),
    *(
        (QUANTIZER, {"block_size": size})
        for size in (0, 32, 16, [1, 32], (0, 1, 2), None, -1, [1, -1], [1.0, 2], "32", 1.5)
    ),
    (QUANTIZER, {"weight_threshold": None}),
    (QUANTIZER, {"weight_threshold": 0}),
    (QUANTIZER, {"weight_threshold": -1}),
    (MAGNITUDE, {}),
    *((MAGNITUDE, {"target_sparsity": part}) for part in (0.0, 0.5, 1.0, np.float64(0.25), -0.1, 1.1)),
    (MAGNITUDE, {"target_sparsity": 0.5, "block_size": 2}),
    (MAGNITUDE, {"target_sparsity": 0.5, "block_size": 4, "dim": 1}),
    (MAGNITUDE, {"target_sparsity": 0.5, "block_size": 1}),
    (MAGNITUDE, {"target_sparsity": 0.5, "dim": 1}),
    (MAGNITUDE, {"target_sparsity": 0.5, "n_m_ratio": (1, 2)}),
    (MAGNITUDE, {"n_m_ratio": (1, 2)}),
    (MAGNITUDE, {"n_m_ratio": (2, 2), "dim": 0}),
    (MAGNITUDE, {"n_m_ratio": (1, 2), "dim": 2}),
    (MAGNITUDE, {"n_m_ratio": (2, 1)}),
    (MAGNITUDE, {"n_m_ratio": (1, 2, 3)}),
    (MAGNITUDE, {"n_m_ratio": (1, 2), "block_size": 2}),
    (MAGNITUDE, {"target_sparsity": 0.5, "weight_threshold": -3}),
    (MAGNITUDE, {"target_sparsity": 0.5, "weight_threshold": None}),
    (THRESHOLD, {}),
    *((THRESHOLD, {"threshold": value}) for value in (0.0, 0.01, 3.0, -1e-3)),
    *((THRESHOLD, {"minimum_sparsity_percentile": value}) for value in (0.0, 1.0, 0.3, 1.5, -0.5)),
    (THRESHOLD, {"weight_threshold": 12}),
    (PALETTIZER, {}),
    (PALETTIZER, {"nbits": 4}),
    (PALETTIZER, {"nbits": 5}),
    (PALETTIZER, {"mode": "UNIFORM", "nbits": 8}),
    (PALETTIZER, {"mode": "unique"}),
    (PALETTIZER, {"mode": "unique", "nbits": 2}),
    (PALETTIZER, {"mode": "linear", "nbits": 2}),
    (PALETTIZER, {"mode": "custom"}),
    (PALETTIZER, {"mode": "custom", "lut_function": lut_function}),
    (PALETTIZER, {"mode": "kmeans", "nbits": 4, "lut_function": lut_function}),
    (PALETTIZER, {"nbits": 4, "granularity": "per_grouped_channel", "group_size": 8, "channel_axis": 1}),
    (PALETTIZER, {"nbits": 4, "granularity": "per_grouped_channel", "group_size": 0}),
    (PALETTIZER, {"nbits": 4, "granularity": "per_channel"}),
    (PALETTIZER, {"nbits": 4, "cluster_dim": 2, "enable_per_channel_scale": True, "num_kmeans_workers": 4}),
    (PALETTIZER, {"nbits": 4, "weight_threshold": None}),
]
# Refused by both with a TypeError; attrs words it at length.
WRONG_TYPES: list[tuple[str, dict[str, Any]]] = [
    (QUANTIZER, {"mode": 3}),
    (QUANTIZER, {"dtype": 3}),
    (QUANTIZER, {"weight_threshold": 1.5}),
    (MAGNITUDE, {"target_sparsity": 1}),
    (MAGNITUDE, {"target_sparsity": "0.5"}),
    (MAGNITUDE, {"target_sparsity": 0.5, "block_size": "2"}),
    (MAGNITUDE, {"n_m_ratio": "12"}),
    (MAGNITUDE, {"n_m_ratio": (1, 2), "dim": 0.5}),
    (THRESHOLD, {"threshold": 1}),
    (THRESHOLD, {"threshold": None}),
    (THRESHOLD, {"threshold": True}),
    (THRESHOLD, {"minimum_sparsity_percentile": 1}),
    (THRESHOLD, {"weight_threshold": "12"}),
    (PALETTIZER, {"nbits": 4, "cluster_dim": 1.5}),
    (PALETTIZER, {"nbits": 4, "enable_per_channel_scale": 1}),
]
# What a dictionary or a YAML file may hold beyond that.
DICTIONARIES: list[tuple[str, dict[str, Any]]] = [
    *(case for case in SAME if case != (QUANTIZER, {"block_size": None})),  # refused in a dictionary alone
    (QUANTIZER, {"weight_threshold": "12"}),
    (QUANTIZER, {"weight_threshold": 12.0}),
    (QUANTIZER, {"bits": 4}),
    (MAGNITUDE, {"target_sparsity": 1}),
    (MAGNITUDE, {"target_sparsity": "0.5"}),
    (MAGNITUDE, {"target_sparsity": 0.5, "block_size": "2", "dim": "1"}),
    (MAGNITUDE, {"n_m_ratio": [3, 4]}),
    (MAGNITUDE, {"n_m_ratio": ["1", 2.0]}),
    (THRESHOLD, {"threshold": 1}),
    (THRESHOLD, {"threshold": "1e-3"}),
    (THRESHOLD, {"threshold": None}),
    (THRESHOLD, {"threshold": "little"}),
    (THRESHOLD, {"minimum_sparsity_percentile": 1}),
    (PALETTIZER, {"nbits": "4"}),
    (PALETTIZER, {"nbits": 4.0, "group_size": "16"}),
]


def kept(config: Any) -> dict[str, Any]:
    """The fields, with what the two sides keep as different objects made the same."""

    def plain(value: Any) -> Any:
        if isinstance(value, Enum):
            return value.name
        if hasattr(value, "__type_info__"):
            return value.__type_info__().name
        return tuple(value) if isinstance(value, list) else value

    names = [
        name for name in dir(config) if not name.startswith("_") and not callable(getattr(type(config), name, None))
    ]
    return {name: plain(getattr(config, name)) for name in names}


def outcome(make: Callable[[], Any]) -> Any:
    try:
        return kept(make())
    except (ValueError, TypeError, ExceptionGroup) as error:
        return error


def identifier(case: Any) -> str:
    """Without addresses: the processes that share the tests must agree on their names."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(case))


@pytest.mark.parametrize(("kind", "values"), SAME, ids=identifier)
def test_same_values_and_errors(kind: str, values: dict[str, Any]) -> None:
    left = outcome(lambda: getattr(ours, kind)(**values))
    right = outcome(lambda: getattr(theirs, kind)(**values))
    if isinstance(right, Exception):
        assert type(left) is type(right)
        if "granularity" in values:  # the members of our own enumeration
            assert '"granularity" must be one of' in str(left)
        else:
            assert str(left).lower() == str(right).lower()  # coremltools repeats a mode as it was given
    else:
        assert left == right


@pytest.mark.parametrize(("kind", "values"), WRONG_TYPES, ids=identifier)
def test_same_type_errors(kind: str, values: dict[str, Any]) -> None:
    for side in (ours, theirs):
        with pytest.raises(TypeError):
            getattr(side, kind)(**values)


@pytest.mark.parametrize(("kind", "values"), DICTIONARIES, ids=identifier)
def test_same_dictionaries(kind: str, values: dict[str, Any]) -> None:
    if "lut_function" in values:
        values = {"mode": "custom", "lut_function": lut_function}
    right = outcome(lambda: getattr(theirs, kind)._from_dict(dict(values)))
    left = outcome(lambda: getattr(ours, kind)._from_dict(dict(values)))
    if isinstance(right, Exception):  # of cattrs, with the reason inside
        assert isinstance(left, ValueError | TypeError)
    else:
        assert left == right
    whole = {"config_type": "OpPalettizerConfig", "op_name_configs": {"a": {"config_type": kind, **values}, "b": None}}
    if isinstance(right, Exception):
        with pytest.raises((ValueError, TypeError)):
            ours.OptimizationConfig.from_dict(whole)
    else:
        made = ours.OptimizationConfig.from_dict(whole).op_name_configs
        assert kept(made["a"]) == right
        assert made["b"] is None


# Where ours differs on purpose.


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (QUANTIZER, {"block_size": True}),
        (QUANTIZER, {"weight_threshold": True}),
        (MAGNITUDE, {"target_sparsity": float("nan")}),
        (MAGNITUDE, {"n_m_ratio": (-1, 2)}),
        (MAGNITUDE, {"n_m_ratio": (0, 0)}),
        (MAGNITUDE, {"n_m_ratio": (1.0, 2.0)}),
        (MAGNITUDE, {"n_m_ratio": ["1", "2"]}),
        (THRESHOLD, {"threshold": float("nan")}),
        (THRESHOLD, {"threshold": float("inf")}),
        (PALETTIZER, {"nbits": True}),
        (PALETTIZER, {"nbits": 4, "group_size": -1}),
        (PALETTIZER, {"nbits": 4, "group_size": "8"}),
    ],
    ids=identifier,
)
def test_refused_by_ours_alone(kind: str, values: dict[str, Any]) -> None:
    """The reference takes these and fails, or does something else, later."""
    getattr(theirs, kind)(**values)
    with pytest.raises((ValueError, TypeError)):
        getattr(ours, kind)(**values)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (QUANTIZER, {"block_size": np.int64(16)}),
        (QUANTIZER, {"weight_threshold": np.int32(16)}),
        (MAGNITUDE, {"target_sparsity": np.float32(0.5)}),
    ],
    ids=identifier,
)
def test_taken_by_ours_alone(kind: str, values: dict[str, Any]) -> None:
    """NumPy's numbers are numbers."""
    with pytest.raises((ValueError, TypeError)):
        getattr(theirs, kind)(**values)
    getattr(ours, kind)(**values)._to_options([])


@pytest.mark.parametrize("kind", [MAGNITUDE, QUANTIZER])
def test_types_of_operations(kind: str) -> None:
    blocks = {"target_sparsity": 0.5, "block_size": 2} if kind == MAGNITUDE else {}
    for side in (ours, theirs):
        config = getattr(side, kind)(**blocks)
        for op_type in ("conv", "linear", "matmul", "lstm"):
            table = side.OptimizationConfig()

            def assign(table: Any = table, op_type: str = op_type, config: Any = config) -> None:
                table.set_op_type(op_type, config)

            def construct(side: Any = side, op_type: str = op_type, config: Any = config) -> None:
                side.OptimizationConfig(op_type_configs={op_type: config})

            for call in (assign, construct):
                if kind == MAGNITUDE and op_type not in ("conv", "linear"):
                    text = f"^block sparsity or n:m pruning does not support op type {op_type}\\.$"
                    with pytest.raises(ValueError, match=text):
                        call()
                else:
                    call()
        side.OptimizationConfig(op_name_configs={"some_matmul": config})


YAML = """
config_type: OpThresholdPrunerConfig
global_config: {threshold: 1e-3, minimum_sparsity_percentile: 0}
op_type_configs:
  conv: {config_type: OpMagnitudePrunerConfig, n_m_ratio: [3, 4]}
  linear: null
op_name_configs:
  head: {config_type: OpLinearQuantizerConfig, dtype: int4, granularity: per_block, block_size: [1, 32]}
  tail: {config_type: OpPalettizerConfig, mode: kmeans, nbits: 4}
"""


def test_yaml() -> None:
    left = ours.OptimizationConfig.from_yaml(io.StringIO(YAML))
    right = theirs.OptimizationConfig.from_yaml(io.StringIO(YAML))
    assert kept(left.global_config) == kept(right.global_config)
    for table in ("op_type_configs", "op_name_configs"):
        mine, other = getattr(left, table), getattr(right, table)
        assert mine.keys() == other.keys()
        for key, config in mine.items():
            assert (config is None) == (other[key] is None)
            assert config is None or kept(config) == kept(other[key])


GOOD = [case for case in SAME if not isinstance(outcome(lambda c=case: getattr(theirs, c[0])(**c[1])), Exception)]


@pytest.mark.parametrize(("kind", "values"), GOOD, ids=identifier)
def test_their_objects_become_ours(kind: str, values: dict[str, Any]) -> None:
    their = getattr(theirs, kind)(**values)
    config = theirs.OptimizationConfig(their, {"linear": None}, {"name": their})
    converted = as_config("any", config, (KINDS[kind],))
    expected = getattr(ours, kind)(**values)
    assert converted == ours.OptimizationConfig(expected, {"linear": None}, {"name": expected})
    granularity = getattr(their, "granularity", None)
    if granularity is not None:
        assert getattr(ours, kind)(**{**values, "granularity": granularity}) == expected


@pytest.mark.parametrize("side", [ours, theirs], ids=["ours", "theirs"])
@pytest.mark.parametrize(
    ("function", "kinds"),
    [
        ("linear_quantize_weights", "OpLinearQuantizerConfig"),
        ("prune_weights", "OpMagnitudePrunerConfig, OpThresholdPrunerConfig"),
        ("palettize_weights", "OpPalettizerConfig"),
    ],
)
def test_configurations_of_another_kind(side: Any, function: str, kinds: str, packages: Any, tmp_path: Path) -> None:
    wrong = side.OpThresholdPrunerConfig() if function == "palettize_weights" else side.OpPalettizerConfig(nbits=4)
    model = reference.load(packages("small", "iOS18"), tmp_path / "input.mlpackage")
    text = f"^{function} only accept {kinds} type config. Got {type(wrong).__name__}.$"
    for config in (
        side.OptimizationConfig(wrong),
        side.OptimizationConfig(op_type_configs={"conv": wrong}),
        side.OptimizationConfig(op_name_configs={"conv_1": wrong}),
    ):
        for call in {side, ours}:
            with pytest.raises(ValueError, match=text):
                getattr(call, function)(model, config)


def test_granularities() -> None:
    assert {m.name: m.value for m in ours.CompressionGranularity} == {
        m.name: m.value for m in their_config.CompressionGranularity
    }
