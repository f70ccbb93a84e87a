"""Configurations of quantization and pruning, and what is common to all kinds: assignment, equality, the engine's JSON."""

import copy
import json
import pickle
from typing import Any

import numpy as np
import pytest

import swiftcompress.coreml as cto

ONE_OF_EACH: list[Any] = [
    cto.OpPalettizerConfig(nbits=4),
    cto.OpLinearQuantizerConfig(),
    cto.OpMagnitudePrunerConfig(target_sparsity=0.5),
    cto.OpThresholdPrunerConfig(),
]


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (
            cto.OpLinearQuantizerConfig(),
            {
                "type": "linear_quantizer",
                "mode": "linear_symmetric",
                "dtype": "int8",
                "granularity": "per_channel",
                "block_size": 32,
                "weight_threshold": 2048,
            },
        ),
        (
            cto.OpLinearQuantizerConfig("LINEAR", np.uint8, "per_block", (np.int64(1), 16), np.int64(0)),  # type: ignore[arg-type]
            {
                "type": "linear_quantizer",
                "mode": "linear",
                "dtype": "uint8",
                "granularity": "per_block",
                "block_size": [1, 16],
                "weight_threshold": 0,
            },
        ),
        (
            cto.OpLinearQuantizerConfig(dtype="uint4", block_size=None, granularity="per_tensor"),
            {
                "type": "linear_quantizer",
                "mode": "linear_symmetric",
                "dtype": "uint4",
                "granularity": "per_tensor",
                "weight_threshold": 2048,
            },
        ),
        (
            cto.OpMagnitudePrunerConfig(np.float32(0.5), 4),  # type: ignore[arg-type]
            {
                "type": "magnitude_pruner",
                "target_sparsity": 0.5,
                "block_size": 4,
                "n_m_ratio": None,
                "dim": 0,
                "weight_threshold": 2048,
            },
        ),
        (
            cto.OpMagnitudePrunerConfig(n_m_ratio=[np.int8(1), 2]),  # type: ignore[list-item]
            {
                "type": "magnitude_pruner",
                "target_sparsity": None,
                "block_size": None,
                "n_m_ratio": [1, 2],
                "dim": 1,
                "weight_threshold": 2048,
            },
        ),
        (
            cto.OpThresholdPrunerConfig(),
            {
                "type": "threshold_pruner",
                "threshold": 1e-12,
                "minimum_sparsity_percentile": 0.5,
                "weight_threshold": 2048,
            },
        ),
    ],
    ids=repr,
)
def test_options_for_the_engine(config: Any, options: dict[str, Any]) -> None:
    assert config._to_options([]) == options
    assert json.loads(json.dumps(config._to_options([]))) == options


def test_block_size_is_needed_for_blocks() -> None:
    config = cto.OpLinearQuantizerConfig(granularity="per_block", block_size=None)
    with pytest.raises(ValueError, match='"block_size" cannot be None'):
        config._to_options([])


@pytest.mark.parametrize("config", ONE_OF_EACH, ids=repr)
def test_no_weight_threshold(config: Any) -> None:
    """Allowed in a configuration, as in the reference, and refused where it is used."""
    changed = copy.copy(config)
    changed.weight_threshold = None
    with pytest.raises(ValueError, match=r"^weight_threshold cannot be None$"):
        cto.OptimizationConfig(changed)._to_options([])


@pytest.mark.parametrize("config", ONE_OF_EACH, ids=repr)
def test_equality_copies_and_text(config: Any) -> None:
    for same in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert same == config
        same.weight_threshold = 7
        assert same != config
        with pytest.raises(AttributeError, match="threshhold"):
            same.weight_threshhold = 7
    assert repr(config).startswith(f"{type(config).__name__}(")
    assert all(config != other for other in ONE_OF_EACH if other is not config)
    with pytest.raises(TypeError, match="unhashable"):
        hash(config)


def test_assignment_is_checked() -> None:
    quantizer = cto.OpLinearQuantizerConfig()
    quantizer.mode = "linear"
    quantizer.dtype = np.uint8
    quantizer.granularity = "per_block"
    assert (quantizer.mode, quantizer.dtype, quantizer.nbits, quantizer.signed) == ("LINEAR", "uint8", 8, False)
    assert quantizer.granularity is cto.CompressionGranularity.PER_BLOCK
    for name, value in (("mode", "kmeans"), ("dtype", "int3"), ("block_size", -1), ("nbits", 4)):
        before = copy.copy(quantizer)
        with pytest.raises((ValueError, AttributeError)):
            setattr(quantizer, name, value)
        assert quantizer == before
    pruner = cto.OpMagnitudePrunerConfig(target_sparsity=0.5)
    pruner.block_size = 2
    with pytest.raises(ValueError, match="cannot be set at the same time"):
        pruner.n_m_ratio = (1, 2)


def test_dictionaries_name_every_kind() -> None:
    config = cto.OptimizationConfig.from_dict(
        {
            "config_type": "OpThresholdPrunerConfig",
            "global_config": {"threshold": "1e-3"},
            "op_type_configs": {
                "conv": {"config_type": "OpMagnitudePrunerConfig", "n_m_ratio": [3, 4]},
                "linear": None,
            },
            "op_name_configs": {"head": {"config_type": "OpLinearQuantizerConfig", "dtype": "int4"}},
        }
    )
    assert config == cto.OptimizationConfig(
        cto.OpThresholdPrunerConfig(threshold=0.001),
        {"conv": cto.OpMagnitudePrunerConfig(n_m_ratio=(3, 4)), "linear": None},
        {"head": cto.OpLinearQuantizerConfig(dtype="int4")},
    )
    for bad in (
        {"op_type_configs": {"matmul": {"config_type": "OpMagnitudePrunerConfig", "n_m_ratio": [3, 4]}}},
        {"global_config": {"threshold": 0.1, "treshold": 0.1}},
        {"global_config": {"config_type": "OpPruner"}},
        {"global_config": {"config_type": None}},
        {"global_config": {"threshold": "little"}},
    ):
        with pytest.raises((ValueError, TypeError)):
            cto.OptimizationConfig.from_dict({"config_type": "OpThresholdPrunerConfig", **bad})
