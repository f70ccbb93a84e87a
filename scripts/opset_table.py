#!/usr/bin/env python3
"""Writes Sources/ModelCompression/Target/OpsetChanges.swift: what later opsets changed in the operations of earlier ones.

    .venv/bin/python scripts/opset_table.py [--check]

The facts come from the operation classes of the installed coremltools (9.0). Every operation whose class changes at an
opset needs a verdict here, given by a person who has read both classes: EQUAL, with the reason, or RULES, where an
operation keeps its meaning only on a condition, after a change, or not at all. What a program can check is checked:
an EQUAL operation must still take every input of the old class, in every type, with the same defaults, and need no
others. An operation without a verdict, or a verdict without a change, is an error. Parameters that the new class adds
are listed with their default, for coremltools writes every default into the program.

With --check nothing is written, and the exit status says whether the file is what this makes.
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "python" / "tests"))

from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

from support.reference import TARGETS

FILE = ROOT / "Sources" / "ModelCompression" / "Target" / "OpsetChanges.swift"
# The number in the opset's name: "CoreML5" is iOS15.
OPSETS = {"iOS15": 5, "iOS16": 6, "iOS17": 7, "iOS18": 8}

EQUAL: list[tuple[str, str, str]] = [
    (
        "iOS16",
        "gather gather_nd",
        "batch_dims is new and 0 by default, which is what the operation did; indices may be int16 and uint16",
    ),
    ("iOS16", "gather_along_axis", "indices may be int16 and uint16"),
    ("iOS16", "resample", "coordinates may be fp16"),
    (
        "iOS16",
        "topk",
        "sort and return_indices are new and true by default: ordered values and their indices, as before",
    ),
    (
        "iOS16",
        "upsample_bilinear",
        (
            "half_pixel_centers is new; without it it is !align_corners, which is how the iOS15 documentation defines "
            "align_corners; coremltools writes no default"
        ),
    ),
    (
        "iOS16",
        "crop_resize",
        "pad_value is new and 0 by default; it is for boxes beyond the image, which iOS15 does not allow",
    ),
    (
        "iOS17",
        (
            "batch_norm clamped_relu conv conv_transpose elu instance_norm inverse l2_norm layer_norm leaky_relu linear "
            "linear_activation local_response_norm log prelu rsqrt scaled_tanh sigmoid_hard softplus_parametric "
            "thresholded_relu"
        ),
        (
            "weights and parameters may have another floating type than x; where it is the same nothing changes. "
            "conv_transpose's weight and the biases of both need no longer be constant"
        ),
    ),
    (
        "iOS17",
        "matmul",
        "x and y may differ in type when one of them is constant; with one type the result's is that, as before",
    ),
    (
        "iOS17",
        (
            "cast expand_dims reshape_like resample reverse reverse_sequence slice_by_index slice_by_size sliding_windows "
            "squeeze transpose"
        ),
        "more integer types",
    ),
    (
        "iOS17",
        "reshape",
        (
            "more integer types; a 0 in shape takes the dimension counted from the right instead of from the left. Before "
            "iOS17 a 0 is only allowed where both ranks are equal, and there the two are the same dimension"
        ),
    ),
    ("iOS17", "gru lstm rnn", "fp16 as well as fp32"),
    ("iOS17", "reduce_argmax reduce_argmin", "output_dtype is new and int32 by default, the only type before"),
    (
        "iOS17",
        "topk",
        (
            "output_indices_dtype is new and int32 by default, the only type before; it must be absent where "
            "return_indices is false"
        ),
    ),
    (
        "iOS18",
        "gru",
        "reset_after and input_bias are new and optional: false, and zeros; coremltools writes no default",
    ),
]

_PACKED = "from iOS18 on its parameters are inputs instead of attributes, and packed bytes have a type of their own"
RULES: dict[tuple[str, str], tuple[str, str]] = {
    **{
        ("iOS17", name): (
            ".nonNegativeIndices",
            (
                "negative indices, which counted from the end, are out of bounds: added to the size where a run may bring "
                "them, as coremltools' pass guard_negative_gather_indices does; validate_indices is new and false"
            ),
        )
        for name in ("gather", "gather_along_axis", "gather_nd", "scatter", "scatter_along_axis", "scatter_nd")
    },
    ("iOS17", "clip"): (".orderedBounds", "alpha must be smaller than beta; before, any two numbers were allowed"),
    ("iOS17", "crop_resize"): (
        (
            '.blocked(parameter: "roi", "iOS17 takes boxes and box_indices instead of roi, and its result has no batch '
            'dimension")'
        ),
        "the operation's inputs and its result have other shapes",
    ),
    ("iOS17", "non_maximum_suppression"): (
        (
            '.blocked(parameter: "score_threshold", "iOS17 has no score_threshold, orders boxes and scores along the last '
            'axis, and does not return the number of boxes")'
        ),
        "other inputs, other layout, an output less",
    ),
    **{
        ("iOS18", name): (".constexpr", _PACKED)
        for name in ("constexpr_cast", "constexpr_lut_to_dense", "constexpr_sparse_to_dense")
    },
}
# The class does not change, so that coremltools would still write it into a program of iOS18, with its parameters as
# inputs, where blockwise_shift_scale is what its own quantization makes. We rewrite it to that.
EXTRA_RULES = {("iOS18", "constexpr_affine_dequantize"): ".constexpr"}

# coremltools' builder has these under another name, or not for ML Programs.
ADDED_OPERATIONS = {"iOS18": ["write_state"]}
NOT_OPERATIONS = {"_const_symbolic"}

Variants = dict[str, Any]


def variants(operation: str) -> Variants:
    """The class of an operation at each target."""
    registered = SSAOpRegistry.core_ops[operation]
    return {name: registered.get(TARGETS[name]) for name in OPSETS}


def changes() -> Iterator[tuple[str, str, Any, Any]]:
    """Target, operation, the class before and the class from this target on."""
    names = list(OPSETS)
    for operation in sorted(SSAOpRegistry.core_ops):
        classes = variants(operation)
        for before, after in pairwise(names):
            if classes[before] is not None and classes[after] is not classes[before]:
                yield after, operation, classes[before], classes[after]


def new_defaults(old: Any, new: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The defaults of both classes; none where the method that gives them is the same."""
    if old.default_inputs is new.default_inputs:
        return {}, {}
    return defaults(old), defaults(new)


def defaults(cls: Any) -> dict[str, Any]:
    instance = cls.__new__(cls)
    for name in cls.input_spec.input_types:
        setattr(instance, name, None)
    return dict(instance.default_inputs().items())


def domain(kind: Any) -> frozenset[Any]:
    found = getattr(kind, "type_domain", ())
    return frozenset(found if isinstance(found, (tuple, list, set, frozenset)) else [found])


def typed_inputs(cls: Any) -> dict[str, tuple[Any, frozenset[Any]]]:
    """Each input with the types it may have; types of the class itself stand for a domain's name."""
    inputs = {}
    for name, kind in cls.input_spec.input_types.items():
        key = getattr(kind, "type_domain_id", None)
        inputs[name] = (kind, frozenset(cls.type_domains[key]) if key is not None else domain(kind))
    return inputs


def problems(old: Any, new: Any) -> list[str]:
    """What a program written for the old class may have that the new one does not take."""
    before, after = typed_inputs(old), typed_inputs(new)
    found = [f"no {name}" for name in before.keys() - after.keys()]
    found += [f"needs {n}" for n, (kind, _) in after.items() if n not in before and not kind.optional]
    for name in before.keys() & after.keys():
        (old_kind, old_types), (new_kind, new_types) = before[name], after[name]
        if type(old_kind) is not type(new_kind):
            found.append(f"{name} is another kind of input")
        if not old_types <= new_types:
            found.append(f"{name} has fewer types")
        if new_kind.const and not old_kind.const:
            found.append(f"{name} must be constant")
        if old_kind.optional and not new_kind.optional:
            found.append(f"{name} is required")
    groups: dict[str, list[str]] = {}
    for name in before.keys() & after.keys():
        key = getattr(after[name][0], "type_domain_id", None)
        if key is not None:
            groups.setdefault(key, []).append(name)
    for names in groups.values():
        ids = {getattr(before[n][0], "type_domain_id", None) or tuple(map(str, before[n][1])) for n in names}
        if len(ids) > 1:
            found.append(f"{', '.join(names)} must now have one type")
    old_values, new_values = new_defaults(old, new)
    for name in old_values.keys() & new_values.keys():
        if new_values[name] != old_values[name]:
            found.append(f"{name} is {new_values[name]} by default, was {old_values[name]}")
    return found


def swift_value(value: Any) -> str:
    if isinstance(value, bool):
        return f".bool({str(value).lower()})"
    if isinstance(value, int):
        return f".int32({value})"
    if isinstance(value, str):
        return f'.string("{value}")'
    if isinstance(value, float) and value == 0:
        return ".zero"
    raise SystemExit(f"opset_table.py: a default of {value!r} has no form in Swift")


def additions(target: str, operation: str, old: Any, new: Any) -> list[str]:
    rule = RULES.get((target, operation), ("",))[0]
    if rule.startswith((".blocked", ".constexpr")):
        return []
    known = old.input_spec.input_types
    return [
        f'    ({OPSETS[target]}, "{operation}", "{name}", {swift_value(value)}),'
        for name, value in new_defaults(old, new)[1].items()
        if name not in known
    ]


def first_targets() -> dict[str, list[str]]:
    """Operations by the first target that has them."""
    found: dict[str, list[str]] = {name: list(ADDED_OPERATIONS.get(name, [])) for name in OPSETS}
    for operation in SSAOpRegistry.core_ops:
        if operation not in NOT_OPERATIONS:
            classes = variants(operation)
            found[next(name for name in OPSETS if classes[name] is not None)].append(operation)
    return {name: sorted(operations) for name, operations in found.items()}


def wrapped(words: list[str], indent: str, width: int = 116) -> list[str]:
    lines: list[str] = []
    line = indent
    for word in words:
        if len(line) + len(word) + 1 > width:
            lines.append(line.rstrip())
            line = indent
        line += word + " "
    return [*lines, line.rstrip()]


def generate() -> str:
    if max(SSAOpRegistry.SUPPORTED_OPSET_VERSIONS).name != "iOS18":
        raise SystemExit("opset_table.py: this coremltools has operations of their own after iOS18")
    equal = {(target, name): reason for target, names, reason in EQUAL for name in names.split()}
    errors, added, rules = [], [], []
    seen = set()
    for target, operation, old, new in changes():
        key = (target, operation)
        seen.add(key)
        if key in equal:
            errors += [f"{operation} of {target} is not equal: {problem}" for problem in problems(old, new)]
        elif key in RULES:
            rules.append((OPSETS[target], operation, RULES[key][0]))
        else:
            errors.append(f"{operation} of {target} has no verdict")
            continue
        added += additions(target, operation, old, new)
    errors += [f"{name} of {target} has not changed" for target, name in (equal.keys() | RULES.keys()) - seen]
    if errors:
        raise SystemExit("opset_table.py:\n" + "\n".join(errors))
    rules += [(OPSETS[target], operation, rule) for (target, operation), rule in EXTRA_RULES.items()]
    return render(first_targets(), sorted(added), sorted(rules))


def render(operations: dict[str, list[str]], added: list[str], rules: list[tuple[int, str, str]]) -> str:
    # swift format would put what is short on one line and break what is long; this file is only read by the compiler.
    lines = [
        "// Generated by scripts/opset_table.py from the operations of coremltools 9.0; do not edit. The reasons are there.",
        "// swift-format-ignore-file",
        "",
        "extension OpsetChanges {",
        "    /// The operations that each opset has first; those of CoreML5 include all earlier ones.",
        "    static let operations: [(opset: Int, names: String)] = [",
    ]
    for target, names in operations.items():
        lines += [f'    ({OPSETS[target]}, """', *wrapped(names, "        "), '        """),']
    lines += [
        "    ]",
        "",
        "    /// Parameters that an opset adds to an operation, with the value that keeps its meaning.",
        "    static let additions: [(opset: Int, operation: String, parameter: String, value: Addition)] = [",
        *added,
        "    ]",
        "",
        "    /// What else changed: everything that is not here and not new accepts what it accepted, and means the same.",
        "    static let rules: [(opset: Int, operation: String, rule: Rule)] = [",
        *(f'    ({opset}, "{operation}", {rule}),' for opset, operation, rule in rules),
        "    ]",
        "}",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes the table of what opsets changed.")
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    arguments = parser.parse_args()
    text = generate()
    if arguments.check:
        if FILE.read_text(encoding="utf-8") != text:
            sys.exit(f"{FILE.relative_to(ROOT)} is not what scripts/opset_table.py makes; run it")
    else:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
