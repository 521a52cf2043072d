"""Starting Numba: SciPy stays where it is, and Numba works as ever."""

import subprocess
import sys

import pytest


def python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )


def test_a_kernel_is_compiled_without_scipy():
    code = (
        "import sys, symgrad as sg; sg.grad(sg.compile('x*y', backend='jit'))(2.0, 3.0); "
        "print('numba' in sys.modules, 'scipy.linalg' in sys.modules)"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "False"]


@pytest.mark.parametrize("first", ["symgrad", "numba", "scipy.linalg"])
def test_linear_algebra_of_numba_works_afterwards(first):
    pytest.importorskip("scipy")
    code = f"""
import importlib
importlib.import_module({first!r})
import symgrad as sg
assert sg.compile("x + 1", backend="jit")(1.0) == 2.0
import numba, numba.np.linalg, numpy as np
assert numba.np.linalg.ensure_blas.__module__ == "numba.np.linalg"
assert numba.np.linalg.ensure_blas.__name__ == "ensure_blas"
a = np.arange(9.0).reshape(3, 3) + np.eye(3)
assert np.allclose(numba.njit(lambda a: np.dot(a, a))(a), a @ a)
assert np.allclose(numba.njit(lambda a: np.linalg.inv(a))(a) @ a, np.eye(3))
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_without_scipy_numba_says_so_itself():
    code = """
import sys
sys.modules["scipy"] = None
import symgrad as sg
assert sg.compile("x + 1", backend="jit")(1.0) == 2.0
import numba, numpy as np
try:
    numba.njit(lambda a: np.dot(a, a))(np.eye(3))
except Exception as error:
    print("scipy" in str(error).lower())
"""
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True"]
