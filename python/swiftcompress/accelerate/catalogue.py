"""What is replaced in coremltools, and what is not yet."""

from swiftcompress.accelerate import clustering, integers, layerwise, lookup, torch_clustering, zeros
from swiftcompress.accelerate.patching import Routine

_UTILS = "coremltools.optimize._utils"
_PASSES = "coremltools.optimize.coreml._quantization_passes"
_TABLES = "coremltools.models.neural_network.quantization_utils"
_METADATA = "coremltools.optimize.coreml._post_training_quantization"
_KMEANS_1D = "coremltools._deps.kmeans1d.core"
_IOS18 = "coremltools.converters.mil.mil.ops.defs.iOS18.compression"
_TORCH = "coremltools.optimize.torch._utils.k_means"
_LAYERWISE = "coremltools.optimize.torch.layerwise_compression.algorithms"
_TORCH_KMEANS = "coremltools.optimize.torch.palettization._efficient_kmeans"

_EXACT = (
    "float32, float64 and groups below 10,000 elements: the exact optimum with an ascending table instead of "
    "scikit-learn's approximation, squared error the same or lower; scikit-learn is not needed"
)
_MERGED = "values that repeat are merged first: centroids may differ in the last bits of float64"

_QUANTIZER = (
    "OBSCompressionAlgorithm._store_quantization_params",
    "_Quantizer.find_params",
    "_Quantizer.ready",
    "_quantize",
)

ROUTINES = (
    Routine(
        _KMEANS_1D,
        "cluster",
        clustering.cluster,
        "exact k-means in one dimension",
        f"{_MERGED}; of distinct values they do not",
    ),
    Routine(_TABLES, "_get_kmeans_lookup_table_and_weight", clustering.lookup_table_and_weight, "k-means", _EXACT),
    Routine(
        _PASSES,
        "palettize_weights.grouped_channelwise_compress",
        clustering.grouped_channelwise_compress,
        "k-means, uniform and unique tables of all groups; num_kmeans_workers are threads, not processes",
        _EXACT,
        relies_on=("palettize_weights._get_lut_and_indices", "palettize_weights._get_nbits_for_unique_mode"),
    ),
    Routine(_UTILS, "lut_to_dense", lookup.lut_to_dense, "expanding lookup tables"),
    Routine(
        _UTILS,
        "find_indices_for_lut",
        lookup.find_indices_for_lut,
        "finding the nearest entries",
        relies_on=("reshape_weight_for_vector_lut",),
    ),
    Routine(
        _UTILS,
        "compute_qparams_by_dtype",
        integers.compute_qparams_by_dtype,
        "linear quantization",
        relies_on=("quantize_weight_by_dtype", "get_quant_range_by_dtype", "get_quant_range"),
    ),
    Routine(
        _UTILS,
        "dequantize_by_scale_and_zp",
        integers.dequantize_by_scale_and_zp,
        "linear dequantization",
        relies_on=("promote_rank_to_same_as_data", "repeat_data_as"),
    ),
    Routine(
        _IOS18,
        "constexpr_blockwise_shift_scale.decompress",
        integers.shift_scale_decompress,
        "linear dequantization by blocks",
    ),
    Routine(_UTILS, "pack_elements_into_bits", integers.pack_elements_into_bits, "packing codes"),
    Routine(
        _UTILS,
        "restore_elements_from_packed_bits",
        integers.restore_elements_from_packed_bits,
        "unpacking codes",
    ),
    Routine(_UTILS, "sparse_to_dense", zeros.sparse_to_dense, "expanding sparse weights"),
    Routine(_IOS18, "constexpr_sparse_to_dense.decompress", zeros.sparse_to_dense, "expanding sparse weights"),
    Routine(
        _PASSES,
        "prune_weights.compress_by_threshold",
        zeros.compress_by_threshold,
        "pruning by a threshold",
        relies_on=("prune_weights._produce_sparse_param",),
        prevented=zeros.needs_numpy_2,
    ),
    Routine(
        _PASSES,
        "prune_weights.compress_by_magnitude",
        zeros.compress_by_magnitude,
        "pruning by a percentile",
        relies_on=("prune_weights._produce_sparse_param",),
        prevented=zeros.needs_numpy_2,
    ),
    Routine(
        _PASSES,
        "prune_weights.compress_by_nm_sparsity",
        zeros.compress_by_nm_sparsity,
        "pruning n of m",
        "of equal magnitudes the first become zero; NumPy's choice depends on the processor",
        relies_on=("prune_weights._produce_sparse_param",),
    ),
    Routine(
        _METADATA,
        "CoreMLWeightMetaData.__init__",
        zeros.weight_metadata,
        "counting zeros and distinct values",
        "of millions of float16 values NumPy's sort, and with it the original's count, can be wrong (seen with 2.4); ours is not",
        relies_on=("CoreMLWeightMetaData._get_sparsity", "CoreMLWeightMetaData._get_unique_values"),
    ),
    Routine(
        _TORCH,
        "KMeans._cluster_weights_1d",
        torch_clustering.cluster_weights_1d,
        "k-means of one block of a tensor",
        f"with importances, {_MERGED}",
    ),
    Routine(
        _TORCH,
        "KMeans._cluster_weights_worker",
        torch_clustering.cluster_weights_worker,
        "k-means of all blocks of a tensor, on threads",
        f"with importances, {_MERGED}",
        relies_on=(
            "KMeans._get_block_to_cluster",
            "KMeans._cluster_weights_1d",
            "KMeans._update_clustered_block_weight",
        ),
    ),
    Routine(
        _TORCH,
        "ParallelKMeans._prepare_worker_processes",
        torch_clustering.prepare_worker_processes,
        "num_kmeans_workers are threads, not processes",
        relies_on=("KMeans.cluster_weights",),
    ),
    Routine(
        _TORCH,
        "ParallelKMeans._run_worker_processes",
        torch_clustering.run_worker_processes,
        "the same",
        relies_on=("KMeans.cluster_weights",),
    ),
    Routine(
        _TORCH,
        "ParallelKMeans._join_worker_processes",
        torch_clustering.join_worker_processes,
        "the same",
        relies_on=("KMeans.cluster_weights",),
    ),
    Routine(
        _TORCH_KMEANS,
        "_EfficientKMeans._kmeans_pp",
        torch_clustering.kmeans_pp,
        "k-means++ and Lloyd's iteration of vectors on the CPU",
        "other random starts (torch.manual_seed decides them), on average the same or lower squared error; of scalars the "
        "exact optimum",
        relies_on=("_EfficientKMeans.fit",),
    ),
    Routine(
        _LAYERWISE,
        "GPTQ._compress_impl",
        layerwise.gptq,
        "the column loop of GPTQ on the CPU",
        relies_on=_QUANTIZER,
    ),
    Routine(
        _LAYERWISE,
        "SparseGPT._compress_impl",
        layerwise.sparse_gpt,
        "the column loop of SparseGPT on the CPU",
        relies_on=_QUANTIZER,
    ),
)

NOT_YET = (
    (_PASSES, "k-means of vectors (cluster_dim > 1), which is scikit-learn's, though never in other processes"),
    (_TORCH_KMEANS, "steps of differentiable k-means, and everything on other devices than the CPU"),
)
