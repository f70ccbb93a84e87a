"""Replacing a function inside another package, and putting it back exactly as it was.

A `Routine` names a function and ours for it. `Patches` puts ours in its place wherever the original can be verified: its
signature and its source must be ones that ours was written for and tested against. Ours looks at the arguments and
raises `Declined` for what it does not handle; then the original runs, with the same arguments.
"""

import functools
import hashlib
import inspect
import sys
import textwrap
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any, NoReturn

PACKAGE = "coremltools"


class Declined(Exception):  # noqa: N818  (not an error: the original takes over)
    """Ours does not handle these arguments."""


def decline(reason: str) -> NoReturn:
    """Leave a call to the original."""
    raise Declined(reason)


def require(condition: object, reason: str) -> None:
    """Leave a call to the original unless the condition holds."""
    if not condition:
        raise Declined(reason)


@dataclass(frozen=True)
class Call:
    """What ours gets before the caller's arguments."""

    module: ModuleType
    """The module that the original is in."""
    original: Callable[..., Any]
    """The original; of a class method, bound to the class that was called."""
    threads: int
    """Threads at most, as the engine takes it: 0 for one on each core."""
    owner: Any = None
    """The class that a class method was called on."""


@dataclass(frozen=True)
class Routine:
    """A function of the package, and ours."""

    module: str
    name: str
    ours: Callable[..., Any]
    what: str
    """What it does, in a few words."""
    differs: str = ""
    """Where the result is not the original's, bit for bit; empty: nowhere."""
    relies_on: tuple[str, ...] = ()
    """Further functions of the same module, whose work ours does too."""
    prevented: Callable[[], str] | None = None
    """Says why it cannot be used on this machine; empty: it can."""

    @property
    def key(self) -> str:
        """Module and name."""
        return f"{self.module}:{self.name}"


@dataclass
class Status:
    """What became of a routine."""

    routine: Routine
    state: str = "waiting"
    """waiting (the module is not imported yet), replaced, or left alone."""
    reason: str = ""
    """Why it was left alone."""
    ours: int = 0
    """Calls that ours answered."""
    original: int = 0
    """Calls that were left to the original."""
    declined: str = ""
    """Why, the last time."""


@dataclass
class _Place:
    """One attribute that was replaced."""

    holder: Any
    name: str
    original: Any
    replacement: Any

    def restore(self) -> None:
        # Whoever has replaced ours since keeps their place; ours then hands on to the original.
        if vars(self.holder).get(self.name) is self.replacement:
            setattr(self.holder, self.name, self.original)


@dataclass
class Patches:
    """All replacements of one time; `active` is false after it."""

    routines: tuple[Routine, ...]
    known: dict[str, dict[str, tuple[str, str]]]
    """By version and key: the signature and the source's hash (empty where there is no source to read)."""
    threads: Callable[[], int] = lambda: 0
    active: bool = True
    statuses: dict[str, Status] = field(init=False)
    _places: list[_Place] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.statuses = {routine.key: Status(routine) for routine in self.routines}

    @property
    def modules(self) -> frozenset[str]:
        """The modules that hold a routine."""
        return frozenset(routine.module for routine in self.routines)

    def apply(self, *modules: ModuleType) -> None:
        """Replace what is in these modules, just imported or long ago."""
        functions: dict[int, _Place] = {}
        named = {module.__name__: module for module in modules}
        for routine in self.routines:
            module = named.get(routine.module)
            if module is not None:
                status = self.statuses[routine.key]
                status.reason = self._refusal(module, routine)
                status.state = "left alone" if status.reason else "replaced"
                place = None if status.reason else self._replace(module, routine, status)
                if place is not None and place.holder is module:
                    functions[id(place.original)] = place
        if not functions:
            return
        for other in package_modules():
            for alias, value in list(vars(other).items()):
                found = functions.get(id(value))
                if found is not None and value is found.original:
                    self._set(other, alias, value, found.replacement)

    def _refusal(self, module: ModuleType, routine: Routine) -> str:
        """Why this routine must stay as it is; empty: it may be replaced."""
        reason = routine.prevented() if routine.prevented else ""
        for name in (routine.name, *routine.relies_on):
            if reason:
                break
            found = raw(module, name)
            if found is None:
                reason = f"there is no {name}"
            elif getattr(function_of(found), "_swiftcompress_routine", None) == f"{module.__name__}:{name}":
                continue  # ours already: verified when it was put there
            else:
                reason = self._unknown(f"{module.__name__}:{name}", function_of(found))
        return reason

    def _unknown(self, key: str, function: Any) -> str:
        """Say how a function differs from all that are known; empty: it does not."""
        expected = [table[key] for table in self.known.values() if key in table]
        name = key.partition(":")[2]
        signature, source = fingerprint(function)
        if not any(signature == known_signature for known_signature, _ in expected):
            return f"{name} has another signature: {signature}"
        if not any(known == (signature, source) or known == (signature, "") for known in expected):
            if not source and installed_version() in self.known:
                return ""  # a version that is known, without its sources
            return f"{name} has another source" if source else f"{name} has no source to verify"
        return ""

    def _replace(self, module: ModuleType, routine: Routine, status: Status) -> _Place | None:
        holder, _, name = routine.name.rpartition(".")
        place = getattr(module, holder) if holder else module
        original = vars(place)[name]
        if getattr(function_of(original), "_swiftcompress_routine", None) == routine.key:
            return None
        return self._set(place, name, original, self._replacement(module, routine, original, status))

    def _set(self, holder: Any, name: str, original: Any, replacement: Any) -> _Place:
        setattr(holder, name, replacement)
        self._places.append(_Place(holder, name, original, replacement))
        return self._places[-1]

    def _replacement(self, module: ModuleType, routine: Routine, original: Any, status: Status) -> Any:
        """A function, static method or class method, as the original is."""
        function = function_of(original)
        of_class = isinstance(original, classmethod)

        @functools.wraps(function)
        def replacement(*arguments: Any, **keywords: Any) -> Any:
            if not self.active:
                return function(*arguments, **keywords)
            rest, owner, bound = arguments, None, function
            if of_class:
                owner, rest = arguments[0], arguments[1:]
                bound = functools.partial(function, owner)
            raised: list[Exception] = []

            def watched(*arguments: Any, **keywords: Any) -> Any:
                try:
                    return bound(*arguments, **keywords)
                except Exception as error:
                    raised.append(error)
                    raise

            try:
                result = routine.ours(Call(module, watched, self.threads(), owner), *rest, **keywords)
            except (Declined, TypeError, ValueError, NotImplementedError) as reason:
                if any(reason is error for error in raised):
                    raise  # the original's own
                # The engine's errors come here too: what is wrong the original says in its own words.
                status.original += 1
                status.declined = str(reason)
            else:
                status.ours += 1
                return result
            return bound(*rest, **keywords)

        replacement._swiftcompress_routine = routine.key  # type: ignore[attr-defined]
        if isinstance(original, staticmethod):
            return staticmethod(replacement)
        return classmethod(replacement) if of_class else replacement

    def restore(self) -> None:
        """Put everything back. References to ours that others hold run the original from now on."""
        self.active = False
        for place in reversed(self._places):
            place.restore()
        # Modules imported since have taken ours by name.
        ours = {id(place.replacement): place for place in self._places}
        for module in package_modules():
            for name, value in list(vars(module).items()):
                found = ours.get(id(value))
                if found is not None and value is found.replacement:
                    setattr(module, name, found.original)
        self._places.clear()


def package_modules() -> list[ModuleType]:
    """The modules of the package that are imported."""
    return [
        module
        for name, module in list(sys.modules.items())
        if (name == PACKAGE or name.startswith(f"{PACKAGE}.")) and isinstance(module, ModuleType)
    ]


def raw(module: ModuleType, name: str) -> Any:
    """What is stored under a dotted name, without binding it; None: nothing."""
    holder, _, last = name.rpartition(".")
    place = getattr(module, holder, None) if holder else module
    return None if place is None else vars(place).get(last)


def function_of(stored: Any) -> Any:
    """The function in a static method or class method, or itself."""
    return stored.__func__ if isinstance(stored, staticmethod | classmethod) else stored


# What was read of a function: reading sources takes the better part of a second.
_read: weakref.WeakKeyDictionary[Any, tuple[Any, tuple[str, str]]] = weakref.WeakKeyDictionary()


def fingerprint(function: Any) -> tuple[str, str]:
    """The names of the parameters, with = where there is a default; and a hash of the source, empty without one."""
    code = getattr(function, "__code__", None)
    if not isinstance(function, FunctionType):
        return _fingerprint(function)
    if function not in _read or _read[function][0] is not code:
        _read[function] = (code, _fingerprint(function))
    return _read[function][1]


def _fingerprint(function: Any) -> tuple[str, str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return "(?)", ""
    marks: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    signature = ", ".join(
        ("*, " if first_keyword(parameters, parameter) else "")
        + marks.get(parameter.kind, "")
        + parameter.name
        + ("" if parameter.default is inspect.Parameter.empty else "=")
        for parameter in parameters
    )
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return f"({signature})", ""
    return f"({signature})", hashlib.sha256(source.encode()).hexdigest()[:16]


def first_keyword(parameters: Any, parameter: inspect.Parameter) -> bool:
    """Whether this is the first of the parameters that can only be named."""
    named = [each for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY]
    return bool(named) and parameter is named[0]


def installed_version() -> str:
    """The version of the package; empty: it is not installed."""
    loaded = sys.modules.get(PACKAGE)
    found = getattr(loaded, "__version__", None)
    if isinstance(found, str):
        return found
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return ""
