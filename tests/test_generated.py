"""The committed kernels: up to date byte for byte, stand-alone, and right."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import mpmath
import pytest

ROOT = Path(__file__).parent.parent
KERNELS = sorted((ROOT / "generated").glob("*.py"))
EXPECTED = {"tutorial", "square_of_sum", "black_scholes", "lennard_jones", "two_peaks"}


def test_all_kernels_are_there():
    assert {path.stem for path in KERNELS} >= EXPECTED


def test_they_are_what_the_compiler_writes_today():
    script = [sys.executable, str(ROOT / "scripts" / "generate"), "--check"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.stem)
def test_they_verify_themselves_without_symgrad_and_sympy(path, tmp_path):
    copy = tmp_path / path.name
    copy.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    code = (
        "import runpy, sys\n"
        "sys.modules['symgrad'] = sys.modules['sympy'] = None\n"
        f"runpy.run_path({str(copy)!r}, run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "largest error" in done.stdout


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.stem)
def test_a_wrong_golden_value_is_found(path, tmp_path):
    text = path.read_text(encoding="utf-8")
    broken = re.sub(
        r'(\("forward", \([^)]*\), \()([^,]+),', r"\g<1>\g<2> + 1e-9,", text, count=1
    )
    assert broken != text
    copy = tmp_path / path.name
    copy.write_text(broken, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(copy)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1


def load(name, tmp_path):
    copy = tmp_path / f"generated_{name}.py"
    copy.write_text((ROOT / "generated" / f"{name}.py").read_text(encoding="utf-8"))
    spec = importlib.util.spec_from_file_location(copy.stem, copy)
    module = importlib.util.module_from_spec(spec)
    sys.modules[copy.stem] = module
    spec.loader.exec_module(module)
    return module


def normal_cdf(x):
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def call_price(S, K, T, r, sigma):
    d1 = (mpmath.log(S / K) + (r + sigma**2 / 2) * T) / (sigma * mpmath.sqrt(T))
    d2 = d1 - sigma * mpmath.sqrt(T)
    return S * normal_cdf(d1) - K * mpmath.exp(-r * T) * normal_cdf(d2)


def test_black_scholes_against_hulls_example_and_mpmath(tmp_path):
    # J. C. Hull, Options, Futures, and Other Derivatives: S=42, K=40, r=10 %, sigma=20 %.
    module = load("black_scholes", tmp_path)
    point = (42.0, 40.0, 0.5, 0.1, 0.2)
    call, *greeks = module.gradient(*point)
    assert round(call, 2) == 4.76
    with mpmath.workdps(50):
        assert abs(call - call_price(*map(mpmath.mpf, point))) < 1e-13
        for k, greek in enumerate(greeks):
            order = tuple(int(j == k) for j in range(5))
            expected = mpmath.diff(call_price, tuple(map(mpmath.mpf, point)), order)
            assert abs(greek - expected) <= 1e-12 * max(1, abs(expected))


def test_two_peaks_jacobian_over_points(tmp_path):
    np = pytest.importorskip("numpy")
    module = load("two_peaks", tmp_path)
    x = np.linspace(0.0, 4.0, 9)
    parameters = (2.0, 1.0, 0.5, 1.0, 3.0, 0.75, 0.125, 0.0625)
    columns = [np.empty(9) for _ in parameters]
    module.jacobian(len(x), x, *parameters, *columns)

    def model(x, h1, c1, w1, h2, c2, w2, a, b):
        first = h1 * mpmath.exp(-(((x - c1) / w1) ** 2) / 2)
        return first + h2 * mpmath.exp(-(((x - c2) / w2) ** 2) / 2) + a + b * x

    with mpmath.workdps(50):
        for i, at in enumerate(x):
            for k, column in enumerate(columns):
                order = (0, *(int(j == k) for j in range(8)))
                start = tuple(map(mpmath.mpf, (at, *parameters)))
                assert abs(column[i] - mpmath.diff(model, start, order)) < 1e-14


def test_the_square_of_a_sum_knows_its_step(tmp_path):
    module = load("square_of_sum", tmp_path)
    assert module.gradient(2.0, 3.0) == (25.0, 10.0, 10.0, 10.0)
