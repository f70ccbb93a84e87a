"""Calls a function after a module of some name was imported, for modules that are not imported yet."""

import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class AfterImport(MetaPathFinder):
    """Stands first in `sys.meta_path`, finds nothing itself, and listens to the loaders of some modules."""

    def __init__(self, names: frozenset[str], then: Callable[[ModuleType], None]) -> None:
        self._names = names
        self._then = then
        self._searching = threading.local()

    def install(self) -> None:
        """Start to listen."""
        sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Stop; without effect when it was stopped."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Let the other finders find it, and stand between them and its loader."""
        if fullname not in self._names or getattr(self._searching, "now", False):
            return None
        self._searching.now = True
        try:
            spec = self._found_by_others(fullname, path, target)
        finally:
            self._searching.now = False
        if spec is None or spec.loader is None or not hasattr(spec.loader, "exec_module"):
            return spec
        spec.loader = _Listener(spec.loader, self._then)
        return spec

    def _found_by_others(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if finder is not self and find is not None:
                spec: ModuleSpec | None = find(fullname, path, target)
                if spec is not None:
                    return spec
        return None


class _Listener(Loader):
    """Another loader, which it puts back into the module before it calls."""

    def __init__(self, loader: Loader, then: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._then = then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._then(module)
