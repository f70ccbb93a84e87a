"""Each replaced routine of coremltools.optimize.coreml beside the original, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("coremltools", reason="coremltools is not installed")

from coremltools._deps import kmeans1d
from coremltools.converters.mil.mil import types
from coremltools.converters.mil.mil.ops.defs.iOS18 import compression as ios18
from coremltools.models.neural_network import quantization_utils as tables
from coremltools.optimize import _utils as utils
from coremltools.optimize.coreml import CoreMLWeightMetaData
from coremltools.optimize.coreml import _quantization_passes as passes

from support.accelerated import both, check, check_all, check_error
from support.arrays import adversarial, layouts

FLOATS = (np.float16, np.float32, np.float64)
NBITS = (1, 2, 3, 4, 6, 8)
CASES = sorted(adversarial(np.float32))
palettize = passes.palettize_weights
prune = passes.prune_weights


def integer_type(nbits: int, signed: bool = False) -> Any:
    return types.string_to_builtin(f"{'' if signed else 'u'}int{nbits}")


def codes_of(nbits: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    codes = np.random.default_rng(seed).integers(0, 1 << nbits, shape)
    return codes.astype(types.nptype_from_builtin(integer_type(nbits)))


class TestExpandingTables:
    @pytest.mark.parametrize("dtype", [*FLOATS, np.int8, np.uint8, np.int32])
    @pytest.mark.parametrize("groups", [(1, 1, 1), (4, 1, 1), (1, 3, 1), (2, 3, 5)])
    @pytest.mark.parametrize("nbits", NBITS)
    def test_scalars(self, nbits: int, groups: tuple[int, ...], dtype: Any) -> None:
        rng = np.random.default_rng(nbits)
        lut = (rng.standard_normal((*groups, 1 << nbits, 1)) * 50).astype(dtype)
        check("lut_to_dense", lambda: utils.lut_to_dense(codes_of(nbits, (8, 6, 5)), lut))

    @pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, np.int32(1)])
    @pytest.mark.parametrize("groups", [(1, 1, 1), (2, 1, 1), (1, 1, 3)])
    @pytest.mark.parametrize("entry", [2, 3, 4])
    def test_vectors(self, entry: int, groups: tuple[int, ...], axis: Any) -> None:
        lut = np.random.default_rng(1).standard_normal((*groups, 8, entry)).astype(np.float16)
        check("lut_to_dense", lambda: utils.lut_to_dense(codes_of(3, (4, 5, 6)), lut, axis))

    def test_any_bits(self) -> None:
        lut = np.arange(256, dtype=np.uint16)[::-1].reshape(1, 256, 1) + 0x7C00  # infinities and NaNs with a payload
        check("lut_to_dense", lambda: utils.lut_to_dense(codes_of(8, (999,)), lut.view(np.float16)))

    @pytest.mark.parametrize("layout", [name for name, _ in layouts(np.ones((4, 4), np.uint8))])
    def test_layouts(self, layout: str) -> None:
        indices = dict(layouts(codes_of(4, (12, 8))))[layout]
        lut = np.random.default_rng(2).standard_normal((3, 1, 16, 1)).astype(np.float32)
        check("lut_to_dense", lambda: utils.lut_to_dense(indices, lut))

    def test_left_to_the_original(self) -> None:
        lut = np.ones((1, 4, 1), np.float32)
        check_error("lut_to_dense", lambda: utils.lut_to_dense(np.zeros(0, np.uint8), lut))
        check_error("lut_to_dense", lambda: utils.lut_to_dense(np.full(3, 4, np.uint8), lut))
        check_error("lut_to_dense", lambda: utils.lut_to_dense(np.zeros(3, np.uint8), np.ones((2, 4, 1))))

    @pytest.mark.parametrize("signed", [False, True])
    def test_of_marked_integers(self, signed: bool) -> None:
        lut = np.arange(4).reshape(1, 4, 1).astype(types.nptype_from_builtin(integer_type(4, signed)))
        check("lut_to_dense", lambda: utils.lut_to_dense(codes_of(2, (17,)), lut))


class TestFindingEntries:
    @pytest.mark.parametrize("dtype", FLOATS)
    @pytest.mark.parametrize("case", CASES)
    def test_adversarial(self, case: str, dtype: Any) -> None:
        data = adversarial(dtype)[case]
        rng = np.random.default_rng(4)
        tables = [rng.choice(data.ravel(), (2, 1, 1 << nbits, 1)) for nbits in (1, 2, 4, 6, 8)]
        for lut in tables:
            lut[:, :, -1] = 0
        check_all(utils, "find_indices_for_lut", ((data, lut) for lut in tables))

    @pytest.mark.parametrize("dtype", FLOATS)
    def test_rounded_distances_tie(self, dtype: Any) -> None:
        rng = np.random.default_rng(5)
        data = (rng.standard_normal((40, 60)) * 1000).astype(dtype)
        lut = (rng.standard_normal((1, 1, 256, 1)) * 10.0 ** rng.integers(-8, 3, (1, 1, 256, 1))).astype(dtype)
        check("find_indices_for_lut", lambda: utils.find_indices_for_lut(data, lut))

    @pytest.mark.parametrize("dtype", FLOATS)
    def test_many(self, dtype: Any) -> None:
        rng = np.random.default_rng(6)
        data = rng.standard_normal((300, 500)).astype(dtype)
        lut = rng.standard_normal((1, 1, 16, 1)).astype(dtype)
        check("find_indices_for_lut", lambda: utils.find_indices_for_lut(data, lut))

    @pytest.mark.parametrize("dtype", FLOATS)
    @pytest.mark.parametrize("axis", [0, 1, -1])
    @pytest.mark.parametrize("entry", [2, 4])
    def test_vectors(self, entry: int, axis: int, dtype: Any) -> None:
        rng = np.random.default_rng(7)
        data = rng.standard_normal((96, 80)).astype(dtype)
        lut = rng.standard_normal((2, 1, 64, entry)).astype(dtype)
        check("find_indices_for_lut", lambda: utils.find_indices_for_lut(data, lut, axis))

    def test_left_to_the_original(self) -> None:
        data, lut = np.ones((4, 6), np.float32), np.ones((1, 1, 4, 1), np.float32)
        check("find_indices_for_lut", lambda: utils.find_indices_for_lut(data * np.inf, lut), answered=False)
        check("find_indices_for_lut", lambda: utils.find_indices_for_lut(data.astype(np.float16), lut), answered=False)
        check_error("find_indices_for_lut", lambda: utils.find_indices_for_lut(data, lut[0]))
        check_error("find_indices_for_lut", lambda: utils.find_indices_for_lut(data, np.ones((1, 1, 4, 2), np.float32)))


class TestQuantizing:
    @pytest.mark.parametrize("dtype", FLOATS)
    @pytest.mark.parametrize("case", CASES)
    @pytest.mark.parametrize("mode", ["LINEAR", "LINEAR_SYMMETRIC"])
    def test_adversarial(self, mode: str, case: str, dtype: Any) -> None:
        weight = adversarial(dtype)[case]
        kinds = (integer_type(8, True), integer_type(8), integer_type(4, True), integer_type(4))
        sizes = ([0, 0], [1, 0], [1, 8], [6, 10])
        check_all(utils, "compute_qparams_by_dtype", ((weight, kind, mode, size) for kind in kinds for size in sizes))

    def test_through_the_older_function(self) -> None:
        weight = np.random.default_rng(8).standard_normal((6, 4, 3, 3)).astype(np.float16)
        check("compute_qparams_by_dtype", lambda: utils.compute_qparams(weight, 8, True, "LINEAR", None, [1, 0, 0, 0]))

    def test_left_to_the_original(self) -> None:
        weight = np.ones((6, 4), np.float32)
        kind, call = integer_type(8, True), utils.compute_qparams_by_dtype
        check("compute_qparams_by_dtype", lambda: call(weight, kind, "LINEAR", [4, 0]), answered=False)
        check("compute_qparams_by_dtype", lambda: call(weight * np.nan, kind, "LINEAR", [1, 0]), answered=False)
        check_error("compute_qparams_by_dtype", lambda: call(weight, kind, "LINEAR", [1]))
        check_error("compute_qparams_by_dtype", lambda: call(weight, kind, "linear", [1, 0]))
        check_error("compute_qparams_by_dtype", lambda: call(weight.astype(int), kind, "LINEAR", [1, 0]))
        check_error("compute_qparams_by_dtype", lambda: call([[1.0]], kind, "LINEAR", [1, 0]))

    @pytest.mark.parametrize("dtype", FLOATS)
    @pytest.mark.parametrize("zero", [False, True])
    @pytest.mark.parametrize("signed", [False, True])
    @pytest.mark.parametrize("shape", [(1, 1), (6, 1), (1, 4), (6, 8), (3, 2)])
    def test_dequantizing(self, shape: tuple[int, ...], signed: bool, zero: bool, dtype: Any) -> None:
        rng = np.random.default_rng(9)
        kind = types.nptype_from_builtin(integer_type(8, signed))
        data = rng.integers(-128 if signed else 0, 128 if signed else 256, (6, 8)).astype(kind)
        scale = (rng.standard_normal(shape) * 10.0 ** rng.integers(-9, 3, shape)).astype(dtype)
        offset = rng.integers(0, 100, shape).astype(kind) if zero else None
        check(
            "dequantize_by_scale_and_zp",
            lambda: utils.dequantize_by_scale_and_zp(data, scale, offset),
            answered=dtype != np.float64,
        )
        check(
            "shift_scale.decompress",
            lambda: ios18.constexpr_blockwise_shift_scale.decompress(data, scale, offset),
        )

    @pytest.mark.parametrize("axis", [0, 1, -1])
    def test_dequantizing_along_an_axis(self, axis: int) -> None:
        rng = np.random.default_rng(10)
        data = rng.integers(-128, 128, (6, 8, 2)).astype(np.int8)
        scale = rng.standard_normal(data.shape[axis]).astype(np.float16)
        zero = rng.integers(-9, 9, data.shape[axis]).astype(np.int8)
        for values in ((scale, zero), (scale, None), (scale[0], zero[0])):
            check(
                "dequantize_by_scale_and_zp",
                lambda values=values: utils.dequantize_by_scale_and_zp(data, *values, axis),
            )

    def test_dequantizing_left_to_the_original(self) -> None:
        data, scale = np.ones((4, 4), np.int8), np.ones((4, 1), np.float32)
        call = utils.dequantize_by_scale_and_zp
        for arguments in ((data.astype(np.int32), scale, None), (data, scale, scale), (data, scale * np.nan, None)):
            check(
                "dequantize_by_scale_and_zp",
                lambda arguments=arguments: call(*arguments),
                answered=False,
            )
        check_error("dequantize_by_scale_and_zp", lambda: call(data, np.ones((3, 1), np.float32), None))


class TestCodes:
    @pytest.mark.parametrize("nbits", NBITS)
    @pytest.mark.parametrize("signed", [False, True])
    @pytest.mark.parametrize("count", [1, 7, 8, 1001])
    def test_there_and_back(self, count: int, signed: bool, nbits: int) -> None:
        low, high = (-(1 << nbits - 1), 1 << nbits - 1) if signed else (0, 1 << nbits)
        codes = np.random.default_rng(nbits).integers(low, high, count)
        for dtype in (np.int8, np.int32, np.int64) if signed else (np.uint8, np.uint16, np.uint64):
            elements = codes.astype(dtype).reshape(-1, 1)
            check("pack_elements_into_bits", lambda e=elements: utils.pack_elements_into_bits(e, nbits))
        packed = utils.pack_elements_into_bits(codes.astype(np.int8 if signed else np.uint8), nbits)
        for holder in (packed, packed.view(np.int8)):
            check(
                "restore_elements_from_packed_bits",
                lambda h=holder: utils.restore_elements_from_packed_bits(h, nbits, np.int64(count), signed),
            )

    def test_left_to_the_original(self) -> None:
        packed = np.arange(5, dtype=np.uint8)
        call = utils.restore_elements_from_packed_bits
        check("restore_elements_from_packed_bits", lambda: call(packed, 3, 99), answered=False)
        check("restore_elements_from_packed_bits", lambda: call(packed, 5, 3), answered=False)
        check_error("restore_elements_from_packed_bits", lambda: call(packed.reshape(1, 5), 4, 3))
        check_error("pack_elements_into_bits", lambda: utils.pack_elements_into_bits(np.array([4]), 2))
        check_error("pack_elements_into_bits", lambda: utils.pack_elements_into_bits(np.array([-3], np.int8), 2))
        check_error("pack_elements_into_bits", lambda: utils.pack_elements_into_bits(np.array([1.0]), 2))


class TestPruning:
    @pytest.mark.parametrize("dtype", FLOATS)
    @pytest.mark.parametrize("case", CASES)
    def test_adversarial(self, case: str, dtype: Any) -> None:
        weight = adversarial(dtype)[case]
        shares = (0, 0.1, 0.5, 0.75, 1.0)
        blocks = [(weight, share, 5, dim) for share in shares for dim in (0, 1)]
        check_all(prune, "compress_by_magnitude", [*blocks, *((weight, share) for share in shares)])
        check_all(prune, "compress_by_threshold", ((weight, limit, 0.0) for limit in (0.0, 1e-3, 0.5)))

    @pytest.mark.parametrize("dtype", FLOATS)
    @pytest.mark.parametrize("shape", [(24, 40), (20, 12, 3, 3), (10, 9, 5)])
    @pytest.mark.parametrize("ratio", [(1, 2), (2, 4), (3, 4), (0, 4)])
    @pytest.mark.parametrize("dim", [0, 1])
    def test_n_of_m(self, dim: int, ratio: tuple[int, int], shape: tuple[int, ...], dtype: Any) -> None:
        # Distinct magnitudes: which of equal ones NumPy takes is up to the processor.
        rng = np.random.default_rng(11)
        count = int(np.prod(shape))
        weight = (rng.permutation(np.arange(1, count + 1)) * rng.choice([-1, 1], count)).reshape(shape)
        weight = np.ldexp(weight.astype(np.float64), -6).astype(dtype)
        if len(np.unique(np.abs(weight))) < count:
            weight = (np.arange(1, count + 1).astype(np.uint16).view(np.float16)[rng.permutation(count)]).reshape(shape)
        check("compress_by_nm_sparsity", lambda: prune.compress_by_nm_sparsity(weight, ratio, dim))

    def test_left_to_the_original(self) -> None:
        weight = np.random.default_rng(12).standard_normal((8, 6)).astype(np.float32)
        check("compress_by_magnitude", lambda: prune.compress_by_magnitude(weight, 0.5, 5, 0), answered=False)
        check("compress_by_nm_sparsity", lambda: prune.compress_by_nm_sparsity(weight, (1, 5), 0), answered=False)
        check("compress_by_threshold", lambda: prune.compress_by_threshold(weight, 0.01, 0.9), answered=False)
        integers = np.arange(6).reshape(2, 3)
        check("compress_by_magnitude", lambda: prune.compress_by_magnitude(integers, 0.5), answered=False)
        check_error("compress_by_magnitude", lambda: prune.compress_by_magnitude(weight, 1.5))
        check_error("compress_by_nm_sparsity", lambda: prune.compress_by_nm_sparsity(weight[0], (1, 2), 0))

    @pytest.mark.parametrize("dtype", [*FLOATS, np.int8])
    @pytest.mark.parametrize("holder", [np.uint8, np.bool_, np.int8])
    def test_expanding(self, holder: Any, dtype: Any) -> None:
        rng = np.random.default_rng(13)
        mask = rng.integers(0, 3, (30, 20)).astype(holder)
        values = rng.standard_normal(np.count_nonzero(mask)).astype(dtype)
        answered = dtype in FLOATS
        check("_utils:sparse_to_dense", lambda: utils.sparse_to_dense(values, mask), answered=answered)
        check(
            "sparse_to_dense.decompress",
            lambda: ios18.constexpr_sparse_to_dense.decompress(values, mask),
            answered=answered,
        )

    def test_expanding_what_does_not_fit(self) -> None:
        mask = np.ones((3, 2), np.uint8)
        check_error("_utils:sparse_to_dense", lambda: utils.sparse_to_dense(np.ones(5, np.float32), mask))
        check("_utils:sparse_to_dense", lambda: utils.sparse_to_dense(np.ones(1, np.float32), mask), answered=False)


class TestMetadata:
    @pytest.mark.parametrize("dtype", [*FLOATS, np.int8])
    @pytest.mark.parametrize("case", CASES)
    def test_adversarial(self, case: str, dtype: Any) -> None:
        weight = adversarial(np.float16 if dtype == np.int8 else dtype)[case].clip(-100, 100).astype(dtype)

        def counted() -> tuple[Any, ...]:
            data = CoreMLWeightMetaData(weight, child_ops=[])
            return data.sparsity, data.unique_values, str(data), data.val

        check("CoreMLWeightMetaData.__init__", counted, answered=dtype != np.int8)

    def test_given(self) -> None:
        weight = np.ones((2, 2), np.float32)

        def given() -> Any:
            data = CoreMLWeightMetaData(weight, sparsity=0.25, unique_values=7)
            return data.sparsity, data.unique_values

        check("CoreMLWeightMetaData.__init__", given, answered=False)
        check_error("CoreMLWeightMetaData.__init__", lambda: CoreMLWeightMetaData(weight, 1, "x"))
        check_error("CoreMLWeightMetaData.__init__", lambda: CoreMLWeightMetaData([1.0]))


class TestClustering:
    @pytest.mark.parametrize("k", [1, 2, 16, 100])
    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("kind", ["array", "list", "float32", "float16"])
    def test_distinct_values(self, kind: str, weighted: bool, k: int) -> None:
        rng = np.random.default_rng(14)
        values: Any = np.unique(rng.standard_normal(700).astype(np.float16)).astype(np.float64)
        rng.shuffle(values)
        weights = rng.gamma(1, size=len(values)) + 1e-6 if weighted else None
        if kind == "list":
            values = values.tolist()
        elif kind != "array":
            values = values.astype(kind)
        check("core:cluster", lambda: kmeans1d.cluster(values, k, weights=weights))

    def test_values_that_repeat(self) -> None:
        values = np.round(np.random.default_rng(15).standard_normal(4000) * 50) / 64
        ours, theirs, status = both("core:cluster", lambda: kmeans1d.cluster(values, 16))
        assert status.ours == 1
        np.testing.assert_allclose(ours.centroids, theirs.centroids, rtol=1e-13)

    def test_left_to_the_original(self) -> None:
        check("core:cluster", lambda: kmeans1d.cluster([1.0, 1.0, 1.0, 2.0], 3), answered=False)
        weights = [1.0, 0.0, 2.0]
        check("core:cluster", lambda: kmeans1d.cluster([1.0, 2.0, 3.0], 2, weights=weights), answered=False)
        check_error("core:cluster", lambda: kmeans1d.cluster([], 2))
        check_error("core:cluster", lambda: kmeans1d.cluster(np.ones((2, 1)), 1))
        check_error("core:cluster", lambda: kmeans1d.cluster([1.0], 0))
        check_error("core:cluster", lambda: kmeans1d.cluster([1.0, 2.0], 2, weights=[1.0]))

    @pytest.mark.parametrize("nbits", NBITS)
    @pytest.mark.parametrize("case", ["normal", "many duplicates", "zeros and a few", "sixteen values", "large offset"])
    def test_exact_tables(self, case: str, nbits: int) -> None:
        weight = adversarial(np.float16, rows=120, columns=100)[case]
        check("lookup_table_and_weight", lambda: tables._get_kmeans_lookup_table_and_weight(nbits, weight))
        for shape in ((120, 100), (12000,)):
            check(
                "lookup_table_and_weight",
                lambda s=shape: tables._get_kmeans_lookup_table_and_weight(nbits, weight.reshape(s), True),
            )

    def test_a_histogram_is_as_exact(self) -> None:
        weight = np.random.default_rng(16).standard_normal((400, 300)).astype(np.float16)
        check("lookup_table_and_weight", lambda: tables._get_kmeans_lookup_table_and_weight(4, weight))

    @pytest.mark.parametrize("nbits", [1, 2, 4, 8])
    @pytest.mark.parametrize("mode", ["KMEANS", "UNIFORM", "UNIQUE"])
    @pytest.mark.parametrize("axis", [0, 1, -1])
    def test_whole_weights(self, axis: int, mode: str, nbits: int) -> None:
        rng = np.random.default_rng(17)
        weight = rng.standard_normal((240, 200)).astype(np.float16)
        if mode == "UNIQUE":
            weight = rng.choice(np.unique(weight)[:200], weight.shape)
        for size in (0, 60 if axis == 0 else 100):
            check(
                "grouped_channelwise_compress",
                lambda size=size: palettize.grouped_channelwise_compress(weight, mode, nbits, axis, size),
            )

    @pytest.mark.parametrize("case", CASES)
    @pytest.mark.parametrize("dtype", FLOATS)
    @pytest.mark.parametrize("mode", ["UNIFORM", "UNIQUE"])
    def test_adversarial_tables(self, mode: str, dtype: Any, case: str) -> None:
        weight = adversarial(dtype)[case]
        fits = mode == "UNIFORM" or max(len(np.unique(part)) for part in np.split(weight, 2)) <= 256
        # Which of the two zeros the original keeps is up to its sort.
        fits = fits and not (mode == "UNIQUE" and bool(np.signbit(weight[weight == 0]).any()))
        check(
            "grouped_channelwise_compress",
            lambda: palettize.grouped_channelwise_compress(weight, mode, None if mode == "UNIQUE" else 4, 0, 12),
            answered=fits,
        )

    @pytest.mark.parametrize("dtype", FLOATS)
    @pytest.mark.parametrize("nbits", [1, 2, 4, 6])
    def test_no_worse_than_scikit_learn(self, nbits: int, dtype: Any) -> None:
        pytest.importorskip("sklearn", reason="scikit-learn is not installed")
        weight = np.random.default_rng(18).standard_normal((64, 100)).astype(dtype)
        ours, theirs, status = both(
            "grouped_channelwise_compress",
            lambda: palettize.grouped_channelwise_compress(weight, "KMEANS", nbits, 0, 16),
        )
        assert status.ours == 1
        assert ours.indices.dtype == theirs.indices.dtype and ours.lut.dtype == theirs.lut.dtype
        assert ours.indices.dtype.metadata == theirs.indices.dtype.metadata
        assert ours.lut.shape == theirs.lut.shape and ours.vector_axis is None
        errors = [np.square(utils.lut_to_dense(r.indices, r.lut).astype(float) - weight).sum() for r in (ours, theirs)]
        assert errors[0] <= errors[1]

    def test_weights_left_to_the_original(self) -> None:
        weight = np.random.default_rng(19).standard_normal((60, 40)).astype(np.float16)
        compress = palettize.grouped_channelwise_compress

        def signs(group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return np.array([-1, 1], group.dtype), (group.ravel() > 0).astype(np.uint8)

        check("wise_compress", lambda: compress(weight, "CUSTOM", None, 0, 0, signs), answered=False)
        check("wise_compress", lambda: compress(weight, "UNIFORM", 4, 0, 7), answered=False)
        check("wise_compress", lambda: compress(weight, "KMEANS", 4, 0, 0, None, 2), answered=False)
        integers = np.arange(600).reshape(20, 30).astype(np.int32)
        check("wise_compress", lambda: compress(integers, "UNIFORM", 4, 0, 0), answered=False)
        check_error("wise_compress", lambda: compress(weight, "KMEANS", 5, 0, 0))
        check_error("wise_compress", lambda: compress(weight, "kmeans", 4, 0, 0))
        check_error("wise_compress", lambda: compress(weight, "KMEANS", 4, 2, 0))
        check_error("wise_compress", lambda: compress(weight * np.float16(np.inf), "KMEANS", 4, 0, 0))
