"""Checks that several replacements share."""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swiftcompress.accelerate.patching import decline, require
from swiftcompress.arrays.inputs import Array

FLOATS = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))


def plain(value: Any, name: str) -> Array:
    """`value`, an ndarray and no subclass, with elements and in the machine's byte order."""
    require(type(value) is np.ndarray, f"{name} is no plain NumPy array")
    array: Array = value
    require(array.size > 0, f"{name} is empty")
    require(array.dtype.isnative, f"{name} has another byte order")
    return array


def floats(value: Any, name: str) -> Array:
    """`value`, an array of float16, float32 or float64."""
    array = plain(value, name)
    require(array.dtype in FLOATS, f"{name} is of {array.dtype}")
    return array


def typed(array: Array, dtype: Any) -> Array:
    """Bytes as coremltools marks them: its 4-bit integers are NumPy's of 8 bits, with a note in the type."""
    wanted = np.dtype(dtype)
    require(wanted == array.dtype, f"codes of {wanted} are wanted")
    return array.view(wanted)


def doubles(value: Any, name: str) -> NDArray[np.float64]:
    """Numbers in one dimension as float64: an array, a list, or a torch tensor on the CPU."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        require(type(value) in (torch.Tensor, torch.nn.Parameter), f"{name} is no plain tensor")
        require(value.device.type == "cpu", f"{name} is on {value.device}")
        require(value.dtype in (torch.float16, torch.float32, torch.float64), f"{name} is of {value.dtype}")
        value = value.detach().numpy()
        if value.ndim == 2 and value.shape[1] == 1:
            value = value[:, 0]
    elif isinstance(value, list | tuple):
        require(all(isinstance(each, int | float | np.floating) for each in value), f"{name} is no list of numbers")
        value = np.array(value, np.float64)
    array = plain(value, name)
    require(array.ndim == 1, f"{name} has {array.ndim} dimensions")
    if array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:
        decline(f"{name} is of {array.dtype}")
    return array.astype(np.float64, copy=False)
