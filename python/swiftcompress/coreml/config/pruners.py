"""How to prune weights: by the part that becomes zero, or by a threshold."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from swiftcompress._config_values import whole_number
from swiftcompress.arrays.lut_function import CheckedLUTFunction
from swiftcompress.coreml.config.base import (
    OpCompressorConfig,
    check_float,
    check_integer,
    is_integer,
    number,
    optional_int,
    threshold_option,
    whole_numbers,
)


@dataclass
class OpMagnitudePrunerConfig(OpCompressorConfig):
    """Zero the weights of least magnitude; the fields are those of coremltools' ``OpMagnitudePrunerConfig``.

    Parameters
    ----------
    target_sparsity
        The part of the elements that becomes zero, 0.0 to 1.0. Either this or `n_m_ratio` must be given.
    block_size
        Channels that are zeroed together, by their L2 norm; 2 or more. For `conv` and `linear` only.
    n_m_ratio
        Two integers, n at most m: of every m neighbours along `dim`, the n of least magnitude become zero. For `conv`
        and `linear` only.
    dim
        The axis of the blocks (0, the output channels, unless given) or of the ratio (1, the input channels, unless
        given): 0 or 1.
    weight_threshold
        A weight is compressed when it has more elements than this.

    Raises
    ------
    TypeError, ValueError
        When a value is not one of those above, or they contradict each other.

    Examples
    --------
    >>> from swiftcompress.coreml import OpMagnitudePrunerConfig
    >>> OpMagnitudePrunerConfig(n_m_ratio=(2, 4)).dim
    1
    >>> OpMagnitudePrunerConfig(target_sparsity=0.5, block_size=4).dim
    0
    """

    target_sparsity: float | None = None
    block_size: int | None = None
    n_m_ratio: tuple[int, int] | list[int] | None = None
    dim: int | None = None
    weight_threshold: int | None = 2048

    _FROM_TEXT: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "target_sparsity": number,
        "block_size": whole_number,
        "n_m_ratio": whole_numbers,
        "dim": whole_number,
        "weight_threshold": whole_number,
    }
    _STRUCTURAL_OPS: ClassVar[tuple[str, ...]] = ("conv", "linear")

    def __post_init__(self) -> None:
        self._check_target_sparsity()
        self._check_block_size()
        self._check_ratio()
        if self.dim is not None:
            check_integer("dim", self.dim, None)
            if not self._is_structural_pruning():
                raise ValueError('"dim" can only be set along with "block_size" or "n_m_ratio".')
            if self.dim not in (0, 1):
                raise ValueError(f'"dim" must be 1 or 0. Got {self.dim}.')
        elif self._is_structural_pruning():
            self.dim = 0 if self.block_size is not None else 1
        check_integer("weight_threshold", self.weight_threshold, 0, optional=True)
        self._finish()

    def _check_target_sparsity(self) -> None:
        if self.target_sparsity is not None:
            check_float("target_sparsity", self.target_sparsity)
        if (self.target_sparsity is None) == (self.n_m_ratio is None):
            raise ValueError(
                'Either "target_sparsity" or "n_m_ratio" need to be set. They cannot be set at the same time.'
            )
        if self.target_sparsity is not None and not 0 <= self.target_sparsity <= 1:
            raise ValueError(f'Invalid value of "target_sparsity": {self.target_sparsity}. Needs to be in [0, 1].')

    def _check_block_size(self) -> None:
        check_integer("block_size", self.block_size, None, optional=True)
        if self.block_size is None:
            return
        if self.n_m_ratio is not None:
            raise ValueError('"block_size" and "n_m_ratio" cannot be set at the same time.')
        if self.block_size <= 1:
            raise ValueError(f'"block_size" must be an integer > 1. Got {self.block_size}.')

    def _check_ratio(self) -> None:
        ratio = self.n_m_ratio
        if ratio is None:
            return
        if not isinstance(ratio, list | tuple):
            raise TypeError(f'"n_m_ratio" must be a tuple or a list. Got {ratio!r}.')
        if len(ratio) != 2 or not all(map(is_integer, ratio)) or not 0 <= ratio[0] <= ratio[1] or ratio[1] < 1:
            raise ValueError(f'"n_m_ratio" must be a tuple of two integers (n, m). n <= m. Got {ratio}')
        self.n_m_ratio = (int(ratio[0]), int(ratio[1]))

    def _is_structural_pruning(self) -> bool:
        return self.n_m_ratio is not None or self.block_size is not None

    def _validate_op_type(self, op_type: str) -> None:
        if self._is_structural_pruning() and op_type not in self._STRUCTURAL_OPS:
            raise ValueError(f"block sparsity or n:m pruning does not support op type {op_type}.")

    def _to_options(self, functions: list[CheckedLUTFunction]) -> dict[str, Any]:
        return {
            "type": "magnitude_pruner",
            "target_sparsity": None if self.target_sparsity is None else float(self.target_sparsity),
            "block_size": optional_int(self.block_size),
            "n_m_ratio": None if self.n_m_ratio is None else [int(entry) for entry in self.n_m_ratio],
            "dim": optional_int(self.dim),
            "weight_threshold": threshold_option(self.weight_threshold),
        }


@dataclass
class OpThresholdPrunerConfig(OpCompressorConfig):
    """Zero the weights up to a magnitude; the fields are those of coremltools' ``OpThresholdPrunerConfig``.

    Parameters
    ----------
    threshold
        Elements of this magnitude or less become zero; 0.0 or more. The default makes sparse what is zero already.
    minimum_sparsity_percentile
        A weight of which a smaller part is zero afterwards is left alone; 0.0 to 1.0.
    weight_threshold
        A weight is compressed when it has more elements than this.

    Raises
    ------
    TypeError, ValueError
        When a value is not one of those above.

    Examples
    --------
    >>> from swiftcompress.coreml import OpThresholdPrunerConfig
    >>> OpThresholdPrunerConfig(threshold=0.01)
    OpThresholdPrunerConfig(threshold=0.01, minimum_sparsity_percentile=0.5, weight_threshold=2048)
    """

    threshold: float = 1e-12
    minimum_sparsity_percentile: float = 0.5
    weight_threshold: int | None = 2048

    _FROM_TEXT: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "threshold": number,
        "minimum_sparsity_percentile": number,
        "weight_threshold": whole_number,
    }

    def __post_init__(self) -> None:
        check_float("threshold", self.threshold)
        if not 0 <= self.threshold < math.inf:
            raise ValueError(f'Invalid value of "threshold": {self.threshold}. Needs to be in [0, inf)')
        check_float("minimum_sparsity_percentile", self.minimum_sparsity_percentile)
        if not 0 <= self.minimum_sparsity_percentile <= 1:
            raise ValueError(
                f'Invalid value of "minimum_sparsity_percentile": {self.minimum_sparsity_percentile}. '
                "Needs to be in [0, 1]"
            )
        check_integer("weight_threshold", self.weight_threshold, 0, optional=True)
        self._finish()

    def _to_options(self, functions: list[CheckedLUTFunction]) -> dict[str, Any]:
        return {
            "type": "threshold_pruner",
            "threshold": float(self.threshold),
            "minimum_sparsity_percentile": float(self.minimum_sparsity_percentile),
            "weight_threshold": threshold_option(self.weight_threshold),
        }
