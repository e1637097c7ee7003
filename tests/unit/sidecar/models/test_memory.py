"""What glibc keeps is bounded and given back; elsewhere nothing happens."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from sidecar.models import memory

has_glibc = pytest.mark.skipif(sys.platform != "linux" or memory._glibc("malloc_trim") is None, reason="needs glibc")

# Fills the heap with blocks that glibc maps one by one only above 128 KiB, and frees all but the last of each hundred.
FILL = """
import ctypes
from pathlib import Path
from sidecar.models import memory

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4

blocks = [libc.malloc(64 << 10) for _ in range(2000)]
for block in blocks:
    ctypes.memset(block, 1, 64 << 10)
full = resident()
for place, block in enumerate(blocks):
    if place % 100 != 99:
        libc.free(block)
freed = resident()
assert memory.trim()
print(full - freed, freed - resident())
"""


@has_glibc
def test_what_was_freed_goes_back() -> None:
    done = subprocess.run([sys.executable, "-c", FILL], check=True, capture_output=True, text=True)
    by_free, by_trim = map(int, done.stdout.split())
    assert by_free < 10_000  # KiB of 128,000: what lies between blocks that are in use stays
    assert by_trim > 100_000


@has_glibc
def test_arenas_are_bounded_unless_the_environment_says_how_many() -> None:
    assert not memory.bound({"MALLOC_ARENA_MAX": "8"})
    code = "from sidecar.models import memory; print(memory.bound({}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "True"


# What a batch does: blocks that are all freed at its end, and needed again by the next.
AGAIN = """
import ctypes, resource, sys
from sidecar.models import memory

if sys.argv[1] == "kept":
    assert memory.keep({})
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def batch():
    blocks = [libc.malloc(8 << 20) for _ in range(4)]
    for block in blocks:
        ctypes.memset(block, 1, 8 << 20)
    for block in blocks:
        libc.free(block)

for _ in range(3):
    batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    batch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
assert memory.trim()
"""


@has_glibc
def test_what_a_batch_has_freed_is_kept_for_the_next() -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    faults = {
        how: int(subprocess.check_output([sys.executable, "-c", AGAIN, how], env=kept)) for how in ("kept", "given")
    }
    assert faults["kept"] < faults["given"] / 10


def test_whoever_names_what_is_kept_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    library = SimpleNamespace(mallopt=lambda option, _: asked.append(option) or 1)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    assert memory.keep({"MALLOC_TOP_PAD_": "0"})
    assert asked == [-1, -3]


# Multiplies by one matrix as many numbers of rows as a sidecar meets, and says what that left in use.
MULTIPLY = """
import ctypes, sys
import torch
from sidecar.models import memory

if sys.argv[1] == "bound":
    memory.bound_primitives()

class Info(ctypes.Structure):
    _fields_ = [(f"field_{n}", ctypes.c_size_t) for n in range(10)]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info

def in_use():
    info = libc.mallinfo2()
    return (info.field_7 + info.field_4) / 2**20  # MiB of arenas, and mapped one by one

torch.set_num_threads(1)
weight = torch.ones(64, 64, dtype=torch.bfloat16)
before = in_use()
with torch.inference_mode():
    for rows in range(16, 1016):
        torch.nn.functional.linear(torch.ones(rows, 64, dtype=torch.bfloat16), weight)
print(in_use() - before)
"""


@pytest.mark.skipif(memory._glibc("mallinfo2") is None, reason="needs glibc 2.33")
def test_compiled_products_are_bounded() -> None:
    grown = {}
    for how in ("bound", "free"):
        environment = {name: value for name, value in os.environ.items() if "CACHE_CAPACITY" not in name}
        line = [sys.executable, "-c", MULTIPLY, how]
        grown[how] = float(subprocess.run(line, env=environment, check=True, capture_output=True, text=True).stdout)
    if grown["free"] < 100:
        pytest.skip("this CPU's products of bfloat16 are not compiled")
    assert grown["bound"] < grown["free"] / 2


def test_whoever_names_a_capacity_gets_it() -> None:
    environment = {"DNNL_PRIMITIVE_CACHE_CAPACITY": "9"}
    memory.bound_primitives(environment)
    assert environment == {"DNNL_PRIMITIVE_CACHE_CAPACITY": "9", "LRU_CACHE_CAPACITY": "32"}
    named = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "7", "LRU_CACHE_CAPACITY": "8"}
    memory.bound_primitives(named)
    assert named == {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "7", "LRU_CACHE_CAPACITY": "8"}


def test_other_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    assert not memory.bound({})
    assert not memory.keep({})
    assert not memory.trim()


SETTLE = """
import gc, weakref
from sidecar.models import memory

class Node: ...

kept, ring = Node(), Node()
ring.itself = ring
gone = weakref.ref(ring)
del ring
memory.settle()
frozen = weakref.ref(kept)
del kept
later = Node()
later.itself = later
late = weakref.ref(later)
del later
gc.collect()
print(gone() is None, gc.get_freeze_count() > 1000, frozen() is None, late() is None)
"""


def test_what_is_there_need_not_be_searched_for_garbage_and_is_freed_all_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", SETTLE], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["True"] * 4
