"""What all tests share: kernels of numbers are compiled at their first call.

Left alone, Python runs the first calls itself, and most tests would never see machine code.
`test_trials.py` shows that the two do the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from symgrad import compiler


@pytest.fixture(autouse=True, scope="session")
def compiled_at_once() -> Iterator[None]:
    """Try nothing in Python."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "TRIED", 0)
        yield
