"""Starting Numba: SciPy stays where it is, and Numba works as ever."""

import os
import subprocess
import sys

import pytest


def python(code, **env):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **env},
    )


LARGE = "; ".join(["u0 = erf(x)*y", *(f"u{k + 1} = sin(u{k})*y" for k in range(200))])


@pytest.mark.parametrize("x", ["2.0", "np.ones(9)"])
@pytest.mark.parametrize(
    ("formula", "backend", "starts"),
    [
        ("x*y", "jit", "False"),
        ("e*x + y*pi", "jit", "False"),
        ("gamma(x)*y", "jit", "True"),
        (LARGE, "auto", "False"),
        (f"{LARGE}; sum(u200)", "interpreter", "False"),
    ],
)
def test_only_functions_of_the_c_library_start_numba_and_not_scipy(
    x, formula, backend, starts, tmp_path
):
    code = (
        "import sys, numpy as np, symgrad as sg; "
        f"sg.grad(sg.compile('{formula}', backend='{backend}'))({x}, 3.0); "
        "print('numba' in sys.modules, 'scipy.linalg' in sys.modules)"
    )
    for _ in range(2):
        done = python(code, SYMGRAD_CACHE_DIR=str(tmp_path))
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [starts, "False"]


def test_packed_functions_do_not_start_numba(tmp_path):
    code = (
        "import sys, numpy as np, symgrad as sg; "
        "f = sg.compile('; '.join(f'f{k} = sin(x{k})*x{k + 1}' for k in range(50))); "
        "sg.packed(sg.jacobian(f, sparse=True))(np.ones(51)); "
        "print('numba' in sys.modules)"
    )
    done = python(code, SYMGRAD_CACHE_DIR=str(tmp_path))
    assert done.stdout.split() == ["False"], done.stderr


@pytest.mark.parametrize("first", ["symgrad", "numba", "scipy.linalg"])
def test_linear_algebra_of_numba_works_afterwards(first):
    pytest.importorskip("scipy")
    code = f"""
import importlib
importlib.import_module({first!r})
import numpy as np, symgrad as sg
assert sg.compile("gamma(x) + 1")(np.ones(1)) == 2.0
import numba, numba.np.linalg
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
import numpy as np, symgrad as sg
assert sg.compile("gamma(x) + 1")(np.ones(1)) == 2.0
import numba
try:
    numba.njit(lambda a: np.dot(a, a))(np.eye(3))
except Exception as error:
    print("scipy" in str(error).lower())
"""
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True"]
