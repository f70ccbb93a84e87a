"""`prune_weights`: the pruning of a whole package."""

from typing import Any

from swiftcompress.coreml.config import OpMagnitudePrunerConfig, OpThresholdPrunerConfig
from swiftcompress.coreml.progress import ProgressFunction
from swiftcompress.coreml.runner import Path, Task

_TASK = Task("prune_weights", "prune", "pruning", (OpMagnitudePrunerConfig, OpThresholdPrunerConfig))


def prune_weights(
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
    """Prune the weights of a Core ML package: small elements become zero, the others are kept beside a bit mask.

    Which weights and which elements: as ``coremltools.optimize.coreml.prune_weights`` of coremltools 9.0. Names of
    weights and operations stay what they are, and everything that is not a compressed weight is copied byte for byte.

    Parameters
    ----------
    model
        The path of an ``.mlpackage``, a `swiftcompress.ModelPackage`, or a ``coremltools.models.MLModel``. It is not
        changed. coremltools calls it ``mlmodel`` and takes it by position alone.
    config
        An `OptimizationConfig`, ours or coremltools', of `OpMagnitudePrunerConfig` and `OpThresholdPrunerConfig`.
    joint_compression
        Prune what is compressed already, where iOS18 has a form for both: palettized and quantized weights.
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
        "coremltools": where our result differs from that of coremltools 9.0, its result.
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
    for n:m ratios A. Zhou et al., "Learning N:M Fine-grained Structured Sparse Neural Networks From Scratch",
    arXiv:2102.04010.

    Examples
    --------
    >>> import swiftcompress.coreml as cto
    >>> config = cto.OptimizationConfig(global_config=cto.OpMagnitudePrunerConfig(target_sparsity=0.5))
    >>> model = cto.prune_weights("model.mlpackage", config, output="model-sparse.mlpackage")  # doctest: +SKIP
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
