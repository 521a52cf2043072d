"""Function, what `compile` returns, and the transformations that make new ones of it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from . import compiler, garbage, progress
from .calculus.sweep import closed_form
from .calculus.transform import (
    Format,
    Gradient,
    Hessian,
    Jacobian,
    Packing,
    Pullback,
    Pushforward,
    Sparse,
    Transform,
    check_sizes,
)
from .compiler import Variant
from .errors import ArgumentError, ShapeError, choices, listed
from .graph.count import operations
from .graph.lower import varying
from .graph.node import Graph
from .language.program import Program
from .packing import destinations, is_plain, pack
from .runtime import arrays
from .runtime.kernel import Kernel
from .shortcuts import Shortcut, collector, no_shortcut, shortcut
from .sparse import check_point, pattern, sparse_format

__all__ = [
    "Function",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "sparsity",
    "value_and_grad",
    "value_grad_and_hessian",
    "vjp",
]

Value = Any  # a number or an array

#: The types of arguments for which there are shortcuts, and how many shortcuts are kept.
_SIMPLE = frozenset({float, int, np.float32, np.float64, np.int64, np.ndarray})
_REMEMBERED = 256


class _Compiled(NamedTuple):
    kernel: Kernel
    packing: Packing


class Function:
    """A formula that can be called, differentiated, read and saved.

    Call it with numbers or arrays, by position or by name; arrays broadcast as in NumPy,
    and the result has the broadcast shape of all arguments and the dtype that NumPy would
    give (float64, or float32 when all arrays are). Kernels are generated and compiled when
    they are first needed: calling generates no gradient code.

    >>> import symgrad as sg
    >>> f = sg.compile("u = x + y; z = u**2")
    >>> f
    <symgrad.Function z(x, y) with step u>
    >>> float(f(2.0, 3.0)), [float(g) for g in sg.grad(f)(2.0, 3.0)]
    (25.0, [10.0, 10.0])
    >>> f.derivative("u")
    2*u
    """

    def __init__(
        self,
        program: Program,
        transforms: tuple[Transform, ...] = (),
        names: list[str] | None = None,
    ) -> None:
        """Wrap a Program and the transformations to apply to it."""
        self._program = program
        self._transforms = transforms
        self._is_sparse = any(getattr(transform, "sparse", None) for transform in transforms)
        self._numbers = Variant((0,) * len(program.inputs))
        self._at_point: tuple[Graph, Packing] | None = None
        self._trial: compiler.Trial | None = None
        self._tried = 0
        self._extra = self._parts_of_vectors()
        self._inputs = program.inputs + self._extra
        self._names = [] if names is None else names
        self._compiled: dict[Variant, _Compiled] = {}
        self._derived: dict[tuple[Transform, ...], Function] = {}
        self._latest: Shortcut = no_shortcut
        self._shortcuts: dict[tuple[type, ...], dict[str, Shortcut]] = {}
        self._lock = threading.RLock()

    # What it is

    @property
    def program(self) -> Program:
        """The Program behind the function."""
        return self._program

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """The transformations that are applied to the Program, in order."""
        return self._transforms

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the arguments in order."""
        return self._inputs

    @property
    def is_sparse(self) -> bool:
        """Whether the result is a sparse matrix, which is taken at one point."""
        return self._is_sparse

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Names of the arguments by what they are: the inputs, then the parts of vectors."""
        own = self._program.inputs
        return (own, self._extra) if self._extra else (own,)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the results, in order."""
        if not self._transforms:
            return tuple(name for name, _ in self._program.outputs)
        return tuple(output.name for output in self._symbolic_graph().outputs)

    @property
    def intermediates(self) -> tuple[str, ...]:
        """Names of the steps that are not outputs."""
        return self._program.intermediates

    @property
    def kernels(self) -> list[str]:
        """Names of the kernels generated so far for this formula."""
        return list(self._names)

    def __repr__(self) -> str:
        names = [name for name, _ in self._program.outputs]
        outputs = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        if not self._program.single:
            outputs = f"({outputs})"
        more = ", ..." if len(self._inputs) > 12 else ""
        what = f"{outputs}({', '.join(self._inputs[:12])}{more})"
        steps = self.intermediates
        if steps:
            shown = ", ".join(steps[:8]) + (", ..." if len(steps) > 8 else "")
            what += f" with step{'s' if len(steps) > 1 else ''} {shown}"
        if self._transforms:
            what = f"{compiler.kernel_name(self._transforms)} of {what}"
        return f"<symgrad.Function {what}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as data; the kernels are generated again, or come from the cache."""
        return (Function, (self._program, self._transforms))

    # Calling

    def __call__(self, /, *args: Value, out: Any = None, **kwargs: Value) -> Any:
        """Return the value for numbers or arrays.

        Args:
            *args: the arguments in the order of `inputs`.
            out: an array that receives the result; for a result that is a tuple a tuple
                of the same form, in which None stands for a new array.
            **kwargs: the arguments by name.

        Raises:
            ArgumentError: an argument is missing, unknown or given twice.
            ShapeError: the shapes do not broadcast, or `out` does not fit.
            DTypeError: an argument does not consist of real numbers.
        """
        if not kwargs:
            result = self._latest(args, out)
            if result is not NotImplemented:
                return result
        return self._call(*self._arguments(args, out, kwargs))

    def _call(self, args: tuple[Value, ...], out: Any) -> Any:
        """Return the value for all arguments in order, by the shortest way that there is."""
        plain = tuple(map(_as_scalar, args))
        for short in self._shortcuts.get(tuple(map(type, plain)), {}).values():
            result = short(plain, out)
            if result is not NotImplemented:
                self._latest = short
                return result
        for value in args:
            handler = getattr(type(value), "__symgrad_function__", None)
            if handler is not None:
                return self._call_handler(handler, args, out)
        return self._call_arrays(plain, out)

    def bind(self, /, *args: Value, out: Any = None, **kwargs: Value) -> Bound:
        """Return the call with these arguments, for hot loops.

        The arguments are looked at once, now. The bound call takes none: it reads the arrays
        as they are at that time, writes the results into the same arrays each time, and
        returns these. Results that are numbers or stacked, such as a Jacobian, are returned
        anew, numbers for which `out` has an array are written there. Binding computes the
        results, too.

        Args:
            *args: the arguments in the order of `inputs`.
            out: the arrays that receive the results, as in a call; None makes new ones.
            **kwargs: the arguments by name.

        Raises:
            ArgumentError: as in a call; or an argument is a tensor.
            ShapeError: as in a call.
            DTypeError: as in a call.

        >>> import symgrad as sg
        >>> x, z = np.array([1.0, 2.0]), np.empty(2)
        >>> square = sg.compile("x**2").bind(x, out=z)
        >>> x += 1
        >>> square() is z, z
        (True, array([4., 9.]))
        """
        given, out = self._arguments(args, out, kwargs)
        for name, value in zip(self._inputs, given, strict=True):
            if hasattr(type(value), "__symgrad_function__"):
                raise ArgumentError(f"bind is for arrays and numbers, '{name}' is a tensor")
        values, layout, variant = self._validated(given)
        kernel, packing = self.compiled(variant)
        into = None if out is None else _into(out, kernel, packing, values)
        outputs = kernel.run(_unshared(values, into or ()), layout, into)
        results = pack(packing, outputs)
        # What had to be converted must be converted again when it has changed; scalars do not.
        scalars = [isinstance(value, np.generic) for value in given]
        values = [float(v) if s else v for v, s in zip(values, scalars, strict=True)]
        as_given = all(v is g or type(v) is float for v, g in zip(values, given, strict=True))
        launch = kernel.bound(values, layout, outputs) if as_given else None
        if launch is None:
            arrays_of = [o if isinstance(o, np.ndarray) else None for o in outputs]
            again = pack(packing, arrays_of) if is_plain(packing) else None
            return Bound(self, partial(self._call, given, again))
        if not any(isinstance(o, np.ndarray) for o in outputs):
            made = collector(
                launch, packing, len(outputs), kernel.dtype, scalars=kernel.scalars
            )
            return Bound(self, made)
        in_place = is_plain(packing) and not kernel.returned

        def call() -> Any:
            returned = launch()
            return results if in_place else pack(packing, kernel.update(outputs, returned))

        return Bound(self, call)

    def _call_handler(
        self, handler: Callable[..., Any], args: tuple[Value, ...], out: Any
    ) -> Any:
        """Let a type of arguments that computes for itself, such as tensors, do so."""
        if out is not None:
            raise ArgumentError("out= is for arrays; a tensor's result is a tensor")
        kinds = tuple(map(type, args))

        def short(args: tuple[Value, ...], out: Any) -> Any:
            if out is not None or tuple(map(type, args)) != kinds:
                return NotImplemented
            return handler(self, args)

        self._latest = short
        return handler(self, args)

    def _arguments(
        self, args: tuple[Value, ...], out: Any, kwargs: Mapping[str, Value]
    ) -> tuple[tuple[Value, ...], Any]:
        """Return the arguments in order and `out`, or say which is missing or too much."""
        names = self._inputs
        if out is not None and "out" in names:
            # An input of that name comes first; such a function has no out=.
            kwargs, out = {**kwargs, "out": out}, None
        if len(args) > len(names):
            raise ArgumentError(
                f"{len(args)} arguments given, but the inputs are {len(names)}: {listed(names)}"
            )
        values = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name in values:
                raise ArgumentError(f"argument '{name}' is given twice")
            if name not in names:
                hint = choices(name, names, "inputs")
                raise ArgumentError(f"there is no input '{name}': {hint}")
            values[name] = value
        missing = [name for name in names if name not in values]
        if missing:
            noun = "argument" if len(missing) == 1 else "arguments"
            raise ArgumentError(
                f"missing {noun} {listed(missing)}: the inputs are {listed(names)}"
            )
        return tuple(values[name] for name in names), out

    def _call_arrays(self, args: Sequence[Value], out: Any) -> Any:
        values, layout, variant = self._validated(args)
        kernel, packing = self.for_call(variant)
        if kernel.lasting:
            self._remember(args, variant)
        if out is None:
            return pack(packing, kernel.run(values, layout))
        into = _into(out, kernel, packing, values)
        return pack(packing, kernel.run(_unshared(values, into), layout, into))

    def _validated(self, args: Sequence[Value]) -> tuple[list[Value], arrays.Layout, Variant]:
        """Return the arguments as kernels take them, how they broadcast, and the Variant."""
        own = len(self._program.inputs)
        names = self._inputs
        values = [arrays.operand(v, n) for v, n in zip(args, names, strict=True)]
        layout = arrays.layout(values[:own], names[:own])
        dtype = "float32" if arrays.result_dtype(args).char == "f" else "float64"
        if self._is_sparse:
            check_point(layout.shape)
        everywhere = (1 << len(layout.extents)) - 1
        variant = Variant(layout.axes, everywhere, dtype)
        if self._extra:
            kernel = self.for_call(variant).kernel
            for position in range(own, len(values)):
                values[position] = kernel.fit(position, values, names[position])
        return values, layout, variant

    def _remember(self, args: Sequence[Value], variant: Variant) -> None:
        """Keep a shortcut for arguments of these types if they are as simple as most are."""
        kinds = tuple(map(type, args))
        known = self._shortcuts.get(kinds, {})
        if (
            not self._extra
            and _SIMPLE.issuperset(kinds)
            and variant.everywhere <= 1
            and variant.axes == tuple(kind is np.ndarray for kind in kinds)
            and variant.dtype not in known
            and len(self._shortcuts) < _REMEMBERED
        ):
            made = shortcut(*self.compiled(variant), kinds)
            # A new dictionary, since another thread may be reading the old one.
            self._shortcuts[kinds] = {**known, variant.dtype: made}

    def compiled(self, variant: Variant) -> _Compiled:
        """Return the kernel for one kind of arguments, compiled at its first use."""
        found = self._compiled.get(variant)
        if found is None:
            with self._lock:
                found = self._compiled.get(variant)
                if found is None:
                    built = self.at_point() if variant == self._numbers else None
                    self._at_point = None
                    made = compiler.compile_kernel(
                        self._program, self._transforms, variant, built
                    )
                    found = self._compiled[variant] = _Compiled(*made)
                    self._trial = None
                    self._record(made[0])
        return found

    def for_call(self, variant: Variant) -> _Compiled:
        """Return the kernel for one call; another one may be for the next.

        The first calls with numbers run in plain Python.
        """
        found = self._compiled.get(variant)
        if found is not None:
            return found
        if variant == self._numbers:
            with self._lock:
                if not self._tried:
                    self._at_point = built = self.at_point()
                    self._trial = compiler.try_kernel(self._program, self._transforms, built)
                self._tried += 1
                trial = self._trial
                if trial is not None and self._tried <= trial.calls:
                    self._record(trial.kernel)
                    return _Compiled(trial.kernel, trial.packing)
        return self.compiled(variant)

    def _record(self, kernel: Kernel) -> None:
        """Note the name of a kernel that has been generated."""
        if kernel.name not in self._names:
            self._names.append(kernel.name)

    def packing(self) -> Packing:
        """Return how the results are laid out, without compiling anything."""
        return self.at_point()[1]

    def at_point(self) -> tuple[Graph, Packing]:
        """Return the Graph for numbers, and how its outputs are packed.

        One that was built for the names of the inputs is handed on once and not kept.
        """
        built, self._at_point = self._at_point, None
        if built is None:
            with progress.shown("building"), garbage.paused():
                built = compiler.build_graph(self._program, self._transforms, self._numbers)
        return built

    def _parts_of_vectors(self) -> tuple[str, ...]:
        """Return the names of the cotangents and tangents that transformations add."""
        if not any(isinstance(t, Pullback | Pushforward) for t in self._transforms):
            return ()
        self._at_point = graph, _ = self.at_point()
        return tuple(str(node.payload) for node in graph.inputs[len(self._program.inputs) :])

    # Transformations

    def transformed(self, *transforms: Transform) -> Function:
        """Return the function of a derivative; it shares the record of kernels.

        The same transformations give the same function, with the kernels that it has.

        Raises:
            LimitError: a dense Jacobian or Hessian would have too many entries.
            ArgumentError: a sparse derivative is differentiated.
        """
        found = self._derived.get(transforms)
        if found is None:
            program = self._program
            chain = (*self._transforms, *transforms)
            check_sizes(chain, len(program.inputs), len(program.outputs), program.entries)
            made = Function(program, chain, self._names)
            found = self._derived.setdefault(transforms, made)
        return found

    # Reading

    def derivative(
        self,
        *wrt: str,
        output: str | None = None,
        inline: bool = False,
        arrays: Sequence[str] | None = None,
    ) -> Any:
        """Return a derivative in closed form, as a SymPy expression over real symbols.

        Named steps stay names in the result, which therefore never swells; the derivative
        by an input is the total one, through all steps.

        Args:
            *wrt: inputs or steps, one for each order: ``("x", "y")`` is d2/dx dy.
            output: which output to differentiate, when there are several.
            inline: write the steps out in terms of the inputs.
            arrays: in a formula with reductions, the inputs that are arrays; the
                derivative by an array is the one by its element at a point, the derivative
                by a number a sum over all points. None takes all inputs for arrays.

        Raises:
            ArgumentError: a name that the function lacks.

        >>> import symgrad as sg
        >>> sg.compile("loss = sum(a*x)").derivative("a", arrays=["x"])
        sum(x)
        >>> f = sg.compile("u = x*y; z = sin(u)")
        >>> f.derivative("x"), f.derivative("x", inline=True), f.derivative("u", "u")
        (y*cos(u), y*cos(x*y), -sin(u))
        """
        from .graph.lift import lift, meaning

        _check_names(wrt, (*self._inputs, *self._program.steps))
        if arrays is not None:
            self._check_inputs(arrays)
        graph = self._symbolic_graph(arrays)
        node = self._output(graph, output)
        for name in wrt:
            node = closed_form(graph.builder, node, graph.find(name))
        return lift(node if wrt else meaning(node), inline=inline)

    def expression(self, name: str | None = None, *, inline: bool = False) -> Any:
        """Return an output or a step as a SymPy expression, steps in it by name."""
        from .graph.lift import lift, meaning

        graph = self._symbolic_graph()
        known = [output.name for output in graph.outputs]
        is_output = name is None or name in known
        node = self._output(graph, name) if is_output else graph.find(str(name))
        return lift(meaning(node), inline=inline)

    def _symbolic_graph(self, arrays: Sequence[str] | None = None) -> Graph:
        axes = varying(self._program, arrays)
        variant = Variant(axes, int(any(axes)))
        return compiler.build_graph(self._program, self._transforms, variant, stable=False)[0]

    def _output(self, graph: Graph, name: str | None) -> Any:
        known = [output.name for output in graph.outputs]
        if name is None:
            if len(known) != 1:
                raise ArgumentError(
                    f"there are {len(known)} outputs, name one: output='{known[0]}'"
                )
            return graph.outputs[0].node
        for output in graph.outputs:
            if output.name == name:
                return output.node
        hint = choices(name, known, "outputs")
        raise ArgumentError(f"there is no output '{name}': {hint}")

    def latex(self) -> str:
        r"""Return the statements as LaTeX, one line each.

        >>> import symgrad as sg
        >>> print(sg.compile("z = y*log(x)").latex())
        z = y \log{\left(x \right)}
        """
        from .graph.lift import as_latex

        names = self.outputs if self._transforms else (*self._program.steps, *self.outputs)
        lines = [
            f"{as_latex(name)} = {as_latex(self.expression(name))}"
            for name in dict.fromkeys(names)
        ]
        if len(lines) == 1:
            return lines[0]
        body = " \\\\\n".join(line.replace(" = ", " &= ", 1) for line in lines)
        return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def source(
        self,
        kernel: Literal["forward", "gradient"] = "forward",
        *,
        arrays: Sequence[str] = (),
        dtype: str = "float64",
    ) -> str:
        """Return the generated Python of a kernel.

        Args:
            kernel: "forward" for the value, "gradient" for the value and all partial
                derivatives together.
            arrays: names of the inputs that are arrays; the others are numbers.
            dtype: "float64" or "float32".
        """
        if kernel not in ("forward", "gradient"):
            raise ArgumentError(f"there is no kernel '{kernel}': it is 'forward' or 'gradient'")
        if dtype not in ("float64", "float32"):
            raise ArgumentError(f"dtype must be 'float64' or 'float32', not {dtype!r}")
        self._check_inputs(arrays)
        axes = tuple(int(name in arrays) for name in self._program.inputs)
        variant = Variant(axes, int(any(axes)), dtype)
        more: tuple[Transform, ...] = () if kernel == "forward" else (Gradient(value=True),)
        return compiler.print_source(self._program, (*self._transforms, *more), variant)[0]

    def cost(self) -> dict[str, int]:
        """Return how many operations the value, and value and gradient together, take.

        >>> import symgrad as sg
        >>> sg.compile("z = y*log(x) + sin(y)").cost()
        {'forward': 4, 'gradient': 7}
        """
        counts = {}
        for name, more in (("forward", ()), ("gradient", (Gradient(value=True),))):
            transforms = (*self._transforms, *more)
            graph, _ = compiler.build_graph(self._program, transforms, self._numbers)
            counts[name] = operations(graph)
        return counts

    def save(
        self,
        path: str | Path,
        *,
        arrays: Sequence[str] = (),
        points: Sequence[Mapping[str, float]] | None = None,
    ) -> Path:
        """Write a module with the kernels that needs NumPy and Numba only.

        The module holds `forward` and `gradient` (or `jacobian`, saved from a Jacobian).
        Without arrays they are functions of numbers that return their outputs; with arrays
        they take the number of points, the inputs (contiguous arrays of doubles for those
        named, numbers for the others) and one array for each output that varies. Run as a
        script, the module checks itself against golden values of 50-digit arithmetic.

        Args:
            path: the file to write.
            arrays: names of the inputs that are arrays over one axis of points.
            points: where to take golden values, mappings from input to number; None looks
                for points where everything is finite.

        Returns:
            The path written.
        """
        if not isinstance(path, str | Path):
            raise ArgumentError(f"the file to write is a path, not {type(path).__name__}")
        text = self.standalone(arrays=arrays, points=points)
        target = Path(path)
        target.write_text(text, encoding="utf-8")
        return target

    def standalone(
        self,
        *,
        arrays: Sequence[str] = (),
        points: Sequence[Mapping[str, float]] | None = None,
    ) -> str:
        """Return the text of the module that `save` writes."""
        if not all(isinstance(t, Gradient | Jacobian) for t in self._transforms[:1]) or (
            len(self._transforms) > 1
        ):
            raise ArgumentError("save writes a function, its gradient or its Jacobian")
        self._check_inputs(arrays)
        if points is None:
            points = self._generic_points()
        if not points or isinstance(points, Mapping):
            raise ArgumentError("points= is a list of mappings from input to number, not empty")
        for point in points:
            if not isinstance(point, Mapping) or not all(
                isinstance(number, float | int) for number in point.values()
            ):
                raise ArgumentError(f"a point is a mapping from input to number, not {point!r}")
            missing = [name for name in self._program.inputs if name not in point]
            if missing:
                raise ArgumentError(f"a point has no value for {', '.join(missing)}")
        return compiler.print_standalone(self._program, self._transforms, arrays, points)

    def _generic_points(self) -> list[dict[str, float]]:
        """Return points where the value and all derivatives are finite."""
        names = self._program.inputs
        found: list[dict[str, float]] = []
        for start in (0.75, 1.5, 2.5, 0.25, -0.5, 10.0):
            point = {name: start + 0.375 * k for k, name in enumerate(names)}
            with np.errstate(all="ignore"):
                value, gradient = value_and_grad(Function(self._program))(**point)
            if np.all(np.isfinite([*np.ravel(value), *gradient])):
                found.append(point)
        if not found:
            raise ArgumentError("pass points=: no point with finite derivatives was found")
        return found[:3]

    def _check_inputs(self, names: Sequence[str]) -> None:
        if isinstance(names, str):
            raise ArgumentError(f"arrays= is a list of names: write [{names!r}]")
        if not isinstance(names, Collection):
            raise ArgumentError(f"arrays= is a list of names, not {type(names).__name__}")
        for name in names:
            if name not in self._program.inputs:
                hint = choices(name, self._program.inputs, "inputs")
                raise ArgumentError(f"there is no input '{name}': {hint}")


class Bound(partial[Any]):
    """The call of a Function with arguments that `Function.bind` has looked at.

    Call it without arguments; it computes from what the arrays hold now and returns the
    results. It is a `functools.partial`, which is called in less time than a method.

    Attributes:
        function: the Function.
    """

    function: Function

    def __new__(cls, function: Function, call: Callable[[], Any]) -> Self:
        """Keep what computes the results; `Function.bind` does this."""
        bound = super().__new__(cls, call)
        bound.function = function
        return bound

    def __repr__(self) -> str:
        return f"<bound call of {self.function!r}>"


def _as_scalar(value: Value) -> Value:
    """Return the real number in an array without dimensions, and anything else as it is."""
    if type(value) is np.ndarray and not value.ndim and value.dtype.kind in "fiub":
        return value[()]
    return value


def _into(
    out: Any, kernel: Kernel, packing: Packing, values: Sequence[Value]
) -> list[np.ndarray | None]:
    """Return the arrays of `out` by output, all of which fit; None is a new array."""
    shapes = kernel.shapes(values)
    into: list[np.ndarray | None] = [None] * len(shapes)
    for number, array, name in destinations(packing, out, "out"):
        into[number] = arrays.check_out(array, shapes[number], kernel.dtype, name)
    targets = [array for array in into if array is not None]
    if any(arrays.share(a, b) for a, b in itertools.combinations(targets, 2)):
        raise ShapeError("two of the arrays in out= share memory")
    return into


def _unshared(values: Sequence[Value], into: Sequence[np.ndarray | None]) -> list[Value]:
    """Return the inputs, copied where they share memory with a result.

    Kernels are compiled for arrays that are apart.
    """
    targets = [array for array in into if array is not None]
    return [
        np.copy(value)
        if isinstance(value, np.ndarray) and any(arrays.share(value, a) for a in targets)
        else value
        for value in values
    ]


def _names(
    function: Function, wrt: str | Sequence[str] | None
) -> tuple[tuple[str, ...] | None, bool]:
    """Return the names to differentiate by, checked, and whether it is a single one."""
    if wrt is None:
        return None, False
    if not isinstance(wrt, str | Sequence):
        raise ArgumentError(f"wrt= is a name or a list of names, not {type(wrt).__name__}")
    names = (wrt,) if isinstance(wrt, str) else tuple(wrt)
    _check_names(names, (*function.program.inputs, *function.program.steps))
    if len(set(names)) != len(names):
        raise ArgumentError("wrt names the same input twice")
    return names, isinstance(wrt, str)


def _check_names(names: Sequence[Any], known: Sequence[str]) -> None:
    """Refuse names to differentiate by that a function lacks."""
    found = dict.fromkeys(known)
    for name in names:
        if not isinstance(name, str) or name not in found:
            hint = choices(name, found, "names")
            if isinstance(name, int):
                hint = "an order is a name for each time, such as derivative('x', 'x')"
            raise ArgumentError(
                f"cannot differentiate by '{name}', there is no input or step '{name}': {hint}"
            )


def _function(f: Any) -> Function:
    if not isinstance(f, Function):
        raise ArgumentError(
            f"expected a function made by symgrad.compile and got {type(f).__name__}"
        )
    return f


def grad(f: Function, wrt: str | Sequence[str] | None = None) -> Function:
    """Return the function that computes the gradient of `f`.

    For arrays it is the gradient of the sum of all outputs: an input that was broadcast
    gets the sum over the points that it was broadcast to, so that its gradient has its
    shape.

    Args:
        f: a compiled function.
        wrt: an input or step by name, which gives one array; several names, which give a
            tuple; None for all inputs, which gives a tuple also for one input.

    >>> import symgrad as sg
    >>> f = sg.compile("f(x, y) = y*log(x) + sin(y)")
    >>> [round(float(g), 4) for g in sg.grad(f)(2.0, 3.0)]
    [1.5, -0.2968]
    """
    names, single = _names(_function(f), wrt)
    return f.transformed(Gradient(names, single))


def value_and_grad(f: Function, wrt: str | Sequence[str] | None = None) -> Function:
    """Return the function that computes value and gradient in one pass.

    Its result is a pair of what `f` and what ``grad(f, wrt)`` return.
    """
    names, single = _names(_function(f), wrt)
    return f.transformed(Gradient(names, single, value=True))


def jacobian(
    f: Function, wrt: str | Sequence[str] | None = None, *, sparse: bool | Format = False
) -> Function:
    """Return the function that computes the Jacobian of `f`, point by point.

    The result has the shape of the output and one axis more, for the names in `wrt` in
    their order (no further axis for one name given as a string): for a model over points
    and its parameters it is the matrix that `scipy.optimize.least_squares` wants.

    Args:
        f: a compiled function.
        wrt: inputs or steps to differentiate by; None for all inputs.
        sparse: return a sparse array of SciPy at one point, with a row for each output and
            a column for each name in `wrt`: a ``csr_array`` for True or "csr", a
            ``csc_array`` for "csc". Its structure is found once, from the formula, and has
            an entry wherever the derivative is not always 0. Every call returns a new
            matrix; `symgrad.packed` functions take ``out=`` to write the entries of an
            earlier one in place.

    Raises:
        ArgumentError: `wrt` names something that the function lacks, or `sparse` is no
            format.
        LimitError: the matrix is dense and larger than ``Limits(entries=...)`` says.
        MissingDependencyError: SciPy is needed for `sparse` and is not installed.

    >>> import symgrad as sg
    >>> sg.jacobian(sg.compile("y(x, a, b) = a*x + b"), wrt=("a", "b"))([1.0, 2.0], 3.0, 4.0)
    array([[1., 1.],
           [2., 1.]])
    >>> f = sg.compile("u = x*y; v = exp(z)", inputs=["x", "y", "z"], outputs=["u", "v"])
    >>> sg.jacobian(f, sparse=True)(2.0, 3.0, 0.0).toarray()
    array([[3., 2., 0.],
           [0., 0., 1.]])
    """
    names, single = _names(_function(f), wrt)
    wanted = sparse_format(sparse)
    return f.transformed(Jacobian(names, single and wanted is None, sparse=wanted))


def hessian(
    f: Function, wrt: str | Sequence[str] | None = None, *, sparse: bool | Format = False
) -> Function:
    """Return the function that computes the matrix of second derivatives, point by point.

    The result has the shape of the output and two axes more, for the names in `wrt`, also
    when that is a single name. Of two entries that are equal by symmetry one is computed.

    Args:
        f: a compiled function.
        wrt: inputs or steps to differentiate by; None for all inputs.
        sparse: return a sparse array of SciPy at one point, True or "csr" for rows, "csc"
            for columns, as `jacobian` does; `f` has one output then.

    Raises: as those of `jacobian`.

    >>> import symgrad as sg
    >>> sg.hessian(sg.compile("f(x, y) = x**2*y"))(2.0, 3.0)
    array([[6., 4.],
           [4., 0.]])
    """
    names, _ = _names(_function(f), wrt)
    wanted = sparse_format(sparse)
    if wanted is not None and len(f.outputs) != 1:
        raise ArgumentError(
            f"a sparse Hessian is of one output, and this function has {len(f.outputs)}"
        )
    return f.transformed(Hessian(names, sparse=wanted))


def value_grad_and_hessian(f: Function, wrt: str | Sequence[str] | None = None) -> Function:
    """Return the function that computes value, gradient and Hessian in one pass.

    Its result is a triple of what `f`, ``jacobian(f, wrt)`` and ``hessian(f, wrt)`` return:
    all three are taken point by point, and the gradient is an array with an axis for the
    names in `wrt`, also when that is a single name.

    >>> import symgrad as sg
    >>> value, gradient, hessian = sg.value_grad_and_hessian(sg.compile("x**2*y"))(2.0, 3.0)
    >>> print(value, gradient, hessian.tolist())
    12.0 [12.  4.] [[6.0, 4.0], [4.0, 0.0]]
    """
    names, _ = _names(_function(f), wrt)
    return f.transformed(Hessian(names, value=True))


def sparsity(f: Any) -> Any:
    """Return where a sparse Jacobian or Hessian has entries, as a sparse array of booleans.

    It is known from the formula, without a point, and nothing is compiled for it. An entry
    that is missing is 0 at every point; one that is there is not always 0, short of
    identities that symgrad does not know. Its format is that of the derivative.

    Args:
        f: what `jacobian` or `hessian` returned with `sparse`, also `packed`.

    >>> import symgrad as sg
    >>> f = sg.compile("x*y + exp(z)", inputs=["x", "y", "z"])
    >>> sg.sparsity(sg.hessian(f, sparse=True)).toarray().astype(int)
    array([[0, 1, 0],
           [1, 0, 0],
           [0, 0, 1]])
    """
    packing = f.packing() if hasattr(f, "packing") else None
    if not isinstance(packing, Sparse):
        raise ArgumentError("sparsity is of jacobian or hessian called with sparse=True")
    return pattern(packing)


def jvp(
    f: Function,
    primals: Sequence[Value] | None = None,
    tangents: Sequence[Value] | None = None,
    *,
    wrt: str | Sequence[str] | None = None,
) -> Any:
    """Return the value of `f` and its derivative along `tangents`, as a pair.

    Without primals, return the function of primals and tangents that computes the product of
    the Jacobian with a vector alone. After the inputs of `f` it takes the tangents ``x_dot`` of
    every x in `wrt`; `symgrad.packed` makes it a function of two arrays.

    Args:
        f: a compiled function.
        primals: the arguments of `f` in order.
        tangents: one for each name in `wrt`, broadcast to its shape.
        wrt: the inputs or steps that vary; None for all inputs.

    Raises:
        ArgumentError: `wrt` names something that the function lacks, or there are too few or
            too many primals or tangents.

    >>> import symgrad as sg
    >>> f = sg.compile("u = x*y; v = x + y", outputs=["u", "v"])
    >>> along = sg.jvp(f)
    >>> along.inputs
    ('x', 'y', 'x_dot', 'y_dot')
    >>> sg.packed(along)([2.0, 3.0], [1.0, 0.0])
    array([3., 1.])
    """
    names, _ = _names(_function(f), wrt)
    if primals is None and tangents is None:
        return f.transformed(Pushforward(names, value=False))
    varying = f.inputs if names is None else names
    arguments = _paired("jvp", f, varying, primals, tangents)
    return f.transformed(Pushforward(names))(*arguments)


def _paired(
    what: str, f: Function, varying: Sequence[str], primals: Any, tangents: Any
) -> tuple[Value, ...]:
    """Return primals and tangents as arguments, or say how many there must be."""
    try:
        sizes = len(primals), len(tangents)
    except TypeError:
        sizes = 0, 0
    if sizes != (len(f.inputs), len(varying)):
        each = f"one primal and one tangent for each input, in two tuples: {listed(f.inputs)}"
        if varying != f.inputs:
            each = (
                f"two tuples, one primal for each input and one tangent for each of "
                f"{listed(varying)}: the inputs are {listed(f.inputs)}"
            )
        raise ArgumentError(f"{what} needs {each}")
    return (*primals, *tangents)


def vjp(f: Function, *primals: Value, wrt: str | Sequence[str] | None = None) -> Any:
    """Return the value of `f` and a function that pulls cotangents back to the inputs.

    The second result takes one cotangent for each output, of its shape, and returns a tuple
    with one array for each input, or for each name in `wrt`.

    Without primals, return the function of primals and cotangents that computes the product
    of a vector with the Jacobian alone. After the inputs of `f` it takes the cotangents
    ``u_bar`` of every output u; `symgrad.packed` makes it a function of two arrays.

    Args:
        f: a compiled function.
        *primals: the arguments of `f` in order.
        wrt: the inputs or steps to differentiate by; None for all inputs.

    Raises:
        ArgumentError: `wrt` names something that the function lacks, or there are too few or
            too many primals.

    >>> import symgrad as sg
    >>> f = sg.compile("u = x*y; v = x + y", outputs=["u", "v"])
    >>> back = sg.vjp(f)
    >>> back.inputs
    ('x', 'y', 'u_bar', 'v_bar')
    >>> sg.packed(back)([2.0, 3.0], [1.0, 0.0])
    array([3., 2.])
    """
    names, single = _names(_function(f), wrt)
    pullback = Pullback(names, single, value=False)
    if not primals:
        return f.transformed(pullback)
    value = f(*primals)
    back = f.transformed(pullback)

    def pull_back(*cotangents: Value) -> Any:
        """Return the cotangents of the inputs."""
        return back(*primals, *cotangents)

    return value, pull_back


def hvp(
    f: Function,
    primals: Sequence[Value] | None = None,
    tangents: Sequence[Value] | None = None,
    *,
    wrt: str | Sequence[str] | None = None,
) -> Any:
    """Return the product of the Hessian of the sum of `f` with a vector.

    Without primals, return the function of primals and tangents that computes it. After the
    inputs of `f` it takes the parts ``x_dot`` of the vector, for every x in `wrt`;
    `symgrad.packed` makes it the ``hessp(x, p)`` of `scipy.optimize.minimize`.

    Args:
        f: a compiled function.
        primals: the arguments of `f` in order.
        tangents: the vector, one part for each name in `wrt`.
        wrt: the inputs or steps to differentiate by; None for all inputs.

    Returns:
        A tuple with one array for each name in `wrt`, one array if that is a name.

    Raises: as those of `jvp`.

    >>> import symgrad as sg
    >>> hessp = sg.packed(sg.hvp(sg.compile("f(x, y) = x**2*y")))
    >>> hessp([2.0, 3.0], [1.0, 0.0])
    array([6., 4.])
    """
    names, single = _names(_function(f), wrt)
    product = Gradient(names, single), Pushforward(names, value=False)
    if primals is None and tangents is None:
        return f.transformed(*product)
    varying = f.inputs if names is None else names
    arguments = _paired("hvp", f, varying, primals, tangents)
    return f.transformed(*product)(*arguments)
