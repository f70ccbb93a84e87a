"""The arithmetic of GPTQ and SparseGPT on a weight matrix: groups of columns by the engine, what lies between by torch.

Every step is the one that coremltools 9.0 takes, in its order, so that results are its bits:

- the factor of the Hessian and the product that carries a group's errors into the columns behind it are the same calls of torch
  on arrays of the same shapes and layouts;
- a group's columns are the engine's (Sources/CompressionKernels/LayerwiseCompression), which rounds after each operation.

Papers: GPTQ, arXiv:2210.17323; SparseGPT, arXiv:2301.00774. Imports torch: only for those who have it already.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from swiftcompress import _native

FREE, LINEAR, TABLE, TABLE_EXPANDED = range(4)
KEEP_ALL, KEEP_BY_SHARE, KEEP_N_OF_M = range(3)

EXPANDED_FROM = 26
"""Rows from which on `torch.cdist` expands the square, as the engine's `TABLE_EXPANDED` does."""


@dataclass(frozen=True)
class Grid:
    """What the columns of a group may become; each has one of several sets of parameters."""

    kind: int = FREE
    max_code: int = 1
    set_of_column: Any = None
    """int32 array, one number for each column."""
    scale: Any = None
    """float32 array or tensor, (sets, rows)."""
    zero_point: Any = None
    """The same, for linear grids."""
    tables: Any = None
    """float32 array, (sets, rows / rows_per_table, entries)."""
    entries: int = 0
    rows_per_table: int = 1

    @property
    def sets(self) -> int:
        """How many there are."""
        numbers = self.scale if self.scale is not None else self.tables
        return 1 if numbers is None else len(numbers)


@dataclass(frozen=True)
class Pruning:
    """Which elements of a group become zero."""

    kind: int = KEEP_ALL
    share: float = 0.0
    n: int = 0
    m: int = 0


def upper_factor(hessian: Any, dampening: float) -> Any:
    """The upper U with inverse(H) = U^T U, of H with `dampening` times its mean diagonal added to the diagonal.

    Parameters
    ----------
    hessian
        float32, square, symmetric.
    dampening
        At least 0.

    Raises
    ------
    torch.linalg.LinAlgError
        Where H, or in float32 its inverse, is not positive definite.
    """
    hessian = hessian.clone()
    places = torch.arange(len(hessian), device=hessian.device)
    hessian[places, places] += dampening * torch.mean(torch.diag(hessian))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    return torch.linalg.cholesky(inverse, upper=True)


class Factors:
    """The last factor that was computed, for layers that get the same inputs: queries, keys and values of an attention."""

    def __init__(self) -> None:
        self._last: tuple[Any, int, float, Any, Any] | None = None

    def find(self, hessian: Any, dampening: float, compute: Callable[[Any, float], Any] = upper_factor) -> Any:
        """What `compute` makes of a Hessian, if it is the last one; otherwise None."""
        if self._last is None:
            return None
        known, version, used, by, factor = self._last
        same = used == dampening and by is compute and known._version == version and known.shape == hessian.shape
        return factor if same and torch.equal(known, hessian) else None

    def make(self, hessian: Any, dampening: float, compute: Callable[[Any, float], Any] = upper_factor) -> Any:
        """What `compute`, which leaves its argument as it is, makes of a Hessian; found again until that is changed."""
        factor = compute(hessian, dampening)
        if not hessian.is_inference():  # nothing would tell whether it was changed
            self._last = hessian, hessian._version, dampening, compute, factor
        return factor


def grid_parameters(
    blocks: Any, *, max_code: int, per_channel: bool, symmetric: bool, normal_float: bool
) -> tuple[Any, Any]:
    """Scales and zero points of blocks of columns, each of shape (sets, rows).

    With low <= 0 <= high the range of the elements, -1 and 1 where all are zero: scale = (high - low) / max_code,
    zero point = round(-low / scale).

    Parameters
    ----------
    blocks
        float32, (rows, sets, columns of one block).
    max_code
        The greatest code, at least 1.
    per_channel
        Whether each row of a block has a range of its own.
    symmetric
        high is the greatest magnitude, low its negative where an element is negative; the zero point is (max_code + 1) / 2.
    normal_float
        The scale is the greatest magnitude.
    """
    low, high = blocks.amin(2).t(), blocks.amax(2).t()
    if not per_channel:
        rows = low.shape[1]
        low = low.amin(1, keepdim=True).expand(-1, rows)
        high = high.amax(1, keepdim=True).expand(-1, rows)
    none = torch.zeros((), dtype=blocks.dtype)
    low, high = torch.minimum(low, none), torch.maximum(high, none)
    if symmetric:
        high = torch.maximum(low.abs(), high)
        low = torch.where(low < 0, -high, low)
    empty = (low == 0) & (high == 0)
    low, high = torch.where(empty, -1.0, low), torch.where(empty, 1.0, high)
    scale = torch.maximum(high, low.abs()) if normal_float else (high - low) / max_code
    zero_point = torch.full_like(scale, (max_code + 1) / 2) if symmetric else torch.round(-low / scale)
    return scale.contiguous(), zero_point.contiguous()


class Parameters:
    """The grids of a weight's columns, as coremltools finds them.

    From the whole matrix, or from blocks of columns, all at once (`fix`) or when the columns are reached.

    Parameters
    ----------
    weight
        float32, (rows, columns); with blocks that are not fixed, the matrix that `eliminate` changes.
    block
        Neighbouring columns that share parameters; the last block may be smaller. None: all columns do.
    table
        None for linear grids; for normal floats, the entries.
    max_code, per_channel, symmetric
        As in `grid_parameters`.

    Attributes
    ----------
    found
        Scales and zero points of the blocks so far, each of shape (1, rows).
    last
        Those that were used last.
    """

    def __init__(
        self, weight: Any, *, block: int | None, max_code: int, per_channel: bool, symmetric: bool, table: Any = None
    ) -> None:
        self.weight, self.block, self.table = weight, block, table
        self._options: dict[str, Any] = {
            "max_code": max_code,
            "per_channel": per_channel,
            "symmetric": symmetric,
            "normal_float": table is not None,
        }
        self.found: list[tuple[Any, Any]] = []
        self._set_of_column: Any = None
        self._current: tuple[Any, Any] = grid_parameters(weight.unsqueeze(1), **self._options)
        self.last = self._current
        if block is None:
            self.found.append(self._current)
            self._set_of_column = np.zeros(weight.shape[1], np.int32)

    def _of_blocks(self, start: int, stop: int) -> tuple[Any, Any]:
        """Those of the blocks that begin in these columns."""
        assert self.block is not None
        size, columns = self.block, self.weight.shape[1]
        whole = [first for first in range(start, stop, size) if first + size <= columns]
        parts = []
        if whole:
            blocks = self.weight[:, start : whole[-1] + size].unflatten(1, (len(whole), size))
            parts.append(grid_parameters(blocks, **self._options))
        rest = start + len(whole) * size
        if rest < stop:
            parts.append(grid_parameters(self.weight[:, rest:].unsqueeze(1), **self._options))
        scales, zeros = zip(*parts, strict=True)
        return torch.cat(scales), torch.cat(zeros)

    def fix(self, order: Any) -> None:
        """Find the blocks of the weight as it is. `order`: the column that will be at each place; None: as they are."""
        assert self.block is not None
        columns = self.weight.shape[1]
        self._current = self._of_blocks(0, columns)
        self.found = [(scale[None], zero[None]) for scale, zero in zip(*self._current, strict=True)]
        places = np.arange(columns) if order is None else order.numpy()
        self._set_of_column = (places // self.block).astype(np.int32)
        self.last = self.found[int(self._set_of_column[-1])]

    def of(self, start: int, stop: int) -> Grid:
        """The grid of a group of columns; see `eliminate`."""
        if self._set_of_column is not None:
            return self._grid(self._current, self._set_of_column[start:stop])
        assert self.block is not None
        first = -(-start // self.block) * self.block
        if first >= stop:
            return self._grid(self.last, np.zeros(stop - start, np.int32))
        scale, zero = self._of_blocks(first, stop)
        self.found += [(a[None], b[None]) for a, b in zip(scale, zero, strict=True)]
        before, self.last = self.last, self.found[-1]
        if first > start:
            scale, zero = torch.cat([before[0], scale]), torch.cat([before[1], zero])
        numbers = np.arange(start, stop) // self.block
        return self._grid((scale, zero), (numbers - numbers[0]).astype(np.int32))

    def _grid(self, parameters: tuple[Any, Any], set_of_column: Any) -> Grid:
        scale, zero = parameters
        if self.table is None:
            return Grid(LINEAR, self._options["max_code"], set_of_column, scale, zero)
        rows, entries = len(self.weight), len(self.table)
        kind = TABLE_EXPANDED if rows >= EXPANDED_FROM else TABLE
        tables = np.broadcast_to(self.table, (len(scale), 1, entries))
        return Grid(kind, set_of_column=set_of_column, scale=scale, tables=tables, entries=entries, rows_per_table=rows)


def eliminate(
    weight: Any,
    factor: Any,
    group_size: int,
    grid_of: Callable[[int, int], Grid],
    pruning: Pruning | None = None,
    threads: int = 0,
) -> tuple[Any, bool]:
    """Compress the columns of `weight` in place, group after group.

    Parameters
    ----------
    weight
        float32 on the CPU, (rows, columns), rows in one piece. Afterwards: the compressed weight.
    factor
        `upper_factor` of the Hessian, (columns, columns).
    group_size
        Columns whose errors go into the columns behind them together, at least 1. The last group may be smaller.
    grid_of
        Called with the first column of a group and the one behind its last, when `weight` has the errors of all groups
        before: what those columns may become.
    pruning
        What becomes zero, group by group.
    threads
        At most; 0: one for each core. Never changes a result.

    Returns
    -------
    losses
        float64, (rows): what each row adds to the layer's squared error, as the factor has it.
    ties
        Whether n:m chose among equal elements that are not zero.
    """
    rows, columns = weight.shape
    prune = pruning or Pruning()
    losses, ties = np.zeros(rows), False
    product = torch.empty(rows * max(columns - group_size, 0), dtype=torch.float32, device="cpu")
    for start in range(0, columns, group_size):
        stop = min(start + group_size, columns)
        grid = grid_of(start, stop)
        square = factor[start:stop, start:stop].contiguous().numpy()
        errors, added, tied = eliminate_group(weight[:, start:stop], square, grid, prune, threads)
        losses += added
        ties = ties or tied
        if stop < columns:
            # Fresh memory for each product would take as long as the product.
            carried = product[: rows * (columns - stop)].view(rows, columns - stop)
            torch.mm(torch.from_numpy(errors), factor[start:stop, stop:], out=carried)
            weight[:, stop:] -= carried
    return losses, ties


def eliminate_group(weight: Any, factor: Any, grid: Grid, pruning: Pruning, threads: int = 0) -> tuple[Any, Any, bool]:
    """Compress one group of columns in place.

    Parameters
    ----------
    weight
        float32 tensor, (rows, columns of the group), rows in one piece.
    factor
        float32 array: the group's square of the upper factor.
    grid, pruning, threads
        See `eliminate`.

    Returns
    -------
    errors, losses, ties
        Arrays of the columns' errors and of the rows' losses; whether n:m chose among equal elements that are not zero.
    """
    # fmt: off
    errors, losses, ties = _native.eliminate_columns(
        weight.numpy(), factor,
        grid.kind, float(grid.max_code), grid.sets, grid.set_of_column, _array(grid.scale), _array(grid.zero_point),
        _array(grid.tables), grid.entries, grid.rows_per_table,
        pruning.kind, pruning.share, pruning.n, pruning.m, threads,
    )
    # fmt: on
    return errors, losses, bool(ties)


def _array(numbers: Any) -> Any:
    return numbers.numpy() if isinstance(numbers, torch.Tensor) else numbers
