"""coremltools' own tests of the torch classes that we have, with ours in their place, in a child process."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SUITE = Path("test", "optimize", "torch")
FILES = (
    "layerwise_compression/test_algorithms.py",
    "palettization/test_post_training_palettization.py",
    "palettization/test_sensitive_k_means.py",
    "quantization/test_post_training_quantization.py",
    "test_utils/test_k_means.py",
)
NEEDED = ("coremltools", "torch", "pytest_mock", "torchvision", "PIL")

# What ends otherwise on ours: pattern of the test, pattern of the failure. The reasons:
# 1. The test replaces private methods of coremltools' class by mocks and asks how they were called. Ours has none of these
#    names; the sensitivities that it computes are compared in python/tests/modules.
# 2. The test puts mocks in the place of sensitivities and of coremltools' private k-means, and asks how the latter was called.
#    Ours has another one; which modules it compresses, and the result, are compared in python/tests/modules.
# 3. `KMeansConfig.mask` is an argument of coremltools' private k-means that none of its public classes sets.
DIFFERENCES = (
    (
        r"test_sensitive_k_means\.py::test_fsdp_auto_wrap_policy_(compute_sensitivity|multi_worker)",
        r"does not have the attribute '_(compute_sensitivity_impl_single_worker|register_grad_square_hooks)'",
    ),
    (
        r"test_sensitive_k_means\.py::test_compress_cluster_weights_call",
        r"found '[a-z_.]*weight' with a Mock|Expected 'cluster_weights' to be called once",
    ),
    (r"test_k_means\.py::test_k_means_masked", r"masks are private to coremltools"),
)
# Fewer would mean that the names are looked up where ours are not.
LEAST_REACHING_US = 550


def test_the_torch_tests_of_coremltools(tmp_path: Path) -> None:
    if os.environ.get("SWIFTCOMPRESS_TEST_TORCH", "1") == "0":
        pytest.skip("torch is left out: ./dev test --torch runs these tests")
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"coremltools' tests need {', '.join(missing)}; `./dev test --torch` installs them")
    spec = importlib.util.find_spec("coremltools")
    assert spec is not None
    assert spec.origin is not None
    suite = Path(spec.origin).parent / SUITE
    outcomes = tmp_path / "outcomes.json"
    # fmt: off
    command = [
        sys.executable, "-m", "pytest", "-q", "--rootdir", str(suite), "-c", os.devnull, "-p", "no:cacheprovider",
        "-p", "support.coremltools_outcomes", "--outcomes", str(outcomes), "-p", "support.coremltools_torch_mapping",
        "--tb", "short", *(str(suite / name) for name in FILES),
    ]
    # fmt: on
    paths = [str(HERE), str(HERE.parents[1] / "scripts"), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TQDM_DISABLE": "1",
    }
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert run.returncode in (0, 1), f"{run.stdout[-3000:]}\n{run.stderr[-3000:]}"
    table: dict[str, tuple[str, str, list[str]]] = json.loads(outcomes.read_text(encoding="utf-8"))
    unexplained, used = [], set()
    for test, (result, error, _) in table.items():
        if result == "passed":
            continue
        known = [i for i, (tests, text) in enumerate(DIFFERENCES) if re.search(tests, test) and re.search(text, error)]
        used.update(known)
        if not known:
            unexplained.append(f"{test} {result}: {error}")
    assert not unexplained, "\n".join(unexplained)
    assert used == set(range(len(DIFFERENCES))), "a difference did not happen; take it off the list"
    passed = [test for test, (result, _, reached) in table.items() if reached and result == "passed"]
    assert len(passed) >= LEAST_REACHING_US, len(passed)
