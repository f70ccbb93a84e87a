"""Per-channel scales that multiply what the consumers compute: found in a written package, checked, and taken out again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from coremltools.proto import MIL_pb2

from .oracle import OraclePackage


@dataclass
class OutputScale:
    """One multiplication that was added after a consumer."""

    consumer: str  # its output's name
    type: str
    weight: str
    scale: np.ndarray
    bias: tuple[np.ndarray, np.ndarray] | None  # before and after


def name_of(operation: MIL_pb2.Operation, key: str) -> str | None:
    if key not in operation.inputs:
        return None
    argument = operation.inputs[key].arguments[0]
    return argument.name if argument.WhichOneof("binding") == "name" else None


def take_out(before: OraclePackage, path: Path, added: list[str]) -> tuple[OraclePackage, list[OutputScale]]:
    """The package at `path` without the added multiplications, and what they were: every other change stays to be seen."""
    after = OraclePackage(path)
    consts, originals = OraclePackage(path).consts(), before.consts()
    old = {operation.outputs[0].name: operation for _, operation in before.operations() if operation.outputs}
    found: list[OutputScale] = []
    left = set(added)
    for _, program, _ in after.programs():
        for function in program.functions.values():
            for block in function.block_specializations.values():
                found += _from_block(block, left, consts, originals, old)
    if left:
        raise AssertionError(f"{path}: no multiplications of these names: {sorted(left)}")
    return after, found


def _from_block(
    block: MIL_pb2.Block, left: set[str], consts: dict, originals: dict, old: dict[str, MIL_pb2.Operation]
) -> list[OutputScale]:
    found: list[OutputScale] = []
    producers = {output.name: op for op in block.operations for output in op.outputs}
    gone: set[str] = set()
    for operation in block.operations:
        for inner in operation.blocks:
            found += _from_block(inner, left, consts, originals, old)
        name = operation.attributes["name"].immediateValue.tensor.strings.values
        if operation.type != "mul" or not name or name[0] not in left:
            continue
        left.remove(name[0])
        x, y = name_of(operation, "x"), name_of(operation, "y")
        assert x is not None and y is not None
        consumer, output = producers[x], operation.outputs[0]
        assert consumer.outputs[0].type == output.type, f"{output.name}: the product has another type"
        uses = [
            binding.name
            for user in block.operations
            for argument in user.inputs.values()
            for binding in argument.arguments
            if binding.WhichOneof("binding") == "name"
        ]
        assert uses.count(x) == 1 and x not in block.outputs, f"{x} has other users"
        consumer.outputs[0].name = output.name
        former = old[output.name]
        bias = None
        if "bias" in former.inputs:
            new_bias, old_bias = name_of(consumer, "bias"), name_of(former, "bias")
            assert new_bias is not None and old_bias is not None
            bias = (originals[old_bias].values, consts[new_bias].values)
            consumer.inputs["bias"].CopyFrom(former.inputs["bias"])
            gone.add(new_bias)
        weight = next(n for n in (name_of(consumer, k) for k in ("weight", "x", "y")) if n in originals)
        found.append(OutputScale(output.name, consumer.type, weight, consts[y].values, bias))
        gone |= {output.name, y}
    kept = []
    for operation in block.operations:
        if operation.outputs and operation.outputs[0].name in gone and operation.type in ("mul", "const"):
            continue
        copy = MIL_pb2.Operation()
        copy.CopyFrom(operation)
        kept.append(copy)
    del block.operations[:]
    block.operations.extend(kept)
    return found
