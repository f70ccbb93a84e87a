"""Damaged packages: an error that names the file, never a crash, never memory beyond the file's size.

Every case runs in a process of its own kind (support/damage_worker.py), many cases to a process.
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import swiftcompress
from conftest import HERE, sample
from support import damage, ours
from support.package_factory import mb, program_for, save

FORMAT = {"ModelFormatError"}
FORMAT_OR_FILE = {"ModelFormatError", "OSError"}
ANY_REFUSAL = {"ModelFormatError", "OSError", "ValueError", "NotImplementedError"}


def run_all(base: Path, cases: Iterable[tuple[str, damage.Damage]], folder: Path, *target: str) -> list[dict[str, Any]]:
    """One answer per case, in order; a case that killed the process says so and a new process does the rest."""
    outputs = folder / "outputs"
    outputs.mkdir()
    names, paths = [], []
    for index, (name, apply) in enumerate(cases):
        path = folder / f"case_{index}.mlpackage"
        shutil.copytree(base, path)
        apply(path)
        names.append(name)
        paths.append(str(path))
    answers: list[dict[str, Any]] = []
    while len(answers) < len(paths):
        rest = paths[len(answers) :]
        try:
            process = subprocess.run(
                [sys.executable, str(HERE / "support" / "damage_worker.py"), str(outputs / "out.mlpackage"), *target],
                input="\n".join(rest) + "\n", capture_output=True, check=False, text=True, timeout=300,
            )  # fmt: skip
            lines, code, errors = process.stdout.splitlines(), process.returncode, process.stderr
        except subprocess.TimeoutExpired as expired:
            lines, code, errors = (expired.stdout or b"").decode().splitlines(), "timeout", ""
        answers += [json.loads(line) for line in lines]
        if len(lines) < len(rest):
            answers.append({"outcome": f"process ended: {code}", "message": errors[-500:], "left": [], "kib": 0})
    for name, answer in zip(names, answers, strict=True):
        answer["name"] = name
    return answers


def complain(answers: list[dict[str, Any]], allowed: set[str], *, about: str = "") -> None:
    __tracebackhide__ = True
    wrong = []
    for answer in answers:
        if answer["outcome"] not in allowed:
            wrong.append(f"{answer['name']}: {answer['outcome']} {answer['message'][:200]}")
        elif about and answer["outcome"] == "ModelFormatError" and about not in answer["message"]:
            wrong.append(f"{answer['name']}: the message does not name {about}: {answer['message'][:200]}")
        if answer["outcome"] != "ok" and answer["left"]:
            wrong.append(f"{answer['name']}: left behind: {answer['left']}")
        if answer["kib"] > 64 * 1024:
            wrong.append(f"{answer['name']}: {answer['kib'] // 1024} MiB of memory")
    assert not wrong, f"{len(wrong)} of {len(answers)} cases:\n" + "\n".join(wrong)


@pytest.mark.parametrize("target", ["iOS16", "iOS18"])
def test_weight_file(packages: Any, tmp_path: Path, target: str) -> None:
    answers = run_all(packages("small", target), damage.weight_file_damage(), tmp_path)
    complain(answers, FORMAT_OR_FILE, about="weight.bin")
    lost = {"weight.bin missing", "weight.bin is a folder"}
    assert all(a["outcome"] == "ModelFormatError" for a in answers if a["name"] not in lost)


def test_messages_give_an_offset(packages: Any, tmp_path: Path) -> None:
    cases = [(n, d) for n, d in damage.weight_file_damage() if n.startswith("record: ")]
    answers = run_all(packages("small", "iOS16"), cases, tmp_path)
    silent = [a for a in answers if not any(ch.isdigit() for ch in a["message"].split("weight.bin")[-1])]
    assert not silent, silent


@pytest.mark.parametrize("target", ["iOS16", "iOS18"])
def test_model_values(packages: Any, tmp_path: Path, target: str) -> None:
    answers = run_all(packages("small", target), damage.model_file_damage(), tmp_path)
    # These two are possible in a newer format: a value of a type or a size that we do not know is left alone.
    unknown = [a for a in answers if a["name"] in ("type unknown", "unknown dimension")]
    assert len(unknown) == 2
    complain(unknown, ANY_REFUSAL | {"ok"})
    complain([a for a in answers if a not in unknown], ANY_REFUSAL)


def test_model_wire(packages: Any, tmp_path: Path) -> None:
    base = packages("small", "iOS16")
    complain(run_all(base, damage.wire_damage(damage.model_file(base).read_bytes()), tmp_path), ANY_REFUSAL | {"ok"})


def test_cut_models_are_format_errors(packages: Any, tmp_path: Path) -> None:
    base = packages("small", "iOS18")
    cases = [
        (n, d)
        for n, d in damage.wire_damage(damage.model_file(base).read_bytes())
        if "cut" in n or "length" in n or "varint" in n
    ]
    complain(run_all(base, cases, tmp_path), FORMAT, about="model.mlmodel")


def test_manifest(packages: Any, tmp_path: Path) -> None:
    complain(run_all(packages("small", "iOS16"), damage.manifest_damage(), tmp_path), FORMAT_OR_FILE)


@pytest.mark.parametrize("seed, count", sample([(s, 250) for s in range(12)], 1, seed=9))
@pytest.mark.parametrize(
    "name, target", [("small", "iOS16"), ("nested", "iOS18"), ("multifunction", "iOS18"), ("pipeline", "iOS16")]
)
def test_flipped_bytes_of_the_model(
    packages: Any, tmp_path: Path, name: str, target: str, seed: int, count: int
) -> None:
    base = packages(name, target)
    size = damage.model_file(base).stat().st_size
    complain(run_all(base, damage.flips(damage.model_file, size, count, seed), tmp_path), ANY_REFUSAL | {"ok"})


@pytest.mark.parametrize("seed", sample(range(12), 1, seed=13))
def test_flipped_bytes_of_a_model_to_raise(tmp_path: Path, seed: int) -> None:
    """Indices, bounds and compressed weights are looked at, and some rewritten, on the way to iOS18."""
    from support import operation_zoo

    for name, make in (("zoo", operation_zoo.zoo), ("compressed", operation_zoo.compressed)):
        base, folder = tmp_path / f"{name}.mlpackage", tmp_path / name
        make("iOS16", base)
        folder.mkdir()
        size = damage.model_file(base).stat().st_size
        answers = run_all(base, damage.flips(damage.model_file, size, 250, seed), folder, "iOS18")
        complain(answers, ANY_REFUSAL | {"ok"})


@pytest.mark.parametrize("seed", sample(range(12), 1, seed=10))
def test_flipped_bytes_of_the_records(packages: Any, tmp_path: Path, seed: int) -> None:
    base = packages("small", "iOS18")
    complain(run_all(base, damage.flips(damage.weight_file, 128, 200, seed), tmp_path), ANY_REFUSAL | {"ok"})


@pytest.mark.parametrize("seed", sample(range(12), 1, seed=11))
def test_flipped_bytes_of_the_manifest(packages: Any, tmp_path: Path, seed: int) -> None:
    base = packages("extra_items", "iOS16")
    size = (base / "Manifest.json").stat().st_size
    complain(
        run_all(base, damage.flips(lambda p: p / "Manifest.json", size, 250, seed), tmp_path), ANY_REFUSAL | {"ok"}
    )


def test_every_length_of_the_model(packages: Any, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Cut at every byte (a sample by default): refused, or what remains is itself a whole message."""
    base = packages("small", "iOS16")
    size = damage.model_file(base).stat().st_size
    cases = [(f"cut to {n}", damage.truncate(damage.model_file, n)) for n in sample(range(size), 150, seed=12)]
    answers = run_all(base, cases, tmp_path)
    complain(answers, ANY_REFUSAL | {"ok"})
    from coremltools.proto import Model_pb2

    model = damage.model_file(base).read_bytes()
    for answer in answers:
        if answer["outcome"] == "ok":
            Model_pb2.Model().ParseFromString(model[: int(answer["name"].split()[-1])])


@pytest.mark.parametrize("length, entry, declared", [
    (2**62, 4, None),  # longer than any memory
    (2**21, 2**12, [1, 2**21]),  # not what the operation declares
])  # fmt: skip
def test_a_small_file_cannot_ask_for_any_size(
    packages: Any, tmp_path: Path, length: int, entry: int, declared: list[int] | None
) -> None:
    """Codes and vectors whose product is the size of the decoded weight: in a process of its own, for it must not die."""
    from coremltools.proto import Model_pb2

    path = tmp_path / "grown.mlpackage"
    shutil.copytree(_compressed(packages, tmp_path), path)
    file = path / "Data/com.apple.CoreML/model.mlmodel"
    model = Model_pb2.Model()
    model.ParseFromString(file.read_bytes())
    block = next(iter(model.mlProgram.functions["main"].block_specializations.values()))
    operation = next(o for o in block.operations if o.type == "constexpr_lut_to_dense")
    rows = 0 if declared is None else 1

    def give(key: str, dtype: int, shape: list[int], payload: bytes) -> None:
        operation.inputs[key].Clear()
        value = operation.inputs[key].arguments.add().value
        value.type.tensorType.dataType = dtype
        value.type.tensorType.rank = len(shape)
        for size in shape:
            value.type.tensorType.dimensions.add().constant.size = size
        value.immediateValue.tensor.bytes.values = payload

    give("indices", 37, [rows, length], bytes(rows * length // 8))
    give("lut", 10, [1, 1, 2, entry], bytes(2 * entry * 2))
    give("vector_axis", 23, [], b"")
    axis = operation.inputs["vector_axis"].arguments[0].value
    axis.immediateValue.tensor.ints.values.append(1)
    file.write_bytes(model.SerializeToString())
    name = operation.outputs[0].name
    code = (
        "import sys, swiftcompress as sc\n"
        f"try: sc.ModelPackage(sys.argv[1]).decompressed({name!r})\n"
        "except sc.ModelFormatError as error: print('refused', error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("refused")


def _compressed(packages: Any, folder: Path) -> Path:
    return Path(
        ours.compress(packages("layers", "iOS18"), folder / "compressed.mlpackage", nbits=4, weight_threshold=0).path
    )


def test_the_error_is_that_of_the_weight_whatever_the_threads(tmp_path: Path) -> None:
    """A damaged blob after many small weights: what ends the compression is named, not the writing that it cancels."""
    path = tmp_path / "late.mlpackage"
    rng = np.random.default_rng(0)

    @program_for("iOS18", [mb.TensorSpec(shape=(1, 64))])
    def program(x: Any) -> Any:
        for number in range(300):
            weight = (rng.standard_normal((64, 64)) * 0.1).astype(np.float32)
            x = mb.linear(x=x, weight=mb.const(val=weight, name=f"w_{number}"), name=f"y_{number}")
        wide = (rng.standard_normal((4096, 64)) * 0.1).astype(np.float32)
        x = mb.linear(x=x, weight=mb.const(val=wide, name="wide"), name="y_wide")
        large = (rng.standard_normal((1024, 4096)) * 0.1).astype(np.float32)
        return mb.linear(x=x, weight=mb.const(val=large, name="large"), name="y_large")

    save(program, "iOS18", path)
    (file,) = path.rglob("weight.bin")
    data = bytearray(file.read_bytes())
    size = 1024 * 4096 * 4
    record = data.index(struct.pack("<IIQ", 0xDEADBEEF, 2, size))
    struct.pack_into("<I", data, record + 4, 1)
    file.write_bytes(data)
    for threads in (1, 2, 2, 2, 2, 4, 4, 4, 4):
        with pytest.raises(swiftcompress.ModelFormatError, match="found a blob of type"):
            ours.run(path, tmp_path / "out.mlpackage", "quantize", {}, num_threads=threads)
        assert not (tmp_path / "out.mlpackage").exists()
