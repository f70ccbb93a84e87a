"""Signatures and sources (the first 16 digits of their SHA-256) that ours were tested against.

Written by scripts/accelerator_table.py.
"""

KNOWN: dict[str, dict[str, tuple[str, str]]] = {
    "9.0": {
        "coremltools._deps.kmeans1d.core:cluster": (
            "(array, k, *, weights=)",
            "2ac9d6a5d9740536",
        ),
        "coremltools.converters.mil.mil.ops.defs.iOS18.compression:constexpr_blockwise_shift_scale.decompress": (
            "(data, scale, offset)",
            "67ccb625bdbc2ad6",
        ),
        "coremltools.converters.mil.mil.ops.defs.iOS18.compression:constexpr_sparse_to_dense.decompress": (
            "(nonzero_data, mask)",
            "ce564077c5d440c1",
        ),
        "coremltools.models.neural_network.quantization_utils:_get_kmeans_lookup_table_and_weight": (
            "(nbits, weight, force_kmeans1d=, cluster_dim=, vector_axis=)",
            "195b3f07294c3418",
        ),
        "coremltools.optimize._utils:compute_qparams_by_dtype": (
            "(weight, dtype, quantization_mode, block_sizes)",
            "1f9d7d628675e00d",
        ),
        "coremltools.optimize._utils:dequantize_by_scale_and_zp": (
            "(quantized_data, scale, zero_point, axis=)",
            "f5cb6f7246f5ab1b",
        ),
        "coremltools.optimize._utils:find_indices_for_lut": (
            "(data, lut, vector_axis=)",
            "7aea8fbedcaca317",
        ),
        "coremltools.optimize._utils:get_quant_range": (
            "(n_bits, signed, mode)",
            "2c8e83476777fb31",
        ),
        "coremltools.optimize._utils:get_quant_range_by_dtype": (
            "(dtype, mode)",
            "b2981d2613ed55d8",
        ),
        "coremltools.optimize._utils:lut_to_dense": (
            "(indices, lut, vector_axis=)",
            "16b8ad94f5348aaf",
        ),
        "coremltools.optimize._utils:pack_elements_into_bits": (
            "(elements, nbits)",
            "c798dd72043211ba",
        ),
        "coremltools.optimize._utils:promote_rank_to_same_as_data": (
            "(param, data, axis)",
            "294089a031e4a037",
        ),
        "coremltools.optimize._utils:quantize_weight_by_dtype": (
            "(weight, axes, dtype, quantization_mode)",
            "e58ffef27b29aed3",
        ),
        "coremltools.optimize._utils:repeat_data_as": (
            "(input_data, target_shape)",
            "997ca87cb4ec0a4a",
        ),
        "coremltools.optimize._utils:reshape_weight_for_vector_lut": (
            "(weight, vector_size, vector_axis)",
            "90109d4c91e32fcb",
        ),
        "coremltools.optimize._utils:restore_elements_from_packed_bits": (
            "(packed_values, nbits, element_num, are_packed_values_signed=)",
            "b08d98c3c5dd3835",
        ),
        "coremltools.optimize._utils:sparse_to_dense": (
            "(nonzero_data, mask)",
            "04e0578cb28a32cb",
        ),
        "coremltools.optimize.coreml._post_training_quantization:CoreMLWeightMetaData.__init__": (
            "(self, val, sparsity=, unique_values=, child_ops=)",
            "",
        ),
        "coremltools.optimize.coreml._post_training_quantization:CoreMLWeightMetaData._get_sparsity": (
            "(self)",
            "362de9feafd3cfda",
        ),
        "coremltools.optimize.coreml._post_training_quantization:CoreMLWeightMetaData._get_unique_values": (
            "(self)",
            "70ddf4c95a7cc60d",
        ),
        "coremltools.optimize.coreml._quantization_passes:palettize_weights._get_lut_and_indices": (
            "(val, mode, nbits, lut_function, cluster_dim=, vector_axis=)",
            "e122771f42f84dfe",
        ),
        "coremltools.optimize.coreml._quantization_passes:palettize_weights._get_nbits_for_unique_mode": (
            "(val, allowed_nbits, cluster_dim=, vector_axis=)",
            "9f7b64624ebfee63",
        ),
        "coremltools.optimize.coreml._quantization_passes:palettize_weights.grouped_channelwise_compress": (
            "(original_data, mode, nbits, channel_axis, channel_group_size, lut_function=, cluster_dim=, num_kmeans_workers=)",
            "0a5e7e853bba57d9",
        ),
        "coremltools.optimize.coreml._quantization_passes:prune_weights._produce_sparse_param": (
            "(val)",
            "05167278eea84a6a",
        ),
        "coremltools.optimize.coreml._quantization_passes:prune_weights.compress_by_magnitude": (
            "(val, target_sparsity, block_size=, dim=)",
            "5ecb7423ee390561",
        ),
        "coremltools.optimize.coreml._quantization_passes:prune_weights.compress_by_nm_sparsity": (
            "(val, n_m_ratio, dim)",
            "e027841c67852b69",
        ),
        "coremltools.optimize.coreml._quantization_passes:prune_weights.compress_by_threshold": (
            "(val, threshold, minimum_sparsity_percentile)",
            "219e52089808b098",
        ),
        "coremltools.optimize.torch._utils.k_means:KMeans._cluster_weights_1d": (
            "(cls, block_weight, block_importance, config)",
            "eb28dc13f3fc4a7d",
        ),
        "coremltools.optimize.torch._utils.k_means:KMeans._cluster_weights_worker": (
            "(cls, rank, work_q, results_q, progress_bar=)",
            "f5abb00a90669235",
        ),
        "coremltools.optimize.torch._utils.k_means:KMeans._get_block_to_cluster": (
            "(cls, weight, config, block_idx)",
            "47d1c660ca2987bd",
        ),
        "coremltools.optimize.torch._utils.k_means:KMeans._update_clustered_block_weight": (
            "(cls, block_weight, block_mask, depalett_block_weight, new_weight, config, block_idx)",
            "8595832058aed0aa",
        ),
        "coremltools.optimize.torch._utils.k_means:KMeans.cluster_weights": (
            "(cls, model, config=, num_workers=)",
            "b04898f9cec9d650",
        ),
        "coremltools.optimize.torch._utils.k_means:ParallelKMeans._join_worker_processes": (
            "(cls, worker_processes)",
            "551d1a17022823ba",
        ),
        "coremltools.optimize.torch._utils.k_means:ParallelKMeans._prepare_worker_processes": (
            "(cls, num_workers)",
            "1349611e7025bf50",
        ),
        "coremltools.optimize.torch._utils.k_means:ParallelKMeans._run_worker_processes": (
            "(cls, work_q, results_q, worker_processes)",
            "cb3ab579302a3e7f",
        ),
        "coremltools.optimize.torch.layerwise_compression.algorithms:GPTQ._compress_impl": (
            "(self)",
            "094f16ea2166457b",
        ),
        "coremltools.optimize.torch.layerwise_compression.algorithms:OBSCompressionAlgorithm._store_quantization_params": (
            "(self, quantizer)",
            "f8da89a71e4a13b4",
        ),
        "coremltools.optimize.torch.layerwise_compression.algorithms:SparseGPT._compress_impl": (
            "(self)",
            "ac4336fb8873729f",
        ),
        "coremltools.optimize.torch.layerwise_compression.algorithms:_Quantizer.find_params": (
            "(self, x, weight=)",
            "90eab183f587b251",
        ),
        "coremltools.optimize.torch.layerwise_compression.algorithms:_Quantizer.ready": (
            "(self)",
            "0c2537763c344248",
        ),
        "coremltools.optimize.torch.layerwise_compression.algorithms:_quantize": (
            "(x, scale, zero, max_q, enable_normal_float)",
            "fdf686527b15283e",
        ),
        "coremltools.optimize.torch.palettization._efficient_kmeans:_EfficientKMeans._kmeans_pp": (
            "(self, parameters, sample_weight=)",
            "a297bb09908d554d",
        ),
        "coremltools.optimize.torch.palettization._efficient_kmeans:_EfficientKMeans.fit": (
            "(self, X, sample_weight=)",
            "f0292c908900032b",
        ),
    },
}
