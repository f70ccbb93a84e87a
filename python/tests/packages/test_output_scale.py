"""Palettization with `enable_per_channel_scale`: the scale multiplies what the weight's consumer computes.

The reference takes the maximum over the wrong axis, and its clean-up passes turn the result into a table for every channel.
Here the look-up table stays one per group, and `linear`, `conv`, `conv_transpose` and `matmul` are followed by a `mul`.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coremltools.converters.mil.mil import Builder as mb

from conftest import sample
from support import grid, ours, reference
from support.grid import GROUPED, Point
from support.oracle import OraclePackage, assert_same_but
from support.package_factory import program_for, save, weights
from support.scales import OutputScale, take_out

from .test_parity import AXES

SCALED = ("conv_w", "grouped_w", "transpose_w", "linear_w", "matmul_y_w", "matmul_yt_w", "matmul_xt_w")
INSIDE = ("grouped_transpose_w", "embedding_w")  # consumers that no multiplication can follow
SETTINGS: list[dict[str, Any]] = [
    {"nbits": 4},
    {"nbits": 2, "mode": "uniform"},
    {"nbits": 3, **GROUPED},
    {"nbits": 8, "mode": "uniform", **GROUPED},
]


def run(path: Path, output: Path, **options: Any) -> dict[str, Any]:
    compat = options.pop("compat", None)
    return ours.run(path, output, "palettize", {"enable_per_channel_scale": True, **options}, compat=compat)


@pytest.mark.parametrize("options", SETTINGS, ids=str)
@pytest.mark.parametrize("name, target", [("layers", "iOS18"), ("layers_float32", "iOS26")])
def test_arrays(packages: Any, tmp_path: Path, name: str, target: str, options: dict[str, Any]) -> None:
    """One scale per output channel; the table and codes are the reference's for the weight divided by it; a bias is divided
    too; everything else stays byte for byte."""
    path, output = packages(name, target), tmp_path / "out.mlpackage"
    report = run(path, output, **options)
    before = OraclePackage(path)
    after, scales = take_out(before, output, report["added_operations"])
    consts, operations = before.consts(), after.constexprs()
    by_weight = {s.weight: s for s in scales}
    done = set()
    for weight_name, axis in AXES.items():
        weight = consts[weight_name].values
        size = options.get("group_size", 0)
        if size and weight.shape[axis] % size:
            continue
        others = tuple(i for i in range(weight.ndim) if i != axis)
        scale = np.abs(weight).max(axis=others, keepdims=True)
        scale[scale == 0] = 1
        palette = reference.palettize_array(
            weight / scale, options["nbits"], mode=options.get("mode", "kmeans"), channel_axis=axis, group_size=size
        )
        assert palette is not None
        record = ours.by_name(report)[weight_name]
        if weight_name in SCALED:
            found = by_weight.pop(weight_name)
            ours.same(found.scale.ravel(), scale.ravel(), f"{weight_name}.scale")
            assert max(found.scale.shape) == found.scale.size
            assert record["output_scale"]
            if found.bias is not None:
                ours.same(found.bias[1], (found.bias[0] / scale.ravel()).astype(weight.dtype), f"{weight_name}.bias")
        else:
            palette.scale = scale
            assert record["output_scale"] is None
            assert "multiplies the weight itself" in record["note"]
        ours.assert_palette(operations, weight_name, palette, weight.dtype, weight.shape)
        done.add(weight_name)
    assert not by_weight
    assert ours.compressed(report) == ours.final_names(operations) == done
    assert_same_but(before, after, done)


@pytest.mark.parametrize("name, target, options", sample(list(product(
    ("layers", "layers_float32", "nested", "small", "classifier", "stateful", "tied", "divisibility"),
    grid.SINCE_IOS18, SETTINGS,
)), 16, seed=41), ids=str)  # fmt: skip
def test_coremltools_loads_it(packages: Any, tmp_path: Path, name: str, target: str, options: dict[str, Any]) -> None:
    """coremltools' operation classes check names, types and shapes as they load; the scales come out as they went in."""
    path, output = packages(name, target), tmp_path / "out.mlpackage"
    report = run(path, output, **options)
    names = [o.outputs[0].name for _, o in OraclePackage(output).operations() if o.outputs]
    assert name == "nested" or len(names) == len(set(names))
    grid.assert_expands(output, tmp_path, ours.compressed(report))
    before = OraclePackage(path)
    after, _ = take_out(before, output, report["added_operations"])
    assert_same_but(before, after, ours.compressed(report))


@pytest.mark.parametrize("target", grid.SINCE_IOS18)
def test_no_scale_on_a_float_table(packages: Any, tmp_path: Path, target: str) -> None:
    """A `constexpr_blockwise_shift_scale` of float data, which devices have refused, only where a consumer leaves no other
    way, and then with a note."""
    for name in ("layers", "small", "nested", "stateful"):
        output = tmp_path / f"{name}.mlpackage"
        report = run(packages(name, target), output, nbits=4)
        inside = {
            n for n, r in ours.by_name(report).items() if r["note"] and "multiplies the weight itself" in r["note"]
        }
        assert inside == (set(INSIDE) if name == "layers" else set())
        scaled = [o for o in OraclePackage(output).constexprs().values() if o.type == "constexpr_blockwise_shift_scale"]
        assert len(scaled) == len(inside)


# MARK: the numbers


def consumers(target: str, dtype: Any, path: Path) -> None:
    """Every kind of consumer that a scale can follow, each from an input of its own."""
    kind = {np.float16: "fp16", np.float32: "fp32"}[dtype]

    def w(seed: int, *shape: int) -> Any:
        rows = np.exp(np.random.default_rng(seed).uniform(-3, 3, shape[:1]))
        return mb.const(
            val=(weights(seed, *shape, dtype=np.float32) * rows.reshape(-1, *[1] * (len(shape) - 1))).astype(dtype),
            name=f"w_{seed}",
        )

    def b(seed: int, count: int) -> Any:
        return mb.const(val=weights(seed, count, dtype=dtype, scale=1), name=f"b_{seed}")

    specs = [mb.TensorSpec(shape=s) for s in ((3, 12), (1, 3, 10, 9), (1, 8, 11), (1, 8, 7, 6))]

    @program_for(target, specs)
    def program(rows: Any, stack: Any, line: Any, image: Any) -> Any:
        rows, stack, line, image = (
            mb.cast(x=x, dtype=kind, name=f"in_{i}") for i, x in enumerate((rows, stack, line, image))
        )
        outs = [
            mb.linear(x=rows, weight=w(1, 20, 12), bias=b(1, 20), name="linear_bias"),
            mb.linear(x=rows, weight=w(2, 20, 12), name="linear"),
            mb.matmul(x=rows, y=w(3, 12, 16), name="matmul_y"),
            mb.matmul(x=rows, y=w(4, 16, 12), transpose_y=True, name="matmul_yt"),
            mb.matmul(x=w(5, 14, 10), y=stack, name="matmul_x"),
            mb.matmul(x=w(6, 10, 14), y=stack, transpose_x=True, name="matmul_xt"),
            mb.matmul(x=stack, y=w(7, 1, 3, 9, 8), name="matmul_stack"),
            mb.conv(x=line, weight=w(8, 12, 8, 3), bias=b(8, 12), name="conv_1d"),
            mb.conv(x=image, weight=w(9, 12, 8, 3, 3), bias=b(9, 12), name="conv_2d"),
            mb.conv(x=image, weight=w(10, 12, 2, 3, 3), groups=4, bias=b(10, 12), name="conv_groups"),
            mb.conv_transpose(x=image, weight=w(11, 8, 10, 3, 3), bias=b(11, 10), name="deconv"),
            mb.conv_transpose(x=line, weight=w(12, 8, 10, 3), name="deconv_1d"),
        ]
        return tuple(mb.cast(x=o, dtype="fp32", name=f"out_{i}") for i, o in enumerate(outs))

    save(program, target, path)


def conv(x: np.ndarray, weight: np.ndarray, groups: int = 1) -> np.ndarray:
    space = weight.shape[2:]
    size = [n - k + 1 for n, k in zip(x.shape[2:], space, strict=True)]
    out = np.zeros((x.shape[0], weight.shape[0], *size))
    per, each = weight.shape[0] // groups, weight.shape[1]
    for position in np.ndindex(*space):
        window = x[(slice(None), slice(None), *(slice(p, p + n) for p, n in zip(position, size, strict=True)))]
        for g in range(groups):
            kernel = weight[(slice(g * per, (g + 1) * per), slice(None), *position)]
            out[:, g * per : (g + 1) * per] += np.einsum(
                "oc,nc...->no...", kernel, window[:, g * each : (g + 1) * each]
            )
    return out


def conv_transpose(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    space = weight.shape[2:]
    out = np.zeros((x.shape[0], weight.shape[1], *(n + k - 1 for n, k in zip(x.shape[2:], space, strict=True))))
    for position in np.ndindex(*space):
        place = (slice(None), slice(None), *(slice(p, p + n) for p, n in zip(position, x.shape[2:], strict=True)))
        out[place] += np.einsum("co,nc...->no...", weight[(slice(None), slice(None), *position)], x)
    return out


def compute(
    kind: str, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, options: dict[str, Any]
) -> np.ndarray:
    """One consumer in binary64."""
    if kind == "linear":
        return x @ weight.T + (0 if bias is None else bias)
    if kind == "matmul":
        if options.get("of_x"):
            return (np.swapaxes(weight, -1, -2) if options.get("transpose") else weight) @ x
        return x @ (np.swapaxes(weight, -1, -2) if options.get("transpose") else weight)
    out = conv(x, weight, options.get("groups", 1)) if kind == "conv" else conv_transpose(x, weight)
    return out if bias is None else out + bias.reshape(-1, *[1] * (x.ndim - 2))


CONSUMERS: dict[str, tuple[str, int, dict[str, Any], int]] = {  # kind, number of the input, options, weight's output axis
    "linear_bias": ("linear", 0, {}, 0), "linear": ("linear", 0, {}, 0), "matmul_y": ("matmul", 0, {}, 1),
    "matmul_yt": ("matmul", 0, {"transpose": True}, 0), "matmul_x": ("matmul", 1, {"of_x": True}, 0),
    "matmul_xt": ("matmul", 1, {"of_x": True, "transpose": True}, 1), "matmul_stack": ("matmul", 1, {}, 3),
    "conv_1d": ("conv", 2, {}, 0), "conv_2d": ("conv", 3, {}, 0), "conv_groups": ("conv", 3, {"groups": 4}, 0),
    "deconv": ("conv_transpose", 3, {}, 1), "deconv_1d": ("conv_transpose", 2, {}, 1),
}  # fmt: skip


@pytest.mark.parametrize("target, dtype", [("iOS18", np.float16), ("iOS26", np.float32)], ids=str)
@pytest.mark.parametrize("options", [{"nbits": 4}, {"nbits": 3, **GROUPED, "group_size": 2}], ids=str)
def test_the_results_are_those_of_scaled_weights(
    tmp_path: Path, target: str, dtype: Any, options: dict[str, Any]
) -> None:
    """Both graphs in binary64: x @ (decoded weight * scale) + bias, and what was written. They differ by the rounding of the
    divided bias alone."""
    path, output = tmp_path / "in.mlpackage", tmp_path / "out.mlpackage"
    consumers(target, dtype, path)
    report = run(path, output, weight_threshold=0, **options)
    before = OraclePackage(path)
    after, scales = take_out(before, output, report["added_operations"])
    assert_same_but(before, after, ours.compressed(report))
    assert {s.consumer for s in scales} == set(CONSUMERS)
    dense = OraclePackage(output).dense()
    rng = np.random.default_rng(3)
    inputs = [rng.standard_normal(shape) for shape in ((3, 12), (1, 3, 10, 9), (1, 8, 11), (1, 8, 7, 6))]
    for found in scales:
        kind, number, settings, axis = CONSUMERS[found.consumer]
        check_consumer(found, kind, inputs[number], dense[found.weight].astype(np.float64), settings, axis, dtype)
    grid.assert_expands(output, tmp_path, ours.compressed(report))


def check_consumer(
    found: OutputScale, kind: str, x: np.ndarray, weight: np.ndarray, settings: dict[str, Any], axis: int, dtype: Any
) -> None:
    __tracebackhide__ = True
    assert found.type == kind
    factor = found.scale.astype(np.float64)
    along = [1] * weight.ndim
    along[axis] = -1
    old, new = (None, None) if found.bias is None else (b.astype(np.float64) for b in found.bias)
    wanted = compute(kind, x, weight * factor.reshape(along), old, settings)
    written = compute(kind, x, weight, new, settings) * factor
    assert written.shape == wanted.shape, f"{found.consumer}: the scale has shape {factor.shape}"
    slack = 1e-12 * np.abs(wanted).max() + (0 if old is None else np.abs(old).max() * float(np.finfo(dtype).eps))
    assert np.abs(written - wanted).max() <= slack, found.consumer


def test_rows_of_many_sizes(tmp_path: Path) -> None:
    """256 x 256, the rows' standard deviations from e^-3 to e^3, 4 bits: the mean relative error of a row is that of
    normally distributed numbers; without the scale, and with the reference's, it is 45 times that."""
    path, output = tmp_path / "in.mlpackage", tmp_path / "out.mlpackage"
    rng = np.random.default_rng(0)
    weight = (rng.standard_normal((256, 256)) * np.exp(np.linspace(-3, 3, 256))[:, None]).astype(np.float16)

    @program_for("iOS18", [mb.TensorSpec(shape=(1, 256))])
    def program(x: Any) -> Any:
        x = mb.cast(x=x, dtype="fp16", name="x_cast")
        x = mb.linear(x=x, weight=mb.const(val=weight, name="w"), name="lin")
        return mb.cast(x=x, dtype="fp32", name="out")

    save(program, "iOS18", path)

    def error(**options: Any) -> float:
        report = run(path, output, nbits=4, **options)
        _, scales = take_out(OraclePackage(path), output, report["added_operations"])
        dense = OraclePackage(output).dense()["w"].astype(np.float64)
        for found in scales:
            dense = dense * found.scale.astype(np.float64).reshape(-1, 1)
        exact = weight.astype(np.float64)
        return float((((dense - exact) ** 2).mean(axis=1) / (exact**2).mean(axis=1)).mean())

    assert error() <= 0.011
    assert error(compat="coremltools") > 0.3


# MARK: the other ways


@pytest.mark.parametrize("point", [
    Point("layers", target, "palettize", {**options, "enable_per_channel_scale": True})
    for target in grid.SINCE_IOS18 for options in SETTINGS[:3]
], ids=str)  # fmt: skip
def test_compat_gives_the_references_graph(packages: Any, tmp_path: Path, point: Point) -> None:
    found = grid.assert_agrees(packages(point.package, point.target), point, tmp_path)
    assert found.report is not None and found.report["added_operations"] == []
    grid.assert_same_files(packages(point.package, point.target), point, tmp_path)


def test_two_scaled_weights_of_one_consumer(tmp_path: Path) -> None:
    """A product of two weights: one scale follows it, the other stays inside, with a note."""
    path, output = tmp_path / "in.mlpackage", tmp_path / "out.mlpackage"

    @program_for("iOS18", [mb.TensorSpec(shape=(1, 64))])
    def program(x: Any) -> Any:
        x = mb.cast(x=x, dtype="fp16", name="x_cast")
        both = mb.matmul(
            x=mb.const(val=weights(1, 64, 64), name="w_x"),
            y=mb.const(val=weights(2, 64, 64), name="w_y"),
            name="product",
        )
        return mb.cast(x=mb.matmul(x=x, y=both, name="mm"), dtype="fp32", name="out")

    save(program, "iOS18", path)
    report = run(path, output, nbits=4)
    assert ours.compressed(report) == {"w_x", "w_y"}
    assert len(report["added_operations"]) == 1
    (inside,) = (r for r in report["weights"] if r["note"])
    assert "another weight" in inside["note"]
    grid.assert_expands(output, tmp_path, {"w_x", "w_y"})


def test_a_bias_that_would_overflow(tmp_path: Path) -> None:
    """A row so small that its bias divided by the scale leaves the type's range: the scale stays with the weight."""
    path, output = tmp_path / "in.mlpackage", tmp_path / "out.mlpackage"
    weight = weights(1, 64, 64)
    weight[3] *= np.float16(1e-5)

    @program_for("iOS18", [mb.TensorSpec(shape=(1, 64))])
    def program(x: Any) -> Any:
        x = mb.cast(x=x, dtype="fp16", name="x_cast")
        bias = mb.const(val=weights(2, 64, scale=100), name="b")
        x = mb.linear(x=x, weight=mb.const(val=weight, name="w"), bias=bias, name="lin")
        return mb.cast(x=x, dtype="fp32", name="out")

    save(program, "iOS18", path)
    report = run(path, output, nbits=4)
    assert "bias" in ours.by_name(report)["w"]["note"]
    assert report["added_operations"] == []
    assert_same_but(OraclePackage(path), OraclePackage(output), {"w"})
