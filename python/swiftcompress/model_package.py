"""Core ML packages, read-only: what is in them, and their weights as arrays of the mapped file."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from swiftcompress import _native
from swiftcompress._checks import message
from swiftcompress._lazy import lazy
from swiftcompress.arrays.inputs import Array
from swiftcompress.arrays.packing import unpack_bits
from swiftcompress.report import CompressionReport

if TYPE_CHECKING:
    from swiftcompress._core import _Package

# Parts of the description (swiftcompress.h).
_MODEL, _OPERATIONS, _WEIGHTS, _CONSTANTS = range(4)

# MIL's names of types that NumPy has too.
_NUMPY_TYPES = {
    "bool": "bool",
    "fp16": "float16",
    "fp32": "float32",
    "fp64": "float64",
    **{name: name for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
}
# Types that ml_dtypes brings, with what they are viewed as without it.
_EXTENSION_TYPES = {
    "bf16": ("bfloat16", "uint16"),
    "fp8e4m3fn": ("float8_e4m3fn", "uint8"),
    "fp8e5m2": ("float8_e5m2", "uint8"),
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a program."""

    name: str
    """Its name; unique within its block."""
    type: str
    """What it does: "const", "conv", "constexpr_lut_to_dense", ..."""
    function: str
    """The function that it is in."""
    outputs: tuple[str, ...]
    """Names of its results."""
    depth: int
    """0 in the function's own block, one more in each nested one."""


@dataclass(frozen=True, slots=True)
class StoredWeight:
    """Where and how a package keeps one array."""

    name: str
    """The name that consumers use; ``operation.parameter`` for an array written into an operation."""
    function: str
    """The function that it is in."""
    dtype: str
    """Element type in MIL's words: "fp16", "uint4", ..."""
    bits: int
    """Bits of one element."""
    shape: tuple[int, ...]
    """Its sizes."""
    operation: str
    """The type of the operation that it is written into; "const" for a constant of its own."""
    file: str
    """The weight file, as the program names it; empty for a value in the program itself."""
    offset: int
    """Place of its record in that file, in bytes."""

    @property
    def size(self) -> int:
        """The number of elements."""
        count = 1
        for dimension in self.shape:
            count *= dimension
        return count


@dataclass(frozen=True, slots=True)
class CompressedWeight:
    """A weight that a ``constexpr_*`` operation expands when the model is loaded."""

    name: str
    """The name that consumers use."""
    function: str
    """The function that it is in."""
    operation: str
    """The type of the operation, such as "constexpr_lut_to_dense"."""
    dtype: str
    """Element type after expansion."""
    shape: tuple[int, ...]
    """Sizes after expansion."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the author of a model says about it."""

    description: str
    """One or more sentences."""
    version: str
    """Of the model."""
    author: str
    """Who made it."""
    license: str
    """On what terms."""
    user: Mapping[str, str]
    """Entries of any name."""


class Weights(Mapping[str, Array]):
    """The arrays that a package stores, by name, each made when it is asked for.

    An array is a read-only view of the mapped file and keeps it open. Elements narrower than a byte, which NumPy has no
    types for, are unpacked into a read-only int8 or uint8 copy; `packed` gives the bytes as stored. bfloat16 and
    8-bit floats have the types of ml_dtypes where that is installed, otherwise they are views as uint16 and uint8.
    """

    def __init__(self, package: "_Package", entries: dict[str, tuple[int, StoredWeight]]) -> None:
        self._package = package
        self._entries = entries

    def __getitem__(self, name: str) -> Array:
        number, stored = self._entries[name]
        return _tensor(self._package, number, stored.dtype, stored.bits, stored.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def info(self, name: str) -> StoredWeight:
        """Where and how the array is stored, without touching it."""
        return self._entries[name][1]

    def packed(self, name: str) -> Array:
        """Its bytes as stored: a flat read-only uint8 view of the mapped file."""
        return _native.package_tensor(self._package, self._entries[name][0])

    def __repr__(self) -> str:
        return f"Weights({len(self)} arrays)"


class ModelPackage:
    """An opened ``.mlpackage``.

    Opening reads the program's outline, and no weights. The files must not be changed by others while the package, or
    an array of it, is in use; replacing the whole package, as `save` does, is fine. To save or compress it again after
    that, open it again: this object shows the package as it was.

    Parameters
    ----------
    path
        The folder of the package.

    Raises
    ------
    ModelFormatError
        When it is damaged or not a package; names the file, the place in it and what was expected.
    OSError
        When it cannot be read: FileNotFoundError, PermissionError, ...

    Examples
    --------
    >>> import swiftcompress as sc
    >>> package = sc.ModelPackage(".models/crepe_tiny.mlpackage")  # doctest: +SKIP
    >>> package.specification_version  # doctest: +SKIP
    6
    """

    report: CompressionReport | None
    """What was done to it, when it is the result of a compression."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(message("ModelPackage", "path", type(path).__name__, "str or os.PathLike"))
        self.path = os.path.abspath(os.fspath(path))
        self.report = None
        self._package = _native.package_open(os.fsencode(self.path))
        self._model: dict[str, Any] = self._describe(_MODEL)

    def _describe(self, part: int) -> Any:
        return json.loads(_native.package_describe(self._package, part))

    # What it is

    @property
    def specification_version(self) -> int:
        """6: iOS 15, 7: iOS 16, 8: iOS 17, 9: iOS 18, 10: iOS 26."""
        return int(self._model["specification_version"])

    @property
    def model_type(self) -> str:
        """What kind of model it is: "mlProgram", "pipeline", "neuralNetwork", ..."""
        return str(self._model["model_type"])

    @lazy
    def functions(self) -> tuple[str, ...]:
        """Names of the functions; those of a pipeline begin with the number of their program."""
        return tuple(function["name"] for function in self._model["functions"])

    @lazy
    def metadata(self) -> Metadata:
        """What the author says about the model."""
        return Metadata(**self._model["metadata"])

    @lazy
    def operations(self) -> tuple[Operation, ...]:
        """Every operation of every function, constants included, in program order.

        Operations of nested blocks follow the operation that the blocks belong to.
        """
        return tuple(
            Operation(**{**entry, "outputs": tuple(entry["outputs"])}) for entry in self._describe(_OPERATIONS)
        )

    # Weights

    @lazy
    def _weight_part(self) -> dict[str, Any]:
        part: dict[str, Any] = self._describe(_WEIGHTS)
        return part

    @lazy
    def weights(self) -> Weights:
        """The stored arrays: name -> zero-copy read-only array of the mapped file.

        They are the constants in weight files, floating-point constants of one dimension or more written into the
        program, and the arrays of compressed weights, named after their operation and parameter: ``weight.lut``,
        ``weight.indices``, ... Where several functions have a name, it is qualified as ``function/name``; a name that one
        function has several times gets ``#2``, ``#3``, ... from the second on.
        """
        stored = [StoredWeight(**{**entry, "shape": tuple(entry["shape"])}) for entry in self._weight_part["weights"]]
        names = unique_names([(entry.function, entry.name) for entry in stored])
        return Weights(
            self._package,
            {name: (number, entry) for number, (name, entry) in enumerate(zip(names, stored, strict=True))},
        )

    @lazy
    def compressed(self) -> Mapping[str, CompressedWeight]:
        """The compressed weights by name, with their sizes after expansion."""
        found = [
            CompressedWeight(**{**entry, "shape": tuple(entry["shape"])}) for entry in self._weight_part["compressed"]
        ]
        names = unique_names([(entry.function, entry.name) for entry in found])
        return dict(zip(names, found, strict=True))

    def decompressed(self, name: str) -> Array:
        """Expand a weight into a new dense array.

        Parameters
        ----------
        name
            A key of `compressed`, or of `weights`.

        Raises
        ------
        KeyError
            When there is none of that name.
        ModelFormatError
            When its operations are of a kind that cannot be expanded, or contradict each other.
        """
        if name in self.compressed:
            entry = self.compressed[name]
            first = next(
                key
                for key, other in self.compressed.items()
                if (other.function, other.name) == (entry.function, entry.name)
            )
            if first != name:
                raise NotImplementedError(
                    f"[decompressed] name: {name!r} is one of several weights called {entry.name!r}"
                )
            text, elements = _native.package_decompress(self._package, entry.name.encode(), entry.function.encode())
            dense = json.loads(text)
            return _elements(elements, dense["dtype"], dense["bits"], tuple(dense["shape"]))
        if name in self.weights:
            return self.weights[name].copy()
        raise KeyError(name)

    def _constants(self) -> dict[str, Any]:
        """Constant arrays and the operations that take them (Sources/SwiftCompressABI/ConstantDescription.swift)."""
        part: dict[str, Any] = self._describe(_CONSTANTS)
        return part

    def _constant(self, entry: dict[str, Any]) -> Array:
        """The array of one entry of `_constants`."""
        return _tensor(self._package, entry["tensor"], entry["dtype"], entry["bits"], tuple(entry["shape"]))

    # Writing

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an identical package.

        It appears at `path` complete or not at all; a package that was there is replaced. `path` may be the package
        itself.

        Raises
        ------
        OSError
            When it cannot be written. FileExistsError: something that is no package is in the way, and is left alone.
        """
        _native.package_save(self._package, os.fsencode(path))

    def __repr__(self) -> str:
        return f"ModelPackage({self.path!r}, {self.model_type}, specification version {self.specification_version})"


def unique_names(pairs: list[tuple[str, str]]) -> list[str]:
    """Names that are unique: qualified by the function where several have it, numbered where one has it repeatedly."""
    functions: dict[str, set[str]] = {}
    for function, name in pairs:
        functions.setdefault(name, set()).add(function)
    taken = set(functions)
    seen: dict[str, int] = {}
    result = []
    for function, name in pairs:
        base = name if len(functions[name]) == 1 else f"{function}/{name}"
        seen[base] = seen.get(base, 0) + 1
        unique = base
        while seen[base] > 1 and (unique == base or unique in taken):
            unique = f"{base}#{seen[base]}"
            seen[base] += unique in taken
        taken.add(unique)
        result.append(unique)
    return result


def _tensor(package: "_Package", number: int, dtype: str, bits: int, shape: tuple[int, ...]) -> Array:
    """A stored array, read-only: a view of the mapped file, or a copy where NumPy has no type for its elements."""
    array = _elements(_native.package_tensor(package, number), dtype, bits, shape)
    array.flags.writeable = False
    return array


def _elements(raw: Array, dtype: str, bits: int, shape: tuple[int, ...]) -> Array:
    """View stored bytes as an array of their type."""
    if bits < 8:
        count = int(np.prod(shape, dtype=np.int64))
        return unpack_bits(raw, bits, count, dtype.startswith("int")).reshape(shape)
    return raw.view(_numpy_type(dtype)).reshape(shape)


def _numpy_type(dtype: str) -> np.dtype[Any]:
    if dtype in _NUMPY_TYPES:
        return np.dtype(_NUMPY_TYPES[dtype]).newbyteorder("<")
    if dtype not in _EXTENSION_TYPES:
        raise NotImplementedError(f"[weights] dtype: found {dtype}, which NumPy has no type for")
    name, otherwise = _EXTENSION_TYPES[dtype]
    try:
        import ml_dtypes
    except ImportError:
        return np.dtype(otherwise)
    extension: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
    return extension
