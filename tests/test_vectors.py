"""Packed functions and sparse derivatives against SciPy, dense derivatives and closed forms."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse.linalg
from oracle import identical
from scipy.integrate import solve_ivp

import symgrad as sg


@pytest.fixture(params=["small", "rolled"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test in the kernels of small functions and in rolled code."""
    if request.param == "rolled":
        monkeypatch.setattr("symgrad.vectors._SMALL", -1)
    return request.param


def rosenbrock(n: int) -> sg.Function:
    terms = [f"100*(x{k + 1} - x{k}**2)**2 + (1 - x{k})**2" for k in range(n - 1)]
    return sg.compile(" + ".join(terms), inputs=[f"x{k}" for k in range(n)])


def brusselator(n: int) -> sg.Function:
    """Return the Brusselator with diffusion in one dimension, u and v in turns.

    E. Hairer and G. Wanner, Solving Ordinary Differential Equations II, 2nd ed., section
    IV.10.
    """
    s = f"{(n + 1) ** 2}/50"
    u = ["1", *(f"u{k}" for k in range(n)), "1"]
    v = ["3", *(f"v{k}" for k in range(n)), "3"]
    rates = {}
    for k in range(1, n + 1):
        u_xx, v_xx = (f"{s}*({w[k - 1]} - 2*{w[k]} + {w[k + 1]})" for w in (u, v))
        rates[f"du{k - 1}"] = f"1 + {u[k]}**2*{v[k]} - 4*{u[k]} + {u_xx}"
        rates[f"dv{k - 1}"] = f"3*{u[k]} - {u[k]}**2*{v[k]} + {v_xx}"
    return sg.compile(rates, inputs=["t", *unknowns(n)], outputs=list(rates))


def unknowns(n: int) -> list[str]:
    return [f"{name}{k}" for k in range(n) for name in "uv"]


# Packed ------------------------------------------------------------------------------


def test_one_array_for_all_inputs(way: str) -> None:
    f = sg.packed(sg.compile("f(x, y, z) = x*y + exp(z)"))
    assert f([2.0, 3.0, 0.0]) == 7.0
    assert isinstance(f([2, 3, 0]), np.float64)
    points = np.random.default_rng(0).normal(size=(4, 5, 3))
    assert np.allclose(f(points), points[..., 0] * points[..., 1] + np.exp(points[..., 2]))
    assert f(np.empty((0, 3))).shape == (0,)


def test_arrays_and_numbers_broadcast(way: str) -> None:
    f = sg.compile("u = a*x - y; v = y**2 + b", inputs=["x", "a", "y", "b"], outputs=["u", "v"])
    g = sg.packed(f, "b", ["y", "x"], "a")
    assert g(1.0, [5.0, 2.0], 3.0).tolist() == [1.0, 26.0]
    b, yx, a = np.arange(4.0), np.ones((3, 1, 2)), np.full((3, 4), 2.0)
    found = g(b, yx, a)
    assert found.shape == (3, 4, 2)
    assert np.array_equal(found[1, :, 1], 1 + b)


def test_results_have_the_form_that_they_have_at_one_point(way: str) -> None:
    f = sg.compile("u = x*y; v = x + y", outputs=["u", "v"])
    x = np.array([[2.0, 3.0], [5.0, 7.0], [1.0, 0.0]])
    assert sg.packed(f)(x).tolist() == [[6, 5], [35, 12], [0, 1]]
    jacobian = sg.packed(sg.jacobian(f))
    assert jacobian(x[0]).tolist() == [[3, 2], [1, 1]]
    assert jacobian(x).shape == (3, 2, 2)
    one = sg.compile("x**2*y")
    value, gradient, hessian = sg.packed(sg.value_grad_and_hessian(one))(x)
    assert np.array_equal(value, x[:, 0] ** 2 * x[:, 1])
    assert np.array_equal(gradient[1], [70, 25])
    assert np.array_equal(hessian[1], [[14, 10], [10, 0]])
    value, gradient = sg.packed(sg.value_and_grad(one))(x[0])
    assert (value, gradient.tolist()) == (12.0, [12.0, 4.0])


def test_a_large_function_does_what_scipy_does() -> None:
    n = 1000
    f = rosenbrock(n)
    x = np.random.default_rng(1).uniform(-2, 2, n)
    assert sg.packed(f)(x) == pytest.approx(scipy.optimize.rosen(x), rel=1e-12)
    assert np.allclose(sg.packed(sg.grad(f))(x), scipy.optimize.rosen_der(x), rtol=1e-12)
    hessian = sg.packed(sg.hessian(f, sparse=True))
    found = hessian(x)
    assert (found.shape, found.nnz) == ((n, n), 3 * n - 2)
    assert np.allclose(found.toarray(), scipy.optimize.rosen_hess(x), rtol=1e-12)


def test_values_of_large_functions_do_not_depend_on_the_company() -> None:
    f = sg.packed(sg.grad(rosenbrock(80)))
    x = np.random.default_rng(2).uniform(-2, 2, (700, 80))
    together = f(x)
    assert identical(together[433], f(x[433]))
    assert identical(together[100:300], f(x[100:300]))
    assert identical(f(np.asfortranarray(x)), together)


def test_many_points_are_several_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    f = sg.packed(rosenbrock(80))
    x = np.random.default_rng(4).uniform(-2, 2, (900, 80))
    at_once = f(x)
    monkeypatch.setattr("symgrad.runtime.rolled._LAUNCH", 1)
    assert identical(f(x), at_once)
    assert np.allclose(at_once, scipy.optimize.rosen(x.T), rtol=1e-12)


def test_out_receives_the_result(way: str) -> None:
    f = sg.packed(sg.compile("u = x*y; v = x + y", outputs=["u", "v"]))
    x = np.array([[2.0, 3.0], [5.0, 7.0]])
    out = np.empty((2, 2))
    assert f(x, out=out) is out
    assert out.tolist() == [[6, 5], [35, 12]]
    strided = np.empty((2, 4))[:, ::2]
    f(x, out=strided)
    assert np.array_equal(strided, out)
    f(x, out=x)
    assert np.array_equal(x, out)


def test_any_array_of_real_numbers_will_do(way: str) -> None:
    f = sg.packed(sg.compile("f(x, y) = x - 2*y"))
    x = np.arange(8.0).reshape(4, 2)
    expected = x[:, 0] - 2 * x[:, 1]
    fixed = x.copy()
    fixed.setflags(write=False)
    shifted = np.zeros(65, np.uint8)[1:].view(float).reshape(4, 2)
    shifted[...] = x
    for same in (
        fixed,
        shifted,
        x.astype(">f8"),
        x.astype(np.float32),
        x.astype(int),
        x.tolist(),
    ):
        assert np.array_equal(f(same), expected)
    assert np.array_equal(f(np.repeat(x, 2, axis=1)[:, ::2]), expected)


def test_no_inputs_and_no_outputs(way: str) -> None:
    f = sg.packed(sg.compile("u = 3; v = pi", outputs=["u", "v"]))
    assert f([]).tolist() == [3.0, np.pi]
    assert f(np.empty((4, 0))).shape == (4, 2)
    flat = sg.packed(sg.hessian(sg.compile("f(x, y) = x + y"), sparse=True))
    assert flat([1.0, 2.0]).nnz == 0


def test_a_packed_function_pickles_and_shows_itself() -> None:
    f = sg.packed(sg.compile("f(x, y, a) = a*x*y"), ["x", "y"], "a")
    assert pickle.loads(pickle.dumps(f))([2.0, 3.0], 5.0) == 30.0
    assert repr(f) == "<symgrad.Packed ([x, y], a) of <symgrad.Function f(x, y, a)>>"
    assert f.arguments == (("x", "y"), "a")


# Products with vectors ---------------------------------------------------------------


@pytest.mark.parametrize("method", ["trust-ncg", "trust-krylov", "Newton-CG"])
def test_a_solver_takes_the_product_of_the_hessian(method: str) -> None:
    n = 60
    f = rosenbrock(n)
    value, gradient, hessp = (sg.packed(g) for g in (f, sg.grad(f), sg.hvp(f)))
    start = np.random.default_rng(6).uniform(0.5, 1.5, n)
    found = scipy.optimize.minimize(
        value, start, jac=gradient, hessp=hessp, method=method, tol=1e-7
    )
    assert found.success
    assert found.nhev > 0
    assert found.x == pytest.approx(np.ones(n), abs=1e-5)
    reference = scipy.optimize.minimize(
        scipy.optimize.rosen,
        start,
        jac=scipy.optimize.rosen_der,
        hessp=scipy.optimize.rosen_hess_prod,
        method=method,
        tol=1e-7,
    )
    assert abs(found.nit - reference.nit) <= 2


def test_the_product_of_the_hessian_is_what_scipy_knows() -> None:
    n = 1000
    rng = np.random.default_rng(7)
    x, p = rng.uniform(-2, 2, (2, n))
    hessp = sg.packed(sg.hvp(rosenbrock(n)))
    expected = scipy.optimize.rosen_hess_prod(x, p)
    assert hessp(x, p) == pytest.approx(expected, rel=1e-12, abs=1e-9)
    out = np.empty(n)
    assert hessp(x, p, out=out) is out
    assert identical(out, hessp(x, p))


def test_parameters_beside_the_variables(way: str) -> None:
    f = sg.compile("a*(y - x**2)**2 + (b - x)**2", inputs=["a", "x", "y", "b"])
    wrt = ["x", "y"]
    hessp = sg.packed(sg.hvp(f, wrt=wrt), wrt, ["x_dot", "y_dot"], "a", "b")
    gradient = sg.packed(sg.grad(f, wrt=wrt), wrt, "a", "b")
    value = sg.packed(f, wrt, "a", "b")
    found = scipy.optimize.minimize(
        value, [-1.0, 2.0], args=(100.0, 2.0), jac=gradient, hessp=hessp, method="trust-ncg"
    )
    assert found.x == pytest.approx([2.0, 4.0], abs=1e-4)
    x, p = np.array([0.5, 2.0]), np.array([3.0, -1.0])
    hessian = sg.hessian(f, wrt=wrt)(100.0, *x, 2.0)
    assert hessp(x, p, 100.0, 2.0) == pytest.approx(hessian @ p, rel=1e-14)


def test_products_are_linear_operators(way: str) -> None:
    f = brusselator(5)
    along, back = (sg.packed(g) for g in (sg.jvp(f), sg.vjp(f)))
    x = np.random.default_rng(8).uniform(0, 4, 11)
    dense = sg.packed(sg.jacobian(f))(x)
    operator = scipy.sparse.linalg.LinearOperator(
        dense.shape, matvec=lambda v: along(x, v.ravel()), rmatvec=lambda u: back(x, u.ravel())
    )
    assert operator @ np.eye(11) == pytest.approx(dense, rel=1e-13, abs=1e-12)
    assert operator.T @ np.eye(10) == pytest.approx(dense.T, rel=1e-13, abs=1e-12)
    residual = np.arange(10.0)
    step = scipy.sparse.linalg.lsmr(operator, residual, atol=1e-14, btol=1e-14, maxiter=500)[0]
    assert step == pytest.approx(np.linalg.lstsq(dense, residual, rcond=None)[0], rel=1e-6)


def test_least_squares_without_a_matrix() -> None:
    times = np.linspace(0.0, 3.0, 25)
    rows = {f"r{k}": f"a*exp(-b*{t}) - 2*exp(-{t})" for k, t in enumerate(times)}
    f = sg.compile(rows, inputs=["a", "b"], outputs=list(rows))
    along, back = sg.packed(sg.jvp(f)), sg.packed(sg.vjp(f))

    def jacobian(x: np.ndarray) -> scipy.sparse.linalg.LinearOperator:
        return scipy.sparse.linalg.LinearOperator(
            (25, 2), matvec=lambda v: along(x, v.ravel()), rmatvec=lambda u: back(x, u.ravel())
        )

    found = scipy.optimize.least_squares(sg.packed(f), [1.0, 0.5], jac=jacobian)
    assert found.x == pytest.approx([2.0, 1.0], rel=1e-6)


def test_products_at_many_points(way: str) -> None:
    f = sg.compile("u = x*y + exp(x); v = x/y; w = y", outputs=["u", "v", "w"])
    rng = np.random.default_rng(9)
    x, v, u = rng.uniform(1, 2, (4, 2)), rng.normal(size=(4, 2)), rng.normal(size=(4, 3))
    dense = sg.packed(sg.jacobian(f))(x)
    along, back = sg.packed(sg.jvp(f)), sg.packed(sg.vjp(f))
    assert along(x, v) == pytest.approx(np.einsum("pij,pj->pi", dense, v), rel=1e-14)
    assert back(x, u) == pytest.approx(np.einsum("pij,pi->pj", dense, u), rel=1e-14)
    assert identical(along(x[0], v)[2], along(x[0], v[2]))


def test_products_by_steps(way: str) -> None:
    f = sg.compile("u = x*y; v = u**3; w = u*z", inputs=["x", "y", "z"], outputs=["v", "w"])
    point = [2.0, 3.0, 5.0]
    wrt = ["u", "z"]
    dense = np.array(sg.jacobian(f, wrt=wrt)(*point))
    assert sg.packed(sg.jvp(f, wrt=wrt))(point, [1.0, -2.0]) == pytest.approx(dense @ [1, -2])
    assert sg.packed(sg.vjp(f, wrt=wrt))(point, [1.0, -2.0]) == pytest.approx([1, -2] @ dense)
    sum_of_both = sg.compile("u = x*y; s = u**3 + u*z", inputs=["x", "y", "z"])
    hessian = sg.hessian(sum_of_both, wrt=wrt)(*point)
    assert sg.packed(sg.hvp(sum_of_both, wrt=wrt))(point, [1.0, -2.0]) == pytest.approx(
        hessian @ [1, -2]
    )


def test_names_that_vectors_would_have_are_left_alone() -> None:
    f = sg.compile("x_dot**2*x**3", inputs=["x", "x_dot"])
    product = sg.hvp(f)
    assert product.inputs == ("x", "x_dot", "x_dot_", "x_dot_dot")
    assert sg.packed(product).arguments == (("x", "x_dot"), ("x_dot_", "x_dot_dot"))
    x, v = np.array([2.0, 3.0]), np.array([1.0, -1.0])
    assert sg.packed(product)(x, v) == pytest.approx(sg.hessian(f)(*x) @ v)


def test_a_product_pickles() -> None:
    hessp = sg.packed(sg.hvp(rosenbrock(4)))
    again = pickle.loads(pickle.dumps(hessp))
    x, p = np.arange(4.0), np.ones(4)
    assert again.arguments == hessp.arguments
    assert identical(again(x, p), hessp(x, p))


# Sparse ------------------------------------------------------------------------------


def test_sparse_is_dense(way: str) -> None:
    f = brusselator(6)
    x = np.random.default_rng(3).uniform(0, 4, 12)
    sparse = sg.packed(sg.jacobian(f, wrt=unknowns(6), sparse=True), "t", unknowns(6))
    dense = sg.packed(sg.jacobian(f, wrt=unknowns(6)), "t", unknowns(6))
    found = sparse(0.0, x)
    assert isinstance(found, scipy.sparse.csr_array)
    assert found.has_canonical_format
    assert np.array_equal(found.toarray(), dense(0.0, x))
    assert np.array_equal(sg.sparsity(sparse.function).toarray(), found.toarray() != 0)


def test_a_matrix_of_outputs_has_a_row_for_each() -> None:
    sp = pytest.importorskip("sympy")
    x, y = sp.symbols("x y")
    f = sg.compile(sp.Matrix([[x, y], [x * y, 1]]), inputs=[x, y])
    assert sg.jacobian(f, sparse=True)(2.0, 3.0).toarray().tolist() == [
        [1, 0],
        [0, 1],
        [3, 2],
        [0, 0],
    ]


def test_the_gradient_of_one_function_is_the_function_of_another_jacobian() -> None:
    f = sg.compile("x**2*y + exp(x*z)", inputs=["x", "y", "z"])
    hessian = sg.hessian(f, sparse=True)(1.0, 2.0, 3.0)
    again = sg.jacobian(sg.grad(f), sparse=True)(1.0, 2.0, 3.0)
    assert hessian.toarray() == pytest.approx(again.toarray(), rel=1e-14)


def test_steps_and_some_of_the_inputs() -> None:
    f = sg.compile("u = x*y; v = u**2; w = u + z", inputs=["x", "y", "z"], outputs=["v", "w"])
    found = sg.jacobian(f, wrt=["u", "z"], sparse=True)(2.0, 3.0, 1.0)
    assert found.toarray().tolist() == [[12, 0], [1, 1]]


def test_entries_in_place_and_matrices_of_their_own() -> None:
    hessian = sg.packed(sg.hessian(rosenbrock(5), sparse=True))
    first, second = hessian(np.ones(5)), hessian(np.zeros(5))
    before = first.toarray()
    second.indices[:] = 0
    second.data[:] = 7.0
    assert np.array_equal(hessian(np.ones(5)).toarray(), before)
    data = first.data
    assert hessian(np.zeros(5), out=first) is first
    assert first.data is data
    assert first.toarray() == pytest.approx(scipy.optimize.rosen_hess(np.zeros(5)))


@pytest.mark.parametrize("sparse", ["csr", "csc"])
def test_a_format_is_chosen(way: str, sparse: str) -> None:
    kind = {"csr": scipy.sparse.csr_array, "csc": scipy.sparse.csc_array}[sparse]
    f = brusselator(5)
    x = np.random.default_rng(5).uniform(0, 4, 10)
    # More columns than rows have entries: the one of the time is empty.
    jacobian = sg.packed(sg.jacobian(f, sparse=sparse), "t", unknowns(5))
    by_rows = sg.packed(sg.jacobian(f, sparse=True), "t", unknowns(5))(0.0, x)
    found = jacobian(0.0, x)
    expected = kind(by_rows)
    assert type(found) is kind
    assert found.shape == (10, 11)
    assert found.has_canonical_format
    assert identical(found.data, expected.data)
    assert np.array_equal(found.indices, expected.indices)
    assert np.array_equal(found.indptr, expected.indptr)
    assert np.array_equal(sg.sparsity(jacobian).indices, expected.indices)
    assert sg.sparsity(jacobian).format == sparse
    data = found.data
    assert jacobian(0.0, 2 * x, out=found) is found
    assert found.data is data
    assert identical(found.toarray(), jacobian(0.0, 2 * x).toarray())
    assert identical(jacobian.function(0.0, *x).toarray(), jacobian(0.0, x).toarray())
    assert identical(pickle.loads(pickle.dumps(jacobian))(0.0, x).data, expected.data)


def test_a_hessian_by_columns(way: str) -> None:
    f = sg.compile("x**2*y*w + exp(x*z)", inputs=["x", "y", "z", "w"])
    x = np.array([1.0, 2.0, 3.0, 4.0])
    by_rows, by_columns = (
        sg.packed(sg.hessian(f, wrt=["z", "x", "y"], sparse=sparse)) for sparse in (True, "csc")
    )
    assert isinstance(by_columns(x), scipy.sparse.csc_array)
    assert identical(by_columns(x).toarray(), by_rows(x).toarray())


def test_a_direct_solver_takes_columns_as_they_are() -> None:
    # SciPy's solver warns of CSR, and warnings are errors.
    hessian = sg.packed(sg.hessian(rosenbrock(30), sparse="csc"))(np.zeros(30))
    step = scipy.sparse.linalg.splu(hessian).solve(np.ones(30))
    assert hessian @ step == pytest.approx(np.ones(30))


def test_nothing_varies() -> None:
    f = sg.compile("u = 3; v = 2*x", inputs=["x"], outputs=["u", "v"])
    for sparse in (True, "csc"):
        assert sg.jacobian(f, sparse=sparse)(1.0).toarray().tolist() == [[0], [2]]
    assert sg.hessian(sg.compile("f(x, y) = x + y"), sparse=True)(1.0, 2.0).nnz == 0
    assert sg.packed(sg.jacobian(f, sparse=True))([1.0]).toarray().tolist() == [[0], [2]]


# SciPy's BDF begins with a difference from memory that nobody has written, and overwrites it.
@pytest.mark.filterwarnings("ignore:invalid value encountered in subtract:RuntimeWarning")
def test_the_brusselator_with_its_sparse_jacobian() -> None:
    n = 40
    f = brusselator(n)
    rates = sg.packed(f, "t", unknowns(n))
    jacobian = sg.packed(sg.jacobian(f, wrt=unknowns(n), sparse=True), "t", unknowns(n))
    place = np.arange(1, n + 1) / (n + 1)
    start = np.stack([1 + np.sin(2 * np.pi * place), np.full(n, 3.0)], axis=-1).ravel()
    # Two neighbours each, and the other substance: 4 entries, 3 at the ends.
    assert sg.sparsity(jacobian).nnz == 2 * (4 * n - 2)
    options = {"method": "BDF", "rtol": 1e-8, "atol": 1e-8}
    with_it = solve_ivp(rates, (0, 2), start, jac=jacobian, **options)
    without = solve_ivp(rates, (0, 2), start, **options)
    assert with_it.success
    assert np.allclose(with_it.y[:, -1], without.y[:, -1], rtol=1e-5)
    assert with_it.njev >= 1


# Mistakes ----------------------------------------------------------------------------


def test_names_that_do_not_fit() -> None:
    f = sg.compile("f(alpha, beta_) = alpha*beta_")
    with pytest.raises(sg.ArgumentError, match="no input 'alhpa': did you mean 'alpha'"):
        sg.packed(f, ["alhpa", "beta_"])
    with pytest.raises(sg.ArgumentError, match="no argument has the inputs beta_"):
        sg.packed(f, "alpha")
    with pytest.raises(sg.ArgumentError, match="the same input twice"):
        sg.packed(f, ["alpha", "beta_"], "alpha")
    with pytest.raises(sg.ArgumentError, match="expected a function made by"):
        sg.packed(np.sin)  # type: ignore[arg-type]
    for transform in (sg.jacobian, sg.hessian):
        with pytest.raises(sg.ArgumentError, match="did you mean 'alpha'"):
            transform(f, wrt=["alhpa"], sparse=True)
    with pytest.raises(sg.ArgumentError, match="did you mean 'alpha'"):
        sg.value_grad_and_hessian(f, wrt="alhpa")
    with pytest.raises(sg.ArgumentError, match="without sum and mean"):
        sg.packed(sg.compile("sum(x)*y"))


def test_arrays_that_do_not_fit(way: str) -> None:
    f = sg.packed(sg.compile("f(x, y, a) = a*x*y"), ["x", "y"], "a")
    with pytest.raises(sg.ShapeError, match=r"shape \(3,\), expected \(\.\.\., 2\)"):
        f([1.0, 2.0, 3.0], 1.0)
    with pytest.raises(sg.ShapeError, match=r"shape \(\), expected \(\.\.\., 2\)"):
        f(1.0, 1.0)
    with pytest.raises(sg.ArgumentError, match="1 arguments given, and 2 expected"):
        f([1.0, 2.0])
    with pytest.raises(sg.ShapeError, match="do not broadcast"):
        f(np.ones((3, 2)), np.ones(4))
    with pytest.raises(sg.DTypeError, match="'a'"):
        f([1.0, 2.0], 1j)
    with pytest.raises(sg.ShapeError, match="out has shape"):
        f(np.ones((3, 2)), 1.0, out=np.ones(4))
    with pytest.raises(sg.ShapeError, match="one array or one sparse matrix"):
        sg.packed(sg.value_and_grad(sg.compile("x*y")))([1.0, 2.0], out=np.ones(2))


def test_products_that_do_not_fit() -> None:
    f = sg.compile("f(alpha, beta_) = alpha*beta_**2")
    for product in (sg.jvp, sg.vjp, sg.hvp):
        with pytest.raises(sg.ArgumentError, match="did you mean 'alpha'"):
            product(f, wrt="alhpa")
        with pytest.raises(sg.ArgumentError, match="expected a function made by"):
            product(np.sin)
    hessp = sg.packed(sg.hvp(f))
    with pytest.raises(sg.ArgumentError, match="1 arguments given, and 2 expected"):
        hessp([1.0, 2.0])
    with pytest.raises(sg.ShapeError, match=r"number 2 has shape \(3,\), expected \(\.\.\., 2"):
        hessp([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(sg.ArgumentError, match="no argument has the inputs alpha_dot"):
        sg.packed(sg.hvp(f), ["alpha", "beta_"], "beta__dot")
    with pytest.raises(sg.ArgumentError, match="did you mean 'alpha_dot'"):
        sg.packed(sg.hvp(f), ["alpha", "beta_"], ["alhpa_dot", "beta__dot"])


def test_sparse_mistakes() -> None:
    several = sg.compile("u = x*y; v = x", outputs=["u", "v"])
    with pytest.raises(sg.ArgumentError, match="of one output, and this function has 2"):
        sg.hessian(several, sparse=True)
    jacobian = sg.jacobian(several, sparse=True)
    one_point = r"at one point, .* of shape \({}\): .* sparse=False"
    with pytest.raises(sg.ShapeError, match=one_point.format("2,")):
        jacobian([1.0, 2.0], 3.0)
    with pytest.raises(sg.ShapeError, match=one_point.format("1,")):
        jacobian.bind(1.0, np.ones(1))
    with pytest.raises(sg.ShapeError, match=one_point.format("4, 5")):
        sg.packed(jacobian)(np.ones((4, 5, 2)))
    assert jacobian.kernels == []
    with pytest.raises(sg.ArgumentError, match="sparse=True comes last"):
        sg.jacobian(jacobian)(1.0, 2.0)
    for dense in (sg.jacobian(several), sg.packed(several), several, np.sin):
        with pytest.raises(sg.ArgumentError, match="called with sparse=True"):
            sg.sparsity(dense)
    packed = sg.packed(jacobian)
    with pytest.raises(sg.DTypeError, match="a CSR array of doubles"):
        packed([1.0, 2.0], out=np.ones((2, 2)))
    with pytest.raises(sg.ShapeError, match="entries in other places"):
        packed([1.0, 2.0], out=scipy.sparse.csr_array(np.ones((2, 2))))
    with pytest.raises(sg.DTypeError, match="a CSR array of doubles"):
        packed([1.0, 2.0], out=packed([1.0, 2.0]).tocsc())
    by_columns = sg.packed(sg.jacobian(several, sparse="csc"))
    with pytest.raises(sg.DTypeError, match="a CSC array of doubles"):
        by_columns([1.0, 2.0], out=packed([1.0, 2.0]))


@pytest.mark.parametrize("derivative", [sg.jacobian, sg.hessian])
def test_formats_that_there_are_not(derivative: Callable[..., Any]) -> None:
    f = sg.compile("x*y")
    with pytest.raises(sg.ArgumentError, match="True, False, 'csr' or 'csc', not 'coo'"):
        derivative(f, sparse="coo")
    for other in (None, 2, ["csr"], np.ones(2)):
        with pytest.raises(sg.ArgumentError, match=f"not {type(other).__name__}"):
            derivative(f, sparse=other)
    assert not hasattr(derivative(f, sparse=np.False_)(1.0, 2.0), "format")


def test_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(sg.MissingDependencyError, match="pip install scipy"):
        sg.jacobian(sg.compile("x*y"), sparse=True)
