"""The columns of GPTQ and SparseGPT from one factorization of the Hessian, where coremltools makes three.

coremltools takes U, the upper factor of the inverse (inverse of H = transpose of U times U): a Cholesky factorization, an inverse,
another factorization. With V the upper matrix in H = V times its transpose, U is the inverse of V. With G = W - Q what was taken
off the weights so far, the errors E = (w - q) / U[i, i] of the columns are G V: so a group of columns is brought up to date by
W + (G V[before, group]) U[group, group], and U is needed within the groups only, where it is the inverse of V's square.

V is the Cholesky factor of H with rows and columns reversed, reversed. In exact arithmetic all is as in coremltools; in float32
sums are in another order.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from swiftcompress import _columns
from swiftcompress.torch._optimizer import cores

# A pivot below this share of its diagonal element is rounding.
_LEAST_PIVOT = 8.0
# Elements of a group that a thread compresses in the time that it takes to start others, beside torch's, which wait actively.
_WORTH_A_START = 1 << 16


def root(hessian: Any, dampening: float) -> Any:
    """The upper V with H = V V^T, of H with `dampening` times its mean diagonal added to the diagonal.

    Raises
    ------
    torch.linalg.LinAlgError
        Where H is not positive definite, or in its type cannot be told from one that is not.
    """
    turned = hessian.flip(0, 1)
    turned.diagonal().add_(dampening * turned.diagonal().mean())
    diagonal = turned.diagonal().clone()
    turned = torch.linalg.cholesky(turned)
    upper = turned.flip(0, 1)
    least = _LEAST_PIVOT * torch.finfo(hessian.dtype).eps
    if not bool((upper.diagonal().square() > least * diagonal.flip(0)).all()):
        raise torch.linalg.LinAlgError("the matrix is not positive definite but for rounding")
    return upper


def eliminate(
    weight: Any,
    upper: Any,
    group_size: int,
    grid_of: Callable[[int, int], _columns.Grid],
    pruning: _columns.Pruning | None = None,
) -> tuple[Any, float]:
    """`_columns.eliminate` by another factor: compress the columns of `weight` in place, group after group.

    Parameters
    ----------
    weight
        float32 on the CPU, (rows, columns), rows in one piece. Afterwards: the compressed weight.
    upper
        The `root` of the Hessian, in float32.
    group_size
        Columns that the engine gets together, at least 1. The last group may be smaller.
    grid_of
        Called with the first column of a group and the one behind its last, when these columns of `weight` are up to date:
        what they may become.
    pruning
        What becomes zero, group by group.

    Returns
    -------
    losses
        float64, (rows): what each row adds to half of trace((W - Q) H (W - Q)^T), H with what was added to it.
    squares
        The sum of the squares of W - Q.
    """
    rows, columns = weight.shape
    prune = pruning or _columns.Pruning()
    gap = torch.empty_like(weight)
    losses = np.zeros(rows)
    for start in range(0, columns, group_size):
        stop = min(start + group_size, columns)
        group, taken = weight[:, start:stop], gap[:, start:stop]
        taken.copy_(group)
        inverse = torch.linalg.solve_triangular(upper[start:stop, start:stop], torch.eye(stop - start), upper=True)
        if start > 0:
            group.addmm_(gap[:, :start].mm(upper[:start, start:stop]), inverse)
        grid = grid_of(start, stop)
        _, added, _ = _columns.eliminate_group(
            group, inverse.contiguous().numpy(), grid, prune, _threads(group.numel())
        )
        taken -= group
        losses += added
    return losses, float(torch.linalg.vector_norm(gap)) ** 2


def _threads(elements: int) -> int:
    """For the engine: one where several would gain less than they take to start, otherwise 0."""
    count = cores()
    return 1 if elements * (count - 1) <= _WORTH_A_START * count else 0


def quadratic(matrix: Any, hessian: Any) -> float:
    """trace(M H M^T), H symmetric: from its upper half."""
    total, size = 0.0, 128
    for start in range(0, len(hessian), size):
        stop = start + size
        part = matrix[:, start:stop]
        product = part.mm(hessian[start:stop, start:stop])
        if start > 0:
            product.addmm_(matrix[:, :start], hessian[:start, start:stop], alpha=2)
        total += float(product.mul_(part).sum(dtype=torch.float64))
    return total
