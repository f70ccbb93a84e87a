"""The buffers that ``coremltools.convert`` reads: for each compressed parameter, what its exact parts are.

A module that has a compressed parameter "weight" has buffers "_COREML_/weight/lut" and so on. The format is that of
``coremltools/optimize/torch/_utils/metadata_utils.py`` (coremltools 9.0, BSD-3-Clause).
"""

from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

import torch

from swiftcompress.torch._selection import Declined

PREFIX = "_COREML_"
VERSION_BUFFER = f"{PREFIX}/metadata_version"
VERSION = 1


class CompressionType(Enum):
    """What was done to a parameter; the numbers are stored."""

    pruning = 1
    palettization = 2
    quantization = 3


@dataclass
class CompressionMetadata:
    """What is stored about one parameter; None is not stored."""

    param_name: str
    """The parameter's name in its module."""
    quantization_n_bits: int | None = None
    """Bits of a code; of a quantized lookup table, of its entries."""
    quantization_scale: Any = None
    """Rank of the parameter (of the lookup table): the number of blocks along each axis."""
    zero_point: Any = None
    """In the shape of the scale; None where it is 0."""
    lut: Any = None
    """Rank of the parameter + 2: groups, then entries, then the length of one."""
    palettization_scale: Any = None
    """Rank of the parameter: one factor for each channel."""
    vector_axis: int | None = None
    """The axis that entries longer than 1 lie along."""
    compression_type: tuple[CompressionType, ...] = ()
    """What was done, in that order."""

    def register(self, module: Any, *, device: Any = None) -> None:
        """Store it in the module, after what was done to the parameter before."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name == "param_name" or value is None:
                continue
            name = buffer_name(self.param_name, entry.name)
            if entry.name == "compression_type":
                before = module.get_buffer(name).tolist() if name in module._buffers else []
                value = before + [each.value for each in self.compression_type]
            # A copy: modules that share a parameter must not share its buffers.
            tensor = value.detach().clone() if isinstance(value, torch.Tensor) else torch.tensor(value)
            module.register_buffer(name, tensor if device is None else tensor.to(device))


def buffer_name(param_name: str, key: str) -> str:
    """The name of one buffer."""
    return f"{PREFIX}/{param_name}/{key}"


def compression_types(module: Any, param_name: str) -> tuple[CompressionType, ...]:
    """What was done to a parameter before."""
    buffer = module._buffers.get(buffer_name(param_name, "compression_type"))
    return () if buffer is None else tuple(CompressionType(number) for number in buffer.tolist())


def requires_plain(module: Any, param_name: str) -> None:
    """Leave alone what `coremltools.convert` could not read after a palettization or quantization.

    Raises
    ------
    Declined
        When the parameter was palettized or quantized before.
    """
    for before in compression_types(module, param_name):
        if before is not CompressionType.pruning:
            done = {CompressionType.palettization: "palettized", CompressionType.quantization: "quantized"}[before]
            raise Declined(f"it is {done} already")


def register_metadata_version(model: Any) -> None:
    """Store the format's version in the model."""
    model.register_buffer(VERSION_BUFFER, torch.tensor(VERSION))
