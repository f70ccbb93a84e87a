"""Classes under names."""

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from swiftcompress._checks import message

_Class = TypeVar("_Class", bound=type[Any])


class Registry:
    """A base class that knows some of its subclasses by names."""

    REGISTRY: ClassVar[dict[Any, Any]]

    @classmethod
    def register(cls, key: Any) -> Callable[[_Class], _Class]:
        """Decorate a class with the name it is known by; a name that was given before goes over to it."""

        def add(kind: _Class) -> _Class:
            cls.REGISTRY[key] = kind
            return kind

        return add

    @classmethod
    def names(cls) -> str:
        """The names, for messages."""
        return ", ".join(repr(name) for name in cls.REGISTRY)

    @classmethod
    def get_class(cls, key: Any) -> Any:
        """The class of a name.

        Raises
        ------
        NotImplementedError
            When there is none.
        """
        if key not in cls.REGISTRY:
            raise NotImplementedError(message(cls.__name__, "name", repr(key), cls.names()))
        return cls.REGISTRY[key]
