"""The configuration classes: coremltools' names, defaults, rules and messages."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import swiftcompress.coreml as cto


def test_defaults() -> None:
    config = cto.OpPalettizerConfig(nbits=4)
    assert vars(config) == {
        "mode": "KMEANS",
        "nbits": 4,
        "lut_function": None,
        "granularity": cto.CompressionGranularity.PER_TENSOR,
        "group_size": 32,
        "channel_axis": None,
        "cluster_dim": 1,
        "enable_per_channel_scale": False,
        "num_kmeans_workers": 1,
        "weight_threshold": 2048,
    }
    assert config == cto.OpPalettizerConfig("Kmeans", 4, granularity="per_tensor")


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        ({}, ValueError, '"nbits" must be provided for KMEANS mode'),
        ({"mode": "uniform"}, ValueError, '"nbits" must be provided for UNIFORM mode'),
        ({"mode": "unique", "nbits": 4}, ValueError, '"nbits" must NOT be provided for UNIQUE mode'),
        ({"mode": "linear", "nbits": 4}, ValueError, "Only modes .* are supported for weight palettization"),
        ({"mode": 3, "nbits": 4}, TypeError, "mode"),
        ({"nbits": 5}, ValueError, r"\(5\).*\(1, 2, 3, 4, 6, 8\)"),
        ({"nbits": True}, TypeError, "nbits"),
        ({"nbits": "4"}, TypeError, "nbits"),
        ({"mode": "custom"}, ValueError, '"lut_function" can not be None'),
        ({"nbits": 2, "lut_function": print}, ValueError, '"lut_function" must be None'),
        ({"mode": "custom", "lut_function": 3}, ValueError, "function object"),
        ({"nbits": 2, "granularity": "per_channel"}, ValueError, "granularity"),
        ({"nbits": 2, "granularity": cto.CompressionGranularity.PER_BLOCK}, ValueError, "granularity"),
        ({"nbits": 2, "group_size": -1}, ValueError, "group_size"),
        ({"nbits": 2, "group_size": 1.5}, TypeError, "group_size"),
        ({"nbits": 2, "channel_axis": "last"}, TypeError, "channel_axis"),
        ({"nbits": 2, "cluster_dim": 0}, ValueError, "cluster_dim"),
        ({"nbits": 2, "cluster_dim": True}, TypeError, "cluster_dim"),
        ({"nbits": 2, "enable_per_channel_scale": 1}, TypeError, "enable_per_channel_scale"),
        ({"nbits": 2, "num_kmeans_workers": "2"}, TypeError, "num_kmeans_workers"),
        ({"nbits": 2, "weight_threshold": -1}, ValueError, '"weight_threshold" must be a non-negative integer'),
        ({"nbits": 2, "weight_threshold": 0.5}, TypeError, "weight_threshold"),
    ],
    ids=str,
)
def test_rules(values: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        cto.OpPalettizerConfig(**values)


def test_setters() -> None:
    config = cto.OptimizationConfig()
    four = cto.OpPalettizerConfig(nbits=4)
    config.set_global(four)
    config.set_op_type("conv", four)
    config.set_op_type("linear", None)
    config.set_op_name("conv_1", None)
    assert config == cto.OptimizationConfig(four, {"conv": four, "linear": None}, {"conv_1": None})
    for call in (
        lambda: config.set_global({"nbits": 4}),  # type: ignore[arg-type]
        lambda: config.set_op_type("conv", "kmeans"),  # type: ignore[arg-type]
        lambda: config.set_op_name("conv", 4),  # type: ignore[arg-type]
        lambda: cto.OptimizationConfig(4),  # type: ignore[arg-type]
        lambda: cto.OptimizationConfig(op_type_configs={"conv": 4}),  # type: ignore[dict-item]
    ):
        with pytest.raises(ValueError, match="config must be type of OpCompressorConfig"):
            call()
    with pytest.raises(TypeError, match="op_name_configs"):
        cto.OptimizationConfig(op_name_configs=[four])  # type: ignore[arg-type]


def test_tables_are_the_configurations_own() -> None:
    table: dict[str, Any] = {}
    config = cto.OptimizationConfig(op_type_configs=table)
    config.set_op_type("conv", None)
    assert table == {}
    assert cto.OptimizationConfig(op_type_configs=None).op_type_configs == {}  # type: ignore[arg-type]


DICTIONARY: dict[str, Any] = {
    "config_type": "OpPalettizerConfig",
    "global_config": {"mode": "kmeans", "nbits": 4, "granularity": "per_grouped_channel", "group_size": 16},
    "op_type_configs": {"conv": {"mode": "uniform", "nbits": 1}, "linear": None},
    "op_name_configs": {"conv_1": {"config_type": "OpPalettizerConfig", "mode": "unique"}},
}
YAML = """
config_type: OpPalettizerConfig
global_config: {mode: kmeans, nbits: 4, granularity: per_grouped_channel, group_size: 16}
op_type_configs:
  conv: {mode: uniform, nbits: 1}
  linear: null
op_name_configs:
  conv_1: {config_type: OpPalettizerConfig, mode: unique}
"""
EXPECTED = cto.OptimizationConfig(
    cto.OpPalettizerConfig(nbits=4, granularity="per_grouped_channel", group_size=16),
    {"conv": cto.OpPalettizerConfig("uniform", 1), "linear": None},
    {"conv_1": cto.OpPalettizerConfig("unique")},
)


def test_from_dict_leaves_the_dictionary_alone() -> None:
    kept = repr(DICTIONARY)
    assert cto.OptimizationConfig.from_dict(DICTIONARY) == EXPECTED
    assert repr(DICTIONARY) == kept


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({}, ValueError),
        ({"config_type": 3}, ValueError),
        ({"config_type": "OpPalettizerConfig", "global": {}}, ValueError),
        ({"config_type": "OptimizationConfig", "global_config": {}}, ValueError),
        ({"config_type": "OpPalettizerConfig", "global_config": {"nbits": 4, "bits": 4}}, ValueError),
        ({"config_type": "OpPalettizerConfig", "global_config": {"mode": "custom", "lut_function": print}}, ValueError),
        ({"config_type": "OpPalettizerConfig", "global_config": 4}, ValueError),
        ({"config_type": "OpPalettizerConfig", "op_type_configs": ["conv"]}, ValueError),
        ([], TypeError),
    ],
    ids=str,
)
def test_from_dict_refuses(values: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        cto.OptimizationConfig.from_dict(values)


def test_from_yaml(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    path = tmp_path / "config.yaml"
    path.write_text(YAML)
    for source in (path, str(path), io.StringIO(YAML), io.BytesIO(YAML.encode())):
        assert cto.OptimizationConfig.from_yaml(source) == EXPECTED
    for bad in ("a: [", "- 1", "", "3"):
        with pytest.raises(ValueError, match=r"YAML|mapping"):
            cto.OptimizationConfig.from_yaml(io.StringIO(bad))
    with pytest.raises(FileNotFoundError):
        cto.OptimizationConfig.from_yaml(tmp_path / "missing.yaml")


def test_from_yaml_without_pyyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    with pytest.raises(ImportError, match="pip install PyYAML"):
        cto.OptimizationConfig.from_yaml("config.yaml")


def test_options_for_the_engine() -> None:
    functions: list[Any] = []
    config = cto.OptimizationConfig(
        cto.OpPalettizerConfig(nbits=np.int64(4), channel_axis=np.int8(1)),  # type: ignore[arg-type]
        op_name_configs={"a": cto.OpPalettizerConfig("custom", lut_function=lambda group: (group, group)), "b": None},
    )
    options = config._to_options(functions)
    assert options["global"]["nbits"] == 4
    assert type(options["global"]["nbits"]) is int
    assert options["global"]["mode"] == "kmeans"
    assert options["op_names"]["a"]["lut_function"] == 0
    assert options["op_names"]["b"] is None
    assert len(functions) == 1
    with pytest.raises(ValueError, match="weight_threshold"):
        cto.OptimizationConfig(cto.OpPalettizerConfig(nbits=4, weight_threshold=None))._to_options([])
