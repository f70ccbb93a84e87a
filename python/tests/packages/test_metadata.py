"""cto.get_weights_metadata beside coremltools': names, their order, arrays, counts, consumers, and the text."""

from __future__ import annotations

import re
import tempfile
import warnings
from itertools import groupby
from pathlib import Path
from typing import Any

import coremltools.optimize.coreml as theirs
import numpy as np
import pytest
from coremltools.converters.mil.mil import Builder as mb

import swiftcompress as sc
import swiftcompress.coreml as ours
from conftest import EXTRA_MODELS, REAL_MODELS
from support import package_factory, reference
from support.package_factory import program_for, save, weights

# Packages that coremltools' function has no answer for; ours has.
REFUSED = {
    "multifunction": "not supported for a multifunction model",
    "pipeline": "only with mlprogram typed",
    "nested": "no attribute 'val'",  # a weight is a variable of a while_loop
    "used_symbol": "is used already",
    "every_blob_type": "13",  # bfloat16, a type that it does not know
}


def reference_metadata(path: Path, threshold: int) -> Any:
    # coremltools numbers the names it makes up on from one call to the next.
    mb.name_count.clear()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        with tempfile.TemporaryDirectory() as folder:
            return theirs.get_weights_metadata(reference.load(path, Path(folder) / path.name), threshold)


def operation_of(name: str) -> str:
    """The operation that an array is written into, from the name that coremltools makes up for it."""
    keys = r"_indices|_lut|_shape|(?<=_quantized)_quantized_data|_zero_point|_nonzero_data|_mask|_data|_scale|_offset"
    return re.sub(rf"({keys})_\d+$", "", name)


def distinct(array: np.ndarray) -> int:
    """As numpy.unique, whose float16 is miscounted by some NumPys with AVX-512 from 2 million elements on: in binary32."""
    return len(np.unique(array.astype(np.float32) if array.dtype == np.float16 else array))


def assert_same(path: Path, threshold: int, expected: Any = None) -> None:
    right = reference_metadata(path, threshold) if expected is None else expected
    left = ours.get_weights_metadata(path, threshold)
    # coremltools takes an operation's arrays in the order in which protobuf's map happens to have them.
    assert sorted(left) == sorted(right)
    assert [name for name, _ in groupby(map(operation_of, left))] == [
        name for name, _ in groupby(map(operation_of, right))
    ]
    sure = list(left) == list(right)
    for name, other in right.items():
        data = left[name]
        assert data.val.dtype == other.val.dtype
        assert data.val.shape == other.val.shape
        assert data.val.tobytes() == np.ascontiguousarray(other.val).tobytes()
        miscounted = other.unique_values != distinct(other.val)
        assert data.unique_values == distinct(other.val)
        # See test_the_least_integer_is_not_zero.
        least = other.val.dtype == np.int8 and bool((other.val == -128).any())
        assert least or data.sparsity == other.sparsity
        for child, their_child in zip(data.child_ops or [], other.child_ops, strict=True):
            assert child.op_type == their_child.op_type
            assert child.name == their_child.name
            assert list(child.params_name_mapping.items()) == list(their_child.params_name_mapping.items())
            assert str(child) == str(their_child)
        assert miscounted or least or str(data) == str(other)
        sure = sure and not miscounted and not least
    assert not sure or str(left) == str(right)


CASES = [(name, target) for target in reference.TARGETS for name in package_factory.names(target)]


@pytest.mark.parametrize(("name", "target"), CASES)
def test_made_packages(packages: Any, name: str, target: str) -> None:
    path = packages(name, target)
    for threshold in (2048, 10):
        try:
            expected = reference_metadata(path, threshold)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            assert name in REFUSED
            assert REFUSED[name] in str(error)
            found = ours.get_weights_metadata(path, threshold)
            assert all(np.prod(data.val.shape) >= threshold for data in found.values())
            continue
        assert_same(path, threshold, expected)


@pytest.mark.parametrize("name", [*REAL_MODELS, *EXTRA_MODELS])
@pytest.mark.parametrize("threshold", [2048, 100])
def test_real_models(real_model: Any, name: str, threshold: int) -> None:
    assert_same(real_model(name), threshold)


@pytest.mark.parametrize("target", ["iOS16", "iOS18"])
@pytest.mark.parametrize(
    "config",
    [
        theirs.OpPalettizerConfig(nbits=4, weight_threshold=64),
        theirs.OpLinearQuantizerConfig(mode="linear", weight_threshold=64),
        theirs.OpLinearQuantizerConfig(dtype="uint8", weight_threshold=64),
        theirs.OpMagnitudePrunerConfig(target_sparsity=0.6, weight_threshold=64),
    ],
    ids=repr,
)
def test_compressed_packages(packages: Any, tmp_path: Path, target: str, config: Any) -> None:
    """The arrays of compressed weights are constants too, in either form: attributes of iOS16, inputs of iOS18."""
    function = {
        theirs.OpPalettizerConfig: theirs.palettize_weights,
        theirs.OpLinearQuantizerConfig: theirs.linear_quantize_weights,
        theirs.OpMagnitudePrunerConfig: theirs.prune_weights,
    }[type(config)]
    model = reference.load(packages("layers", target), tmp_path / "input.mlpackage")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compressed = function(model, theirs.OptimizationConfig(config))
    path = tmp_path / "compressed.mlpackage"
    compressed.save(str(path))
    for threshold in (2048, 16):
        assert_same(path, threshold)


def test_our_own_compressed_packages(packages: Any, tmp_path: Path) -> None:
    config = ours.OptimizationConfig(ours.OpPalettizerConfig(nbits=4, weight_threshold=64))
    for target in ("iOS16", "iOS18"):
        path = tmp_path / f"{target}.mlpackage"
        ours.palettize_weights(packages("layers", target), config, output=path)
        assert_same(path, 16)


def test_order_of_parameters(tmp_path: Path) -> None:
    """A file lists an operation's parameters in any order; coremltools as they are declared."""

    @program_for("iOS18", [mb.TensorSpec(shape=(3, 1, 16)), mb.TensorSpec(shape=(1, 16, 8, 8))])
    def program(x: Any, image: Any) -> Any:
        def w(seed: int, *shape: int) -> np.ndarray:
            return weights(seed, *shape, dtype=np.float32)

        h, _, _ = mb.lstm(
            x=x,
            initial_h=w(1, 1, 64),
            initial_c=w(2, 1, 64),
            weight_ih=w(3, 128, 16),
            weight_hh=w(4, 128, 32),
            bias=w(5, 128),
            weight_ih_back=w(6, 128, 16),
            weight_hh_back=w(7, 128, 32),
            bias_back=w(8, 128),
            direction="bidirectional",
            name="lstm",
        )
        g, _ = mb.gru(
            x=x, initial_h=w(9, 1, 32), weight_ih=w(10, 96, 16), weight_hh=w(11, 96, 32), bias=w(12, 96), name="gru"
        )
        n = mb.batch_norm(
            x=image, mean=w(13, 16), variance=np.abs(w(14, 16)), gamma=w(15, 16), beta=w(16, 16), name="batch_norm"
        )
        m = mb.layer_norm(x=image, axes=[1, 2, 3], gamma=w(17, 16, 8, 8), beta=w(18, 16, 8, 8), name="layer_norm")
        i = mb.instance_norm(x=image, gamma=w(19, 16), beta=w(20, 16), name="instance_norm")
        c = mb.conv(x=image, weight=w(21, 8, 16, 3, 3), bias=w(22, 8), strides=[2, 2], name="conv")
        s = mb.scatter(data=w(23, 16, 8), indices=np.arange(16, dtype=np.int32), updates=w(24, 16, 8), name="scatter")
        p = mb.prelu(x=image, alpha=w(25, 16), name="prelu")
        return h, g, n, m, i, c, s, p

    path = tmp_path / "parameters.mlpackage"
    save(program, "iOS18", path)
    for threshold in (2048, 16, 8):
        assert_same(path, threshold)


def test_tuples_of_parameters(tmp_path: Path) -> None:
    """coremltools stops at a weight that is one of several values of a parameter."""

    @program_for("iOS16", [mb.TensorSpec(shape=(4, 64))])
    def program(x: Any) -> Any:
        rows = mb.const(val=weights(1, 40, 64, dtype=np.float32), name="rows")
        return mb.concat(values=[x, rows, rows], axis=0, name="joined")

    path = tmp_path / "tuples.mlpackage"
    save(program, "iOS16", path)
    with pytest.raises(AttributeError):
        reference_metadata(path, 100)
    (child,) = ours.get_weights_metadata(path, 100)["rows"].child_ops or []
    assert child == ours.CoreMLOpMetaData("concat", "joined", {"values[1]": "rows", "values[2]": "rows"})


def test_several_functions(packages: Any) -> None:
    found = ours.get_weights_metadata(packages("multifunction", "iOS18"))
    assert sorted(found) == ["first/own", "first/shared", "second/own", "second/shared"]
    for name, data in found.items():
        (child,) = data.child_ops or []
        assert child.op_type == "linear"
        assert child.params_name_mapping == {"weight": name}
    first, second = found["first/shared"], found["second/shared"]
    assert np.array_equal(first.val, second.val)
    assert not np.array_equal(found["first/own"].val, found["second/own"].val)


def test_nested_blocks(packages: Any) -> None:
    found = ours.get_weights_metadata(packages("nested", "iOS18"))
    assert set(found) == {"w_outside", "w_inside_cond", "w_inside_loop"}
    # Those inside come first, and are consumers before the operation around them.
    assert list(found)[-1] == "w_outside"
    names = [child.name for child in found["w_outside"].child_ops or []]
    assert [name for name in names if name.startswith("lin")] == ["lin_no", "lin_loop_outside", "lin_outside"]


def test_pipelines(packages: Any) -> None:
    found = ours.get_weights_metadata(packages("pipeline", "iOS18"))
    assert list(found) == ["0/main/w", "1/main/w"]


def test_an_mlmodel(packages: Any, tmp_path: Path) -> None:
    path = packages("layers", "iOS18")
    model = reference.load(path, tmp_path / "input.mlpackage")
    left, right = ours.get_weights_metadata(model), ours.get_weights_metadata(path)
    assert left == right
    assert ours.get_weights_metadata(sc.ModelPackage(path)) == right
    assert str(left) == str(reference_metadata(path, 2048))


def test_the_least_integer_is_not_zero() -> None:
    """NumPy's absolute value of int8 -128 is -128, which the reference takes for zero."""
    data = np.array([-128, 0, 1, 127], np.int8)
    assert theirs.CoreMLWeightMetaData(data).sparsity == 0.5
    assert ours.CoreMLWeightMetaData(data).sparsity == 0.25


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "uint8", "bool", "int16", "int32", "uint32"]
)
def test_counts(dtype: str) -> None:
    rng = np.random.default_rng(7)
    for count in (1, 5, 1000, 70_001, 600_000):
        values = rng.standard_normal(count) * 10
        values[rng.random(count) < 0.3] = 0
        array = values.astype(dtype)
        if np.dtype(dtype).kind == "f":
            special = np.array([0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1e-12, -1e-12, 1e-13, 1.1e-12], dtype)
            chosen = rng.integers(0, count, min(count, 40))
            array[chosen] = rng.choice(special, len(chosen))
            bits = array.view(f"u{array.itemsize}")
            bits[0] |= 1  # NaNs of several payloads
        with np.errstate(all="ignore"):
            expected = theirs.CoreMLWeightMetaData(array)
        found = ours.CoreMLWeightMetaData(array)
        assert (found.sparsity, found.unique_values) == (expected.sparsity, expected.unique_values)
        assert str(found) == str(expected)
        strided = np.stack([array, array], axis=1)[:, 0]
        assert ours.CoreMLWeightMetaData(strided).unique_values == expected.unique_values
