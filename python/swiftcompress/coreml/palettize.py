"""`palettize_weights`: the palettization of a whole package."""

from typing import Any

from swiftcompress.coreml.config import OpPalettizerConfig
from swiftcompress.coreml.progress import ProgressFunction
from swiftcompress.coreml.runner import Path, Task

_TASK = Task("palettize_weights", "palettize", "palettizing", (OpPalettizerConfig,))


def palettize_weights(
    model: Any,
    config: Any,
    joint_compression: bool = False,
    *,
    output: Path | None = None,
    num_threads: int | None = None,
    progress: bool | ProgressFunction = True,
    strict: bool = False,
    compat: str | None = None,
    minimum_deployment_target: Any = None,
) -> Any:
    """Palettize the weights of a Core ML package: a lookup table of few values, and one code for each element.

    Which weights, along which axis and with which numbers: as ``coremltools.optimize.coreml.palettize_weights`` of
    coremltools 9.0, save for k-means, which is exact here for every size and type. Names of weights and operations
    stay what they are, and everything that is not a compressed weight is copied byte for byte.

    Parameters
    ----------
    model
        The path of an ``.mlpackage``, a `swiftcompress.ModelPackage`, or a ``coremltools.models.MLModel``. It is not
        changed. coremltools calls it ``mlmodel`` and takes it by position alone.
    config
        An `OptimizationConfig`, ours or coremltools', of `OpPalettizerConfig`.
    joint_compression
        Palettize what is compressed already, where iOS18 has a form for both: the values of sparse weights.
    output
        Where to write the result, a path that ends in ``.mlpackage``; it appears there complete or not at all, and
        may be the input. None: a temporary folder that goes away with the object returned.
    num_threads
        Threads at most; None: one for each core. Never changes a result.
    progress
        True: a progress bar on a terminal, nothing elsewhere. A function is called about every 50 ms with the weights
        done, the weights in all and the name of the last one.
    strict
        Make errors of names that match nothing, and of weights that are left alone for a reason nobody asked for.
    compat
        "coremltools": the per-channel scale reduces over the output channels, as in coremltools 9.0, instead of keeping
        them.
    minimum_deployment_target
        Raise the model to this target first, such as "iOS18" or ``coremltools.target.iOS18``, so that what needs that
        target can be used. Refused with a list of what blocks it, before any work, where an operation has no equal form
        there. None: leave it.

    Returns
    -------
    ModelPackage, or MLModel where that was given
        Its ``report`` says what was done to each weight.

    Raises
    ------
    TypeError, ValueError
        For arguments that are not of the kind or in the range described, configurations of another kind of compression
        ("... only accept ... type config"), or what the model's deployment target does not allow.
    ModelFormatError
        When the package is damaged, or holds no ML Program.
    OSError
        When it cannot be read, or the result not be written.
    KeyboardInterrupt
        On Ctrl-C, within a fraction of a second; nothing is left behind then.

    References
    ----------
    The functions of the same names in coremltools 9.0 (BSD-3-Clause), ``coremltools/optimize/coreml``;
    A. Gronlund et al., "Fast Exact k-Means, k-Medians and Bregman Divergence Clustering in 1D", arXiv:1701.07204.

    Examples
    --------
    >>> import swiftcompress.coreml as cto
    >>> config = cto.OptimizationConfig(global_config=cto.OpPalettizerConfig(mode="kmeans", nbits=4))
    >>> model = cto.palettize_weights("model.mlpackage", config, output="model-4bit.mlpackage")  # doctest: +SKIP
    >>> print(model.report)  # doctest: +SKIP
    """
    return _TASK.compress(
        model,
        config,
        joint_compression=joint_compression,
        output=output,
        num_threads=num_threads,
        progress=progress,
        strict=strict,
        compat=compat,
        minimum_deployment_target=minimum_deployment_target,
    )
