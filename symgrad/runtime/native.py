"""Machine code from LLVM IR, and the door through which Python calls it.

The door is a function of C that Python calls with its numbers and that returns its numbers;
nothing stands between. A kernel of numbers is over soon, so it does not let go of the GIL.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

__all__ = ["assemble", "cpu", "door", "link"]

_FASTCALL = 0x80
_SYMBOL = "symgrad_door"
#: What the code calls. They may be out of reach for the linker of LLVM.
_PYTHON = (
    "PyErr_BadArgument",
    "PyErr_Occurred",
    "PyFloat_AsDouble",
    "PyFloat_FromDouble",
    "PyTuple_New",
    "PyTuple_SetItem",
    "Py_DecRef",
)
#: Calls ``@kernel``, which is printed by `symgrad.codegen.llvm`.
_DOOR = """
declare void @PyErr_BadArgument()
declare ptr @PyErr_Occurred()
declare double @PyFloat_AsDouble(ptr)
declare ptr @PyFloat_FromDouble(double)
declare ptr @PyTuple_New(i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare void @Py_DecRef(ptr)

define ptr @{symbol}(ptr %self, ptr %arguments, i64 %count) {{
start:
  %inputs = alloca [{inputs} x {number}]
  %outputs = alloca [{outputs} x {number}]
  %enough = icmp eq i64 %count, {inputs}
  br i1 %enough, label %unpack, label %wrong
wrong:
  call void @PyErr_BadArgument()
  ret ptr null
unpack:
  %k = phi i64 [ 0, %start ], [ %k.next, %unpacked ]
  %more = icmp slt i64 %k, {inputs}
  br i1 %more, label %argument, label %run
argument:
  %argument.place = getelementptr ptr, ptr %arguments, i64 %k
  %object = load ptr, ptr %argument.place
  %double = call double @PyFloat_AsDouble(ptr %object)
  %suspect = fcmp oeq double %double, -1.0
  br i1 %suspect, label %ask, label %unpacked
ask:
  %error = call ptr @PyErr_Occurred()
  %fine = icmp eq ptr %error, null
  br i1 %fine, label %unpacked, label %fail
fail:
  ret ptr null
unpacked:
  %input.place = getelementptr {number}, ptr %inputs, i64 %k
  {narrow}
  store {number} %input, ptr %input.place
  %k.next = add i64 %k, 1
  br label %unpack
run:
  call void @kernel(ptr %inputs, ptr %outputs)
  {results}
}}
"""
_ONE = """\
%only = load {number}, ptr %outputs
  {widened}
  %result = call ptr @PyFloat_FromDouble(double %wide)
  ret ptr %result"""
_SEVERAL = """\
%tuple = call ptr @PyTuple_New(i64 {outputs})
  %failed = icmp eq ptr %tuple, null
  br i1 %failed, label %fail, label %pack
pack:
  %n = phi i64 [ 0, %run ], [ %n.next, %packed ]
  %output.place = getelementptr {number}, ptr %outputs, i64 %n
  %only = load {number}, ptr %output.place
  {widened}
  %result = call ptr @PyFloat_FromDouble(double %wide)
  %none = icmp eq ptr %result, null
  br i1 %none, label %drop, label %packed
drop:
  call void @Py_DecRef(ptr %tuple)
  ret ptr null
packed:
  %set = call i32 @PyTuple_SetItem(ptr %tuple, i64 %n, ptr %result)
  %n.next = add i64 %n, 1
  %rest = icmp slt i64 %n.next, {outputs}
  br i1 %rest, label %pack, label %done
done:
  ret ptr %tuple"""


def door(inputs: int, outputs: int, dtype: str) -> str:
    """Return LLVM IR by which Python calls ``@kernel``.

    Args:
        inputs: how many numbers the kernel takes.
        outputs: how many it makes: one is returned as such, several in a tuple.
        dtype: their type, "float64" or "float32".
    """
    single = dtype == "float32"
    number = "float" if single else "double"
    narrow = "fptrunc double %double to float" if single else "bitcast double %double to double"
    widen = "fpext float %only to double" if single else "bitcast double %only to double"
    results = (_ONE if outputs == 1 else _SEVERAL).format(
        number=number, outputs=outputs, widened=f"%wide = {widen}"
    )
    return _DOOR.format(
        symbol=_SYMBOL,
        inputs=inputs,
        outputs=outputs,
        number=number,
        narrow=f"%input = {narrow}",
        results=results,
    )


def cpu() -> tuple[str, str]:
    """Return the name and the features of the CPU for which code is made.

    They are those of this machine as LLVM reports them, or what Numba is told to take.
    """
    from llvmlite import binding

    name = os.environ.get("NUMBA_CPU_NAME") or binding.get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES")
    if features is None:
        try:
            features = binding.get_host_cpu_features().flatten()
        except RuntimeError:
            features = ""
    return name, features


def assemble(text: str) -> bytes:
    """Return the object file of a module in LLVM IR."""
    from llvmlite import binding

    machine = _machine()
    module = binding.parse_assembly(text)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    tuning = binding.create_pipeline_tuning_options(speed_level=3)
    builder = binding.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
    code: bytes = machine.emit_object(module)
    return code


def link(code: bytes) -> Callable[..., Any]:
    """Return the function of an object file that `assemble` has made."""
    from llvmlite import binding

    for name in _PYTHON:
        address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
        binding.add_symbol(name, address)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _machine())
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    entry = engine.get_function_address(_SYMBOL)
    definition = _Definition(b"kernel", entry, _FASTCALL, None)
    make = _New(("PyCFunction_NewEx", ctypes.pythonapi))
    # The function holds its `self`, and with it its code.
    made: Callable[..., Any] = make(ctypes.addressof(definition), (engine, definition), None)
    return made


_New = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)


class _Definition(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("entry", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("documentation", ctypes.c_char_p),
    )


def _machine() -> Any:
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_triple(binding.get_process_triple())
    name, features = cpu()
    return target.create_target_machine(
        cpu=name,
        features=features,
        opt=3,
        reloc="static" if target.name.startswith("x86") else "default",
        codemodel="jitdefault",
        jit=True,
    )
