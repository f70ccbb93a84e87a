"""A compressed weight as a tree: the operation that gives it, its arrays, and the operations those come from.

The same form from a written package (read with Google's protobuf) and from a program of coremltools in memory, so that the
two can be compared whatever their operations are called.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from coremltools.converters.mil.mil import types

from .oracle import Array, Constexpr, OraclePackage
from .ours import final_names

_TYPE_NAMES = {"fp16": "float16", "fp32": "float32"}
_SUFFIX = re.compile(r"(_quantized|_sparsified|_palettized_pcs|_palettized)(_\d+)?$")


@dataclass
class Leaf:
    """A constant array: MIL's name of its type, and its elements (sub-byte ones widened to 8 bits)."""

    type_name: str
    values: np.ndarray

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Leaf)
            and self.type_name == other.type_name
            and self.values.shape == other.values.shape
            and self.values.tobytes() == other.values.tobytes()
        )

    def __repr__(self) -> str:
        return f"{self.type_name}{list(self.values.shape)} {self.values.ravel()[:4]}"


@dataclass
class Chain:
    type: str
    parameters: dict[str, Leaf | tuple[Chain, int]] = field(default_factory=dict)
    """An array, or another operation with the number of its output."""


def difference(ours: Chain, theirs: Chain, where: str = "") -> str | None:
    """What first differs; nil where nothing does."""
    if ours.type != theirs.type:
        return f"{where}: {ours.type}, expected {theirs.type}"
    where = f"{where} {ours.type}"
    if set(ours.parameters) != set(theirs.parameters):
        return f"{where}: parameters {sorted(ours.parameters)}, expected {sorted(theirs.parameters)}"
    for key, mine in ours.parameters.items():
        other = theirs.parameters[key]
        if isinstance(mine, Leaf) or isinstance(other, Leaf):
            if mine != other:
                return f"{where}.{key}: {mine}, expected {other}"
        elif mine[1] != other[1]:
            return f"{where}.{key}: output {mine[1]}, expected {other[1]}"
        else:
            found = difference(mine[0], other[0], f"{where}.{key}")
            if found:
                return found
    return None


# MARK: from a package


def package_chains(package: OraclePackage) -> dict[str, Chain]:
    """Every compressed weight by its original name, those in several functions with the function before it."""
    operations = package.constexprs()
    producers = {
        key[: len(key) - len(operation.name)] + name: (key, number)
        for key, operation in operations.items()
        for number, name in enumerate(operation.outputs)
    }
    consts = package.consts()

    def leaf(array: Array) -> Leaf:
        return Leaf(array.type_name, array.values)

    def chain(key: str, operation: Constexpr) -> Chain:
        prefix = key[: len(key) - len(operation.name)]
        result = Chain(operation.type, {name: leaf(array) for name, array in operation.arrays.items()})
        for parameter, name in operation.bound.items():
            if prefix + name in producers:
                source, number = producers[prefix + name]
                result.parameters[parameter] = (chain(source, operations[source]), number)
            else:
                result.parameters[parameter] = leaf(consts[prefix + name])
        return result

    return {original_name(key): chain(key, operations[key]) for key in final_names(operations)}


# MARK: from coremltools


def original_name(name: str) -> str:
    """Without what the reference's passes append."""
    while _SUFFIX.search(name):
        name = _SUFFIX.sub("", name)
    return name


def program_chains(program: Any) -> dict[str, Chain]:
    """Every compressed weight of a PyMIL program by its original name."""
    found: dict[str, Chain] = {}

    def visit(block: Any) -> None:
        for operation in block.operations:
            for inner in operation.blocks:
                visit(inner)
            if operation.op_type.startswith("constexpr_") and _is_last(operation):
                found[original_name(operation.name)] = _chain(operation)

    for function in program.functions.values():
        visit(function)
    return found


def _is_last(operation: Any) -> bool:
    users = [user for output in operation.outputs for user in output.child_ops]
    return not users or any(not user.op_type.startswith("constexpr_") for user in users)


def _chain(operation: Any) -> Chain:
    result = Chain(operation.op_type)
    for key, var in operation.inputs.items():
        if var is None:
            continue
        if var.op is not None and var.op.op_type.startswith("constexpr_"):
            result.parameters[key] = (_chain(var.op), list(var.op.outputs).index(var))
        elif var.val is not None:
            kind = var.sym_type.get_primitive() if types.is_tensor(var.sym_type) else var.sym_type
            name = types.builtin_to_string(kind)
            result.parameters[key] = Leaf(_TYPE_NAMES.get(name, name), np.asarray(var.val))
    return result
