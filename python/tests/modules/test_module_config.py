"""Configurations of torch compressors: defaults and rules, beside coremltools' where it is installed."""

from __future__ import annotations

import builtins
import copy
import dataclasses
import io
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from support.modules import torch
from swiftcompress.torch import (
    PalettizationGranularity,
    QuantizationGranularity,
    layerwise_compression,
    palettization,
    quantization,
)

PAIRS = [
    (palettization, "ModulePostTrainingPalettizerConfig", "PostTrainingPalettizerConfig"),
    (palettization, "ModuleSKMPalettizerConfig", "SKMPalettizerConfig"),
    (quantization, "ModulePostTrainingQuantizerConfig", "PostTrainingQuantizerConfig"),
]
EACH = pytest.mark.parametrize(
    ("room", "module_kind", "kind"), PAIRS, ids=lambda value: getattr(value, "__name__", value)
)


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return list(value)
    return getattr(value, "value", value)


@EACH
def test_names_and_defaults_are_coremltools(room: Any, module_kind: str, kind: str) -> None:
    theirs = pytest.importorskip(room.__name__.replace("swiftcompress", "coremltools.optimize"))
    mine, expected = getattr(room, module_kind)(), getattr(theirs, module_kind)()
    assert plain(mine.as_dict()) == plain(expected.as_dict())
    mine, expected = getattr(room, kind)(), getattr(theirs, kind)()
    assert plain(mine.as_dict()) == plain(expected.as_dict())


SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("ModulePostTrainingPalettizerConfig", {"n_bits": 2, "granularity": "per_grouped_channel", "group_size": 4}),
    ("ModulePostTrainingPalettizerConfig", {"lut_dtype": "int8", "channel_axis": 1, "rounding_precision": 6}),
    ("ModulePostTrainingPalettizerConfig", {"lut_dtype": torch.uint8, "enable_per_channel_scale": True}),
    ("ModulePostTrainingPalettizerConfig", {"cluster_dim": 2, "enable_fast_kmeans_mode": False}),
    ("ModulePostTrainingPalettizerConfig", {"group_size": 4}),
    ("ModulePostTrainingPalettizerConfig", {"granularity": "per_grouped_channel"}),
    ("ModulePostTrainingPalettizerConfig", {"granularity": "per_grouped_channel", "group_size": 0}),
    ("ModulePostTrainingPalettizerConfig", {"granularity": "per_channel"}),
    ("ModulePostTrainingPalettizerConfig", {"channel_axis": 2}),
    ("ModulePostTrainingPalettizerConfig", {"lut_dtype": torch.float16}),
    ("ModulePostTrainingPalettizerConfig", {"cluster_dim": 2, "enable_per_channel_scale": True}),
    ("ModulePostTrainingPalettizerConfig", {"bits": 2}),
    ("ModulePostTrainingPalettizerConfig", {"n_bits": "four"}),
    ("ModuleSKMPalettizerConfig", {"enable_fast_kmeans_mode": True}),
    ("ModuleSKMPalettizerConfig", {"n_bits": 3, "cluster_dim": 1}),
    ("ModulePostTrainingQuantizerConfig", {"weight_dtype": "int4"}),
    ("ModulePostTrainingQuantizerConfig", {"weight_dtype": "uint4", "quantization_scheme": "affine"}),
    ("ModulePostTrainingQuantizerConfig", {"weight_dtype": torch.uint8, "granularity": "per_tensor"}),
    ("ModulePostTrainingQuantizerConfig", {"weight_dtype": torch.float32}),
    ("ModulePostTrainingQuantizerConfig", {"granularity": "per_block", "block_size": 4}),
    ("ModulePostTrainingQuantizerConfig", {"granularity": "per_block", "block_size": (4, 2)}),
    ("ModulePostTrainingQuantizerConfig", {"granularity": "per_block"}),
    ("ModulePostTrainingQuantizerConfig", {"block_size": 4}),
    ("ModulePostTrainingQuantizerConfig", {"weight_dtype": "int2"}),
    ("ModulePostTrainingQuantizerConfig", {"quantization_scheme": "both"}),
]


@pytest.mark.parametrize(("name", "values"), SETTINGS, ids=str)
def test_the_same_is_accepted_and_refused(name: str, values: dict[str, Any]) -> None:
    room = quantization if "Quantizer" in name else palettization
    theirs = pytest.importorskip(room.__name__.replace("swiftcompress", "coremltools.optimize"))
    expected = None
    try:
        expected = getattr(theirs, name).from_dict(values)
    except (TypeError, ValueError, AssertionError, ExceptionGroup):
        with pytest.raises((TypeError, ValueError)):
            getattr(room, name).from_dict(values)
        return
    assert plain(getattr(room, name).from_dict(values).as_dict()) == plain(expected.as_dict())


def test_messages_name_the_argument_the_value_and_what_is_allowed() -> None:
    kind = palettization.ModulePostTrainingPalettizerConfig
    for values, text in (
        ({"n_bits": 5}, "] n_bits: found 5, allowed 1, 2, 3, 4, 6, 8"),
        ({"lut_dtype": "int4"}, "lut_dtype: found 'int4', allowed int8, uint8"),  # int8 in coremltools, silently
        ({"granularity": "x"}, "granularity: found 'x', allowed 'per_tensor', 'per_grouped_channel'"),
        ({"group_size": 3}, "group_size: found 3, allowed None with granularity 'per_tensor'"),
        ({"rounding_precision": 99}, "rounding_precision: found 99, allowed a whole number from -30 to 30"),
    ):
        with pytest.raises(ValueError, match=re.escape(text)):
            kind(**values)
    with pytest.raises(ValueError, match="global_config: Found unrecognized key bits"):
        palettization.PostTrainingPalettizerConfig.from_dict({"global_config": {"bits": 4}})
    with pytest.raises(ValueError, match="module_name_configs: found the key"):
        palettization.PostTrainingPalettizerConfig(module_name_configs={"head.*[": kind()})
    with pytest.raises(TypeError, match="allowed a ModulePostTrainingPalettizerConfig, or None"):
        palettization.PostTrainingPalettizerConfig(global_config=palettization.ModuleSKMPalettizerConfig())
    with pytest.raises(ValueError, match="'affine' in module_name_configs"):
        quantization.PostTrainingQuantizerConfig.from_dict(
            {"global_config": {}, "module_name_configs": {"a": {"quantization_scheme": "affine"}}}
        )


def test_assignments_are_checked() -> None:
    config = palettization.ModulePostTrainingPalettizerConfig()
    config.n_bits = 6
    config.lut_dtype = "uint8"
    assert (config.n_bits, config.lut_dtype) == (6, torch.uint8)
    with pytest.raises(ValueError, match="n_bits: found 7"):
        config.n_bits = 7
    assert config.n_bits == 6
    with pytest.raises(AttributeError, match="has no field 'bits'"):
        config.bits = 4
    other = quantization.ModulePostTrainingQuantizerConfig()
    other.weight_dtype = "uint4"
    assert (other.weight_dtype, other.weight_n_bits) == (torch.uint8, 4)
    other.granularity = "per_tensor"  # another field leaves the bits alone
    assert (other.weight_dtype, other.weight_n_bits) == (torch.uint8, 4)
    other.weight_dtype = torch.int8
    assert (other.weight_dtype, other.weight_n_bits) == (torch.int8, 8)


def test_setters_and_lookup() -> None:
    kind, config_kind = palettization.ModulePostTrainingPalettizerConfig, palettization.PostTrainingPalettizerConfig
    linear, convolution = torch.nn.Linear(2, 2), torch.nn.Conv2d(1, 1, 1)
    config = config_kind().set_global(kind(n_bits=8)).set_module_type("Linear", kind(n_bits=6))
    config = config.set_module_type(torch.nn.Conv2d, None).set_module_name(r"block\d", kind(n_bits=2))
    assert config.get_module_config("block1", convolution).n_bits == 2
    assert config.get_module_config("block12", convolution) is None
    assert config.get_module_config("any", linear).n_bits == 6
    assert config.get_module_config("any", torch.nn.Embedding(2, 2)).n_bits == 8
    assert config.set_global(None).get_module_config("any", torch.nn.Embedding(2, 2)) is None
    with pytest.raises(TypeError, match="global_config"):
        config.set_global(4)
    # A class of the user's own is found by its name.
    own = type("Own", (torch.nn.Linear,), {})(2, 2)
    assert config.set_module_type("Own", kind(n_bits=3)).get_module_config("any", own).n_bits == 3


YAML = """
global_config:
  n_bits: 4
  granularity: per_grouped_channel
  group_size: 16
module_type_configs:
  Conv2d:
    n_bits: "6"
  Embedding: null
module_name_configs:
  head.*:
    lut_dtype: int8
"""


def test_yaml(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(YAML, encoding="utf-8")
    kind = palettization.PostTrainingPalettizerConfig
    for source in (path, str(path), io.StringIO(YAML)):
        config = kind.from_yaml(source)
        assert config.global_config.granularity is PalettizationGranularity.per_grouped_channel
        assert config.module_type_configs[torch.nn.Conv2d].n_bits == 6
        assert config.module_type_configs[torch.nn.Embedding] is None
        assert config.module_name_configs["head.*"].lut_dtype == torch.int8
    assert kind.from_yaml(io.StringIO("")) == kind()
    with pytest.raises(ValueError, match="not valid YAML"):
        kind.from_yaml(io.StringIO("a: [1"))
    with pytest.raises(ValueError, match="must be a mapping"):
        kind.from_yaml(io.StringIO("- 1"))
    blocks = "global_config: {granularity: per_block, block_size: [4, 2]}"
    quantizer = quantization.PostTrainingQuantizerConfig.from_yaml(io.StringIO(blocks))
    assert quantizer.global_config.block_size == (4, 2)
    assert quantizer.global_config.granularity is QuantizationGranularity.per_block


def test_yaml_without_pyyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "yaml":
            raise ImportError("No module named 'yaml'")
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"PostTrainingPalettizerConfig\.from_yaml needs PyYAML: pip install PyYAML"):
        palettization.PostTrainingPalettizerConfig.from_yaml(io.StringIO(YAML))


NARROW = [
    (quantization.ModulePostTrainingQuantizerConfig, {"weight_dtype": "int4", "quantization_scheme": "affine"}),
    (quantization.ModulePostTrainingQuantizerConfig, {"weight_dtype": "uint4"}),
    (quantization.ModulePostTrainingQuantizerConfig, {"weight_dtype": torch.int8}),
    (quantization.ModulePostTrainingQuantizerConfig, {"weight_dtype": "float32"}),
    (layerwise_compression.ModuleGPTQConfig, {"weight_dtype": "uint3"}),
    (layerwise_compression.ModuleGPTQConfig, {"weight_dtype": "uint2", "enable_palettization": True}),
    (layerwise_compression.ModuleGPTQConfig, {"weight_dtype": "uint8"}),
    (layerwise_compression.ModuleSparseGPTConfig, {"weight_dtype": "uint4", "n_m_ratio": [2, 4]}),
    (layerwise_compression.ModuleSparseGPTConfig, {"weight_dtype": "float16"}),
    (palettization.ModulePostTrainingPalettizerConfig, {"n_bits": 3, "lut_dtype": "int8"}),
]
COPIES = {
    "replace": lambda config: dataclasses.replace(config),
    "twice": lambda config: dataclasses.replace(dataclasses.replace(config)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda config: pickle.loads(pickle.dumps(config)),
    "as_dict": lambda config: type(config).from_dict(config.as_dict()),
    "replace of a copy": lambda config: dataclasses.replace(copy.deepcopy(config)),
}


@pytest.mark.parametrize("again", COPIES.values(), ids=COPIES.keys())
@pytest.mark.parametrize(("kind", "values"), NARROW, ids=str)
def test_copies_are_the_same(kind: Any, values: dict[str, Any], again: Any) -> None:
    """Bits of a code included, which torch's types do not tell."""
    config = kind(**values)
    found = again(config)
    assert found is not config
    assert found == config
    assert found.as_dict() == config.as_dict()
    assert repr(found) == repr(config)
    for compressor in (quantization.PostTrainingQuantizerConfig, layerwise_compression.LayerwiseCompressorConfig):
        if isinstance(config, compressor._MODULE_CONFIGS):
            whole = compressor(config, module_type_configs={"Linear": config}, module_name_configs={"a": None})
            assert again(whole) == whole
    if "weight_dtype" in values:  # and they are checked and changed alike
        found.weight_dtype = found.weight_dtype
        assert found.weight_n_bits >= 8


def test_replaced_types() -> None:
    kind = quantization.ModulePostTrainingQuantizerConfig
    config = kind(weight_dtype="int4")
    assert dataclasses.replace(config, granularity="per_tensor").weight_n_bits == 4
    for value, bits in (("int8", 8), (torch.uint8, 8), ("uint4", 4), ("float32", 32)):
        assert dataclasses.replace(config, weight_dtype=value).weight_n_bits == bits
    assert dataclasses.replace(dataclasses.replace(config, weight_dtype="int8")).weight_n_bits == 8
    config.weight_dtype = torch.int8
    assert dataclasses.replace(config).weight_n_bits == 8
    assert kind.from_dict({"weight_dtype": torch.uint8, "weight_n_bits": "4"}).weight_n_bits == 4
    for values, text in (
        ({"weight_dtype": "int4", "weight_n_bits": 8}, "weight_n_bits: found 8, allowed 4, as weight_dtype has"),
        ({"weight_n_bits": 4}, "weight_n_bits: found 4, allowed 8, as weight_dtype has"),
        ({"weight_dtype": torch.int8, "weight_n_bits": 3}, "weight_dtype: found 'int3', allowed int8"),
    ):
        with pytest.raises(ValueError, match=text):
            kind.from_dict(values)
    with pytest.raises(TypeError):
        kind(weight_n_bits=4)
