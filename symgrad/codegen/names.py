"""Names in generated code: the user's are sacred, generated ones step aside."""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Iterable

__all__ = ["Names"]

_KEPT = frozenset({"math", "numba", "np", "range", "float", "int"})


class Names:
    """Hands out identifiers that are unique within one generated function.

    >>> names = Names(["x", "t", "lambda"])
    >>> names.user("x"), names.user("lambda"), names.fresh("t"), names.fresh("t")
    ('x', 'lambda_', 't1', 't2')
    """

    def __init__(self, user: Iterable[str]) -> None:
        """Reserve the names of the user's inputs and steps."""
        self._taken: set[str] = set()
        self._user: dict[str, str] = {}
        for name in user:
            spelling = name
            while keyword.iskeyword(spelling) or spelling in _KEPT or spelling in self._taken:
                spelling += "_"
            self._user[name] = spelling
            self._taken.add(spelling)

    def user(self, name: str) -> str:
        """Return the spelling of a user's name: itself unless it is a word of Python."""
        return self._user[name]

    def fresh(self, wish: str) -> str:
        """Return a name like `wish` that nothing else has."""
        name = wish if wish.isidentifier() else "value"
        if keyword.iskeyword(name) or name in _KEPT or hasattr(builtins, name):
            name += "_"
        if name in self._taken:
            stem = f"{name}_" if name[-1].isdigit() else name
            number = 1
            while f"{stem}{number}" in self._taken:
                number += 1
            name = f"{stem}{number}"
        self._taken.add(name)
        return name

    def __contains__(self, name: str) -> bool:
        return name in self._taken

    def mark(self) -> set[str]:
        """Return the names in use, to give back what a block adds."""
        return set(self._taken)

    def release(self, mark: set[str]) -> None:
        """Forget the names that were given out since `mark`."""
        self._taken = mark
