"""The short way from arguments to a kernel, for what most calls pass.

A shortcut is a Python function, printed for one kernel and one type of each argument, that
is sure at a glance that the kernel can run on the arguments as they are, or on copies of arrays
whose elements are scattered, runs it, and packs the results. Of all that is less simple it
makes nothing: it returns NotImplemented, and the general path, which looks at everything, takes
the call. For value and gradient of a function of two numbers it is, but for integers that are
too large for a double::

    def shortcut(args, out):
        if out is not None or len(args) != 2:
            return NotImplemented
        (x0, x1) = args
        if not (type(x0) is kind0 and type(x1) is kind1):
            return NotImplemented
        (z0, z1, z2) = function(x0, x1)
        return (z0, (z1, z2))

Of a function that returns numbers of Python the results are `one*z0` and so on: a product with
the 1 of NumPy's type makes a number of it sooner than a call of the type.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .calculus.transform import Block, Packing, Sparse
from .packing import is_plain, pack, pack_numbers
from .runtime import buffers
from .runtime.kernel import Kernel

__all__ = ["Shortcut", "collector", "no_shortcut", "printed", "shortcut"]

#: A function of the arguments and of `out`.
Shortcut = Callable[[tuple[Any, ...], Any], Any]

# Bits of NumPy's C interface, of which it promises that they stay.
_C, _F, _OWNED, _ALIGNED, _WRITEABLE = 0x1, 0x2, 0x4, 0x100, 0x400
#: The flags of arrays whose elements lie one after the other, and of those to write into.
_READABLE = frozenset(
    _C | _ALIGNED | more | owned | writeable
    for more in (0, _F)
    for owned in (0, _OWNED)
    for writeable in (0, _WRITEABLE)
)
_WRITABLE = frozenset(flags for flags in _READABLE if flags & _WRITEABLE)

#: Up to how many pairs of arrays are compared one by one, which is quick for few.
_PAIRS = 100


def no_shortcut(_args: tuple[Any, ...], _out: Any) -> Any:
    """Leave the call to the general path."""
    return NotImplemented


def shortcut(kernel: Kernel, packing: Packing, kinds: Sequence[type]) -> Shortcut:
    """Return the shortcut to a kernel for arguments of some types.

    Args:
        kernel: a kernel for at most one array axis.
        packing: how its outputs are packed.
        kinds: for each argument `numpy.ndarray`, or a type of numbers.
    """
    kernel_type = kernel.dtype
    space: dict[str, Any] = {
        **{f"kind{place}": kind for place, kind in enumerate(kinds)},
        "apart": _apart,
        "dtype": kernel_type,
        "empty": np.empty,
        "flat": _flat,
        "function": kernel.entry,
        "launch": kernel.launch,
        "ndarray": np.ndarray,
        "one": kernel_type.type(1),
        "pack": pack,
        "owned": _OWNED,
        "packing": packing,
        "pooled": buffers.results,
        "readable": _READABLE,
        "separate": _separate,
        "small": buffers.LEAST // kernel_type.itemsize,
        "undivided": kernel.undivided,
        "writable": _WRITABLE,
    }
    if not is_plain(packing):
        space["collect"] = _stacker(packing, len(kernel.is_written), kernel_type)
    text = printed(kernel.is_array, kernel.is_written, packing, kernel.scalars)
    exec(text, space)  # noqa: S102
    made: Shortcut = space["shortcut"]
    return made


def collector(
    launch: Callable[[], Any],
    packing: Packing,
    count: int,
    dtype: np.dtype,
    *,
    scalars: bool = False,
) -> Callable[[], Any]:
    """Return the call that launches a kernel and packs what it returns, all of it numbers.

    Args:
        launch: the compiled function with its arguments.
        packing: how its outputs are packed.
        count: how many there are.
        dtype: the type of the results.
        scalars: what it returns are scalars of NumPy of that type.

    >>> from .calculus.transform import Block
    >>> launch = lambda: (1.0, 2.0, 3.0)
    >>> collector(launch, (Block(0), (Block(2), Block(1))), 3, np.dtype(float))()
    (np.float64(1.0), (np.float64(3.0), np.float64(2.0)))
    """
    if not is_plain(packing):
        stack = _stacker(packing, count, dtype)
        return lambda: stack(launch())
    outputs = [f"z{k}" for k in range(count)]
    results = outputs if scalars else [f"one*{name}" for name in outputs]
    text = (
        f"def call():\n    {_assigned(outputs, 'launch()')}\n"
        f"    return {_text(packing, results)}\n"
    )
    space: dict[str, Any] = {"launch": launch, "one": dtype.type(1)}
    exec(text, space)  # noqa: S102
    made: Callable[[], Any] = space["call"]
    return made


def _stacker(packing: Packing, count: int, dtype: np.dtype) -> Callable[[Any], Any]:
    """Return the function that packs what a kernel returns, all of it numbers, as arrays."""
    return lambda returned: pack_numbers(
        packing, (returned,) if count == 1 else returned, dtype
    )


@lru_cache(maxsize=256)
def printed(
    is_array: tuple[bool, ...], is_written: tuple[bool, ...], packing: Packing, scalars: bool
) -> str:
    """Return the text of a shortcut; there is nothing in it that a user has named."""
    inputs = [f"x{k}" for k in range(len(is_array))]
    arrays = [name for name, array in zip(inputs, is_array, strict=True) if array]
    outputs = [f"z{k}" for k in range(len(is_written))]
    written = [name for name, array in zip(outputs, is_written, strict=True) if array]
    returned = [name for name, array in zip(outputs, is_written, strict=True) if not array]
    takes_out = bool(written) and not returned and is_plain(packing)
    results = [
        name if array or scalars else f"one*{name}"
        for name, array in zip(outputs, is_written, strict=True)
    ]
    collected = not written and not is_plain(packing)
    return "\n".join(
        [
            "def shortcut(args, out):",
            f"    if {'' if takes_out else 'out is not None or '}len(args) != {len(inputs)}:",
            "        return NotImplemented",
            f"    {_tuple(inputs)} = args",
            *_checks(inputs, arrays),
            *(
                _destinations(arrays, written, packing, outputs)
                if takes_out
                else _new(arrays, written)
            ),
            "    try:",
            *_launch(inputs, arrays, written, ["returned"] if collected else returned),
            "    except (OverflowError, TypeError):",
            "        # An integer is too large for a double.",
            "        return NotImplemented",
            "    return collect(returned)"
            if collected
            else f"    return {_text(packing, results)}"
            if is_plain(packing)
            else f"    return pack(packing, {_tuple(results)})",
            "",
        ]
    )


def _checks(inputs: list[str], arrays: list[str]) -> list[str]:
    """Return the statements that send away what the kernel cannot read, but for its strides.

    Elements that do not lie one after the other are copied.
    """
    conditions = [f"type({name}) is kind{place}" for place, name in enumerate(inputs)]
    lines = [f"    if not ({' and '.join(conditions)}):"] if conditions else []
    lines += ["        return NotImplemented"] if conditions else []
    if arrays:
        conditions = ["size > 1", *(f"{name}.dtype is dtype" for name in arrays)]
        conditions += [f"{name}.shape == shape" for name in arrays[1:]]
        lines += [
            f"    shape, size = {arrays[0]}.shape, {arrays[0]}.size",
            f"    if not ({' and '.join(conditions)}):",
            "        return NotImplemented",
        ]
        for name in arrays:
            lines += [
                f"    if {name}.flags.num not in readable:",
                f"        {name} = {name}.copy()",
            ]
    return lines


def _new(arrays: list[str], written: list[str]) -> list[str]:
    """Return the statements that make arrays for the results."""
    if not written:
        return []
    return [
        "    if size < small:",
        *(f"        {name} = empty(shape, dtype)" for name in written),
        "    else:",
        f"        {_tuple(written)} = pooled([shape]*{len(written)}, dtype, {_tuple(arrays)})",
    ]


def _destinations(
    arrays: list[str], written: list[str], packing: Packing, outputs: list[str]
) -> list[str]:
    """Return the statements that make arrays for the results or take those of `out`."""
    flags = [f"(flags{z} := {z}.flags.num)" for z in written]
    conditions = [
        f"{' is '.join(f'type({z})' for z in written)} is ndarray",
        f"{' == '.join(f'{z}.shape' for z in written)} == shape",
        f"{' is '.join(f'{z}.dtype' for z in written)} is dtype",
        *(f"{text} in writable" for text in flags),
        f"({_condition_apart(arrays, written)} or "
        f"separate({_tuple(arrays)}, {_tuple(written)}))",
    ]
    return [
        "    if out is None:",
        *("    " + line for line in _new(arrays, written)),
        "    else:",
        "        match out:",
        f"            case {_text(packing, outputs)} if {' and '.join(conditions)}:",
        "                pass",
        "            case _:",
        "                return NotImplemented",
    ]


def _condition_apart(arrays: list[str], written: list[str]) -> str:
    """Return the condition that the results own their memory and no input shows it."""
    if len(written) * (len(arrays) + len(written)) > _PAIRS:
        return f"apart({_tuple(arrays)}, {_tuple(written)})"
    owned = " & ".join(f"flags{z}" for z in written)
    conditions = [f"{owned} & owned"]
    conditions += [f"{a} is not {b}" for a, b in itertools.combinations(written, 2)]
    for x in arrays:
        conditions += [
            f"type(owner := {x} if {x}.base is None else {x}.base) is ndarray",
            "owner.flags.num & owned",
            *(f"owner is not {z}" for z in written),
        ]
    return " and ".join(conditions)


def _launch(
    inputs: list[str], arrays: list[str], written: list[str], returned: list[str]
) -> list[str]:
    """Return the statements that run the kernel."""
    if not arrays:
        call = f"function({', '.join(inputs)})"
        return [f"        {_assigned(returned, call)}"]
    call = f"function({', '.join(['size', *inputs, *written])})"
    chunks = f"launch((size,), flat({_tuple(inputs)}), flat({_tuple(written)}))"
    return [
        "        if size <= undivided and len(shape) == 1:",
        f"            {_assigned(returned, call)}",
        "        else:",
        f"            {_assigned(returned, chunks)}",
    ]


def _assigned(names: Sequence[str], call: str) -> str:
    """Return the statement that names what a compiled function returns."""
    if not names:
        return call
    return f"{names[0] if len(names) == 1 else _tuple(names)} = {call}"


def _tuple(items: Iterable[str]) -> str:
    listed = list(items)
    return f"({', '.join(listed)}{',' if len(listed) == 1 else ''})"


def _text(packing: Packing, outputs: Sequence[str]) -> str:
    """Return the packed outputs, as an expression or as a pattern."""
    if isinstance(packing, Block):
        return outputs[packing.start]
    if isinstance(packing, Sparse):
        raise TypeError("a sparse matrix is not plain")
    return _tuple(_text(part, outputs) for part in packing)


def _flat(values: tuple[Any, ...]) -> list[Any]:
    return [v.reshape(-1) if type(v) is np.ndarray else v for v in values]


def _apart(arrays: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> bool:
    """Tell whether the targets own their memory and no array shows it."""
    owners = {id(target) for target in targets if target.flags.owndata}
    if len(owners) < len(targets):
        return False
    for array in arrays:
        owner = array if array.base is None else array.base
        if type(owner) is not np.ndarray or not owner.flags.owndata or id(owner) in owners:
            return False
    return True


def _separate(inputs: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> bool:
    """Tell whether no target shares memory with another array, all being contiguous."""
    return not any(
        np.may_share_memory(target, other)
        for place, target in enumerate(targets)
        for other in (*targets[:place], *inputs)
    )
