"""`PostTrainingQuantizer`: linear quantization without data."""

from typing import Any, ClassVar

import torch

from swiftcompress import _native
from swiftcompress.arrays.inputs import Array
from swiftcompress.arrays.quantization import MODES
from swiftcompress.torch._before import all_or_nothing
from swiftcompress.torch._metadata import CompressionMetadata, CompressionType, requires_plain
from swiftcompress.torch._optimizer import Compressed, Errors, ParameterCompressor, to_array, to_tensor
from swiftcompress.torch._selection import Declined, Weight
from swiftcompress.torch.optimization_config import OptimizationConfig, QuantizationGranularity
from swiftcompress.torch.quantization.config import PostTrainingQuantizerConfig, QuantizationScheme


class PostTrainingQuantizer(ParameterCompressor):
    """Quantize the weights of a model linearly, by their range alone.

    Linear, Conv1d to Conv3d, ConvTranspose1d to ConvTranspose3d, Embedding and MultiheadAttention, and what is derived from
    them. The numbers are those of coremltools' class of this name, bit for bit, except where its arithmetic breaks down.

    Parameters
    ----------
    model
        A ``torch.nn.Module``.
    config
        A `PostTrainingQuantizerConfig`; None: int8, symmetric, per channel.

    Raises
    ------
    TypeError
        When an argument is of another type.

    References
    ----------
    The class of the same name in coremltools 9.0 (BSD-3-Clause),
    ``coremltools/optimize/torch/quantization/post_training_quantization.py``.

    Examples
    --------
    >>> import torch
    >>> from swiftcompress.torch.quantization import PostTrainingQuantizer
    >>> quantizer = PostTrainingQuantizer(torch.nn.Linear(64, 32))
    >>> model = quantizer.compress()
    >>> tuple(model.get_buffer("_COREML_/weight/quantization_scale").shape)
    (32, 1)
    """

    _CONFIG: ClassVar[type[OptimizationConfig]] = PostTrainingQuantizerConfig
    _OPERATION: ClassVar[str] = "quantize"
    _DONE: ClassVar[str] = "quantized"

    def compress(self, inplace: bool = False) -> Any:
        """Quantize every weight that the configuration selects; `report` then says what was done to each.

        Parameters
        ----------
        inplace
            True: the model itself is changed and returned; what ends the call early, Ctrl-C too, leaves it as it was. False:
            a copy.

        Returns
        -------
        torch.nn.Module
            With the buffers that ``coremltools.convert`` reads.

        Raises
        ------
        TypeError
            When `inplace` is no bool.
        """
        # The projection at the end of an attention goes with the attention.
        self._owners = {
            name + ".out_proj" if name else "out_proj": (name, module)
            for name, module in self._original.named_modules()
            if isinstance(module, torch.nn.MultiheadAttention)
        }
        model = self._get_model_for_compression(inplace)
        with all_or_nothing(model, model is self._original) as before:
            report = self._compress_parameters(model, before, _quantize)
        self._model, self._report = model, report
        return model

    def _config_of(self, name: str, module: Any) -> Any:
        name, module = self._owners.get(name, (name, module))
        return super()._config_of(name, module)


def _quantize(weight: Weight, config: Any, threads: int) -> Compressed:
    if config.weight_dtype == torch.float32:
        raise Declined("weight_dtype is float32")
    requires_plain(weight.module, weight.parameter_name)
    sizes = _block_sizes(weight, config)
    array, dtype = to_array(weight.parameter), weight.parameter.dtype
    mode = "linear_symmetric" if config.quantization_scheme is QuantizationScheme.symmetric else "linear"
    try:
        values, scale, zero, sums = _rounded(
            array, MODES.index(mode), config.weight_n_bits, config.is_signed, sizes, threads, dtype
        )
    except ValueError as error:
        raise Declined(str(error)) from error
    factors, dense = to_tensor(scale, dtype), to_tensor(values, dtype)
    metadata = CompressionMetadata(
        weight.parameter_name,
        quantization_n_bits=config.weight_n_bits,
        quantization_scale=factors,
        zero_point=None if zero is None else torch.from_numpy(zero),
        compression_type=(CompressionType.quantization,),
    )
    size = -(-array.size * config.weight_n_bits // 8) + factors.numel() * factors.element_size()
    if zero is not None:
        size += -(-zero.size * config.weight_n_bits // 8)
    kind = f"{'' if config.is_signed else 'u'}int{config.weight_n_bits}"
    return Compressed(
        dense,
        metadata,
        f"{kind}, {config.quantization_scheme.value}, {_where(config, sizes)}",
        config.weight_n_bits,
        size,
        {"dtype": f"dtype=int{config.weight_n_bits}"},
        errors=None if sums is None else Errors.of_sums(*sums, array.size),
    )


def _rounded(
    array: Array, mode: int, bits: int, is_signed: bool, sizes: tuple[int, ...], threads: int, dtype: Any
) -> tuple[Array, Array, Array | None, tuple[float, float, float] | None]:
    """What the codes of an array stand for, scales and zero points, and the sums of `Errors.of_sums` where they are known.

    Values and scales are those of the parameter's `dtype`.
    """
    if dtype is not torch.bfloat16:
        return _native.round_to_codes(array, mode, bits, is_signed, False, sizes, threads)
    data, scale, zero = _native.quantize(array, mode, bits, is_signed, False, sizes, threads)
    scale = to_array(to_tensor(scale, dtype))  # rounded, as they are stored
    return _native.dequantize(data, scale, zero, threads), scale, zero, None


def _where(config: Any, sizes: tuple[int, ...]) -> str:
    if config.granularity is QuantizationGranularity.per_block:
        return f"blocks of {'x'.join(map(str, sizes))}"
    return str(config.granularity.value).replace("_", " ")


def _block_sizes(weight: Weight, config: Any) -> tuple[int, ...]:
    """One number for each axis, 0 for the whole axis. Raises Declined where blocks do not fit."""
    shape = weight.parameter.shape
    sizes = [0] * len(shape)
    if config.granularity is QuantizationGranularity.per_channel:
        sizes[weight.output_axis] = 1
    if config.granularity is not QuantizationGranularity.per_block:
        return tuple(sizes)
    given = config.block_size
    if len(given) > len(shape):
        raise Declined(f"block_size has {len(given)} numbers, the weight {len(shape)} axes")
    for axis, size in enumerate(given[2:], 2):
        if size not in (0, shape[axis]):
            raise Declined(f"block_size {given}: axis {axis} can only be a whole block (0 or {shape[axis]})")
    outputs, inputs = (weight.output_axis, 1 - weight.output_axis)
    by_output, by_input = (given[0], given[1]) if len(given) > 1 else (0, given[0])
    cuts_input = 0 < by_input < shape[inputs]
    cuts_output = 0 < by_output < shape[outputs]
    if not cuts_input and not cuts_output:
        raise Declined(f"block_size {given} is not less than the channels {tuple(shape[:2])}")
    if cuts_input and not cuts_output:
        by_output = 1
    for axis, size in ((outputs, by_output), (inputs, by_input)):
        if size and shape[axis] % size:
            raise Declined(f"its {shape[axis]} channels along axis {axis} are no multiple of block_size {size}")
        sizes[axis] = size
    return tuple(sizes)
