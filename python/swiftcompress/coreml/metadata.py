"""`get_weights_metadata`: what a model's weights are, how sparse, how many values, and which operations take them."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Self

import numpy as np

from swiftcompress import _checks, _native
from swiftcompress.arrays.inputs import Array
from swiftcompress.coreml import adapters
from swiftcompress.model_package import unique_names

_OPERATION = "get_weights_metadata"


@dataclass(frozen=True)
class CoreMLOpMetaData:
    """An operation that takes a weight.

    Parameters
    ----------
    op_type
        Its type, such as "conv".
    name
        Its name.
    params_name_mapping
        The names of its constant parameters' weights, by parameter: ``{"weight": "conv_1_weight"}``. A weight's name can
        also be had as an attribute, ``op.weight``.
    """

    op_type: str
    name: str
    params_name_mapping: dict[str, str]

    def __post_init__(self) -> None:
        for key, kind in (("op_type", str), ("name", str), ("params_name_mapping", dict)):
            if not isinstance(getattr(self, key), kind):
                raise TypeError(f'"{key}" must be a {kind.__name__}. Got {getattr(self, key)!r}.')

    def __getattr__(self, name: str) -> str:
        # Only asked for what is no field.
        try:
            weight: str = self.__dict__["params_name_mapping"][name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no attribute or constant parameter {name!r}") from None
        return weight

    def __str__(self) -> str:
        return "".join(
            [
                f"{self.op_type}(name={self.name}",
                *(f", {key}={value}" for key, value in self.params_name_mapping.items()),
                ", ...)",
            ]
        )


class CoreMLWeightMetaData:
    """What a weight is. Counts its elements when that is first asked for.

    Parameters
    ----------
    val
        The array.
    sparsity, unique_values
        Given where they are known already.
    child_ops
        The operations that take it.

    Attributes
    ----------
    val
        The array; of a model, a read-only view of the mapped file.
    sparsity
        The part of the elements whose magnitude is 1e-12 or less; for float16 this means 0.
    unique_values
        The number of different values. Zeros of both signs are one, and so are all NaNs.
    child_ops
        A list of `CoreMLOpMetaData`, or None.

    Raises
    ------
    TypeError
        When an argument is of another type.

    Examples
    --------
    >>> import numpy as np
    >>> from swiftcompress.coreml import CoreMLWeightMetaData
    >>> data = CoreMLWeightMetaData(np.array([[1.0, 0.0], [0.0, 6.0]], dtype=np.float32))
    >>> data.sparsity, data.unique_values
    (0.5, 3)
    """

    __slots__ = ("_child_ops", "_load", "_sparsity", "_unique_values", "_val")
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        val: Array,
        sparsity: float | None = None,
        unique_values: int | None = None,
        child_ops: list[CoreMLOpMetaData] | None = None,
    ) -> None:
        for name, value, kind, allowed in (
            ("val", val, np.ndarray, "a NumPy array"),
            ("sparsity", sparsity, float | None, "a float"),
            ("unique_values", unique_values, int | None, "an integer"),
            ("child_ops", child_ops, list | None, "a list of CoreMLOpMetaData, or None"),
        ):
            if not isinstance(value, kind):
                raise TypeError(f'"{name}" must be {allowed}. Got {value!r}.')
        self._val: Array | None = val
        self._load: Callable[[], Array] | None = None
        self._sparsity = sparsity
        self._unique_values = unique_values
        self._child_ops = child_ops

    @classmethod
    def _of_package(cls, load: Callable[[], Array], child_ops: list[CoreMLOpMetaData]) -> Self:
        made = cls(np.empty(0), child_ops=child_ops)
        made._val, made._load = None, load
        return made

    @property
    def val(self) -> Array:
        """The array; of a model, a read-only view of the mapped file."""
        if self._val is None:
            assert self._load is not None
            self._val = self._load()
        return self._val

    @property
    def sparsity(self) -> float:
        """The part of the elements whose magnitude is 1e-12 or less; for float16 this means 0."""
        if self._sparsity is None:
            self._count()
        assert self._sparsity is not None
        return self._sparsity

    @property
    def unique_values(self) -> int:
        """The number of different values. Zeros of both signs are one, and so are all NaNs."""
        if self._unique_values is None:
            self._count()
        assert self._unique_values is not None
        return self._unique_values

    @property
    def child_ops(self) -> list[CoreMLOpMetaData] | None:
        """The operations that take it, each once, in the order of the program."""
        return self._child_ops

    def _count(self) -> None:
        near_zero, distinct = _statistics(self.val)
        if self._sparsity is None:
            self._sparsity = near_zero / self.val.size if self.val.size else float("nan")
        if self._unique_values is None:
            self._unique_values = distinct

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CoreMLWeightMetaData):
            return NotImplemented
        return (
            self.child_ops == other.child_ops
            and self.val.dtype == other.val.dtype
            and np.array_equal(self.val, other.val)
            and (self.sparsity, self.unique_values) == (other.sparsity, other.unique_values)
        )

    def __repr__(self) -> str:
        return (
            f"CoreMLWeightMetaData(val=np.ndarray(shape={self.val.shape}, dtype={self.val.dtype}), "
            f"child_ops={self.child_ops!r})"
        )

    def __str__(self) -> str:
        lines = [
            "[  ",
            f"  val: np.ndarray(shape={self.val.shape}, dtype={self.val.dtype})",
            f"  sparsity: {self.sparsity}",
            f"  unique_values: {self.unique_values}",
        ]
        if self.child_ops is not None:
            lines += ["  child_ops: [", *(f"    {child}" for child in self.child_ops), "  ]"]
        return "\n".join([*lines, "]"])


class WeightsMetadata(dict[str, CoreMLWeightMetaData]):
    """The weights of a model by name. Prints all that is known of each, as in coremltools."""

    def __str__(self) -> str:
        return "".join(f"{name}\n{data}\n" for name, data in self.items())


def get_weights_metadata(model: Any, weight_threshold: int = 2048) -> WeightsMetadata:
    """Tell what the constant arrays of a Core ML package are, and which operations take them.

    Names, their order, and what is said of each: as ``coremltools.optimize.coreml.get_weights_metadata`` of coremltools
    9.0. The arrays of compressed weights (indices, lookup tables, ...) are constants of the operation that expands them.
    Nothing is read before it is asked for: the arrays are views of the mapped file, and sparsity and the number of
    values are counted at the first access.

    Parameters
    ----------
    model
        The path of an ``.mlpackage``, a `swiftcompress.ModelPackage`, or a ``coremltools.models.MLModel``. coremltools
        calls it ``mlmodel`` and takes it by position alone.
    weight_threshold
        Constants of at least this many elements are told of.

    Returns
    -------
    WeightsMetadata
        A dictionary of `CoreMLWeightMetaData`. Its keys are the names of the constants; those that several functions of
        the model have are qualified as ``function/name``.

    Raises
    ------
    TypeError, ValueError
        For arguments that are not of the kind or in the range described.
    ModelFormatError
        When the package is damaged, or holds no ML Program.
    OSError
        When it cannot be read.

    References
    ----------
    The function of the same name in coremltools 9.0 (BSD-3-Clause), ``coremltools/optimize/coreml``.

    Examples
    --------
    >>> import swiftcompress.coreml as cto
    >>> weights = cto.get_weights_metadata("model.mlpackage", weight_threshold=1024)  # doctest: +SKIP
    >>> [name for name, data in weights.items() if data.sparsity >= 0.5]  # doctest: +SKIP
    ['conv_1_weight']
    >>> print(weights)  # doctest: +SKIP
    """
    threshold = _checks.integer(_OPERATION, "weight_threshold", weight_threshold, 0, "a whole number of 0 or more")
    package = adapters.as_package(_OPERATION, model)
    if not package.functions:
        raise _native.ModelFormatError(
            f"{package.path}: found a model of type {package.model_type} without an ML Program"
        )
    part = package._constants()
    constants = part["constants"]
    listed = [number for number in part["order"] if prod(constants[number]["shape"]) >= threshold]
    names = unique_names([(constants[number]["function"], constants[number]["name"]) for number in listed])
    name_of = dict(zip(listed, names, strict=True))
    consumers: dict[int, CoreMLOpMetaData] = {}

    def consumer(number: int) -> CoreMLOpMetaData:
        if number not in consumers:
            entry = part["operations"][number]
            taken = {
                parameter["name"]: name_of[parameter["constant"]]
                for parameter in entry["parameters"]
                if parameter["constant"] in name_of
            }
            consumers[number] = CoreMLOpMetaData(entry["type"], entry["name"], taken)
        return consumers[number]

    def metadata(entry: dict[str, Any]) -> CoreMLWeightMetaData:
        return CoreMLWeightMetaData._of_package(
            lambda: package._constant(entry), [consumer(number) for number in entry["consumers"]]
        )

    return WeightsMetadata((name, metadata(constants[number])) for number, name in name_of.items())


def _statistics(array: Array) -> tuple[int, int]:
    """The number of elements of magnitude 1e-12 or less, and of different values."""
    kind = array.dtype
    if array.size < 2**32:
        if kind.name == "bfloat16":
            array = (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        elif kind.name.startswith("float8"):
            array = array.astype(np.float32)
        elif kind.itemsize == 1 and kind.kind in "iub":
            array = array.view(np.uint8)
        if array.dtype.name in ("float16", "float32", "float64", "uint8"):
            return _native.weight_statistics(array, 0)
    # An integer's magnitude may not fit its type: of -2^31 it would be negative.
    near_zero = array == 0 if kind.kind in "iu" else np.abs(array) <= 1e-12
    return int(np.count_nonzero(near_zero)), len(np.unique(array))
