"""The register of package makers (make_packages.py, odd_packages.py) and what they share.

Each maker writes one package; `Factory` makes each at most once per session.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.proto import Model_pb2

from . import reference

Maker = Callable[[str, Path], None]
_makers: dict[str, Maker] = {}


_since: dict[str, str] = {}


def maker(function: Maker) -> Maker:
    _makers[function.__name__] = function
    return function


def since(target: str) -> Callable[[Maker], Maker]:
    """The first deployment target that has such models."""

    def mark(function: Maker) -> Maker:
        _since[function.__name__] = target
        return function

    return mark


def register() -> None:
    """Imports the modules that hold the makers."""
    from . import make_packages, odd_packages  # noqa: F401


def names(target: str) -> list[str]:
    """Makers that can make a package for this deployment target; the big one for benchmarks is left out."""
    register()
    order = list(reference.TARGETS)
    possible = (n for n in _makers if order.index(target) >= order.index(_since.get(n, "iOS15")))
    return sorted(n for n in possible if n != "benchmark_25m")


class Factory:
    """`factory("layers", "iOS16")` is the path of that package, made on first use. Tests must not change it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str, target: str = "iOS18") -> Path:
        path = self.folder / f"{name}_{target}.mlpackage"
        if not path.exists():
            register()
            _makers[name](target, path)
            if not path.exists():
                raise AssertionError(f"the maker of {name} wrote nothing")
        return path


def weights(seed: int, *shape: int, dtype: Any = np.float16, scale: float = 0.05) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(dtype)


def program_for(target: str, specs: list[Any]) -> Callable[[Callable[..., Any]], Any]:
    return mb.program(input_specs=specs, opset_version=reference.TARGETS[target])


def convert(program: Any, target: str, **options: Any) -> Any:
    """No optimisation passes: operations and names stay as written above."""
    return ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=reference.TARGETS[target],
        pass_pipeline=ct.PassPipeline.EMPTY,
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
        **options,
    )


def save(program: Any, target: str, path: Path, **options: Any) -> None:
    convert(program, target, **options).save(str(path))


# MARK: editing the protobuf


def open_model(path: Path) -> tuple[Path, Model_pb2.Model]:
    file = path / "Data" / "com.apple.CoreML" / "model.mlmodel"
    spec = Model_pb2.Model()
    spec.ParseFromString(file.read_bytes())
    return file, spec


def main_block(spec: Model_pb2.Model) -> Any:
    function = spec.mlProgram.functions["main"]
    return function.block_specializations[function.opset]


def rename_string(message: Any, old: str, new: str) -> None:
    """Every string value `old` anywhere below a protobuf message becomes `new`."""
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            for key in value:
                if field.message_type.fields_by_name["value"].message_type is not None:
                    rename_string(value[key], old, new)
            continue
        repeated = isinstance(value, list) or hasattr(value, "append") or hasattr(value, "add")
        if field.message_type is not None:
            for item in value if repeated else [value]:
                rename_string(item, old, new)
        elif field.type == field.TYPE_STRING:
            if repeated:
                for index, item in enumerate(value):
                    if item == old:
                        value[index] = new
            elif value == old:
                setattr(message, field.name, new)
