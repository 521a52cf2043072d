"""Machine code from LLVM IR, and the door through which Python calls it.

The door is a function of C that Python calls with its numbers and arrays and that returns
scalars of NumPy; nothing stands between. A kernel of numbers is over soon, so it does not let
go of the GIL; one with arrays does. Of an array the door takes the address of its data from
the place where NumPy promises it, and looks at nothing else but whether it is an array at all.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .pipeline import PIPELINED, pipelined

__all__ = ["assemble", "cpu", "door", "link"]

_FASTCALL = 0x80
_SYMBOL = "symgrad_door"
#: What the code calls.
_PYTHON = (
    "PyErr_BadArgument",
    "PyErr_NoMemory",
    "PyErr_Occurred",
    "PyEval_RestoreThread",
    "PyEval_SaveThread",
    "PyFloat_AsDouble",
    "PyLong_AsSsize_t",
    "PyMem_RawFree",
    "PyMem_RawMalloc",
    "PyTuple_GetItem",
    "PyTuple_New",
    "PyTuple_SetItem",
    "Py_DecRef",
    "Py_IncRef",
)
#: The same of NumPy, with its place in the table of NumPy's functions for C.
_NUMPY = "PyArray_Scalar", 60
#: Where `self` holds the types of numbers.
_TYPES = {"float64": 2, "float32": 3}
#: Calls ``@kernel``, which is printed by `symgrad.codegen.llvm`. Functions outside, also those
#: of the C library that LLVM calls, are found in a table (nonlazybind, RtLibUseGOT), since
#: they may be out of reach for code that reaches 2 GB.
_DOOR = """
declare ptr @PyArray_Scalar(ptr, ptr, ptr) nonlazybind
declare void @PyErr_BadArgument() nonlazybind
declare ptr @PyErr_NoMemory() nonlazybind
declare ptr @PyErr_Occurred() nonlazybind
declare void @PyEval_RestoreThread(ptr) nonlazybind
declare ptr @PyEval_SaveThread() nonlazybind
declare double @PyFloat_AsDouble(ptr) nonlazybind
declare i64 @PyLong_AsSsize_t(ptr) nonlazybind
declare void @PyMem_RawFree(ptr) nonlazybind
declare ptr @PyMem_RawMalloc(i64) nonlazybind
declare ptr @PyTuple_GetItem(ptr, i64) nonlazybind
declare ptr @PyTuple_New(i64) nonlazybind
declare i32 @PyTuple_SetItem(ptr, i64, ptr) nonlazybind
declare void @Py_DecRef(ptr) nonlazybind
declare void @Py_IncRef(ptr) nonlazybind

!llvm.module.flags = !{{!999999999}}
!999999999 = !{{i32 7, !"RtLibUseGOT", i32 1}}

define ptr @{symbol}(ptr %self, ptr %arguments, i64 %count) {{
start:
  %inputs = alloca [{inputs} x i64]
  %outputs = alloca [{outputs} x {number}]
  {held}
  %enough = icmp eq i64 %count, {inputs}
  br i1 %enough, label %unpack.0, label %wrong
wrong:
  call void @PyErr_BadArgument()
  ret ptr null
fail:
  ret ptr null
{unpacked}
unpack.{inputs}:
  {call}
  {results}
}}
"""
_UNPACK = """
unpack.{k}:
  %place.{k} = getelementptr ptr, ptr %arguments, i64 {k}
  %object.{k} = load ptr, ptr %place.{k}
  {converted}
  %slot.{k} = getelementptr i64, ptr %inputs, i64 {k}
  store {kind} %value.{k}, ptr %slot.{k}
  br label %unpack.{next}"""
#: Converting may have failed where the result is -1.
_ASK = """
  br i1 %suspect.{k}, label %ask.{k}, label %take.{k}
ask.{k}:
  %error.{k} = call ptr @PyErr_Occurred()
  %fine.{k} = icmp eq ptr %error.{k}, null
  br i1 %fine.{k}, label %take.{k}, label %fail
take.{k}:"""
_EXTENT = f"""\
%value.{{k}} = call i64 @PyLong_AsSsize_t(ptr %object.{{k}})
  %suspect.{{k}} = icmp eq i64 %value.{{k}}, -1{_ASK}"""
_NUMBER = f"""\
%double.{{k}} = call double @PyFloat_AsDouble(ptr %object.{{k}})
  %suspect.{{k}} = fcmp oeq double %double.{{k}}, -1.0{_ASK}
  %value.{{k}} = {{narrow}} double %double.{{k}} to {{number}}"""
_HELD = "%ndarray = call ptr @PyTuple_GetItem(ptr %self, i64 0)"
_ARRAY = """\
%type.place.{k} = getelementptr i8, ptr %object.{k}, i64 {type}
  %type.{k} = load ptr, ptr %type.place.{k}
  %right.{k} = icmp eq ptr %type.{k}, %ndarray
  br i1 %right.{k}, label %take.{k}, label %wrong
take.{k}:
  %data.place.{k} = getelementptr i8, ptr %object.{k}, i64 {data}
  %value.{k} = load ptr, ptr %data.place.{k}"""
_CALL = """\
call void @kernel(ptr %inputs, ptr %outputs, ptr null)
  br label %done
done:"""
_CALL_WITHOUT_GIL = """\
%size = load i64, ptr @heap
  %some = icmp ne i64 %size, 0
  br i1 %some, label %allocate, label %compute
allocate:
  %memory = call ptr @PyMem_RawMalloc(i64 %size)
  %full = icmp eq ptr %memory, null
  br i1 %full, label %refuse, label %compute
refuse:
  %refusal = call ptr @PyErr_NoMemory()
  ret ptr null
compute:
  %heap = phi ptr [ null, %unpack.{inputs} ], [ %memory, %allocate ]
  %state = call ptr @PyEval_SaveThread()
  call void @kernel(ptr %inputs, ptr %outputs, ptr %heap)
  call void @PyEval_RestoreThread(ptr %state)
  br i1 %some, label %free, label %done
free:
  call void @PyMem_RawFree(ptr %heap)
  br label %done
done:"""
_NOTHING = """\
%none = call ptr @PyTuple_GetItem(ptr %self, i64 1)
  call void @Py_IncRef(ptr %none)
  ret ptr %none"""
_ONE = """\
%type = call ptr @PyTuple_GetItem(ptr %self, i64 {type})
  %result = call ptr @PyArray_Scalar(ptr %outputs, ptr %type, ptr null)
  ret ptr %result"""
_SEVERAL = """\
%type = call ptr @PyTuple_GetItem(ptr %self, i64 {type})
  %tuple = call ptr @PyTuple_New(i64 {outputs})
  %failed = icmp eq ptr %tuple, null
  br i1 %failed, label %fail, label %pack
pack:
  %n = phi i64 [ 0, %done ], [ %n.next, %packed ]
  %output.place = getelementptr {number}, ptr %outputs, i64 %n
  %result = call ptr @PyArray_Scalar(ptr %output.place, ptr %type, ptr null)
  %none = icmp eq ptr %result, null
  br i1 %none, label %drop, label %packed
drop:
  call void @Py_DecRef(ptr %tuple)
  ret ptr null
packed:
  %set = call i32 @PyTuple_SetItem(ptr %tuple, i64 %n, ptr %result)
  %n.next = add i64 %n, 1
  %rest = icmp slt i64 %n.next, {outputs}
  br i1 %rest, label %pack, label %packed.all
packed.all:
  ret ptr %tuple"""


def door(parameters: Sequence[str], outputs: int, dtype: str) -> str:
    """Return LLVM IR by which Python calls ``@kernel``.

    Args:
        parameters: what the kernel takes, in order: "extent" for a whole number, "number",
            or "array" for a contiguous array of the right type.
        outputs: how many numbers it makes: one is returned as such, several in a tuple, all as
            scalars of NumPy.
        dtype: the type of all numbers, "float64" or "float32".
    """
    arrays = "array" in parameters
    single = dtype == "float32"
    number = "float" if single else "double"
    unpacked = []
    for k, parameter in enumerate(parameters):
        converted, kind = {
            "extent": (_EXTENT, "i64"),
            "number": (_NUMBER, number),
            "array": (_ARRAY, "ptr"),
        }[parameter]
        text = converted.format(
            k=k,
            narrow="fptrunc" if single else "bitcast",
            number=number,
            type=object.__basicsize__ - ctypes.sizeof(ctypes.c_void_p),
            data=object.__basicsize__,
        )
        unpacked.append(_UNPACK.format(k=k, next=k + 1, converted=text, kind=kind))
    results = {0: _NOTHING, 1: _ONE}.get(outputs, _SEVERAL)
    return _DOOR.format(
        symbol=_SYMBOL,
        inputs=len(parameters),
        outputs=outputs,
        number=number,
        unpacked="".join(unpacked),
        held=_HELD if arrays else "",
        call=(_CALL_WITHOUT_GIL if arrays else _CALL).format(inputs=len(parameters)),
        results=results.format(number=number, outputs=outputs, type=_TYPES[dtype]),
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
    """Return the object file of a module in LLVM IR.

    Of one with the metadata ``!shortest`` LLVM makes code with its instructions in several
    orders, and the shortest is taken. Where there are 16 registers for vectors, the order in
    which LLVM has its operations early also has their results wait on the stack, and what
    moves them there and back takes the time that was to be gained. Loops that ask for it are
    pipelined once they are vectorised, and LLVM leaves them in the order that they have then.
    """
    from llvmlite import binding

    machine = _machine()
    module = binding.parse_assembly(text)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    tuning = binding.create_pipeline_tuning_options(speed_level=3)
    tuning.loop_vectorization = True
    builder = binding.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
    if PIPELINED in text and (made := pipelined(usual := str(module))) != usual:
        # What a later LLVM prints in another way is not worth an error.
        with contextlib.suppress(RuntimeError):
            return _emitted(machine, binding.parse_assembly(made), _ORDERS[-1])
    orders = _ORDERS if _SHORTEST.search(text) else ()
    # What makes code changes the module.
    code: bytes = machine.emit_object(module.clone() if orders else module)
    for order in orders if len(code) <= _MOST_BYTES else ():
        other = _emitted(machine, module.clone(), order)
        code = min(code, other, key=_instruction_bytes)
    return code


def _emitted(machine: Any, module: Any, order: tuple[str, str]) -> bytes:
    """Return the object file of a module with its instructions in one of `_ORDERS`."""
    from llvmlite import binding

    wish, usual = order
    with _options:
        try:
            binding.set_option("", wish)
            code: bytes = machine.emit_object(module)
        finally:
            binding.set_option("", usual)
    return code


def _instruction_bytes(code: bytes) -> int:
    """Return how many bytes the instructions of an object file have."""
    from llvmlite import binding

    sections = binding.ObjectFileRef.from_data(code).sections()
    return sum(section.size() for section in sections if section.is_text())


def link(code: bytes) -> Callable[..., Any]:
    """Return the function of an object file that `assemble` has made."""
    from llvmlite import binding

    for name in _PYTHON:
        address = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
        binding.add_symbol(name, address)
    binding.add_symbol(_NUMPY[0], _numpy_function(_NUMPY[1]))
    # This manager of memory puts constants beside the code, as the code model asks for.
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _machine(), use_lmm=True)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    entry = engine.get_function_address(_SYMBOL)
    definition = _Definition(b"kernel", entry, _FASTCALL, None)
    make = _New(("PyCFunction_NewEx", ctypes.pythonapi))
    # The function holds its `self`, and with it its code.
    held = np.ndarray, None, *map(np.dtype, _TYPES), engine, definition
    made: Callable[..., Any] = make(ctypes.addressof(definition), held, None)
    return made


def _numpy_function(place: int) -> int:
    """Return the address of a function in the table that NumPy has for extensions in C."""
    table = importlib.import_module("numpy._core._multiarray_umath")._ARRAY_API
    find = _Find(("PyCapsule_GetPointer", ctypes.pythonapi))
    functions = ctypes.cast(find(table, None), ctypes.POINTER(ctypes.c_void_p))
    return functions[place] or 0


#: Options of LLVM for the order of instructions, and what they are for everyone else: from the
#: top of a block downwards, and as the module has them.
_ORDERS = (
    ("-misched-prera-direction=topdown", "-misched-prera-direction=bottomup"),
    ("-enable-misched=false", "-enable-misched=true"),
)
_SHORTEST = re.compile("^!shortest = ", re.MULTILINE)
#: Larger object files are made in one order, since it takes long.
_MOST_BYTES = 1 << 16
#: Options are those of the whole process: code that another thread makes of other modules
#: meanwhile can have its instructions in another order, and computes the same.
_options = threading.Lock()

_Find = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
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
    """Return what makes code whose constants lie within 2 GB, which is shorter and faster."""
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_triple(binding.get_process_triple())
    name, features = cpu()
    return target.create_target_machine(
        cpu=name,
        features=features,
        opt=3,
        reloc="pic",
        codemodel="small",
        jit=True,
    )
