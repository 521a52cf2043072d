"""Whether operators keep the history that `backward` needs.

The mode belongs to the context: every thread, and every asyncio task, has its own, and
starts with gradients on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

__all__ = ["enable_grad", "is_grad_enabled", "no_grad", "set_grad_enabled"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

_enabled: ContextVar[bool] = ContextVar("symgrad_grad_enabled", default=True)

#: Tell whether operators keep history in this context.
is_grad_enabled: Callable[[], bool] = _enabled.get


class _Mode:
    """A grad mode as a context manager and as a decorator."""

    mode = True
    _before: list[bool]

    def __new__(cls, *_: Any) -> Any:
        """Remember nothing yet; one object may be entered again and again."""
        made = super().__new__(cls)
        made._before = []
        return made

    def __enter__(self) -> None:
        self._before.append(_enabled.get())
        _enabled.set(self.mode)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _enabled.set(self._before.pop())

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """Return `function` running in this mode."""
        mode = self.mode

        @functools.wraps(function)
        def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with set_grad_enabled(mode):
                return function(*args, **kwargs)

        return wrapped


class _Switch(_Mode):
    """A mode that decorates with and without parentheses."""

    def __new__(cls, function: Any = None) -> Any:
        """Return the mode, or `function` decorated by it."""
        mode = super().__new__(cls)
        return mode if function is None else mode(function)


class no_grad(_Switch):  # noqa: N801
    """Compute without history: no gradient code is generated and nothing is kept.

    A context manager, and a decorator with or without parentheses.

    >>> import symgrad as sg
    >>> x = sg.tensor(2.0, requires_grad=True)
    >>> with sg.no_grad():
    ...     print(x * x)
    tensor(4.)
    """

    mode = False


class enable_grad(_Switch):  # noqa: N801
    """Keep history again inside of `no_grad`; used in the same ways."""

    mode = True


class set_grad_enabled(_Mode):  # noqa: N801
    """Switch history on or off, at once and, as a context manager, until its end.

    >>> import symgrad as sg
    >>> with sg.set_grad_enabled(False):
    ...     sg.is_grad_enabled()
    False
    """

    def __init__(self, mode: bool) -> None:
        """Switch now; leaving the context restores what was before."""
        self.mode = bool(mode)
        self._pending: bool | None = _enabled.get()
        _enabled.set(self.mode)

    def __enter__(self) -> None:
        if self._pending is None:
            super().__enter__()
            return
        self._before.append(self._pending)
        self._pending = None
        _enabled.set(self.mode)

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """Return `function` running in this mode; the switch made above is undone."""
        if self._pending is not None:
            _enabled.set(self._pending)
            self._pending = None
        return super().__call__(function)
