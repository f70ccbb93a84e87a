"""`swiftcompress compare`, on packages that coremltools wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from support import ours
from support.oracle import OraclePackage


def difference(first: Path, second: Path) -> dict[str, Any]:
    run = ours.run_command("compare", first, second, "--json")
    assert run.returncode == 0, run.stderr
    values: dict[str, Any] = json.loads(run.stdout)
    return values


@pytest.mark.parametrize("name, target", [
    ("layers", "iOS16"), ("nested", "iOS18"), ("multifunction", "iOS18"), ("pipeline", "iOS16"),
    ("already_palettized", "iOS18"), ("every_blob_type", "iOS18"), ("no_weights", "iOS16"), ("immediates", "iOS16"),
])  # fmt: skip
def test_a_copy_is_the_same(packages: Any, tmp_path: Path, name: str, target: str) -> None:
    path, copy = packages(name, target), tmp_path / "copy.mlpackage"
    shutil.copytree(path, copy)
    run = ours.run_command("compare", path, copy, "--exit-code")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "The packages are the same" in run.stdout


@pytest.mark.parametrize("name, target", [("layers", "iOS18"), ("nested", "iOS18"), ("multifunction", "iOS18")])
def test_only_weights_differ_after_a_compression(packages: Any, tmp_path: Path, name: str, target: str) -> None:
    path, output = packages(name, target), tmp_path / "out.mlpackage"
    result = ours.compress(path, output, nbits=4, weight_threshold=0)
    found = difference(path, output)
    assert found["changes"] == found["only_in_first"] == found["only_in_second"] == []
    measures = {
        (r["function"], r["name"]): (r["snr_db"], r["max_error"])
        for r in ours.records(result)
        if r["action"] == "palettized"
    }
    for weight in found["weights"]:
        key = (weight["function"], weight["first"]["name"])
        if weight["state"] == "identical":
            assert key not in measures
        else:
            assert (weight.get("snr_db"), weight["max_error"]) == measures.pop(key)
    assert measures == {}


def test_a_changed_description(packages: Any, tmp_path: Path) -> None:
    import coremltools as ct

    path, output = packages("layers", "iOS18"), tmp_path / "out.mlpackage"
    model = ct.models.MLModel(str(path), skip_model_load=True)
    model.author = "somebody"
    model.save(str(output))
    changes = difference(path, output)["changes"]
    assert {"area": "metadata", "name": "author", "what": "", "first": "", "second": "somebody"} in changes
    assert all(change["area"] in ("metadata", "file") for change in changes), changes


def test_a_weight_that_coremltools_renamed(packages: Any, tmp_path: Path) -> None:
    import coremltools as ct
    import coremltools.optimize.coreml as cto

    path, output = packages("small", "iOS18"), tmp_path / "out.mlpackage"
    model = ct.models.MLModel(str(path), skip_model_load=True)
    config = cto.OptimizationConfig(cto.OpPalettizerConfig(mode="uniform", nbits=4, weight_threshold=0))
    cto.palettize_weights(model, config).save(str(output))
    found = difference(path, output)
    assert found["only_in_first"] == found["only_in_second"] == []
    assert set(OraclePackage(output).constexprs()) & {w["second"]["name"] for w in found["weights"]}
    assert "changed" in {weight["state"] for weight in found["weights"]}
