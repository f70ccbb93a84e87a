"""`decompress_weights`: a package without compressed weights."""

from typing import Any

from swiftcompress.coreml.progress import ProgressFunction
from swiftcompress.coreml.runner import Path, Task

_TASK = Task("decompress_weights", "decompress", "decompressing")


def decompress_weights(
    model: Any,
    *,
    output: Path | None = None,
    num_threads: int | None = None,
    progress: bool | ProgressFunction = True,
) -> Any:
    """Expand every compressed weight of a Core ML package into a constant, as the system does when it loads the model.

    The numbers are those of ``coremltools.optimize.coreml.decompress_weights`` of coremltools 9.0. Names of weights and
    operations stay what they are, and everything that is not a compressed weight is copied byte for byte.

    Parameters
    ----------
    model
        The path of an ``.mlpackage``, a `swiftcompress.ModelPackage`, or a ``coremltools.models.MLModel``. It is not
        changed. coremltools calls it ``mlmodel`` and takes it by position alone.
    output
        Where to write the result, a path that ends in ``.mlpackage``; it appears there complete or not at all, and
        may be the input. None: a temporary folder that goes away with the object returned.
    num_threads
        Threads at most; None: one for each core. Never changes a result.
    progress
        True: a progress bar on a terminal, nothing elsewhere. A function is called about every 50 ms with the weights
        done, the weights in all and the name of the last one.

    Returns
    -------
    ModelPackage, or MLModel where that was given
        Its ``report`` says what was done to each weight.

    Raises
    ------
    TypeError, ValueError
        For arguments that are not of the kind or in the range described.
    ModelFormatError
        When the package is damaged, or holds no ML Program.
    OSError
        When it cannot be read, or the result not be written.
    KeyboardInterrupt
        On Ctrl-C, within a fraction of a second; nothing is left behind then.

    References
    ----------
    The functions of the same names in coremltools 9.0 (BSD-3-Clause), ``coremltools/optimize/coreml``.

    Examples
    --------
    >>> import swiftcompress.coreml as cto
    >>> model = cto.decompress_weights("model-4bit.mlpackage", output="model.mlpackage")  # doctest: +SKIP
    >>> model.compressed  # doctest: +SKIP
    {}
    """
    return _TASK.run(model, {}, output=output, num_threads=num_threads, progress=progress)
