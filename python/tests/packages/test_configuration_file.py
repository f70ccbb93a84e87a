"""`--config`: the command reads YAML as PyYAML, and so coremltools, does."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import ours
from support.oracle import tree
from swiftcompress.coreml import OptimizationConfig

FILES = {
    "block": """
        config_type: OpPalettizerConfig
        global_config:
          mode: kmeans
          nbits: 4
          weight_threshold: 0
        op_type_configs:
          conv:
            mode: UNIFORM
            nbits: 2
          linear: null
        """,
    "flow": """
        {"config_type": "OpPalettizerConfig", "global_config": {nbits: 6, weight_threshold: 10,
          granularity: per_tensor}, op_type_configs: {conv: ~}}
        """,
    "anchors": """
        %YAML 1.1
        ---
        config_type: 'OpPalettizerConfig'   # quoted
        global_config: &all
          nbits: 0x4
          weight_threshold: 1_0
          enable_per_channel_scale: no
          num_kmeans_workers: 2
        op_type_configs:
          linear: {<<: *all, nbits: 1}
          conv: *all
        ...
        """,
    "mixed types": """
        config_type: OpPalettizerConfig
        op_type_configs:
          linear: {config_type: OpPalettizerConfig, mode: unique, weight_threshold: 0}
        """,
}


def dedent(text: str) -> str:
    return "\n".join(line[8:] for line in text.strip("\n").splitlines()) + "\n"


@pytest.mark.parametrize("name", FILES)
def test_same_bytes_as_python(packages: Any, tmp_path: Path, name: str) -> None:
    path, file = packages("layers", "iOS18"), tmp_path / "config.yaml"
    file.write_text(dedent(FILES[name]))
    run = ours.run_command("palettize", path, "-o", tmp_path / "shell.mlpackage", "--config", file)
    assert run.returncode == 0, run.stderr
    ours.compress(path, tmp_path / "python.mlpackage", OptimizationConfig.from_yaml(file))
    assert tree(tmp_path / "shell.mlpackage") == tree(tmp_path / "python.mlpackage")


WORDS = [
    "conv", "layer.0/weight", "a b", "yes", "null", "4", "0x1F", "1e3", "1.5", "- x", "a: b", "a #b", "#", "'", '"',
    "[x]", "{x}", "&a", "*a", "!a", "|", ">", "%", "@", "`", "?", "? a", ":", "::", "é", "名前", "😀", "\\n", "tab\tbed",
    "two\nlines", " padded ", "", "~", "12:30", "=", "<<", ".", "..", "---", "...", "\u00a0", "\x7f", "\x01",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_names_as_pyyaml_writes_them(packages: Any, tmp_path: Path, seed: int) -> None:
    """A name that is in no model comes back in a warning, as it was read."""
    chosen = random.Random(seed)
    names = {"".join(chosen.sample(WORDS, chosen.randint(1, 2))) for _ in range(20)} | set(WORDS)
    config = {
        "config_type": "OpPalettizerConfig",
        "op_name_configs": {name: chosen.choice([None, {"nbits": 4}, {"mode": "unique"}]) for name in sorted(names)},
    }
    text = yaml.safe_dump(
        config,
        default_flow_style=chosen.choice([None, True, False]),
        default_style=chosen.choice([None, None, '"', "'"]),
        allow_unicode=chosen.choice([True, False]),
        width=chosen.choice([20, 80, 10_000]),
        indent=chosen.choice([2, 4, 8]),
        explicit_start=chosen.choice([True, False]),
        explicit_end=chosen.choice([True, False]),
        sort_keys=chosen.choice([True, False]),
    )
    # Where everything is quoted, what is no text has a tag; the command refuses tags.
    text = re.sub(r"""!!(?:null|int) (['"])(\w+)\1""", r"\2", text)
    file = tmp_path / "config.yaml"
    file.write_bytes(text.encode())
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == config
    run = ours.run_command(
        "palettize", packages("small", "iOS18"), "-o", tmp_path / "out.mlpackage", "--config", file, "--json"
    )
    assert run.returncode == 0, f"{run.stderr}\n{text}"
    found = [w for w in json.loads(run.stdout)["warnings"] if w.startswith("op_names")]
    prefix, suffix = 'op_names["', '"]: no constant and no operation has this name'
    read = {w.removeprefix(prefix).removesuffix(suffix) for w in found}
    assert (read - names, names - read) == (set(), set()), text


@pytest.mark.parametrize("text, place", [
    ("config_type: OpPalettizerConfig\nglobal_config: {nbits: 5}\n", "global_config.nbits: found 5"),
    ("config_type: OpPalettizerConfig\nglobal_config: [4]\n", "global_config: found a list"),
    ("config_type: OpPalettizerConfig\nglobal_configs: {}\n", "global_configs: found an unknown option"),
    ("config_type: OpPruner\nglobal_config: {}\n", 'config_type: found "OpPruner"'),
    ("nbits: 4\n", "nbits: found an unknown option"),
    ("a: 1\n  b: 2\n", "line 2, column 3"),
    ("a: !!python/object:os.system x\n", "line 1, column 4"),
    ("4\n", "found 4"),
])  # fmt: skip
def test_what_is_wrong_is_named(packages: Any, tmp_path: Path, text: str, place: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    run = ours.run_command("palettize", packages("small", "iOS18"), "-o", tmp_path / "out.mlpackage", "--config", file)
    assert run.returncode == 1, run.stderr
    assert f"{file}: " in run.stderr
    assert place in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    with pytest.raises((ValueError, TypeError)):
        OptimizationConfig.from_yaml(file)
