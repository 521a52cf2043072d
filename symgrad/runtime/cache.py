"""The verified disk cache for the modules of generated kernels.

Numba's own cache runs stale code after a kill between its two writes, leaves options out
of its key and dies on damaged files. So each kernel module gets a directory of its own::

    <directory()>/<digest>/kernel.py             the source
                           __pycache__/*.nb[ic]  Numba's cache files
                           manifest.json         the sha256 of each of them

named by a hash of all that decides about the machine code. Kernels that need no Numba have
``kernel.ll`` and ``kernel.o`` in their places. A directory is built in a staging directory
and renamed into place, so that it is there in whole or not at all, and compared with its
manifest before a byte of it is unpickled or run. What does not agree is moved aside and built
anew. The hashes find damage; against other people stands ownership: nothing is read from a
place where another user could have written.

Where the disk cannot be used, kernels are compiled in memory and `CacheWarning` says so
once.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import math
import os
import platform
import re
import shutil
import stat
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from symgrad.errors import CacheWarning, UnsupportedError
from symgrad.runtime import interrupts, native
from symgrad.runtime.start import start_numba
from symgrad.version import version

__all__ = ["CacheInfo", "clear", "directory", "info", "load", "load_native"]

_FORMAT = 1
_DEFAULT_MEGABYTES = 512.0
_STALE_SECONDS = 3600.0
_MANIFEST = "manifest.json"
_MANIFEST_LIMIT = 1 << 20
_NOT_ABSOLUTE = "it is not an absolute path"
_FAILED = "an earlier attempt to write to it failed"
_OBJECT = "kernel.o"
_PYCACHE = "__pycache__"
_ENTRY_NAME = re.compile(r"[0-9a-f]{64}")
_LEFTOVER_NAME = re.compile(r"(?:stage|gone)\.[0-9a-f]{32}")
_CACHE_OPTION = re.compile(r"\bcache\s*=\s*True\b")

# The options of numba.config that change the machine code.
_CODE_OPTIONS = (
    "BOUNDSCHECK",
    "CPU_FEATURES",
    "CPU_NAME",
    "DEBUGINFO_DEFAULT",
    "DEBUG_NRT",
    "DISABLE_INTEL_SVML",
    "DISABLE_JIT",
    "ENABLE_AVX",
    "ENABLE_PROFILING",
    "EXTEND_VARIABLE_LIFETIMES",
    "JIT_COVERAGE",
    "LLVM_REFPRUNE_FLAGS",
    "LLVM_REFPRUNE_PASS",
    "LOOP_VECTORIZE",
    "NRT_STATS",
    "OPT",
    "PARFOR_MAX_TUPLE_SIZE",
    "SLP_VECTORIZE",
    "USE_LLVMLITE_MEMORY_MANAGER",
    "USING_SVML",
)


@dataclass(frozen=True)
class CacheInfo:
    """What `symgrad cache info` shows.

    Attributes:
        directory: where the kernels lie.
        kernels: how many there are.
        bytes: the space that they take.
        usable: whether kernels are kept there.
        reason: why not, or None.
    """

    directory: Path
    kernels: int
    bytes: int
    usable: bool
    reason: str | None


class _UnusableError(Exception):
    """The cache directory must not be used; the text says why."""


class _Language(NamedTuple):
    """A language in which kernels are written.

    Attributes:
        file: how a file with such a text is called.
        digest: what names the entry of a text.
        execute: makes a module of a digest, a text and its file, and keeps code beside it.
        in_memory: makes one of a digest and a text without touching the disk.
    """

    file: str
    digest: Callable[[str], str]
    execute: Callable[[str, str, str], ModuleType]
    in_memory: Callable[[str, str], ModuleType]


class _State:
    """What a process knows: its modules, and what it learnt about the disk."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.modules: dict[str, ModuleType] = {}
        self.failed: set[Path] = set()
        self.sizes: dict[Path, int] = {}
        self.warned = False


_state = _State()


def load(source: str) -> ModuleType:
    """Return the kernel module with the text `source`, compiled.

    It comes out of this process, else off the disk, else it is built; several threads
    that ask for one module build it once.

    Args:
        source: the whole text of a stand-alone module. Its kernels are decorated with
            explicit signatures and ``cache=True``, so that running it compiles them.

    Raises:
        UnsupportedError: Numba would have to recurse too deeply to compile it.
        Exception: whatever `source` itself raises; never a fault of the disk.
    """
    return _load(source, _PYTHON)


def load_native(text: str) -> Callable[..., Any]:
    """Return the function of a module in LLVM IR; as `load`, but without Numba.

    Args:
        text: what `symgrad.codegen.llvm` prints, with a `native.door`.
    """
    function: Callable[..., Any] = _load(text, _LLVM).kernel
    return function


def _load(source: str, language: _Language) -> ModuleType:
    digest = language.digest(source)
    module = _state.modules.get(digest)
    if module is not None:
        return module
    with _state.lock:
        module = _state.modules.get(digest)
        return _loaded(digest, source, language) if module is None else module


def _loaded(digest: str, source: str, language: _Language) -> ModuleType:
    """Load or build a module, by way of the disk if that works; hold the lock."""
    module: ModuleType | None = None
    fault: Exception | None = None
    try:
        if _limit() > 0:
            root = _prepared_root()
            module = _restore(root, digest, source, language)
            if module is None:
                module, fault = _build(root, digest, source, language)
    except UnsupportedError:
        raise
    except Exception as error:  # a fault of the source comes up again below
        fault = error
    if module is None:
        module = language.in_memory(digest, source)
    _state.modules[digest] = module
    if fault is not None:
        _warn(fault)
    return module


def _warn(fault: BaseException) -> None:
    if _state.warned:
        return
    _state.warned = True
    warnings.warn(
        f"the kernel cache {directory()} cannot be used, kernels are compiled in memory: "
        f"{str(fault) or type(fault).__name__} (another place: SYMGRAD_CACHE_DIR)",
        CacheWarning,
        stacklevel=5,
    )


# What names an entry


def _digest(source: str) -> str:
    return _hash([source, *_platform(), *_options()])


def _native_digest(text: str) -> str:
    return _hash([text, *_machine(), *native.cpu()])


def _hash(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@functools.cache
def _platform() -> tuple[str, ...]:
    """Return what decides about machine code and cannot change within a process."""
    start_numba()
    import numba
    import numpy

    return (
        *_machine(),
        f"numba {numba.__version__}",
        f"numpy {numpy.__version__}",
        *_cpu(),
    )


@functools.cache
def _machine() -> tuple[str, ...]:
    """Return what decides about any machine code, but for the CPU."""
    import llvmlite

    return (
        f"format {_FORMAT}",
        f"symgrad {version()}",
        f"llvmlite {llvmlite.__version__}",
        f"{sys.implementation.name} {sys.version} {getattr(sys, 'abiflags', '')}",
        f"{platform.system()} {platform.machine()} {sys.maxsize}",
    )


def _cpu() -> tuple[str, str]:
    """Return the name and the features of the CPU as LLVM reports them."""
    from llvmlite import binding

    try:
        features = binding.get_host_cpu_features().flatten()
    except RuntimeError:
        features = ""
    return binding.get_host_cpu_name(), features


def _options() -> list[str]:
    """Return the options of Numba that change its code, as they are now."""
    from numba import config

    # Numba itself does this before it compiles; the key must see the same options.
    config.reload_config()  # type: ignore[no-untyped-call]
    return [f"{name}={getattr(config, name, None)!r}" for name in _CODE_OPTIONS]


# Running the source


def _name(digest: str) -> str:
    return f"symgrad_kernel_{digest}"


def _execute(digest: str, source: str, file: str) -> ModuleType:
    """Run `source` as the module that Numba will find under its name, also unpickling."""
    name = _name(digest)
    module = ModuleType(name)
    module.__file__ = file
    # Numba's key has the bytecode in it, which must not depend on python -O.
    code = compile(source, file, "exec", dont_inherit=True, optimize=0)
    sys.modules[name] = module
    try:
        with interrupts.kept():
            exec(code, module.__dict__)  # noqa: S102
    except BaseException as error:
        sys.modules.pop(name, None)
        if isinstance(error, RecursionError):
            # Numba walks through all branches and loops of a function one inside the other.
            raise UnsupportedError(
                "the formula has more conditions and loops one after the other than Numba can "
                "compile: use backend='auto' or 'interpreter'"
            ) from None
        raise
    return module


def _compile_in_memory(digest: str, source: str) -> ModuleType:
    text = _CACHE_OPTION.sub("cache=False", source)
    return _execute(digest, text, f"<{_name(digest)}>")


def _execute_native(digest: str, text: str, file: str) -> ModuleType:
    """Link the object file that lies where Numba's files would, after making it if need be."""
    kept = Path(file).parent / _PYCACHE / _OBJECT
    try:
        code = _read(kept)
    except FileNotFoundError:
        with interrupts.kept():
            code = native.assemble(text)
        kept.write_bytes(code)
    return _linked(digest, code)


def _native_in_memory(digest: str, text: str) -> ModuleType:
    with interrupts.kept():
        code = native.assemble(text)
    return _linked(digest, code)


def _linked(digest: str, code: bytes) -> ModuleType:
    module = ModuleType(_name(digest))
    with interrupts.kept():
        module.kernel = native.link(code)  # type: ignore[attr-defined]
    return module


@contextmanager
def _cache_beside_source() -> Iterator[None]:
    """Make Numba keep its files beside the source, whatever NUMBA_CACHE_DIR says."""
    from numba import config

    options = ("CACHE_DIR", "CACHE_LOCATOR_CLASSES")
    saved = {name: getattr(config, name) for name in options if getattr(config, name, "")}
    for name in saved:
        setattr(config, name, "")
    try:
        yield
    finally:
        for name, value in saved.items():
            setattr(config, name, value)


def _execute_with_files(digest: str, source: str, file: str) -> ModuleType:
    with _cache_beside_source():
        return _execute(digest, source, file)


_PYTHON = _Language("kernel.py", _digest, _execute_with_files, _compile_in_memory)
_LLVM = _Language("kernel.ll", _native_digest, _execute_native, _native_in_memory)


# Reading an entry


def _restore(root: Path, digest: str, source: str, language: _Language) -> ModuleType | None:
    """Return the module from its entry, or None after moving a bad entry aside."""
    entry = root / digest
    try:
        os.lstat(entry)
    except FileNotFoundError:
        return None
    if _intact(entry, digest, source, language):
        # Numba probes its directory for writing and turns to another, unverified one.
        if not os.access(entry / _PYCACHE, os.W_OK | os.X_OK):
            raise _UnusableError(f"{entry} is read-only")
        with suppress(Exception):
            module = language.execute(digest, source, str(entry / language.file))
            _touch(entry)
            return module
    _discard(entry)
    return None


def _touch(entry: Path) -> None:
    """Note that `entry` was used, for the eviction."""
    with suppress(OSError):
        os.utime(entry)


def _intact(entry: Path, digest: str, source: str, language: _Language) -> bool:
    """Say whether `entry` is ours and holds what its manifest says, and `source`."""
    try:
        _require_private_directory(entry)
        _require_private_directory(entry / _PYCACHE)
        manifest = json.loads(_read(entry / _MANIFEST, _MANIFEST_LIMIT))
        files = manifest["files"]
        return (
            manifest["digest"] == digest
            and set(files) == set(_listing(entry))
            and all(_sha256(_read(entry / name)) == files[name] for name in files)
            and _read(entry / language.file) == source.encode()
        )
    except (OSError, _UnusableError, ValueError, LookupError, TypeError, RecursionError):
        return False


def _listing(entry: Path) -> list[str]:
    """Return all that lies in `entry` beside its manifest, as relative names."""
    top = [path.name for path in entry.iterdir()]
    below = [f"{_PYCACHE}/{path.name}" for path in (entry / _PYCACHE).iterdir()]
    return [name for name in top if name not in (_MANIFEST, _PYCACHE)] + below


def _read(path: Path, limit: int | None = None) -> bytes:
    """Read a plain file that nobody else could have written."""
    # Without O_NONBLOCK a named pipe in the place of a file would hang.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise _UnusableError(f"{path} is not a plain file")
        _require_private(path, status)
        if limit is not None and status.st_size > limit:
            raise _UnusableError(f"{path} is too large")
        return file.read()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# Writing an entry


def _build(
    root: Path, digest: str, source: str, language: _Language
) -> tuple[ModuleType, OSError | None]:
    """Compile `source` in a stage and publish it; also return why that failed, if so."""
    stage = root / f"stage.{uuid.uuid4().hex}"
    try:
        stage.mkdir(0o700)
        # Numba would make it as the umask says.
        (stage / _PYCACHE).mkdir(0o700)
        file = stage / language.file
        file.write_bytes(source.encode())
        module = language.execute(digest, source, str(file))
        module.__file__ = str(root / digest / language.file)
        return module, _keep(stage, root / digest)
    except OSError:
        _state.failed.add(root)
        raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _keep(stage: Path, entry: Path) -> OSError | None:
    """Publish what was compiled in `stage`; a failure costs the entry, not the module."""
    try:
        size = _seal(stage, entry.name)
        _publish(stage, entry)
    except OSError as error:
        _state.failed.add(entry.parent)
        return error
    _make_room(entry.parent, size, keep=entry.name)
    return None


def _seal(stage: Path, digest: str) -> int:
    """Write the manifest of `stage`, put all of it on the disk, return its size."""
    files = {}
    size = 0
    for name in _listing(stage):
        data = (stage / name).read_bytes()
        (stage / name).chmod(0o600)
        files[name] = _sha256(data)
        size += len(data)
    manifest = json.dumps({"digest": digest, "files": files}, indent=1).encode()
    (stage / _MANIFEST).write_bytes(manifest)
    (stage / _MANIFEST).chmod(0o600)
    for name in [*files, _MANIFEST, _PYCACHE, "."]:
        _sync(stage / name)
    return size + len(manifest)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _publish(stage: Path, entry: Path) -> None:
    """Rename `stage` to `entry`, unless another process was faster."""
    try:
        stage.rename(entry)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise


def _discard(path: Path) -> None:
    """Take `path` out of sight at once, then delete it as far as possible."""
    aside = path.with_name(f"gone.{uuid.uuid4().hex}")
    with suppress(FileNotFoundError):
        path.rename(aside)
        _delete(aside)


def _removed(entry: Path) -> bool:
    """Discard `entry` and say whether that worked."""
    with suppress(OSError):
        _discard(entry)
    return not os.path.lexists(entry)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


# Keeping the directory small


def _limit() -> float:
    """Return the most bytes that the cache may take; 0 turns it off."""
    try:
        megabytes = float(os.environ.get("SYMGRAD_CACHE_SIZE", ""))
    except ValueError:
        megabytes = _DEFAULT_MEGABYTES
    if math.isnan(megabytes):
        megabytes = _DEFAULT_MEGABYTES
    return max(0.0, megabytes * 1e6)


def _make_room(root: Path, added: int, keep: str) -> None:
    """Evict the entries used longest ago when the cache has outgrown its limit.

    The directory is measured once in a process and then only when what this process has
    added to that could have passed the limit.
    """
    limit = _limit()
    known = _state.sizes.get(root)
    if known is not None and known + added <= limit:
        _state.sizes[root] = known + added
        return
    _sweep(root)
    entries = sorted(_entries(root), key=_last_use)
    sizes = [_size(entry) for entry in entries]
    total = sum(sizes)
    # A little more than needed, so that the next kernels need no measuring.
    goal = limit if total <= limit else 0.9 * limit
    for entry, size in zip(entries, sizes, strict=True):
        if total <= goal:
            break
        if entry.name != keep and _removed(entry):
            total -= size
    _state.sizes[root] = total


def _sweep(root: Path) -> None:
    """Delete what killed processes left behind: old stages and entries moved aside."""
    oldest = time.time() - _STALE_SECONDS
    for path in _matching(root, _LEFTOVER_NAME.fullmatch):
        if path.name.startswith("gone.") or _last_use(path) < oldest:
            _delete(path)


def _entries(root: Path) -> list[Path]:
    return _matching(root, _ENTRY_NAME.fullmatch)


def _matching(root: Path, wanted: Callable[[str], object]) -> list[Path]:
    try:
        return [path for path in root.iterdir() if wanted(path.name)]
    except OSError:
        return []


def _last_use(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return math.inf


def _size(entry: Path) -> int:
    try:
        names = [*_listing(entry), _MANIFEST]
        return sum((entry / name).lstat().st_size for name in names)
    except OSError:
        return 0


# Whose directory it is


def directory() -> Path:
    """Return where kernels are kept: SYMGRAD_CACHE_DIR, else the user's cache directory."""
    chosen = os.environ.get("SYMGRAD_CACHE_DIR")
    if chosen:
        path = os.path.expanduser(chosen)  # noqa: PTH111 (pathlib raises without a home)
        with suppress(FileNotFoundError):  # of a current directory that was deleted
            path = os.path.abspath(path)  # noqa: PTH100 (pathlib follows the last link)
        return Path(path)
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("symgrad"))


def _prepared_root() -> Path:
    """Return the cache directory, made if need be, or raise why it cannot be used."""
    root = directory()
    if root in _state.failed:
        raise _UnusableError(_FAILED)
    if not root.is_absolute():
        raise _UnusableError(_NOT_ABSOLUTE)
    root.mkdir(0o700, parents=True, exist_ok=True)
    _require_private_directory(root)
    _require_safe_parents(root)
    return root


def _require_private_directory(path: Path) -> None:
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise _UnusableError(f"{path} is not a directory of its own")
    _require_private(path, status)


def _require_private(path: Path, status: os.stat_result) -> None:
    """Refuse a file or directory into which anybody else can write."""
    if status.st_uid != os.geteuid():
        raise _UnusableError(f"{path} belongs to another user")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _UnusableError(f"{path} can be written by other users")


def _require_safe_parents(root: Path) -> None:
    """Refuse a path on which another user could replace a directory."""
    for parent in {*root.parents, *Path(os.path.realpath(root)).parents}:
        status = os.lstat(parent)
        if status.st_uid not in (0, os.geteuid()):
            raise _UnusableError(f"{parent} belongs to another user")
        if stat.S_ISLNK(status.st_mode) or status.st_mode & stat.S_ISVTX:
            continue
        # By convention a group with the number of its user has no other member.
        ours = status.st_gid == os.geteuid()
        if status.st_mode & (stat.S_IWOTH if ours else stat.S_IWGRP | stat.S_IWOTH):
            raise _UnusableError(f"{parent} can be written by other users")


# For people


def info() -> CacheInfo:
    """Return where the cache is, how full it is and whether it works; changes nothing."""
    root = directory()
    reason = _why_unusable(root)
    entries = _entries(root)
    used = sum(map(_size, entries))
    return CacheInfo(root, len(entries), used, reason is None, reason)


def _why_unusable(root: Path) -> str | None:
    if _limit() <= 0:
        return "it is turned off by SYMGRAD_CACHE_SIZE"
    if not root.is_absolute():
        return _NOT_ABSOLUTE
    if root in _state.failed:
        return _FAILED
    try:
        if os.path.lexists(root):
            _require_private_directory(root)
        _require_safe_parents(root)
    except FileNotFoundError:
        pass
    except (OSError, _UnusableError) as error:
        return str(error)
    # Not Path.exists, which raises where a directory cannot be searched.
    nearest = next(path for path in (root, *root.parents) if os.path.lexists(path))
    if not os.path.isdir(nearest):  # noqa: PTH112
        return f"{nearest} is not a directory"
    return None if os.access(nearest, os.W_OK | os.X_OK) else f"{nearest} is read-only"


def clear() -> int:
    """Delete all kernels on the disk and return how many there were.

    Modules that are already loaded keep working. Whatever else lies in the directory
    stays, and so do the stages of builds that may be running.
    """
    root = directory()
    try:
        _require_private_directory(root)
    except (OSError, _UnusableError):
        return 0
    removed = sum(map(_removed, _entries(root)))
    _sweep(root)
    _state.sizes.pop(root, None)
    return removed


# Forks


def _before_fork() -> None:
    # A child forked amid a compilation would wait for Numba's lock for ever. The limit
    # is for the case that the compiling thread waits for the one that forks.
    _state.lock.acquire(timeout=60)


def _after_fork_in_parent() -> None:
    # Raised where this thread gave up waiting above and owns nothing.
    with suppress(RuntimeError):
        _state.lock.release()


def _after_fork_in_child() -> None:
    _state.lock = threading.RLock()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
