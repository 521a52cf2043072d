"""Names in generated code: the user's are sacred, generated ones step aside."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Collection, Iterable

__all__ = ["Mark", "Names"]

#: The names in use at some place, and the last number given to each stem.
Mark = tuple[set[str], dict[str, int]]

_KEPT = frozenset({"math", "numba", "np", "range", "float", "int"})


class Names:
    """Hands out identifiers that are unique within one generated function.

    >>> names = Names(["x", "t", "lambda", "a b"])
    >>> names.user("x"), names.user("lambda"), names.user("a b")
    ('x', 'lambda_', 'a_b')
    >>> names.fresh("t"), names.fresh("t")
    ('t1', 't2')
    """

    def __init__(self, user: Iterable[str], reserved: Collection[str] = ()) -> None:
        """Reserve the names of the user's inputs and steps.

        Args:
            user: the names, distinct; those that are no identifiers are spelt anew.
            reserved: names that only the user may take.
        """
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}
        self._user: dict[str, str] = {}
        self._reserved = frozenset(reserved)
        # Names that can stay as they are come first: none of them makes way for another.
        for name in sorted(user, key=lambda name: _identifier(name) != name):
            spelling = _identifier(name)
            while keyword.iskeyword(spelling) or spelling in _KEPT or spelling in self._taken:
                spelling += "_"
            self._user[name] = spelling
            self._taken.add(spelling)

    def user(self, name: str) -> str:
        """Return the spelling of a user's name: itself unless Python would not read it."""
        return self._user[name]

    def fresh(self, wish: str) -> str:
        """Return a name like `wish` that nothing else has."""
        name = _identifier(wish)
        if keyword.iskeyword(name) or name in _KEPT or hasattr(builtins, name):
            name += "_"
        if not self._free(name):
            stem = f"{name}_" if name[-1].isdigit() else name
            # Counting on from the last number: from 1, long code would take quadratic time.
            number = self._numbers.get(stem, 0) + 1
            while not self._free(f"{stem}{number}"):
                number += 1
            self._numbers[stem] = number
            name = f"{stem}{number}"
        self._taken.add(name)
        return name

    def _free(self, name: str) -> bool:
        return name not in self._taken and name not in self._reserved

    def __contains__(self, name: str) -> bool:
        return name in self._taken

    def mark(self) -> Mark:
        """Return the names in use, to give back what a block adds."""
        return set(self._taken), dict(self._numbers)

    def release(self, mark: Mark) -> None:
        """Forget the names that were given out since `mark`."""
        self._taken, self._numbers = mark


def _identifier(name: str) -> str:
    """Return a name as Python reads it, other characters than letters replaced."""
    spelling = unicodedata.normalize("NFKC", name)
    if spelling.isidentifier():
        return spelling
    spelling = re.sub(r"\W+", "_", spelling).strip("_")
    return spelling if spelling.isidentifier() else f"value_{spelling}".rstrip("_")
