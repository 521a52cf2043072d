"""The disk cache: right results whatever happens to the disk, and nothing left behind."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path

import pytest

from symgrad.errors import CacheWarning
from symgrad.runtime import cache, native

ROOT = Path(__file__).parents[2]


def kernel(constant: float, tail: str = "") -> str:
    """Return the source of a module whose `f(x)` is ``x*x + constant``."""
    return (
        textwrap.dedent(
            f"""
            import math
            import numba
            import numpy as np

            @numba.njit(error_model="numpy")
            def helper(x):
                return x * x

            @numba.njit(["float64(float64)"], error_model="numpy", nogil=True, cache=True)
            def f(x):
                return helper(x) + {constant!r}
            """
        )
        + tail
    )


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """Give every test a directory and a process state of its own."""
    root = tmp_path / "cache"
    monkeypatch.setenv("SYMGRAD_CACHE_DIR", str(root))
    monkeypatch.delenv("SYMGRAD_CACHE_SIZE", raising=False)
    forget(monkeypatch)
    return root


def forget(monkeypatch) -> None:
    """Forget all modules, as a new process would."""
    monkeypatch.setattr(cache, "_state", cache._State())


def entry_of(root: Path) -> Path:
    [entry] = root.iterdir()
    return entry


def hits(module) -> int:
    return sum(module.f.stats.cache_hits.values())


def python(code: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def assert_loads_in_memory(root: Path, reason: str) -> None:
    """Load twice with one warning that gives `reason`, and leave nothing in `root`."""
    with pytest.warns(CacheWarning, match=reason) as caught:
        module = cache.load(kernel(1.0))
    assert len(caught) == 1
    assert module.f(3.0) == 10.0
    assert cache.load(kernel(2.0)).f(3.0) == 11.0
    assert not root.is_dir() or not list(root.iterdir())


# Hits and misses


def test_importing_the_cache_imports_no_numba():
    code = "import sys, symgrad.runtime.cache; print('numba' in sys.modules)"
    assert output(python(code)) == "False\n"


def test_one_module_per_source(root):
    module = cache.load(kernel(1.0))
    assert module.f(3.0) == 10.0
    assert cache.load(kernel(1.0)) is module
    assert sys.modules[module.__name__] is module
    assert module.__name__ == f"symgrad_kernel_{entry_of(root).name}"
    assert module.__file__ == str(entry_of(root) / "kernel.py")


def test_two_sources_have_two_entries(root):
    assert [cache.load(kernel(c)).f(3.0) for c in (1.0, 2.0)] == [10.0, 11.0]
    assert len(list(root.iterdir())) == 2


def test_a_hit_compiles_nothing(root, monkeypatch):
    assert hits(cache.load(kernel(1.0))) == 0
    forget(monkeypatch)
    module = cache.load(kernel(1.0))
    assert module.f(3.0) == 10.0
    assert hits(module) == 1


def test_a_second_process_hits_without_a_warning(root, tmp_path):
    source = tmp_path / "source.py"
    source.write_text(kernel(1.0))
    code = f"""
        from pathlib import Path
        from symgrad.runtime import cache
        f = cache.load(Path({str(source)!r}).read_text()).f
        print(f(3.0), sum(f.stats.cache_hits.values()))
    """
    assert output(python(code)) == "10.0 0\n"
    assert output(python(code)) == "10.0 1\n"
    assert output(python(code, PYTHONOPTIMIZE="2")) == "10.0 1\n"


def test_entries_are_private_whatever_the_umask(root, monkeypatch):
    before = os.umask(0)
    try:
        cache.load(kernel(1.0))
    finally:
        os.umask(before)
    for path in [root, *root.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0
    forget(monkeypatch)
    assert hits(cache.load(kernel(1.0))) == 1


def test_the_cache_directory_of_numba_does_not_matter(root, tmp_path, monkeypatch):
    from numba import config

    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "numba"))
    cache.load(kernel(1.0))
    assert not (tmp_path / "numba").exists()
    assert list(root.rglob("*.nbc"))
    assert str(tmp_path / "numba") == config.CACHE_DIR


# Kernels that need no Numba


def native_kernel(constant: float) -> str:
    """Return LLVM IR of a kernel of one number that returns it with `constant` added."""
    return f"""
    @heap = internal constant i64 0
define internal void @kernel(ptr %inputs, ptr %outputs, ptr %heap) {{
      %x = load double, ptr %inputs
      %y = fadd double %x, {constant!r}
      store double %y, ptr %outputs
      ret void
    }}
    """ + native.door(["number"], 1, "float64")


@pytest.fixture
def assembled(monkeypatch):
    """Return the texts that have been compiled."""
    texts = []
    assemble = native.assemble

    def counted(text):
        texts.append(text)
        return assemble(text)

    monkeypatch.setattr(native, "assemble", counted)
    return texts


def test_a_native_kernel_is_kept_and_compiled_once(root, monkeypatch, assembled):
    function = cache.load_native(native_kernel(1.5))
    assert function(3.0) == 4.5
    assert cache.load_native(native_kernel(1.5)) is function
    files = {path.name for path in entry_of(root).rglob("*") if path.is_file()}
    assert files == {"kernel.ll", "kernel.o", "manifest.json"}
    forget(monkeypatch)
    assert cache.load_native(native_kernel(1.5))(3.0) == 4.5
    assert len(assembled) == 1
    assert cache.load_native(native_kernel(2.5))(3.0) == 5.5
    assert len(assembled) == len(list(root.iterdir())) == 2
    assert cache.info().kernels == 2
    assert cache.clear() == 2
    assert function(4.0) == 5.5


@pytest.mark.parametrize("file", ["kernel.ll", "__pycache__/kernel.o", "manifest.json"])
def test_a_damaged_native_kernel_is_built_anew(root, monkeypatch, assembled, file):
    cache.load_native(native_kernel(1.5))
    damaged = entry_of(root) / file
    damaged.write_bytes(damaged.read_bytes()[:-1])
    for _ in range(2):
        forget(monkeypatch)
        assert cache.load_native(native_kernel(1.5))(3.0) == 4.5
        assert len(assembled) == 2


def test_a_native_kernel_is_compiled_in_memory_where_there_is_no_disk(root, monkeypatch):
    root.write_text("no directory")
    with pytest.warns(CacheWarning, match="cannot be used"):
        assert cache.load_native(native_kernel(1.5))(3.0) == 4.5
    forget(monkeypatch)
    monkeypatch.setenv("SYMGRAD_CACHE_SIZE", "0")
    assert cache.load_native(native_kernel(1.5))(3.0) == 4.5
    assert root.read_text() == "no directory"


def test_faults_of_llvm_are_not_faults_of_the_disk(root):
    with pytest.raises(RuntimeError, match="parsing error"):
        cache.load_native("define nothing")
    assert list(root.iterdir()) == []


def test_a_native_kernel_belongs_to_a_processor(root, monkeypatch, assembled):
    cache.load_native(native_kernel(1.5))
    forget(monkeypatch)
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "")
    assert cache.load_native(native_kernel(1.5))(3.0) == 4.5
    assert len(assembled) == len(list(root.iterdir())) == 2


# The key


def test_another_version_has_another_entry(root, monkeypatch):
    cache.load(kernel(1.0))
    old = entry_of(root)
    ours = cache._platform()
    monkeypatch.setattr(cache, "_platform", lambda: (*ours[:-1], "another CPU"))
    assert cache.load(kernel(1.0)).f(3.0) == 10.0
    assert len(list(root.iterdir())) == 2
    assert old.is_dir()


def test_the_versions_and_the_cpu_are_in_the_key():
    import llvmlite
    import numba
    import numpy

    text = "\n".join(cache._platform())
    for module in (llvmlite, numba, numpy):
        assert f"{module.__name__} {module.__version__}" in text
    assert sys.version in text


@pytest.mark.parametrize(
    ("option", "value"),
    [("OPT", "1"), ("CPU_NAME", "generic"), ("BOUNDSCHECK", "1")],
)
def test_options_of_numba_are_in_the_key(option, value):
    before = cache._digest("")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(f"NUMBA_{option}", value)
            assert cache._digest("") != before
    finally:
        assert cache._digest("") == before


def test_options_that_change_no_code_are_not_in_the_key(monkeypatch):
    before = cache._digest("")
    monkeypatch.setenv("NUMBA_COLOR_SCHEME", "dark_bg")
    assert cache._digest("") == before


# Damage


def damage(entry: Path, rng: random.Random) -> str:
    """Damage one file of `entry` and say how."""
    path = rng.choice([p for p in sorted(entry.rglob("*")) if p.is_file()])
    data = path.read_bytes()
    kind = rng.choice(["flip"] * 6 + ["cut", "empty", "noise", "gone", "dir", "link", "pipe"])
    if kind == "flip":
        at = rng.randrange(len(data) * 8)
        flipped = data[at // 8] ^ 1 << at % 8
        path.write_bytes(data[: at // 8] + bytes([flipped]) + data[at // 8 + 1 :])
    elif kind == "cut":
        path.write_bytes(data[: rng.randrange(len(data))])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "noise":
        path.write_bytes(rng.randbytes(len(data)))
    else:
        path.unlink()
    if kind == "dir":
        path.mkdir()
    elif kind == "link":
        other = entry.parent.parent / f"elsewhere{rng.random()}"
        other.write_bytes(data)
        path.symlink_to(other)
    elif kind == "pipe":
        os.mkfifo(path)
    return f"{kind} {path.name}"


def meaning(entry: Path) -> object:
    try:
        return json.loads((entry / "manifest.json").read_bytes())
    except ValueError:
        return None


def replaced(entry: Path, pristine: Path) -> None:
    shutil.rmtree(entry, ignore_errors=True)
    shutil.copytree(pristine, entry)


def test_damage_is_seen_before_anything_is_unpickled(root, tmp_path):
    cache.load(kernel(1.0))
    entry, pristine = entry_of(root), tmp_path / "pristine"
    shutil.copytree(entry, pristine)
    rng = random.Random(1)
    for _ in range(400):
        replaced(entry, pristine)
        how = damage(entry, rng)
        # A flip in the manifest may do no more than change a space.
        harmless = how == "flip manifest.json" and meaning(entry) == meaning(pristine)
        assert cache._intact(entry, entry.name, kernel(1.0), cache._PYTHON) == harmless, how


def test_damaged_entries_are_rebuilt_without_a_crash(root, tmp_path):
    # In another process, since what Numba does with damaged code may be a signal.
    code = f"""
        import random, shutil, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from symgrad.runtime import cache
        from test_cache import damage, entry_of, hits, kernel, replaced
        root, pristine = cache.directory(), Path({str(tmp_path)!r}) / "pristine"
        cache.load(kernel(1.0))
        shutil.copytree(entry_of(root), pristine)
        rng = random.Random(2)
        for _ in range(120):
            replaced(entry_of(root), pristine)
            how = damage(entry_of(root), rng)
            cache._state.modules.clear()
            module = cache.load(kernel(1.0))
            assert module.f(3.0) == 10.0, how
            entry = entry_of(root)
            assert cache._intact(entry, entry.name, kernel(1.0), cache._PYTHON), how
        print("survived")
    """
    assert output(python(code)) == "survived\n"


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"digest": 1, "files": 2}',
        b'{"digest": "DIGEST", "files": ["kernel.py"]}',
        b'{"digest": "DIGEST", "files": {}}',
        b'{"digest": "DIGEST", "files": {"../../kernel.py": "0"}}',
        b"\xff\xfe",
        b" " * (2 << 20),
    ],
    ids=range(11),
)
def test_a_strange_manifest_is_a_miss(root, monkeypatch, manifest):
    cache.load(kernel(1.0))
    entry = entry_of(root)
    data = manifest.replace(b"DIGEST", entry.name.encode())
    (entry / "manifest.json").write_bytes(data)
    forget(monkeypatch)
    assert cache.load(kernel(1.0)).f(3.0) == 10.0
    assert cache._intact(entry_of(root), entry.name, kernel(1.0), cache._PYTHON)


def test_an_unlisted_file_is_a_miss(root, monkeypatch):
    cache.load(kernel(1.0))
    for name in ("more", "__pycache__/more"):
        (entry_of(root) / name).write_bytes(b"")
        forget(monkeypatch)
        assert hits(cache.load(kernel(1.0))) == 0
        assert not (entry_of(root) / name).exists()


@pytest.mark.parametrize("kind", ["file", "link", "empty"])
def test_something_else_in_the_place_of_an_entry(root, tmp_path, monkeypatch, kind):
    cache.load(kernel(1.0))
    entry = entry_of(root)
    moved = tmp_path / "moved"
    entry.rename(moved)
    if kind == "file":
        entry.write_text("not a directory")
    elif kind == "link":
        entry.symlink_to(moved)
    else:
        entry.mkdir()
    forget(monkeypatch)
    module = cache.load(kernel(1.0))
    assert (module.f(3.0), hits(module)) == (10.0, 0)
    assert not entry.is_symlink()
    assert (entry / "manifest.json").is_file()
    assert (moved / "manifest.json").is_file()


def test_the_entry_of_another_kernel_is_a_miss(root, monkeypatch):
    cache.load(kernel(1.0))
    first = entry_of(root)
    cache.load(kernel(2.0))
    [second] = set(root.iterdir()) - {first}
    replaced(second, first)
    forget(monkeypatch)
    assert cache.load(kernel(2.0)).f(3.0) == 11.0


def test_an_entry_that_numba_cannot_read_is_rebuilt(root, monkeypatch):
    cache.load(kernel(1.0))
    entry = entry_of(root)
    # Damage that the manifest agrees with, as from another build of one version.
    for index in entry.rglob("*.nbi"):
        index.write_bytes(b"garbage")
        manifest = json.loads((entry / "manifest.json").read_bytes())
        manifest["files"][f"__pycache__/{index.name}"] = cache._sha256(b"garbage")
        (entry / "manifest.json").write_text(json.dumps(manifest))
    forget(monkeypatch)
    assert cache._intact(entry, entry.name, kernel(1.0), cache._PYTHON)
    assert cache.load(kernel(1.0)).f(3.0) == 10.0
    forget(monkeypatch)
    assert hits(cache.load(kernel(1.0))) == 1


# Directories that cannot be used


def test_a_directory_below_a_file(root):
    root.parent.joinpath("file").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYMGRAD_CACHE_DIR", str(root.parent / "file" / "cache"))
        assert_loads_in_memory(root, "Not a directory")
        assert not cache.info().usable


def test_a_file_in_the_place_of_the_directory(root):
    root.write_text("mine")
    assert_loads_in_memory(root, "exists")
    assert root.read_text() == "mine"
    assert cache.info().reason == f"{root} is not a directory of its own"
    assert cache.clear() == 0


@pytest.mark.parametrize("home", ["", "relative", "/proc/nothing"])
def test_a_strange_home(home, monkeypatch):
    monkeypatch.delenv("SYMGRAD_CACHE_DIR")
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("XDG_CACHE_HOME", home)
    monkeypatch.setattr(cache.Path, "mkdir", failing(errno.EACCES))
    with pytest.warns(CacheWarning):
        assert cache.load(kernel(1.0)).f(3.0) == 10.0


def test_a_deleted_current_directory(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setenv("SYMGRAD_CACHE_DIR", "relative")
    with pytest.warns(CacheWarning, match="not an absolute path"):
        assert cache.load(kernel(1.0)).f(3.0) == 10.0


def failing(number: int):
    def fail(*_arguments, **_options):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize(
    ("where", "what"),
    [
        (Path, "mkdir"),
        (Path, "write_bytes"),
        (Path, "chmod"),
        (Path, "rename"),
        (os, "fsync"),
    ],
)
def test_a_failing_disk(root, monkeypatch, where, what, number):
    root.mkdir()
    monkeypatch.setattr(where, what, failing(number))
    assert_loads_in_memory(root, os.strerror(number))
    assert not cache.info().usable or what == "mkdir"


def test_a_disk_that_fills_while_numba_writes(root, monkeypatch):
    from numba.core import caching

    monkeypatch.setattr(caching.IndexDataCacheFile, "_save_data", failing(errno.ENOSPC))
    assert_loads_in_memory(root, "No space left")


def test_a_limit_on_the_size_of_files(root):
    code = """
        import resource, warnings
        from test_cache import kernel
        from symgrad.runtime import cache
        warnings.simplefilter("ignore")
        for limit in (4096, 1024, 0):
            cache._state = cache._State()
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            assert cache.load(kernel(1.0)).f(3.0) == 10.0
            assert cache._state.warned
        resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
        print(len(list(cache.directory().iterdir())))
    """
    here = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    assert output(python(here + textwrap.dedent(code))) == "0\n"


def test_a_read_only_entry_is_not_given_to_numba(root, monkeypatch):
    cache.load(kernel(1.0))
    forget(monkeypatch)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.warns(CacheWarning, match="read-only"):
        assert cache.load(kernel(1.0)).f(3.0) == 10.0
    assert entry_of(root)


def test_zero_megabytes_turn_the_cache_off_without_a_warning(root, monkeypatch):
    monkeypatch.setenv("SYMGRAD_CACHE_SIZE", "0")
    assert cache.load(kernel(1.0)).f(3.0) == 10.0
    assert not root.exists()
    assert not cache.info().usable


# Other users


def test_the_directory_of_another_user(root, monkeypatch):
    root.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert_loads_in_memory(root, "belongs to another user")
    assert cache.clear() == 0


def test_the_entry_of_another_user(root, monkeypatch):
    cache.load(kernel(1.0))
    entry = entry_of(root)
    assert cache._intact(entry, entry.name, kernel(1.0), cache._PYTHON)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert not cache._intact(entry, entry.name, kernel(1.0), cache._PYTHON)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_directory_that_others_can_write(root, mode):
    root.mkdir()
    root.chmod(mode)
    assert_loads_in_memory(root, "written by other users")
    assert "other users" in cache.info().reason


def test_a_parent_that_others_can_write(root, monkeypatch):
    parent = root.parent / "open"
    parent.mkdir()
    monkeypatch.setenv("SYMGRAD_CACHE_DIR", str(parent / "cache"))
    parent.chmod(0o777)
    with pytest.warns(CacheWarning, match="open can be written"):
        cache.load(kernel(1.0))
    # As in /tmp, nobody can replace what is not theirs.
    parent.chmod(0o1777)
    cache.load(kernel(2.0))
    assert cache.info().kernels == 1


def test_a_link_in_the_place_of_the_directory(root):
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir(0o700)
    root.symlink_to(elsewhere)
    assert_loads_in_memory(root, "not a directory of its own")


def test_a_link_above_the_directory(root, monkeypatch):
    link = root.parent / "link"
    root.mkdir()
    link.symlink_to(root)
    monkeypatch.setenv("SYMGRAD_CACHE_DIR", str(link / "cache"))
    cache.load(kernel(1.0))
    assert cache.info().kernels == 1
    root.chmod(0o777)
    assert "other users" in cache.info().reason


@pytest.mark.parametrize("name", [".", "__pycache__", "manifest.json", "kernel.py"])
def test_an_entry_that_others_can_write_is_rebuilt(root, monkeypatch, name):
    cache.load(kernel(1.0))
    (entry_of(root) / name).chmod(0o777)
    forget(monkeypatch)
    assert hits(cache.load(kernel(1.0))) == 0
    assert not (entry_of(root) / name).stat().st_mode & 0o022


# Interruptions and races


def test_an_error_of_the_source_is_raised_and_leaves_nothing(root):
    before = set(sys.modules)
    with pytest.raises(ZeroDivisionError):
        cache.load(kernel(1.0, tail="1 / 0"))
    assert list(root.iterdir()) == []
    assert not [m for m in set(sys.modules) - before if m.startswith("symgrad_kernel_")]


def test_an_interrupt_leaves_nothing(root, monkeypatch):
    tail = "\nimport os\nif 'INTERRUPT' in os.environ: raise KeyboardInterrupt\n"
    monkeypatch.setenv("INTERRUPT", "1")
    with pytest.raises(KeyboardInterrupt):
        cache.load(kernel(1.0, tail))
    assert list(root.iterdir()) == []
    monkeypatch.delenv("INTERRUPT")
    assert cache.load(kernel(1.0, tail)).f(3.0) == 10.0


def test_an_interrupt_while_writing_leaves_nothing(root, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cache.load(kernel(1.0))
    assert list(root.iterdir()) == []
    assert cache.load(kernel(1.0)).f(3.0) == 10.0


@pytest.mark.parametrize("moment", ["compile", "fsync", "rename", "renamed"])
def test_a_kill_while_building(root, monkeypatch, moment):
    tail = "\nimport os\nif 'KILL' in os.environ: os.kill(os.getpid(), 9)\n"
    code = f"""
        import os
        from pathlib import Path
        from symgrad.runtime import cache
        def die(*_): os.kill(os.getpid(), 9)
        rename = Path.rename
        if {moment!r} == "compile": os.environ["KILL"] = "1"
        if {moment!r} == "fsync": os.fsync = die
        if {moment!r} == "rename": Path.rename = die
        if {moment!r} == "renamed": Path.rename = lambda a, b: die(rename(a, b))
        cache.load({kernel(1.0, tail)!r})
    """
    process = python(code)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    module = cache.load(kernel(1.0, tail))
    assert (module.f(3.0), hits(module)) == (10.0, moment == "renamed")
    for stage in root.glob("stage.*"):
        os.utime(stage, (0, 0))
    cache.clear()
    assert list(root.iterdir()) == []


def test_racing_processes(root, tmp_path):
    code = f"""
        import time
        from pathlib import Path
        from symgrad.runtime import cache
        cache._digest("")
        print("ready", flush=True)
        while not Path({str(tmp_path / "go")!r}).exists():
            time.sleep(0.001)
        print([cache.load(source).f(3.0) for source in {[kernel(1.0), kernel(2.0)]!r}])
    """
    processes = [python(code) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    (tmp_path / "go").touch()
    assert [output(process) for process in processes] == ["[10.0, 11.0]\n"] * 4
    assert len(list(root.iterdir())) == 2
    for entry in root.iterdir():
        assert (entry / "manifest.json").is_file()


def test_threads_build_once(root, monkeypatch):
    builds = []
    build = cache._build

    def counted(*arguments):
        builds.append(arguments)
        return build(*arguments)

    monkeypatch.setattr(cache, "_build", counted)
    barrier = threading.Barrier(8)
    found = []

    def work():
        barrier.wait()
        found.append(cache.load(kernel(1.0)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1
    assert len(set(map(id, found))) == 1
    assert len(found) == 8


def test_forks_amid_compilations(root):
    # Numba's lock, held by the thread at the moment of the fork, would stop the child.
    code = f"""
        import os, threading
        from symgrad.runtime import cache
        sources = {[kernel(float(c)) for c in range(8)]!r}
        module = cache.load(sources[0])
        thread = threading.Thread(target=lambda: [cache.load(s) for s in sources])
        thread.start()
        for child in range(3):
            pid = os.fork()
            if pid == 0:
                import signal
                signal.alarm(60)
                assert module.f(3.0) == 9.0
                assert cache.load(sources[0]) is module
                assert cache.load(sources[-1 - child]).f(3.0) == 16.0 - child
                os._exit(0)
            print(os.waitpid(pid, 0)[1])
        thread.join()
        print(sorted(p.name[:5] == "stage" for p in cache.directory().iterdir()))
    """
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert process.stdout == "0\n0\n0\n" + f"{[False] * 8}\n", process.stderr


# Housekeeping


def test_info_of_nothing_creates_nothing(root):
    info = cache.info()
    assert info == cache.CacheInfo(root, 0, 0, True, None)
    assert not root.exists()
    assert cache.clear() == 0


def test_info_and_clear(root):
    for constant in range(3):
        cache.load(kernel(float(constant)))
    (root / "notes.txt").write_text("mine")
    info = cache.info()
    size = sum(p.stat().st_size for p in root.rglob("*") if p.is_file())
    assert (info.kernels, info.bytes) == (3, size - len("mine"))
    assert (info.usable, info.reason) == (True, None)
    assert cache.clear() == 3
    assert [p.name for p in root.iterdir()] == ["notes.txt"]
    assert cache.info().kernels == 0


def test_loading_after_clear(root, monkeypatch):
    module = cache.load(kernel(1.0))
    cache.clear()
    assert cache.load(kernel(1.0)) is module
    forget(monkeypatch)
    assert cache.load(kernel(1.0)).f(3.0) == 10.0
    assert cache.info().kernels == 1


def test_old_stages_are_swept_and_young_ones_left(root, monkeypatch):
    old, young, aside = (
        root / name for name in (f"stage.{'a' * 32}", f"stage.{'b' * 32}", f"gone.{'c' * 32}")
    )
    for path in (old, young, aside):
        (path / "__pycache__").mkdir(parents=True)
    root.chmod(0o700)
    os.utime(old, (time.time() - 4000,) * 2)
    cache.load(kernel(1.0))
    assert {p.name[:6] for p in root.iterdir() if "." in p.name} == {"stage."}
    assert young.exists()


def test_the_kernels_used_longest_ago_are_evicted(root, monkeypatch):
    sources = [kernel(float(constant)) for constant in range(4)]
    for age, source in enumerate(sources[:3]):
        cache.load(source)
        os.utime(root / cache._digest(source), (1000 + age,) * 2)
    forget(monkeypatch)
    assert hits(cache.load(sources[0])) == 1
    one = cache.info().bytes / 3
    monkeypatch.setenv("SYMGRAD_CACHE_SIZE", str(3.5 * one / 1e6))
    cache.load(sources[3])
    left = {p.name for p in root.iterdir()}
    assert left == {cache._digest(sources[c]) for c in (0, 2, 3)}


def test_the_newest_kernel_stays_however_small_the_limit(root, monkeypatch):
    monkeypatch.setenv("SYMGRAD_CACHE_SIZE", "0.001")
    for constant in range(3):
        cache.load(kernel(float(constant)))
        assert cache.info().kernels == 1


@pytest.mark.parametrize("text", ["", "much", "nan"])
def test_a_strange_limit_is_the_default(text, monkeypatch):
    monkeypatch.setenv("SYMGRAD_CACHE_SIZE", text)
    assert cache._limit() == 512e6


def test_loading_does_not_warn(root, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.load(kernel(1.0))
        forget(monkeypatch)
        cache.load(kernel(1.0))
