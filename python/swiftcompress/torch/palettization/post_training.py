"""`PostTrainingPalettizer`: palettization without data."""

from typing import Any, ClassVar

from swiftcompress.torch._before import all_or_nothing
from swiftcompress.torch._metadata import register_metadata_version
from swiftcompress.torch._optimizer import Compressed, ParameterCompressor, workers
from swiftcompress.torch._selection import Weight
from swiftcompress.torch.optimization_config import OptimizationConfig
from swiftcompress.torch.palettization._clustering import palettize
from swiftcompress.torch.palettization.config import PostTrainingPalettizerConfig


class PostTrainingPalettizer(ParameterCompressor):
    """Palettize the weights of a model by k-means.

    Linear, Conv1d to Conv3d, ConvTranspose1d to ConvTranspose3d, Embedding and MultiheadAttention, and what is derived from
    them. The numbers are those of coremltools' class of this name, bit for bit; vectors (`cluster_dim`) have a k-means of
    our own.

    Parameters
    ----------
    model
        A ``torch.nn.Module``.
    config
        A `PostTrainingPalettizerConfig`; None: 4 bits per tensor.

    Raises
    ------
    TypeError
        When an argument is of another type.

    References
    ----------
    The class of the same name in coremltools 9.0 (BSD-3-Clause),
    ``coremltools/optimize/torch/palettization/post_training_palettization.py``.

    Examples
    --------
    >>> import torch
    >>> from swiftcompress.torch.palettization import PostTrainingPalettizer, PostTrainingPalettizerConfig
    >>> config = PostTrainingPalettizerConfig.from_dict({"global_config": {"n_bits": 2}})
    >>> palettizer = PostTrainingPalettizer(torch.nn.Linear(64, 64), config)
    >>> palettizer.compress().weight.unique().numel()
    4
    """

    _CONFIG: ClassVar[type[OptimizationConfig]] = PostTrainingPalettizerConfig
    _OPERATION: ClassVar[str] = "palettize"
    _DONE: ClassVar[str] = "palettized"

    def compress(self, num_kmeans_workers: int | None = 1, inplace: bool = False) -> Any:
        """Palettize every weight that the configuration selects; `report` then says what was done to each.

        Parameters
        ----------
        num_kmeans_workers
            Threads at most; 1, which is coremltools' default, and None: one for each core. Never changes a result.
        inplace
            True: the model itself is changed and returned; what ends the call early, Ctrl-C too, leaves it as it was. False:
            a copy.

        Returns
        -------
        torch.nn.Module
            With the buffers that ``coremltools.convert`` reads.

        Raises
        ------
        TypeError, ValueError
            When an argument is not of the kind or in the range described.
        """
        threads = workers(type(self).__name__, "num_kmeans_workers", num_kmeans_workers)
        model = self._get_model_for_compression(inplace)

        def compress_one(weight: Weight, config: Any, each: int) -> Compressed:
            return palettize(weight, config, None, each)

        with all_or_nothing(model, model is self._original) as before:
            report = self._compress_parameters(model, before, compress_one, threads)
            register_metadata_version(model)
        self._model, self._report = model, report
        return model
