"""The PyTorch-like runtime: tensors that record and compute with compiled kernels."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    """The package, which can be called as `symgrad.tensor` the function.

    Importing a module of the package makes ``symgrad.tensor`` mean the package, whatever
    it meant before, so the package has to do what the function does.
    """

    def __call__(self, data: Any, **options: Any) -> Any:
        """Return a tensor with a copy of `data`; see `symgrad.tensor.tensor.tensor`."""
        from .tensor import tensor

        return tensor(data, **options)


sys.modules[__name__].__class__ = _Package
