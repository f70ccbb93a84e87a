"""A Core ML model as text, read with Google's protobuf and coremltools' descriptors: the oracle of the Swift reader.

`ProgramText.swift` prints the same text from our own reader. Map entries are sorted by key in both, since protobuf
keeps no order for them.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

from coremltools.proto import MIL_pb2, Model_pb2


def quoted(text: str) -> str:
    return '"' + text.encode("utf-8").hex() + '"'


def dimension_text(dimension: MIL_pb2.Dimension) -> str:
    if dimension.WhichOneof("dimension") == "constant":
        return str(dimension.constant.size)
    return "*" if dimension.unknown.variadic else "?"


def type_text(value_type: MIL_pb2.ValueType) -> str:
    kind = value_type.WhichOneof("type")
    if kind == "tensorType":
        tensor = value_type.tensorType
        return f"{tensor.dataType}[{','.join(dimension_text(d) for d in tensor.dimensions)}]"
    if kind == "listType":
        return f"list<{type_text(value_type.listType.type)};{dimension_text(value_type.listType.length)}>"
    if kind == "tupleType":
        return f"tuple<{';'.join(type_text(t) for t in value_type.tupleType.types)}>"
    if kind == "dictionaryType":
        dictionary = value_type.dictionaryType
        return f"dict<{type_text(dictionary.keyType)};{type_text(dictionary.valueType)}>"
    if kind == "stateType":
        return f"state<{type_text(value_type.stateType.wrappedType)}>"
    return "none"


PACKING = {10: "e", 11: "f", 12: "d", 1: "B", 21: "b", 22: "h", 23: "i", 24: "q", 31: "B", 32: "H", 33: "I", 34: "Q"}


def tensor_text(tensor: MIL_pb2.TensorValue, data_type: int) -> str:
    """Strings by their text, everything else by the bytes the elements have in memory."""
    kind = tensor.WhichOneof("value")
    if kind is None:
        return "tensor()"
    values = getattr(tensor, kind).values
    if kind == "strings":
        return "strings(" + ",".join(quoted(v) for v in values) + ")"
    if kind == "bytes":
        return f"{kind}({values.hex()})"
    return f"{kind}({struct.pack(f'<{len(values)}{PACKING[data_type]}', *values).hex()})"


def value_text(value: MIL_pb2.Value) -> str:
    kind = value.WhichOneof("value")
    if kind == "blobFileValue":
        content = f"blob({quoted(value.blobFileValue.fileName)},{value.blobFileValue.offset})"
    elif kind == "immediateValue":
        immediate = value.immediateValue
        inner = immediate.WhichOneof("value")
        if inner == "tensor":
            content = tensor_text(immediate.tensor, value.type.tensorType.dataType)
        elif inner == "tuple":
            content = "tuple(" + ",".join(value_text(v) for v in immediate.tuple.values) + ")"
        elif inner == "list":
            content = "list(" + ",".join(value_text(v) for v in immediate.list.values) + ")"
        elif inner == "dictionary":
            pairs = immediate.dictionary.values
            content = "dict(" + ",".join(f"{value_text(p.key)}:{value_text(p.value)}" for p in pairs) + ")"
        else:
            content = "none"
    else:
        content = "none"
    return f"{type_text(value.type)}={content}"


def binding_text(binding: MIL_pb2.Argument.Binding) -> str:
    if binding.WhichOneof("binding") == "value":
        return value_text(binding.value)
    return "%" + quoted(binding.name)


def named_text(named: MIL_pb2.NamedValueType) -> str:
    return f"{quoted(named.name)}:{type_text(named.type)}"


def entries_text(entries: dict[str, MIL_pb2.Value]) -> str:
    return " ".join(f"{quoted(k)}={value_text(v)}" for k, v in sorted(entries.items(), key=lambda e: e[0].encode()))


def block_lines(block: MIL_pb2.Block, indent: str) -> list[str]:
    lines = [f"{indent}block ({' '.join(named_text(i) for i in block.inputs)}) {entries_text(block.attributes)}"]
    for op in block.operations:
        inputs = " ".join(
            f"{quoted(k)}=[{','.join(binding_text(b) for b in v.arguments)}]"
            for k, v in sorted(op.inputs.items(), key=lambda e: e[0].encode())
        )
        outputs = " ".join(named_text(o) for o in op.outputs)
        lines.append(f"{indent}  {op.type} ({inputs}) -> ({outputs}) {entries_text(op.attributes)}")
        for inner in op.blocks:
            lines += block_lines(inner, indent + "    ")
    lines.append(f"{indent}return {' '.join(quoted(o) for o in block.outputs)}")
    return lines


def feature_text(feature: Model_pb2.FeatureDescription) -> str:
    return f"{quoted(feature.name)}:{(feature.type.WhichOneof('Type') or 'unknown').removesuffix('Type')}"


def model_lines(model: Model_pb2.Model, stage: tuple[int, ...] = ()) -> list[str]:
    kind = model.WhichOneof("Type") or "unknown"
    lines = [f"model {list(stage)} {kind} {model.specificationVersion}"]
    if not stage:
        description = model.description
        for label in ("input", "output", "state"):
            lines.append(f"{label} {' '.join(feature_text(f) for f in getattr(description, label))}")
        for function in description.functions:
            names = " ".join(feature_text(f) for f in [*function.input, *function.output, *function.state])
            lines.append(f"function {quoted(function.name)} {names}")
        meta = description.metadata
        user = " ".join(f"{quoted(k)}={quoted(v)}" for k, v in sorted(meta.userDefined.items()))
        texts = (meta.shortDescription, meta.versionString, meta.author, meta.license, description.defaultFunctionName)
        lines.append(f"metadata {' '.join(quoted(t) for t in texts)} {user}")
    if kind == "mlProgram":
        for name, function in sorted(model.mlProgram.functions.items(), key=lambda e: e[0].encode()):
            inputs = " ".join(named_text(i) for i in function.inputs)
            lines.append(f"func {quoted(name)} {function.opset} ({inputs})")
            for key, block in sorted(function.block_specializations.items(), key=lambda e: e[0].encode()):
                lines += [f"specialization {key}", *block_lines(block, "")]
    stages = {
        "pipeline": lambda: model.pipeline,
        "pipelineClassifier": lambda: model.pipelineClassifier.pipeline,
        "pipelineRegressor": lambda: model.pipelineRegressor.pipeline,
    }
    if kind in stages:
        for index, inner in enumerate(stages[kind]().models):
            lines += model_lines(inner, (*stage, index))
    return lines


def model_text(path: Path) -> str:
    model = Model_pb2.Model()
    model.ParseFromString(path.read_bytes())
    return "\n".join(line.rstrip() for line in model_lines(model)) + "\n"


if __name__ == "__main__":
    sys.stdout.write(model_text(Path(sys.argv[1])))
