"""Tensor: data with operators that record and gradients that arrive."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from ..errors import AutogradError, DTypeError, ShapeError, UnsupportedError
from ..function import Function
from ..runtime import arrays
from . import printing
from .backward import SECOND_TIME, gradients
from .calls import record_call
from .evaluate import evaluate, record
from .grad_mode import is_grad_enabled, no_grad
from .node import (
    BOOL,
    FLOAT32,
    FLOAT64,
    INT64,
    Array,
    Node,
    Operand,
    Sink,
    array_of,
    broadcast,
    fit,
    leaf,
    no_value,
    promote,
)

__all__ = ["Tensor", "apply", "operand", "power", "reduced", "tensor", "wrap"]

_DTYPES = (FLOAT64, FLOAT32, INT64, BOOL)

# The wording is PyTorch's, which people search for.
_NOT_A_LEAF = (
    "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad "
    "attribute won't be populated during autograd.backward(). If you indeed want the .grad "
    "field to be populated for a non-leaf Tensor, use .retain_grad() on the non-leaf Tensor. "
    "If you access the non-leaf Tensor by mistake, make sure you access the leaf Tensor "
    "instead."
)
_ONLY_LEAVES = "you can only change requires_grad flags of leaf variables."
_DETACH = (
    " If you want to use a computed variable in a subgraph that doesn't require "
    "differentiation use var_no_grad = var.detach()."
)
_NUMPY = "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
_IN_PLACE = "a leaf Variable that requires grad is being used in an in-place operation."

_GRAD_NAMES = {
    "clip": "ClampBackward0",
    "copy": "CloneBackward0",
    "log1p": "Log1PBackward0",
    "max": "MaximumBackward0",
    "min": "MinimumBackward0",
    "mod": "RemainderBackward1",
    "norm": "LinalgVectorNormBackward0",
}

# Where the name tells tensors from numbers: whether the first two operands are tensors.
_GRAD_VARIANTS = {
    ("clip", True, False): "ClampBackward1",
    ("div", False, True): "MulBackward0",
    ("mod", True, False): "RemainderBackward0",
    ("pow", True, True): "PowBackward1",
    ("pow", False, True): "PowBackward2",
    ("sub", False, True): "RsubBackward1",
}

_UFUNCS = {
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "negative": "neg",
    "absolute": "abs",
    "remainder": "mod",
    "less": "lt",
    "less_equal": "le",
    "greater": "gt",
    "greater_equal": "ge",
    "equal": "eq",
    "not_equal": "ne",
}

#: Whole exponents up to here are part of the structure; others are arguments.
_LITERAL_EXPONENT = 64

# Two threads may deliver gradients to one leaf.
_delivery = threading.Lock()


class GradFn:
    """What made a tensor, for reading: ``<AddBackward0>``."""

    __slots__ = ("_node",)

    def __init__(self, node: Node) -> None:
        """Refer to a recorded operation."""
        self._node = node

    def name(self) -> str:
        """Return the name that PyTorch gives to the operation."""
        return _grad_name(self._node)

    def __repr__(self) -> str:
        return f"<{self.name()}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GradFn) and other._node is self._node

    def __hash__(self) -> int:
        return hash(self._node)


def _grad_name(node: Node) -> str:
    if node.op == "call":
        return f"{node.payload.name}Backward"
    if node.op == "part":
        return f"{node.payload[1].name}Backward"
    name: str | None = node.payload or _GRAD_NAMES.get(node.op)
    return name or f"{node.op.capitalize()}Backward0"


def operand(value: Any) -> Any:
    """Return what an operator records for a value, or NotImplemented."""
    kind = type(value)
    if kind is Tensor:
        return value._node
    if kind is float:
        return value
    if isinstance(value, Tensor):
        return value._node
    if isinstance(value, int | float | np.generic):
        number = arrays.operand(value, "other")
        return number if type(number) is float else float(number)
    if isinstance(value, np.ndarray):
        # A copy: what is recorded keeps the values of its time.
        return _data(np.array(value), "other")
    return NotImplemented


def apply(op: str, operands: tuple[Operand, ...]) -> Tensor:
    """Record an operation of the function table on operands that broadcast."""
    shape: Any = ()
    for item in operands:
        if type(item) is Node:
            shape = broadcast(shape, item.shape)
    node = record(op, operands, shape, promote(operands))
    if node.needs and len(operands) > 1:
        first, second = operands[:2]
        kinds = (op, type(first) is Node, type(second) is Node)
        node.payload = _GRAD_VARIANTS.get(kinds)
    return wrap(node)


def reduced(op: str, operands: tuple[Operand, ...]) -> Tensor:
    """Record a reduction over all elements of operands that broadcast."""
    shape: Any = ()
    for item in operands:
        if type(item) is Node:
            shape = broadcast(shape, item.shape)
    return wrap(record(op, operands, None if shape is None else (), promote(operands)))


def wrap(node: Node) -> Tensor:
    """Return a new tensor of a node."""
    made = Tensor.__new__(Tensor)
    made._node = node
    return made


def wrapped(found: Any) -> Any:
    """Return tensors for nodes in nested tuples; literals stay numbers."""
    if isinstance(found, tuple):
        return tuple([wrapped(part) for part in found])
    return wrap(found) if type(found) is Node else float(found)


def _data(value: Any, name: str, dtype: Any = None) -> Node:
    """Return a leaf of what the user gave, checked; arrays are not copied."""
    if type(value) is float and dtype is None:
        return leaf(value, (), FLOAT64)
    checked = arrays.operand(value, name)
    array = np.asarray(value)
    if array.dtype.kind in "iu":
        try:
            array = array.astype(INT64, casting="same_kind", copy=False)
        except TypeError:
            array = np.asarray(checked)
    elif array.dtype.kind != "b":
        array = np.asarray(checked)
    wanted = array.dtype if dtype is None else np.dtype(dtype)
    known = next((own for own in _DTYPES if own == wanted), None)
    if known is None:
        listed = ", ".join(str(own) for own in _DTYPES)
        raise DTypeError(f"a tensor cannot have dtype {wanted}: choose one of {listed}")
    with np.errstate(all="ignore"):
        array = array.astype(known, order="C", copy=False)
    return leaf(fit(array, array.shape, known), array.shape, known)


def _binary(op: str, reflected: bool = False) -> Any:
    """Return the method of an operator."""

    def method(self: Tensor, other: Any) -> Any:
        second = operand(other)
        if second is NotImplemented:
            return NotImplemented
        if reflected:
            return apply(op, (second, self._node))
        return apply(op, (self._node, second))

    return method


def _in_place(op: str) -> Any:
    """Return the method of an in-place operator."""

    def method(self: Tensor, other: Any) -> Any:
        second = operand(other)
        if second is NotImplemented:
            return NotImplemented
        self._check_in_place()
        node = self._node
        self._change(op, (node, second), second)
        return self

    return method


def _unary(op: str) -> Any:
    """Return the method of a function of one operand."""

    def method(self: Tensor) -> Tensor:
        return apply(op, (self._node,))

    method.__doc__ = f"Return {op} of every element."
    method.__name__ = op
    return method


def power(base: Operand, exponent: Operand) -> Tensor:
    """Record a power; whole exponents and 0.5 are part of the structure."""
    if type(exponent) is not float:
        return apply("pow", (base, exponent))
    if exponent == 0.5:
        return apply("pow", (base, "0.5"))
    # An exponent 0 would make the base vanish, and with it the points of a sum.
    if exponent.is_integer() and 0 < abs(exponent) <= _LITERAL_EXPONENT:
        return apply("pow", (base, str(int(exponent))))
    return apply("pow", (base, exponent))


class Tensor:
    """A number or an array that records what is done with it.

    Made by `symgrad.tensor` and by operators. Operators record; kernels compute when a
    value is needed. In-place operators replace the data, so that whatever was recorded
    before keeps the values of its time.

    >>> import symgrad as sg
    >>> x = sg.tensor(2.0, requires_grad=True)
    >>> z = x**2 + 3*x
    >>> z
    tensor(10., grad_fn=<AddBackward0>)
    >>> z.backward()
    >>> x.grad
    tensor(7.)
    """

    __slots__ = ("__weakref__", "_node")
    __array_priority__ = 1000
    _node: Node

    # What it is

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        if self._node.shape is None:
            raise no_value("the shape of a tensor is used")
        return self._node.shape

    @property
    def dtype(self) -> np.dtype:
        """The type of the elements."""
        return self._node.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def dim(self) -> int:
        """Return the number of axes."""
        return len(self.shape)

    def numel(self) -> int:
        """Return the number of elements."""
        return math.prod(self.shape)

    def size(self, dim: int | None = None) -> Any:
        """Return the shape, or the length of one axis."""
        return self.shape if dim is None else self.shape[dim]

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user, or needs no gradient."""
        return self._node.is_leaf

    @property
    def grad_fn(self) -> GradFn | None:
        """What made the tensor, None for a leaf."""
        return None if self._node.is_leaf else GradFn(self._node)

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow into or through the tensor."""
        return self._node.needs

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self.requires_grad_(wanted)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Say whether a leaf wants a gradient; returns the tensor itself."""
        node = self._node
        if requires_grad == node.needs:
            return self
        if not node.is_leaf:
            raise AutogradError(_ONLY_LEAVES + _DETACH)
        if requires_grad and node.dtype.kind != "f":
            raise AutogradError("only Tensors of floating point dtype can require gradients")
        sink = node.sink or Sink()
        changed = leaf(evaluate(node), node.shape, node.dtype, sink)
        changed.needs = requires_grad
        self._node = changed
        return self

    # Values

    def numpy(self) -> np.ndarray:
        """Return the data as a read-only array.

        Raises:
            AutogradError: the tensor requires a gradient.
        """
        if self._node.needs:
            raise AutogradError(_NUMPY)
        return array_of(evaluate(self._node), self._node.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def item(self) -> Any:
        """Return the value of a tensor with one element as a Python number."""
        node = self._node
        value = evaluate(node)
        if type(value) is float:
            return value
        if value.size != 1:
            raise AutogradError(
                f"a Tensor with {value.size} elements cannot be converted to Scalar"
            )
        return value.item()

    def tolist(self) -> Any:
        """Return the elements as nested lists of Python numbers."""
        return np.asarray(evaluate(self._node)).tolist()

    def _only_element(self) -> Any:
        if self._node.shape is not None and self.numel() != 1:
            raise ShapeError("only one element tensors can be converted to Python scalars")
        return self.item()

    def __float__(self) -> float:
        return float(self._only_element())

    def __int__(self) -> int:
        return int(self._only_element())

    def __index__(self) -> int:
        value = self._only_element()
        if isinstance(value, float):
            raise DTypeError(
                "only integer tensors of a single element can be converted to an index"
            )
        return int(value)

    def __bool__(self) -> bool:
        if self._node.shape is not None and self.numel() != 1:
            many = "more than one value" if self.numel() else "no values"
            raise AutogradError(f"Boolean value of Tensor with {many} is ambiguous")
        return bool(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise DTypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise DTypeError("iteration over a 0-d tensor")
        return (self[place] for place in range(len(self)))

    def __getitem__(self, index: Any) -> Tensor:
        return _plain(self._selected("indexing")[index])

    @property
    def T(self) -> Tensor:  # noqa: N802
        """The transpose of a tensor that needs no gradient."""
        return _plain(self._selected("the transpose").T)

    def _selected(self, what: str) -> np.ndarray:
        if self._node.needs and is_grad_enabled():
            raise UnsupportedError(
                f"{what} does not carry gradients yet: use x.detach() for its values, or make "
                "the parts tensors of their own"
            )
        return array_of(evaluate(self._node), self._node.dtype)

    def __repr__(self) -> str:
        node = self._node
        if node.shape is None:
            raise no_value("a tensor is printed")
        suffix = ""
        if not node.is_leaf:
            suffix = f"grad_fn=<{_grad_name(node)}>"
        elif node.needs:
            suffix = "requires_grad=True"
        return printing.show(array_of(evaluate(node), node.dtype), suffix)

    def __format__(self, spec: str) -> str:
        if self._node.shape == ():
            return format(self.item(), spec)
        if spec:
            raise DTypeError("unsupported format string passed to Tensor.__format__")
        return repr(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle leaves as data."""
        node = self._node
        if not node.is_leaf:
            raise AutogradError(
                "Only Tensors created explicitly by the user (graph leaves) support the "
                "deepcopy protocol at the moment."
            )
        return (_restore, (np.array(evaluate(node)), node.needs))

    # Gradients

    @property
    def grad(self) -> Tensor | None:
        """The gradient that has arrived so far; None before the first."""
        node = self._node
        if node.sink is None:
            if not node.is_leaf:
                warnings.warn(_NOT_A_LEAF, UserWarning, stacklevel=2)
            return None
        found: Tensor | None = node.sink.grad
        return found

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        node = self._node
        if value is not None:
            if not isinstance(value, Tensor):
                kind = type(value).__name__
                raise DTypeError(
                    f"assigned grad expected to be a Tensor or None but got grad of type {kind}"
                )
            if value.shape != node.shape:
                raise AutogradError(
                    f"attempting to assign a gradient of size '{list(value.shape)}' to a "
                    f"tensor of size '{list(self.shape)}'. Please ensure that the gradient "
                    "and the tensor are the same size"
                )
        if node.sink is None:
            if value is None:
                return
            node.sink = Sink()
        node.sink.grad = value

    @property
    def retains_grad(self) -> bool:
        """Whether a result keeps its gradient."""
        return self._node.sink is not None and not self._node.is_leaf

    def retain_grad(self) -> None:
        """Let a result keep its gradient, as leaves do."""
        node = self._node
        if not node.needs:
            raise AutogradError("can't retain_grad on Tensor that has requires_grad=False")
        if node.sink is None:
            node.sink = Sink()

    def backward(self, gradient: Any = None, retain_graph: bool = False) -> None:
        """Add the gradient of this result to the `grad` of every leaf that it depends on.

        One kernel computes the value and all gradients; what needs none is not
        differentiated.

        Args:
            gradient: the cotangent, of the shape of the result; may be left out where the
                result is one number.
            retain_graph: keep the history, so that `backward` can be called again.

        Raises:
            AutogradError: nothing requires a gradient, the result is not one number, or the
                history was already released.
        """
        node = self._node
        if not node.needs:
            raise AutogradError(
                "element 0 of tensors does not require grad and does not have a grad_fn"
            )
        seed = None
        if gradient is not None:
            seed = self._cotangent(gradient)
        elif node.shape and self.numel() != 1:
            raise AutogradError("grad can be implicitly created only for scalar outputs")
        if node.freed:
            raise AutogradError(SECOND_TIME)
        arrived = gradients(node, seed, retain=retain_graph)
        with _delivery:
            for target, value in arrived.items():
                _deliver(target, value)

    def _cotangent(self, gradient: Any) -> Array:
        given = gradient._node if isinstance(gradient, Tensor) else _data(gradient, "gradient")
        if given.shape != self.shape:
            raise AutogradError(
                "Mismatch in shape: grad_output[0] has a shape of "
                f"{list(given.shape or ())} and output[0] has a shape of {list(self.shape)}."
            )
        return fit(evaluate(given), self.shape, self.dtype)

    def detach(self) -> Tensor:
        """Return the same values without history."""
        node = self._node
        if node.shape is None:
            return self
        if node.value is not None:
            return wrap(leaf(node.value, node.shape, node.dtype))
        return wrap(Node("copy", (node,), node.shape, node.dtype, False))

    @property
    def data(self) -> Tensor:
        """The values without history; assigning replaces them in place."""
        return self.detach()

    @data.setter
    def data(self, values: Any) -> None:
        with no_grad():
            self.copy_(values)

    def clone(self) -> Tensor:
        """Return a copy through which gradients flow."""
        node = self._node
        return wrap(record("copy", (node,), node.shape, node.dtype))

    def to(self, dtype: Any) -> Tensor:
        """Return the values in another type, float64 or float32."""
        wanted = np.dtype(dtype)
        node = self._node
        if wanted == node.dtype:
            return self
        if wanted not in (FLOAT64, FLOAT32):
            return wrap(_data(self.numpy(), "self", dtype))
        known = FLOAT64 if wanted == FLOAT64 else FLOAT32
        made = record("copy", (node,), node.shape, known)
        made.payload = "ToCopyBackward0"
        return wrap(made)

    @staticmethod
    def __symgrad_function__(function: Function, args: tuple[Any, ...]) -> Any:
        """Record the call of a compiled Function; `Function.__call__` looks this up."""
        operands = tuple(map(operand, args))
        if NotImplemented in operands:
            operands = tuple(
                _data(value, name) if found is NotImplemented else found
                for found, value, name in zip(operands, args, function.inputs, strict=True)
            )
        return wrapped(record_call(function, operands))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Record what NumPy's functions do with tensors."""
        from .functions import apply_function

        name = _UFUNCS.get(ufunc.__name__, ufunc.__name__)
        if method != "__call__" or kwargs:
            return NotImplemented
        return apply_function(name, inputs)

    # Operators

    __add__ = _binary("add")
    __radd__ = _binary("add", reflected=True)
    __sub__ = _binary("sub")
    __rsub__ = _binary("sub", reflected=True)
    __mul__ = _binary("mul")
    __rmul__ = _binary("mul", reflected=True)
    __truediv__ = _binary("div")
    __rtruediv__ = _binary("div", reflected=True)
    __mod__ = _binary("mod")
    __rmod__ = _binary("mod", reflected=True)
    __lt__ = _binary("lt")
    __le__ = _binary("le")
    __gt__ = _binary("gt")
    __ge__ = _binary("ge")
    __eq__ = _binary("eq")
    __ne__ = _binary("ne")
    __and__ = _binary("and")
    __or__ = _binary("or")
    __iadd__ = _in_place("add")
    __isub__ = _in_place("sub")
    __imul__ = _in_place("mul")
    __itruediv__ = _in_place("div")
    __neg__ = _unary("neg")
    __abs__ = _unary("abs")
    __invert__ = _unary("not")
    __hash__ = object.__hash__

    def __pos__(self) -> Tensor:
        return self

    def __pow__(self, exponent: Any) -> Tensor:
        second = operand(exponent)
        return NotImplemented if second is NotImplemented else power(self._node, second)

    def __rpow__(self, base: Any) -> Tensor:
        first = operand(base)
        return NotImplemented if first is NotImplemented else power(first, self._node)

    def __matmul__(self, other: Any) -> NoReturn:
        raise UnsupportedError(
            "matrix products are not supported yet: write (a*b).sum() for a dot product"
        )

    __rmatmul__ = __matmul__

    # Methods of the common functions

    abs = _unary("abs")
    acos = _unary("acos")
    asin = _unary("asin")
    atan = _unary("atan")
    ceil = _unary("ceil")
    cos = _unary("cos")
    cosh = _unary("cosh")
    erf = _unary("erf")
    exp = _unary("exp")
    expm1 = _unary("expm1")
    floor = _unary("floor")
    log = _unary("log")
    log10 = _unary("log10")
    log1p = _unary("log1p")
    log2 = _unary("log2")
    neg = _unary("neg")
    relu = _unary("relu")
    round = _unary("round")
    rsqrt = _unary("rsqrt")
    sigmoid = _unary("sigmoid")
    sign = _unary("sign")
    sin = _unary("sin")
    sinh = _unary("sinh")
    sqrt = _unary("sqrt")
    tan = _unary("tan")
    tanh = _unary("tanh")
    pow = __pow__

    def sum(self, dim: Any = None, **options: Any) -> Tensor:
        """Return the sum of all elements."""
        return self._reduced("sum", dim, options)

    def mean(self, dim: Any = None, **options: Any) -> Tensor:
        """Return the mean of all elements."""
        return self._reduced("mean", dim, options)

    def prod(self, dim: Any = None, **options: Any) -> Tensor:
        """Return the product of all elements."""
        return self._reduced("prod", dim, options)

    def amax(self, dim: Any = None, **options: Any) -> Tensor:
        """Return the largest element; elements that share it share its gradient."""
        return self._reduced("amax", dim, options)

    def amin(self, dim: Any = None, **options: Any) -> Tensor:
        """Return the smallest element; elements that share it share its gradient."""
        return self._reduced("amin", dim, options)

    def max(self, dim: Any = None, **options: Any) -> Tensor:
        """Return the largest element, or with another tensor the larger of each two."""
        return self._extremum("max", dim, options)

    def min(self, dim: Any = None, **options: Any) -> Tensor:
        """Return the smallest element, or with another tensor the smaller of each two."""
        return self._extremum("min", dim, options)

    def logsumexp(self, dim: Any = None, **options: Any) -> Tensor:
        """Return log(sum(exp(x))) over all elements, without overflow."""
        return self._reduced("logsumexp", dim, options)

    def norm(self, p: Any = None, dim: Any = None, **options: Any) -> Tensor:
        """Return the Euclidean length of all elements; its gradient at 0 is 0."""
        if p not in (None, 2, "fro"):
            raise UnsupportedError("only the Euclidean norm() exists yet: leave p= out")
        return self._reduced("norm", dim, options)

    def dot(self, other: Any) -> Tensor:
        """Return the sum of the products of the elements of two tensors of one shape."""
        second = operand(other)
        if type(second) is not Node:
            raise DTypeError(f"dot() takes a tensor, not {type(other).__name__}")
        if None not in (self._node.shape, second.shape) and self._node.shape != second.shape:
            raise ShapeError(
                f"dot() takes tensors of one shape, not {self._node.shape} and {second.shape}"
            )
        return reduced("dot", (self._node, second))

    def _reduced(self, op: str, dim: Any, options: dict[str, Any]) -> Tensor:
        # numpy.sum(x) passes axis=None, dtype=None, out=None.
        if dim is not None or any(value is not None for value in options.values()):
            raise UnsupportedError(f"only {op}() over all elements exists yet: leave dim= out")
        return reduced(op, (self._node,))

    def _extremum(self, op: str, dim: Any, options: dict[str, Any]) -> Tensor:
        if isinstance(dim, Tensor):
            return apply(op, (self._node, dim._node))
        made = self._reduced(f"a{op}", dim, options)
        made._node.payload = f"{op.capitalize()}Backward1"
        return made

    # In place

    def _check_in_place(self) -> None:
        node = self._node
        if not node.needs:
            return
        if is_grad_enabled():
            if node.op == "leaf":
                raise AutogradError(_IN_PLACE)
        elif node.op != "leaf":
            raise AutogradError(
                "a result with history cannot be changed in place under no_grad: "
                "make a new one, or detach() it first"
            )

    def _change(self, op: str, operands: tuple[Operand, ...], other: Operand) -> None:
        """Let the tensor refer to the result of an operation on its own shape and type."""
        node = self._node
        shape = other.shape if type(other) is Node else ()
        if broadcast(node.shape, shape) != node.shape:
            raise ShapeError(
                f"output with shape {list(node.shape or ())} doesn't match the broadcast "
                f"shape {list(broadcast(node.shape, shape) or ())}"
            )
        if node.dtype.kind != "f" and op != "copy":
            raise DTypeError(
                f"result type float64 can't be cast to the desired output type {node.dtype}"
            )
        changed = record(op, operands, node.shape, node.dtype)
        if node.needs and node.op == "leaf":
            changed = leaf(evaluate(changed), node.shape, node.dtype, node.sink)
        elif not changed.needs:
            changed.sink = node.sink
        self._node = changed

    def copy_(self, source: Any) -> Tensor:
        """Take over the values of a tensor, array or number, broadcast."""
        second = operand(source)
        if second is NotImplemented:
            second = _data(source, "source")
        elif type(second) is float:
            second = leaf(second, (), FLOAT64)
        self._check_in_place()
        self._change("copy", (second,), second)
        return self

    def fill_(self, value: Any) -> Tensor:
        """Set every element to a number."""
        return self.copy_(float(value))

    def zero_(self) -> Tensor:
        """Set every element to 0."""
        return self.copy_(0.0)


def _plain(value: Any) -> Tensor:
    return wrap(_data(np.array(value), "value"))


def _restore(data: np.ndarray, requires_grad: bool) -> Tensor:
    return tensor(data, requires_grad=requires_grad)


def _deliver(target: Node, value: Array) -> None:
    """Add a gradient to what has arrived at a leaf or a retained result."""
    sink = target.sink
    if sink is None:
        return
    if sink.grad is None:
        sink.grad = wrap(leaf(value, target.shape, target.dtype))
        return
    total = fit(evaluate(sink.grad._node) + value, target.shape, target.dtype)
    sink.grad._node = leaf(total, target.shape, target.dtype)


def tensor(data: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a tensor with a copy of `data`.

    Floats become float64 unless they come as float32; whole numbers and truth values are
    kept for reading, and arithmetic makes floats of them.

    Args:
        data: a number, nested lists, an array or another tensor.
        dtype: float64, float32, int64 or bool.
        requires_grad: let gradients arrive here.

    Raises:
        DTypeError: `data` does not consist of real numbers.
        AutogradError: a gradient is asked for of what is not a float.

    >>> tensor([1.0, 2.0], requires_grad=True)
    tensor([1., 2.], requires_grad=True)
    """
    if isinstance(data, Tensor):
        data = array_of(evaluate(data._node), data.dtype)
    elif isinstance(data, list | tuple):
        data = _unwrapped(data)
    node = _data(np.array(data) if isinstance(data, np.ndarray) else data, "data", dtype)
    if requires_grad:
        if node.dtype.kind != "f":
            raise AutogradError("only Tensors of floating point dtype can require gradients")
        node.needs, node.sink = True, Sink()
    return wrap(node)


def _unwrapped(data: Any) -> Any:
    """Return nested lists with arrays for the tensors in them."""
    if any(isinstance(part, Tensor) for part in data):
        return [part.detach().numpy() if isinstance(part, Tensor) else part for part in data]
    return data
