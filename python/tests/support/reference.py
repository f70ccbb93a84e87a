"""The reference: coremltools 9.0, called on arrays and on packages, quietly and without touching its input.

`exact=True` makes it use its own exact one-dimensional solver for every scalar case, as it does itself for float16 weights of
10,000 elements or more; `exact=False` leaves its choice (scikit-learn's Lloyd iteration below that size and for float32).
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")
logging.getLogger("coremltools").setLevel(logging.ERROR)

import coremltools as ct
import coremltools.optimize as cto
import numpy as np
from coremltools._deps import _kmeans1d
from coremltools.converters.mil.mil.passes.pass_registry import PASS_REGISTRY
from coremltools.models import utils as model_utils
from coremltools.optimize.coreml import _quantization_passes as passes

logging.getLogger("coremltools").setLevel(logging.ERROR)

TARGETS = {
    "iOS15": ct.target.iOS15,
    "iOS16": ct.target.iOS16,
    "iOS17": ct.target.iOS17,
    "iOS18": ct.target.iOS18,
    "iOS26": ct.target.iOS26,
}
SPECIFICATION = {"iOS15": 6, "iOS16": 7, "iOS17": 8, "iOS18": 9, "iOS26": 10}

Solver = Callable[..., tuple[np.ndarray, np.ndarray]]


@contextlib.contextmanager
def exact_solver() -> Iterator[None]:
    original: Solver = passes._get_kmeans_lookup_table_and_weight

    def forced(nbits: int, weight: np.ndarray, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        options["force_kmeans1d"] = options.get("cluster_dim", 1) == 1
        return original(nbits, weight, **options)

    passes._get_kmeans_lookup_table_and_weight = forced
    try:
        yield
    finally:
        passes._get_kmeans_lookup_table_and_weight = original


def kmeans_1d(values: np.ndarray, k: int, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Centroids and one label per element of `values`, which are distinct and ascending here."""
    result = _kmeans1d.cluster(values, k, weights=weights)
    return np.array(result.centroids), np.array(result.clusters)


@dataclass
class Palette:
    lut: np.ndarray
    indices: np.ndarray
    vector_axis: int | None
    scale: np.ndarray | None = None


def palettize_array(
    weight: np.ndarray,
    nbits: int | None,
    *,
    mode: str = "kmeans",
    channel_axis: int = 0,
    group_size: int = 0,
    cluster_dim: int = 1,
    lut_function: Callable[..., Any] | None = None,
    exact: bool = True,
) -> Palette | None:
    """`group_size` 0 means one table for the whole tensor."""
    with warnings.catch_warnings(), np.errstate(all="ignore"), exact_solver() if exact else contextlib.nullcontext():
        warnings.simplefilter("ignore")
        found = passes.palettize_weights.grouped_channelwise_compress(
            weight.copy(), mode.upper(), nbits, channel_axis, group_size, lut_function, cluster_dim
        )
    if found is None:
        return None
    return Palette(found.lut, np.asarray(found.indices).astype(np.uint8), found.vector_axis)


def palettize_package(path: Path, config: Any, output: Path, *, exact: bool = True) -> Path:
    """coremltools' own palettize_weights on a copy of the package, saved to `output`."""
    model = load(path, output.with_name(output.stem + "_input.mlpackage"))
    with warnings.catch_warnings(), np.errstate(all="ignore"), exact_solver() if exact else contextlib.nullcontext():
        warnings.simplefilter("ignore")
        result = cto.coreml.palettize_weights(model, config)
    result.save(str(output))
    return output


def palettize_program(path: Path, config: Any, scratch: Path, *, exact: bool = True) -> Any:
    """The reference's pass alone: the PyMIL program right after it, before the clean-up passes rename and reorder."""
    model = load(path, scratch)
    graph_pass = passes.palettize_weights(config=config)
    with warnings.catch_warnings(), np.errstate(all="ignore"), exact_solver() if exact else contextlib.nullcontext():
        warnings.simplefilter("ignore")
        return model_utils._apply_graph_pass(model, graph_pass, return_pymil_prog=True)


def program_palettes(program: Any) -> dict[str, Palette]:
    """Palettized weights of a PyMIL program by the original name of the weight."""
    found: dict[str, Palette] = {}

    def visit(block: Any) -> None:
        for operation in block.operations:
            for inner in operation.blocks:
                visit(inner)
            if operation.op_type == "constexpr_lut_to_dense" and operation.name.endswith("_palettized"):
                name = operation.name.removesuffix("_palettized")
                indices = np.asarray(operation.indices.val)
                lut = np.asarray(operation.lut.val)
                axis = getattr(operation, "vector_axis", None)
                vector_axis = None if axis is None or axis.val is None else int(axis.val)
                found[name] = Palette(lut, indices, vector_axis)
            if operation.op_type == "constexpr_blockwise_shift_scale" and operation.name.endswith("_palettized_pcs"):
                found[operation.name.removesuffix("_palettized_pcs")].scale = np.asarray(operation.scale.val)

    for function in program.functions.values():
        visit(function)
    return found


def load(path: Path, copy: Path) -> Any:
    """Opening a package with coremltools rewrites its manifest, so a copy is opened."""
    if copy.exists():
        shutil.rmtree(copy)
    shutil.copytree(path, copy)
    return ct.models.MLModel(str(copy), skip_model_load=True)


def decompress(path: Path, output: Path) -> Path:
    model = load(path, output.with_name(output.stem + "_input.mlpackage"))
    cto.coreml.decompress_weights(model).save(str(output))
    return output


def raise_target(path: Path, target: str, output: Path) -> Path:
    """The same model for a newer target, through coremltools."""
    model = load(path, output.with_name(output.stem + "_input.mlpackage"))
    result = model_utils._apply_graph_pass(model, [], spec_version=SPECIFICATION[target])
    result.save(str(output))
    return output


def squared_error(weight: np.ndarray, decoded: np.ndarray) -> float:
    difference = weight.astype(np.float64) - decoded.astype(np.float64)
    return float(np.dot(difference.ravel(), difference.ravel()))


def expanded(path: Path, scratch: Path) -> dict[str, np.ndarray]:
    """Every const of the program after the reference's pass behind `decompress_weights`, before the clean-up passes fold and
    merge them."""
    model = load(path, scratch)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        decompressor = passes.WeightDecompressor(op_selector=lambda op: True)
        program = model_utils._apply_graph_pass(model, decompressor, return_pymil_prog=True)
    found: dict[str, np.ndarray] = {}

    def visit(block: Any) -> None:
        for operation in block.operations:
            for inner in operation.blocks:
                visit(inner)
            if operation.op_type.startswith("constexpr_"):
                raise AssertionError(f"{operation.name} is still a {operation.op_type}")
            if operation.op_type == "const" and isinstance(operation.outputs[0].val, np.ndarray):
                found[operation.name] = operation.outputs[0].val

    for function in program.functions.values():
        visit(function)
    return found


# MARK: any operation on a package

FAILURES = (
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    NotImplementedError,
    AssertionError,
    RuntimeError,
)
"""What it raises where it cannot do something, on purpose or not."""

PASSES = {
    "palettize": passes.palettize_weights,
    "quantize": passes.linear_quantize_weights,
    "prune": passes.prune_weights,
}
PUBLIC = {
    "palettize": cto.coreml.palettize_weights,
    "quantize": cto.coreml.linear_quantize_weights,
    "prune": cto.coreml.prune_weights,
}
CONFIGS = {
    "palettizer": cto.coreml.OpPalettizerConfig,
    "linear_quantizer": cto.coreml.OpLinearQuantizerConfig,
    "magnitude_pruner": cto.coreml.OpMagnitudePrunerConfig,
    "threshold_pruner": cto.coreml.OpThresholdPrunerConfig,
}
DEFAULT_CONFIG = {"palettize": "palettizer", "quantize": "linear_quantizer", "prune": "magnitude_pruner"}


def op_config(operation: str, options: dict[str, Any]) -> Any:
    """The reference's configuration for options as our JSON has them."""
    arguments = {key: tuple(v) if key == "n_m_ratio" else v for key, v in options.items() if key != "type"}
    return CONFIGS[options.get("type", DEFAULT_CONFIG[operation])](**arguments)


def any_config(operation: str, options: dict[str, Any]) -> Any:
    return cto.coreml.OptimizationConfig(global_config=op_config(operation, options))


def compress_program(
    path: Path, operation: str, config: Any, scratch: Path, *, joint: bool = False, exact: bool = True
) -> Any:
    """The pass of an operation: a PyMIL program before the clean-up passes.

    For joint compression, and for scales over a lookup, `canonicalize_quantized_lut_pattern` follows: it decides, for each
    target, in which order the two operations are written.
    """
    model = load(path, scratch)
    graph_pass = PASSES[operation](config=config)
    graph_pass.joint_compression = joint
    with warnings.catch_warnings(), np.errstate(all="ignore"), exact_solver() if exact else contextlib.nullcontext():
        warnings.simplefilter("ignore")
        program = model_utils._apply_graph_pass(model, graph_pass, return_pymil_prog=True)
        PASS_REGISTRY["common::canonicalize_quantized_lut_pattern"](program)
    return program


def compress_package(
    path: Path, operation: str, config: Any, output: Path, *, joint: bool = False, exact: bool = True
) -> Path:
    """The reference's public function, clean-up passes included."""
    model = load(path, output.with_name(output.stem + "_input.mlpackage"))
    with warnings.catch_warnings(), np.errstate(all="ignore"), exact_solver() if exact else contextlib.nullcontext():
        warnings.simplefilter("ignore")
        PUBLIC[operation](model, config, joint_compression=joint).save(str(output))
    return output


def parts(path: Path, scratch: Path) -> dict[str, Path]:
    """A package as packages that the reference can compress, by the prefix of the names in them: the stages of a pipeline,
    the functions of a program; itself where it is neither."""
    model = load(path, scratch / "parts_input.mlpackage")
    spec = model.get_spec()
    found: dict[str, Path] = {}
    if spec.WhichOneof("Type") == "pipeline":
        for number, stage in enumerate(spec.pipeline.models):
            target = scratch / f"part_{number}.mlpackage"
            ct.models.MLModel(stage, weights_dir=model.weights_dir, skip_model_load=True).save(str(target))
            found[f"{number}/main/"] = target
        return found
    if len(spec.mlProgram.functions) == 1:
        return {"": path}
    for name in spec.mlProgram.functions:
        descriptor = ct.utils.MultiFunctionDescriptor()
        descriptor.add_function(
            str(scratch / "parts_input.mlpackage"), src_function_name=name, target_function_name="main"
        )
        descriptor.default_function_name = "main"
        target = scratch / f"part_{name}.mlpackage"
        ct.utils.save_multifunction(descriptor, str(target))
        found[f"{name}/"] = target
    return found
