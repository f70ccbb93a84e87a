"""Writes the packages the tests of ModelCompression read. Needs coremltools 9.0:

    python Tests/ModelCompressionTests/Fixtures/make_fixtures.py

The packages named reference_* are what coremltools itself makes of the others; expected.json has the CRC-32 of what
coremltools expands each of their weights to.
"""

import json
import shutil
import tempfile
import zlib
from pathlib import Path

import coremltools as ct
import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import types
from coremltools.converters.mil.frontend.milproto import load as milproto
from coremltools.optimize.coreml import (
    OpLinearQuantizerConfig,
    OpMagnitudePrunerConfig,
    OpPalettizerConfig,
    OpThresholdPrunerConfig,
    OptimizationConfig,
    decompress_weights,
    linear_quantize_weights,
    palettize_weights,
    prune_weights,
)

HERE = Path(__file__).resolve().parent
rng = np.random.default_rng(7)


def normal(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float16)


def lattice(values: int, *shape: int) -> np.ndarray:
    """A weight with `values` distinct values."""
    return (rng.integers(0, values, shape) * 0.25 - 1).astype(np.float16)


WEIGHTS = {
    "conv_weight": normal(64, 16, 4, 4),
    "transpose_weight": normal(16, 32, 3, 3),
    "linear_weight": normal(48, 64),
    "matmul_y": normal(64, 48),
    "matmul_yt": normal(48, 64),
    "shared_weight": normal(64, 64),
    "agreeing_weight": normal(64, 64),
    "lattice_weight": lattice(7, 64, 64),
    "small_weight": normal(20, 64),
    "mask": np.where(rng.random((64, 64)) < 0.2, -np.inf, 0).astype(np.float16),
    "odd_weight": normal(49, 64),
    "branch_weight": normal(64, 64),
    "inner_weight": normal(64, 64),
    "returned": normal(64, 64),
}


def build(target: ct.target, dtype=types.fp16):
    """One operation of each kind that decides differently about its weight."""
    numpy_type = types.nptype_from_builtin(dtype)

    @mb.program(
        input_specs=[
            mb.TensorSpec((1, 16, 8, 8), dtype=dtype),
            mb.TensorSpec((2, 64), dtype=dtype),
            mb.TensorSpec((1,), dtype=dtype),
        ],
        opset_version=target,
    )
    def program(image, rows, flag):
        def const(name):
            return mb.const(val=WEIGHTS[name].astype(numpy_type), name=name)

        conv = mb.conv(x=image, weight=const("conv_weight"), name="conv")
        grown = mb.conv_transpose(x=image, weight=const("transpose_weight"), name="grown")
        bias = mb.const(val=normal(48).astype(numpy_type), name="linear_bias")
        linear = mb.linear(x=rows, weight=const("linear_weight"), bias=bias, name="linear")
        product = mb.matmul(x=rows, y=const("matmul_y"), name="product")
        transposed = mb.matmul(x=rows, y=const("matmul_yt"), transpose_y=True, name="transposed")
        shared = const("shared_weight")
        first = mb.linear(x=rows, weight=shared, name="shared_linear")
        second = mb.matmul(x=rows, y=shared, name="shared_matmul")
        agreeing = const("agreeing_weight")
        third = mb.linear(x=rows, weight=agreeing, name="agreeing_linear")
        fourth = mb.matmul(x=rows, y=agreeing, transpose_y=True, name="agreeing_matmul")
        fifth = mb.linear(x=rows, weight=const("lattice_weight"), name="lattice_linear")
        sixth = mb.linear(x=rows, weight=const("small_weight"), name="small_linear")
        masked = mb.add(x=first, y=mb.linear(x=rows, weight=const("mask"), name="masked"))
        odd = mb.linear(x=rows, weight=const("odd_weight"), name="odd_linear")
        outer = const("branch_weight")

        def then():
            return mb.linear(x=rows, weight=outer, name="then_linear")

        def otherwise():
            inner = const("inner_weight")
            return mb.linear(x=rows, weight=inner, name="else_linear")

        branch = mb.cond(pred=mb.squeeze(x=mb.cast(x=flag, dtype="bool")), _true_fn=then, _false_fn=otherwise, name="branch")
        returned = const("returned")
        sums = mb.add(x=mb.add(x=second, y=third), y=mb.add(x=fourth, y=fifth), name="sums")
        return conv, grown, linear, product, transposed, sums, sixth, masked, odd, branch, mb.identity(x=returned)

    return program


def convert(program, target):
    return ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=target,
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
        pass_pipeline=ct.PassPipeline.EMPTY,
    )


def save(model, name: str) -> Path:
    path = HERE / f"{name}.mlpackage"
    shutil.rmtree(path, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / path.name
        model.save(str(temporary))
        shutil.copytree(temporary, path)
    return path


def reference(source: Path, name: str, **settings) -> None:
    """coremltools' palettization of a copy: opening a package rewrites its manifest."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / source.name
        shutil.copytree(source, copy)
        model = ct.models.MLModel(str(copy), skip_model_load=True)
        exclude = {"masked": None} if settings.get("mode") != "unique" else {}
        config = OptimizationConfig(OpPalettizerConfig(**settings), op_name_configs=exclude)
        path = save(palettize_weights(model, config), name)
    EXPECTED[name] = expanded(path)


EXPECTED: dict[str, dict[str, int]] = {}
# coremltools fails in the second step on a weight whose consumers disagree about the axis, and on infinities.
LEFT_ALONE = ("shared_linear", "shared_matmul", "masked")
SUFFIXES = ("_palettized", "_pcs", "_quantized", "_sparsified")


def steps(name: str, source: str, *rest: tuple) -> None:
    """One or more compressions, each joint with those before it; only the last package is kept."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "source.mlpackage"
        shutil.copytree(HERE / f"{source}.mlpackage", copy)
        model = ct.models.MLModel(str(copy), skip_model_load=True)
        for number, (function, config) in enumerate(rest):
            with np.errstate(all="ignore"):
                options = OptimizationConfig(config, op_name_configs=dict.fromkeys(LEFT_ALONE))
                model = function(model, options, joint_compression=number > 0)
        path = save(model, name)
    EXPECTED[name] = expanded(path)


def quantized_and_pruned() -> None:
    linear = (linear_quantize_weights, OpLinearQuantizerConfig(mode="linear", dtype="uint8"))
    int8 = (linear_quantize_weights, OpLinearQuantizerConfig())
    table = (linear_quantize_weights, OpLinearQuantizerConfig(granularity="per_tensor"))
    block = (linear_quantize_weights, OpLinearQuantizerConfig(dtype="int4", granularity="per_block", block_size=16))
    half = (prune_weights, OpMagnitudePrunerConfig(target_sparsity=0.5))
    ratio = (prune_weights, OpMagnitudePrunerConfig(n_m_ratio=(2, 4)))
    small = (prune_weights, OpThresholdPrunerConfig(threshold=0.5, minimum_sparsity_percentile=0.2))
    uniform = (palettize_weights, OpPalettizerConfig(mode="uniform", nbits=4))
    steps("reference_ios15_linear_uint8", "mixed_ios15", linear)
    steps("reference_ios16_int8", "mixed_ios16", int8)
    steps("reference_ios16_sparse", "mixed_ios16", half)
    steps("reference_ios18_int4_block", "mixed_ios18", block)
    steps("reference_ios18_ratio", "mixed_ios18", ratio)
    steps("reference_ios18_threshold", "mixed_ios18", small)
    steps("reference_ios18_sparse_palette", "mixed_ios18", half, uniform)
    steps("reference_ios18_sparse_int8", "mixed_ios18", half, linear)
    steps("reference_ios18_sparse_palette_int8", "mixed_ios18", half, uniform, table)
    steps("reference_ios18_int8_palette", "mixed_ios18", int8, uniform)
    steps("reference_ios18_int8_sparse", "mixed_ios18", int8, half)
    steps("reference_ios18_palette_int8", "mixed_ios18", uniform, table)
    steps("reference_ios18_palette_sparse", "mixed_ios18", uniform, half)


def expanded(source: Path) -> dict[str, int]:
    """CRC-32 of every weight that coremltools expands."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / source.name
        shutil.copytree(source, copy)
        model = decompress_weights(ct.models.MLModel(str(copy), skip_model_load=True))
        program = milproto.load(
            model.get_spec(), model.get_spec().specificationVersion, model.weights_dir
        )
        found: dict[str, int] = {}

        def visit(block):
            for op in block.operations:
                for inner in op.blocks:
                    visit(inner)
                if op.op_type == "const" and op.name.endswith(SUFFIXES):
                    name = op.name
                    while name.endswith(SUFFIXES):
                        name = name[: name.rindex("_")]
                    found[name] = zlib.crc32(np.ascontiguousarray(op.outputs[0].val).tobytes())

        for function in program.functions.values():
            visit(function)
        return dict(sorted(found.items()))


def tiny(weight: np.ndarray, target=ct.target.iOS18):
    @mb.program(input_specs=[mb.TensorSpec((2, weight.shape[1]), dtype=types.fp16)], opset_version=target)
    def program(x):
        return mb.linear(x=x, weight=mb.const(val=weight, name="weight"), name="out")

    return convert(program, target)


def multifunction() -> None:
    weight = normal(64, 64)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{name}.mlpackage" for name in ("one", "two")]
        for path in paths:
            tiny(weight).save(str(path))
        description = ct.utils.MultiFunctionDescriptor()
        for path in paths:
            description.add_function(str(path), src_function_name="main", target_function_name=path.stem)
        description.default_function_name = "one"
        result = Path(folder) / "multifunction.mlpackage"
        ct.utils.save_multifunction(description, str(result))
        shutil.rmtree(HERE / result.name, ignore_errors=True)
        shutil.copytree(result, HERE / result.name)


def pipeline() -> None:
    def stage(first: str, second: str):
        @mb.program(
            input_specs=[mb.TensorSpec((2, 64), dtype=types.fp16)], opset_version=ct.target.iOS16
        )
        def program(x):
            return mb.linear(x=x, weight=mb.const(val=normal(64, 64), name=second + "_weight"), name=second)

        model = convert(program, ct.target.iOS16)
        specification = model.get_spec()
        ct.utils.rename_feature(specification, "x", first)
        return ct.models.MLModel(specification, weights_dir=model.weights_dir, skip_model_load=True)

    model = ct.utils.make_pipeline(stage("a", "b"), stage("b", "c"))
    save(model, "pipeline")


def neural_network() -> None:
    from coremltools.models import datatypes, neural_network

    builder = neural_network.NeuralNetworkBuilder(
        [("x", datatypes.Array(4))], [("y", datatypes.Array(4))], disable_rank5_shape_mapping=True
    )
    builder.add_activation("relu", "RELU", "x", "y")
    ct.models.utils.save_spec(builder.spec, str(HERE / "old.mlmodel"))
    save(ct.models.MLModel(builder.spec, skip_model_load=True), "neural_network")


def targets() -> None:
    """What raising to a later target has to look at: indices, bounds, parameters that are new, an operation that is gone."""
    specs = [
        mb.TensorSpec((4,), dtype=types.int32),
        mb.TensorSpec((1, 3, 8, 8)),
        mb.TensorSpec((2, 3), dtype=types.int32),
    ]
    table = (np.arange(60).reshape(10, 6) / 8).astype(np.float32)

    def indexed(tokens, image, places):
        rows = mb.gather(x=table, indices=tokens, axis=0, name="rows")
        front = mb.gather(x=rows, indices=np.array([0, 2], np.int32), axis=1, name="front")
        last = mb.gather(x=rows, indices=np.int32(-1), axis=-1, name="last")
        vectors = mb.gather_nd(x=image, indices=places, name="vectors")
        largest = mb.topk(x=rows, k=2, name="largest")
        flag = mb.greater(x=mb.reduce_sum(x=image, axes=[0, 1, 2, 3], keep_dims=False), y=0.0)

        def then():
            return mb.gather(x=table, indices=tokens, axis=0, name="nested")

        return front, last, vectors, *largest, mb.cond(pred=flag, _true_fn=then, _false_fn=lambda: mb.relu(x=rows))

    def blocked(tokens, image, places):
        roi = np.array([0, 0, 0, 4, 4], np.float32).reshape(1, 1, 5, 1, 1)
        crop = mb.crop_resize(x=image, roi=roi, target_height=4, target_width=4, name="crop")
        return crop, mb.clip(x=image, alpha=1.0, beta=1.0, name="flat"), mb.identity(x=tokens), mb.identity(x=places)

    for name, function in (("indexed_ios15", indexed), ("blocked_ios15", blocked)):
        program = mb.program(input_specs=specs, opset_version=ct.target.iOS15)(function)
        save(convert(program, ct.target.iOS15), name)


def main() -> None:
    save(convert(build(ct.target.iOS15, types.fp32), ct.target.iOS15), "mixed_ios15")
    save(convert(build(ct.target.iOS16), ct.target.iOS16), "mixed_ios16")
    save(convert(build(ct.target.iOS18), ct.target.iOS18), "mixed_ios18")
    mixed16, mixed18 = HERE / "mixed_ios16.mlpackage", HERE / "mixed_ios18.mlpackage"
    reference(HERE / "mixed_ios15.mlpackage", "reference_ios15_uniform4", mode="uniform", nbits=4)
    reference(mixed16, "reference_ios16_uniform6", mode="uniform", nbits=6)
    grouped = {"granularity": "per_grouped_channel", "group_size": 16}
    reference(mixed18, "reference_ios18_uniform3_grouped", mode="uniform", nbits=3, **grouped)
    reference(mixed18, "reference_ios18_unique", mode="unique")
    scaled = {"enable_per_channel_scale": True, "weight_threshold": 100}
    reference(mixed18, "reference_ios18_uniform4_scaled", mode="uniform", nbits=4, **scaled)
    reference(
        mixed18, "reference_ios18_vector", mode="kmeans", nbits=2, cluster_dim=4, weight_threshold=5000
    )
    quantized_and_pruned()
    (HERE / "expected.json").write_text(json.dumps(EXPECTED, indent=1) + "\n")
    multifunction()
    pipeline()
    neural_network()
    without = mb.program(input_specs=[mb.TensorSpec((2, 4), dtype=types.fp16)], opset_version=ct.target.iOS16)(
        lambda x: mb.relu(x=x, name="out")
    )
    save(convert(without, ct.target.iOS16), "weightless")
    targets()


if __name__ == "__main__":
    main()
