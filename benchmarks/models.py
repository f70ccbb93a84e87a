"""The packages that are measured: a published one, and a made one of 25 million weights."""

from pathlib import Path
from typing import Any

import numpy as np

from contenders import import_coremltools

SIDE = 2048
LAYERS = 6  # 6 * 2048 * 2048 = 25,165,824 weights


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
