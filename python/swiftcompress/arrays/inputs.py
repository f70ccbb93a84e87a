"""What callers pass as arrays, as NumPy arrays that the engine takes.

Nothing is copied here unless a type has to change; layout and byte order are the extension module's business.
"""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swiftcompress._checks import message

Array = NDArray[Any]

FLOATS = "an array of float16, float32, float64 or bfloat16"


def as_array(operation: str, name: str, value: Any) -> Array:
    """`value` as a NumPy array: a view of its memory wherever there is one.

    Takes NumPy arrays, torch tensors on the CPU (also ones that require a gradient), whatever has `__array__`,
    `__array_interface__`, the buffer protocol or `__dlpack__`, and numbers in (nested) lists, which are copied.
    A torch tensor of bfloat16, which NumPy has no type for, comes back as float32; see `is_torch_bfloat16`.

    Raises
    ------
    TypeError
        For anything else, tensors on other devices, and masked arrays (whose mask would be lost).
    """
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            message(operation, name, "a masked array", "an array without a mask; there is an argument for it")
        )
    if isinstance(value, np.ndarray | np.generic | list | tuple | int | float):
        return _through_numpy(operation, name, value)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _from_torch(operation, name, value)
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        try:
            return np.from_dlpack(value)
        except (TypeError, ValueError, BufferError, RuntimeError) as error:
            raise TypeError(
                message(operation, name, f"{type(value).__name__} ({error})", "memory NumPy can read")
            ) from None
    return _through_numpy(operation, name, value)


def is_torch_bfloat16(value: Any) -> bool:
    """Whether `value` is a torch tensor of bfloat16. Does not import torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16


def _through_numpy(operation: str, name: str, value: Any) -> Array:
    if isinstance(value, str | bytes | dict | set) or value is None:
        raise TypeError(message(operation, name, type(value).__name__, "an array"))
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(message(operation, name, f"{type(value).__name__} ({error})", "an array")) from None
    if array.dtype == object:
        raise TypeError(message(operation, name, type(value).__name__, "an array of numbers"))
    return array


def _from_torch(operation: str, name: str, tensor: Any) -> Array:
    if tensor.device.type != "cpu":
        raise TypeError(
            message(operation, name, f"a tensor on {tensor.device}", "a tensor on the CPU; call .cpu() first")
        )
    tensor = tensor.detach()
    if is_torch_bfloat16(tensor):
        tensor = tensor.float()
    try:
        array: Array = tensor.numpy()
    except (TypeError, RuntimeError) as error:
        raise TypeError(message(operation, name, f"a tensor ({error})", "a dense tensor")) from None
    return array


def as_weight(operation: str, name: str, value: Any) -> tuple[Array, bool]:
    """View a floating-point array in a type the engine computes in; also tell whether it was bfloat16.

    bfloat16 becomes float32, exactly.

    Raises
    ------
    TypeError
        When its elements are not float16, float32, float64 or bfloat16.
    """
    array = as_array(operation, name, value)
    if is_bfloat16(array.dtype):
        return array.astype(np.float32), True
    if array.dtype.kind != "f" or array.dtype.itemsize not in (2, 4, 8):
        raise TypeError(message(operation, name, f"an array of {array.dtype}", FLOATS))
    return array, is_torch_bfloat16(value)


def as_doubles(operation: str, name: str, value: Any, shape: tuple[int, ...] | None = None) -> NDArray[np.float64]:
    """Real numbers of any kind as float64, which holds every float16, float32 and bfloat16 exactly.

    Raises
    ------
    TypeError
        For complex numbers, booleans, text, dates, and floats wider than float64.
    ValueError
        When the array is not of `shape`.
    """
    array = as_array(operation, name, value)
    if (array.dtype.kind not in "fiu" and not is_bfloat16(array.dtype)) or array.dtype.itemsize > 8:
        raise TypeError(
            message(operation, name, f"an array of {array.dtype}", "an array of real numbers, float64 at most")
        )
    require_shape(operation, name, array, shape)
    return array.astype(np.float64, copy=False)


def as_mask(operation: str, name: str, value: Any, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """View a mask as bytes: 0 for elements that take no part.

    Raises
    ------
    TypeError
        When its elements are neither bool nor integers.
    ValueError
        When it is not of `shape`.
    """
    array = as_array(operation, name, value)
    if array.dtype.kind not in "biu":
        raise TypeError(message(operation, name, f"an array of {array.dtype}", "an array of bool or uint8"))
    require_shape(operation, name, array, shape)
    return np.asarray(array != 0).view(np.uint8)


def require_shape(operation: str, name: str, array: Array, shape: tuple[int, ...] | None) -> None:
    """Raise ValueError unless the array has this shape; None allows any."""
    if shape is not None and array.shape != shape:
        raise ValueError(message(operation, name, f"an array of shape {array.shape}", f"shape {shape}"))


def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    """Whether a NumPy type is the bfloat16 of ml_dtypes."""
    return dtype.name == "bfloat16"


def to_bfloat16(array: NDArray[np.float32]) -> Array:
    """Round to bfloat16, ties to even: in the type of ml_dtypes where that is installed, otherwise kept in float32."""
    try:
        import ml_dtypes
    except ImportError:
        return _round_to_bfloat16(array)
    rounded: Array = array.astype(ml_dtypes.bfloat16)
    return rounded


def _round_to_bfloat16(array: NDArray[np.float32]) -> NDArray[np.float32]:
    bits = np.ascontiguousarray(array).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    # The sum above could carry out of a NaN's fraction.
    return np.where(np.isnan(array), array, rounded.view(np.float32).reshape(array.shape)).astype(np.float32)
