"""The packages that are measured, but for the published one: a made one of 67 million weights, and made ones of any size."""

import struct
from pathlib import Path
from typing import Any

import numpy as np

from contenders import import_coremltools

SIDE = 2048
LAYERS = 16  # 16 * 2048 * 2048 = 67,108,864 weights


def make_gaussian(path: Path, layers: int = LAYERS) -> None:
    """An iOS18 package of linear layers with float16 Gaussian weights (sigma 0.02, fixed seed)."""
    ct = import_coremltools()
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil.mil import types

    random = np.random.default_rng(20240607)

    def linear_layers(x: Any) -> Any:
        for layer in range(layers):
            weight = (random.standard_normal((SIDE, SIDE)) * 0.02).astype(np.float16)
            x = mb.linear(x=x, weight=weight, name=f"linear_{layer}")
        return x

    inputs = [mb.TensorSpec(shape=(1, SIDE), dtype=types.fp16)]
    program = mb.program(input_specs=inputs, opset_version=ct.target.iOS18)(linear_layers)
    model = ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS18,
        compute_precision=ct.precision.FLOAT16,
        skip_model_load=True,
    )
    model.save(str(path))


STAND_IN = 61  # rows of the small weights that `make_large` writes as large ones; no other dimension has this size


def make_large(path: Path, layers: int, rows: int, columns: int) -> None:
    """A package of `layers` float16 weights of rows by columns, of any size: made from one of small weights, whose shapes are
    changed in the program, and whose weight file is written piece by piece.
    """
    ct = import_coremltools()
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil.mil import types
    from coremltools.proto import Model_pb2

    random = np.random.default_rng(11)

    def products(x: Any) -> Any:
        total = None
        for layer in range(layers):
            weight = random.standard_normal((STAND_IN, columns), np.float32).astype(np.float16)
            product = mb.matmul(x=x, y=weight, transpose_y=True, name=f"matmul_{layer}")
            part = mb.reduce_sum(x=product, axes=[1], keep_dims=True)
            total = part if total is None else mb.add(x=total, y=part)
        return total

    inputs = [mb.TensorSpec(shape=(1, columns), dtype=types.fp16)]
    program = mb.program(input_specs=inputs, opset_version=ct.target.iOS18)(products)
    model = ct.convert(
        program, minimum_deployment_target=ct.target.iOS18, compute_precision=ct.precision.FLOAT16, skip_model_load=True
    )
    model.save(str(path))
    model_path = path / "Data/com.apple.CoreML/model.mlmodel"
    document = Model_pb2.Model.FromString(model_path.read_bytes())
    function = next(iter(document.mlProgram.functions.values()))
    offset, size = 64, rows * columns * 2
    for operation in next(iter(function.block_specializations.values())).operations:
        kinds = [output.type for output in operation.outputs]
        if operation.type == "const":
            value = operation.attributes["val"]
            kinds.append(value.type)
            if value.WhichOneof("value") == "blobFileValue":
                value.blobFileValue.offset = offset
                offset += 64 + size
        for kind in kinds:
            for dimension in kind.tensorType.dimensions:
                if dimension.constant.size == STAND_IN:
                    dimension.constant.size = rows
    model_path.write_bytes(document.SerializeToString())
    write_weights(path / "Data/com.apple.CoreML/weights/weight.bin", layers, rows, columns)


def write_weights(path: Path, count: int, rows: int, columns: int) -> None:
    """A weight file of Gaussian float16 weights; they differ in their first element only."""
    size = rows * columns * 2
    tile = (np.random.default_rng(11).standard_normal((min(rows, 2048), columns), np.float32) * 0.02).astype(np.float16)
    with path.open("wb") as file:
        file.write(struct.pack("<II", count, 2) + bytes(56))
        for number in range(count):
            file.write(struct.pack("<IIQQQ", 0xDEADBEEF, 1, size, file.tell() + 64, 0) + bytes(32))
            tile[0, 0] = number
            for start in range(0, rows, len(tile)):
                file.write(tile[: rows - start].tobytes())
