"""Attributes that are computed when they are first asked for."""

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

_T = TypeVar("_T")


class lazy(Generic[_T]):  # noqa: N801  (used like property)
    """`functools.cached_property` as it is since Python 3.12: without a lock.

    Python 3.11's has one for all objects together. A process that is forked while another thread holds it waits for ever
    at the next access. Here two threads may compute the value at the same time; both get that of the first.
    """

    def __init__(self, function: Callable[[Any], _T]) -> None:
        self._function = function
        self._name = function.__name__
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> _T: ...
    def __get__(self, instance: object | None, owner: type) -> Self | _T:
        if instance is None:
            return self
        value: _T = vars(instance).setdefault(self._name, self._function(instance))
        return value
