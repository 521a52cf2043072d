"""What tests share.

Kernels of numbers are compiled at their first call. Left alone, Python runs the first calls
itself, and most tests would never see machine code; `test_trials.py` shows that the two do the
same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from symgrad import compiler
from symgrad.runtime import cache


@pytest.fixture(autouse=True, scope="session")
def compiled_at_once() -> Iterator[None]:
    """Try nothing in Python."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "TRIED", 0)
        yield


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the texts of kernels that are compiled, or taken from the cache, as they come."""
    texts: list[str] = []

    def counted(load: Callable[[str], Any], text: str) -> Any:
        texts.append(text)
        return load(text)

    for name in ("load", "load_native"):
        monkeypatch.setattr(cache, name, partial(counted, getattr(cache, name)))
    return texts
