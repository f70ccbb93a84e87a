"""Pruning of arrays: elements that matter least become zero, and only the others are stored."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from swiftcompress import _checks, _native
from swiftcompress._checks import integer, message
from swiftcompress.arrays import inputs
from swiftcompress.arrays.inputs import Array

# In the order of the engine's numbers (swiftcompress.h).
METHODS = ("magnitude", "blocks", "n_of_m", "threshold")


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Sparse:
    """A sparse array, in the form of the iOS18 operation ``constexpr_sparse_to_dense``.

    Made by `prune`; may also be put together by hand.
    """

    nonzero_data: Array
    """The elements whose mask is 1, flat, in C order, in the weight's dtype."""
    mask: NDArray[np.uint8]
    """In the weight's shape: 1 where the element is stored, 0 where it is zero."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The weight's shape."""
        return self.mask.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The weight's dtype."""
        return self.nonzero_data.dtype

    @property
    def sparsity(self) -> float:
        """The share of the elements that is zero; 0.0 for an empty array."""
        return 1 - self.nonzero_data.size / self.mask.size if self.mask.size else 0.0

    @property
    def nbytes(self) -> int:
        """Bytes to store it: the elements that are not zero, and one bit for each element."""
        return int(self.nonzero_data.nbytes + -(-self.mask.size // 8))

    @property
    def bits_per_weight(self) -> float:
        """`nbytes` in bits over the number of elements; 0.0 for an empty array."""
        return 8 * self.nbytes / self.mask.size if self.mask.size else 0.0

    def decompress(self) -> Array:
        """Put the elements back among zeros, in the weight's dtype and shape.

        Raises
        ------
        TypeError, ValueError
            When the fields do not fit together, which those made by `prune` do.
        """
        nonzero = self.nonzero_data
        if inputs.is_bfloat16(nonzero.dtype):
            nonzero = nonzero.astype(np.float32)
        return _native.scatter_nonzero(nonzero, self.mask, 0).astype(self.dtype, copy=False)

    def __repr__(self) -> str:
        return (
            f"Sparse(shape={self.shape}, dtype={self.dtype}, sparsity={self.sparsity:.4g}, "
            f"bits_per_weight={self.bits_per_weight:.4g})"
        )


def prune(
    weight: Any,
    *,
    target_sparsity: float | None = None,
    threshold: float | None = None,
    n_m_ratio: Sequence[int] | None = None,
    block_size: int | None = None,
    dim: Literal[0, 1] | None = None,
    minimum_sparsity_percentile: float = 0.0,
    num_threads: int | None = None,
) -> Sparse:
    """Zero the elements of least magnitude; exactly one of the first three arguments says which.

    The result is that of coremltools 9.0 with NumPy 2, bit for bit; of equal magnitudes in n:m pruning the first
    become zero (NumPy's choice depends on the processor). Elements that are zero already are not stored.

    Parameters
    ----------
    weight
        float16, float32, float64 or bfloat16, any shape and layout: a NumPy array, a torch tensor on the CPU, or
        anything else NumPy can view. It is not changed.
    target_sparsity
        Zero this share, 0 to 1: every element whose magnitude is at most that percentile.
    threshold
        Zero every element of at most this magnitude (rounded to the weight's dtype), 0 or more.
    n_m_ratio
        (n, m): of every m neighbouring channels zero the n of least magnitude. m is at most half the channels.
    block_size
        With `target_sparsity`: that many neighbouring channels become zero together, those whose L2 norm is at most the
        percentile. At most half the channels.
    dim
        The axis of the channels for `block_size` and `n_m_ratio`, 0 or 1; None: 0 with blocks, 1 with n:m, as in
        coremltools. The weight then has 2 to 5 axes.
    minimum_sparsity_percentile
        With `threshold`: raise ValueError unless this share, 0 to 1, is zero afterwards.
    num_threads
        Threads at most; None: one for each core. Never changes a result.

    Returns
    -------
    Sparse

    Raises
    ------
    TypeError
        When an argument is not of the kind described.
    ValueError
        When it is out of its range, does not go with another one, does not fit the weight, or the weight has a NaN or
        an infinity; the message says the argument, the value found and the values allowed.

    Examples
    --------
    >>> import numpy as np
    >>> import swiftcompress as sc
    >>> weight = np.array([[0.5, -0.25, 0.0, 2.0], [-1.0, 0.125, 4.0, -0.75]], np.float32)
    >>> sparse = sc.prune(weight, target_sparsity=0.5)
    >>> sparse.mask
    array([[0, 0, 0, 1],
           [1, 0, 1, 1]], dtype=uint8)
    >>> sparse.nonzero_data
    array([ 2.  , -1.  ,  4.  , -0.75], dtype=float32)
    """
    operation = "prune"
    array, narrow = inputs.as_weight(operation, "weight", weight)
    method = _method(operation, target_sparsity, threshold, n_m_ratio, block_size, dim)
    share = _number(operation, "target_sparsity", target_sparsity, 1.0)
    limit = _number(operation, "threshold", threshold, math.inf)
    least = _number(operation, "minimum_sparsity_percentile", minimum_sparsity_percentile, 1.0)
    if least and method != "threshold":
        found = f"{least} without threshold"
        raise ValueError(message(operation, "minimum_sparsity_percentile", found, "0 without threshold"))
    n, m = _ratio(operation, n_m_ratio)
    size = 0
    if block_size is not None:
        size = integer(operation, "block_size", block_size, 1, "None, or a whole number of 1 or more")
    channels = 1 if method == "n_of_m" else 0
    if dim is not None:
        channels = integer(operation, "dim", dim, 0, "None, 0, 1", 1)
    threads = _checks.threads(operation, num_threads)
    mask, nonzero = _native.prune(array, METHODS.index(method), share, limit, least, size, n, m, channels, threads)
    return Sparse(inputs.to_bfloat16(nonzero) if narrow else nonzero, mask)


def _method(operation: str, target_sparsity: Any, threshold: Any, n_m_ratio: Any, block_size: Any, dim: Any) -> str:
    """Which of `METHODS` the arguments name."""
    choices = {"target_sparsity": target_sparsity, "threshold": threshold, "n_m_ratio": n_m_ratio}
    given = [name for name, value in choices.items() if value is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none of them"
        raise ValueError(message(operation, ", ".join(choices), found, "exactly one of them"))
    if block_size is not None and target_sparsity is None:
        raise ValueError(
            message(operation, "block_size", f"{block_size!r} with {given[0]}", "None, or target_sparsity")
        )
    if dim is not None and block_size is None and n_m_ratio is None:
        raise ValueError(message(operation, "dim", repr(dim), "None without block_size and n_m_ratio"))
    if block_size is not None:
        return "blocks"
    return {"target_sparsity": "magnitude", "threshold": "threshold", "n_m_ratio": "n_of_m"}[given[0]]


def _number(operation: str, name: str, value: Any, greatest: float) -> float:
    """`value` between 0 and `greatest`, both included; 0 for None."""
    if value is None:
        return 0.0
    allowed = "a finite number of 0 or more" if greatest == math.inf else f"a number from 0 to {greatest:g}"
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
        raise TypeError(message(operation, name, repr(value), allowed))
    number = float(value)
    if not 0 <= number <= greatest or number == math.inf:
        raise ValueError(message(operation, name, value, allowed))
    return number


def _ratio(operation: str, n_m_ratio: Any) -> tuple[int, int]:
    if n_m_ratio is None:
        return 0, 1
    allowed = "(n, m), whole numbers with 0 <= n <= m and 1 <= m"
    if not isinstance(n_m_ratio, Sequence) or isinstance(n_m_ratio, str | bytes):
        raise TypeError(message(operation, "n_m_ratio", repr(n_m_ratio), allowed))
    if len(n_m_ratio) != 2:
        raise ValueError(message(operation, "n_m_ratio", n_m_ratio, allowed))
    m = integer(operation, "n_m_ratio[1]", n_m_ratio[1], 1, "a whole number of 1 or more")
    return integer(operation, "n_m_ratio[0]", n_m_ratio[0], 0, f"a whole number from 0 to {m}", m), m
