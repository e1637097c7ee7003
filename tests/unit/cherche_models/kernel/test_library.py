"""The compiled kernel gives what plain integers give, to the bit, and numpy's MaxSim to 1e-5."""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import platform
import struct
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest

from cherche_models import codec, scores
from cherche_models.codes import codebook
from cherche_models.kernel import build, library
from cherche_models.kernel.library import Book, Kernel
from cherche_models.types import Floats, TokenEmbeddings

CONTRACT = json.loads((Path(__file__).parents[3] / "contract" / "maxsim.json").read_text(encoding="utf-8"))
FLAGS = Path("/proc/cpuinfo")


def unit(seed: int, tokens: int, dim: int = 24) -> Floats:
    vectors = np.random.default_rng(seed).standard_normal((tokens, dim)).astype(np.float32)
    unit: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def coded(vectors: Floats, chunks: tuple[int, ...] = ()) -> bytes:
    return codec.pack_codes(TokenEmbeddings(vectors), "int8", chunks)


def written(scales: list[float], values: np.ndarray) -> bytes:
    """Codes with any scales and any signed bytes."""
    header = b"CC\x01\x01" + struct.pack("<HI", values.shape[1], len(values))
    return header + np.array(scales, "<f2").tobytes() + values.astype(np.int8).tobytes()


def expected(query: Floats, data: bytes) -> np.float32:
    """What the comment at the head of the source says, in numpy's 64-bit integers and floats."""
    tokens, dim = int.from_bytes(data[6:10], "little"), query.shape[1]
    scales = np.frombuffer(data, "<f2", tokens, 10).astype(np.float32)
    values = np.frombuffer(data, np.int8, tokens * dim, 10 + 2 * tokens).reshape(tokens, dim).astype(np.int64)
    total = 0.0
    for row in query.astype(np.float64):
        size = np.abs(row).max() / 32767
        steps = row / size if size else np.zeros(dim)
        high = np.rint(steps)
        low = np.rint((steps - high) * 32768)
        sums = values @ high.astype(np.int64)
        best = int(np.argmax(sums.astype(np.float32) * scales))
        exact = float(sums[best]) + float(values[best] @ low.astype(np.int64)) / 32768
        total += exact * float(scales[best]) * size
    return np.float32(total)


def test_the_paths_are_those_of_the_processor(kernels: tuple[Kernel, ...]) -> None:
    names = [kernel.name for kernel in kernels]
    assert names[0] == "plain"
    if platform.machine() == "x86_64" and FLAGS.is_file():
        flags = FLAGS.read_text(encoding="utf-8", errors="replace").split()
        wanted = [name for name, flag in (("avx2", "avx2"), ("avx512vnni", "avx512_vnni")) if flag in flags]
        assert names[1:] == wanted


@pytest.mark.parametrize("dim", [1, 2, 7, 24, 33, 128, 511, 512])
@pytest.mark.parametrize("tokens", [1, 5, 16, 17, 32, 33, 70])
def test_every_path_gives_the_same_bits_as_plain_integers(kernels: tuple[Kernel, ...], tokens: int, dim: int) -> None:
    query = np.random.default_rng(tokens * dim).standard_normal((tokens, dim)).astype(np.float32)
    items = [
        coded(np.random.default_rng(rows).standard_normal((rows, dim)).astype(np.float32)) for rows in range(1, 22)
    ]
    wanted = [expected(query, item) for item in items]
    for kernel in kernels:
        found, scored = kernel.maxsim(query, items)
        assert scored.all(), kernel.name
        assert found.tolist() == wanted, kernel.name


def test_the_largest_products_do_not_overflow(kernels: tuple[Kernel, ...]) -> None:
    query, values = np.ones((17, 512), np.float32), np.full((9, 512), -128)
    values[3] = 127
    items = [written([1.0] * 9, values), written([1.0] * 9, np.full((9, 512), -128))]
    for kernel in kernels:
        found, _ = kernel.maxsim(query, items)
        assert found.tolist() == [17 * 512 * 127.0, 17 * 512 * -128.0], kernel.name
        found, _ = kernel.maxsim(-query, items)
        assert found.tolist() == [17 * 512 * 128.0] * 2, kernel.name


def test_scales_and_queries_at_the_ends_of_their_ranges(kernels: tuple[Kernel, ...]) -> None:
    ends = [0.0, 5.96e-8, 6.1e-5, 1.0, 65504.0]
    values = np.array([[127, -128, 1], [-1, 0, 127], [5, 5, 5], [-128, -128, -128], [0, 0, 0]])
    items = [written(ends, values), written(ends[::-1], values)]
    for query in np.array([[[1, -1, 0.5]], [[0, 0, 0]], [[1e-40, 0, -2e-41]], [[3e30, -1, 0]]], np.float32):
        for kernel in kernels:
            found, scored = kernel.maxsim(query, items)
            assert scored.all()
            assert found.tolist() == [expected(query, item) for item in items], kernel.name


def test_it_agrees_with_numpy(kernels: tuple[Kernel, ...]) -> None:
    for tokens, dim in ((32, 128), (12, 96), (40, 64)):
        items = [coded(unit(rows, rows, dim)) for rows in (1, 2, 60, 180, 300)]
        query = TokenEmbeddings(unit(7, tokens, dim))
        packed, _ = codec.unpack_many(items)
        for kernel in kernels:
            np.testing.assert_allclose(kernel.maxsim(query.vectors, items)[0], scores.maxsim(query, packed), atol=1e-5)


@pytest.mark.parametrize("vector", CONTRACT["vectors"], ids=lambda vector: f"{vector['tokens']}x{vector['dim']}")
def test_the_vectors_that_the_shards_are_held_to(kernels: tuple[Kernel, ...], vector: dict[str, object]) -> None:
    query = np.frombuffer(b64decode(str(vector["query"])), "<f4").reshape(int(str(vector["tokens"])), -1)
    for kernel in kernels:
        [found], _ = kernel.maxsim(query.astype(np.float32), [b64decode(str(vector["codes"]))])
        assert found == pytest.approx(vector["maxsim"], abs=1e-5)


@pytest.mark.parametrize("dim", [1, 7, 24, 31, 64, 96])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_residual_codes_are_scored_as_numpy_decodes_them(kernels: tuple[Kernel, ...], bits: int, dim: int) -> None:
    book = codebook.register(codebook.train(unit(1, 300, dim), 16))
    residuals = residual(bits, book)
    query = TokenEmbeddings(unit(7, 33, dim))
    items = [
        codec.pack_codes(TokenEmbeddings(unit(n, n, dim)), f"residual{bits}", (), book) for n in (*range(1, 14), 90)
    ]
    packed, _ = codec.unpack_many(items, dim)
    first, scored = kernels[0].maxsim(query.vectors, items, residuals)
    assert scored.all()
    np.testing.assert_allclose(first, scores.maxsim(query, packed), atol=5e-5)
    for kernel in kernels[1:]:
        assert kernel.maxsim(query.vectors, items, residuals)[0].tolist() == first.tolist(), kernel.name


def residual(bits: int, book: codebook.Codebook) -> Book:
    number = codec.CODECS[f"residual{bits}"].number
    return Book(number, bits, bytes.fromhex(book.digest)[:8], book.centroids, book.levels[bits])


def test_residual_codes_of_another_book_are_left_alone(kernels: tuple[Kernel, ...]) -> None:
    book, other = (codebook.register(codebook.train(unit(seed, 300), 16)) for seed in (1, 2))
    whole = codec.pack_codes(TokenEmbeddings(unit(3, 9)), "residual2", (), book)
    chunked = codec.pack_codes(TokenEmbeddings(unit(3, 9)), "residual2", (4, 5), book)
    beyond = whole[:18] + b"\x10\x00" + whole[20:]  # the seventeenth centroid
    strange = [
        codec.pack_codes(TokenEmbeddings(unit(3, 9)), "residual2", (), other),
        codec.pack_codes(TokenEmbeddings(unit(3, 9)), "residual4", (), book),
        *(coded(unit(3, 9)), beyond, whole[:-1], whole + b"\x00", whole[:17], None),
    ]
    for kernel in kernels:
        found, scored = kernel.maxsim(unit(5, 20), [whole, *strange, chunked], residual(2, book))
        assert scored.tolist() == [True, *[False] * len(strange), True]
        assert found[0] == found[-1]
        assert set(found[1:-1].tolist()) == {-np.inf}
    with pytest.raises(ValueError, match="decodes no codes of width 23"):
        kernels[0].maxsim(unit(5, 20, 23), [whole], residual(2, book))


def test_chunks_and_pooling_change_nothing(kernels: tuple[Kernel, ...]) -> None:
    vectors, query = unit(3, 60), unit(4, 20)
    whole, chunked = coded(vectors), coded(vectors, (20, 30, 10))
    pooled = codec.pack_codes(TokenEmbeddings(vectors), "pool3+int8")
    for kernel in kernels:
        found, scored = kernel.maxsim(query, [whole, chunked, pooled])
        assert scored.all()
        assert found.tolist() == [expected(query, whole), expected(query, whole), expected(query, pooled)]


def test_what_is_not_scored_leaves_its_neighbours_alone(kernels: tuple[Kernel, ...]) -> None:
    book = codebook.register(codebook.train(unit(1, 300), 16))
    whole, chunked = coded(unit(2, 9)), coded(unit(2, 9), (4, 5))
    others = [
        None,
        b"",
        b"CC",
        whole[:-1],
        whole + b"\x00",
        whole[:9],
        b"CD" + whole[2:],
        whole[:2] + b"\x03" + whole[3:],
        whole[:10] + b"\x00\x7c" + whole[12:],
        whole[:10] + b"\x00\x80" + whole[12:],
        whole[:6] + b"\xff\xff\xff\xff" + whole[10:],
        chunked[:-1],
        chunked[:-2] + b"\x01\x00",
        chunked[:-2] + b"\xff\xff",
        chunked[:-3] + b"\x01" + chunked[-2:],
        coded(unit(2, 9, 8)),
        codec.pack_codes(TokenEmbeddings(unit(2, 9)), "residual2", book=book),
    ]
    items = [item for other in others for item in (whole, other)]
    query = unit(5, 20)
    for kernel in kernels:
        found, scored = kernel.maxsim(query, items)
        assert scored.tolist() == [True, False] * len(others)
        assert set(found[::2].tolist()) == {float(expected(query, whole))}
        assert set(found[1::2].tolist()) == {-np.inf}


def test_no_tokens_no_similarity(kernels: tuple[Kernel, ...]) -> None:
    empty = coded(np.empty((0, 24), np.float32))
    for kernel in kernels:
        found, scored = kernel.maxsim(unit(1, 3), [empty])
        assert (found.tolist(), scored.tolist()) == ([-np.inf], [True])
        found, scored = kernel.maxsim(np.empty((0, 24), np.float32), [coded(unit(1, 3))])
        assert (found.tolist(), scored.tolist()) == ([-np.inf], [False])
        assert [part.tolist() for part in kernel.maxsim(unit(1, 3), [])] == [[], []]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_query_that_is_not_finite_is_left_to_numpy(kernels: tuple[Kernel, ...], value: float) -> None:
    query = unit(1, 20)
    query[17, 5] = value
    for kernel in kernels:
        assert not kernel.maxsim(query, [coded(unit(1, 3))])[1].any()


def test_vectors_wider_than_sums_allow_are_left_to_numpy(kernels: tuple[Kernel, ...]) -> None:
    assert not kernels[-1].maxsim(unit(1, 3, 513), [coded(unit(1, 3, 513))])[1].any()


GUARDED = """
import ctypes, itertools, mmap, sys
import numpy as np
from pathlib import Path
from cherche_models import codec
from cherche_models.codes import codebook
from cherche_models.kernel import library
from cherche_models.types import TokenEmbeddings

PAGE = mmap.PAGESIZE
area = mmap.mmap(-1, 2 * PAGE)
start = ctypes.addressof(ctypes.c_char.from_buffer(area))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.mprotect(ctypes.c_void_p(start + PAGE), PAGE, 0) == 0
vectors = np.random.default_rng(0).standard_normal((9, 33)).astype(np.float32)
query, out, scored = vectors.copy(), np.zeros(1, np.float32), np.zeros(1, np.uint8)
shapes = ((9, ()), (9, (4, 5)), (1, ()))
unit = TokenEmbeddings(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
book = codebook.register(codebook.train(unit.vectors, 4))
tables = np.ascontiguousarray(book.centroids), np.ascontiguousarray(book.levels[2])
named = (ctypes.c_uint8 * 8)(*bytes.fromhex(book.digest)[:8])
books = [library._Book(codec=1), library._Book(tables[0].ctypes.data, tables[1].ctypes.data, 4, 3, 2, named)]
sound = [codec.pack_codes(TokenEmbeddings(unit.vectors[:n]), name, c, book)
         for n, c in shapes for name in ("int8", "residual2")]
cut = [data[:size] for data in sound for size in range(len(data))]
torn = [data[:at] + bytes((255,)) + data[at + 1 or len(data):] for data in sound for at in (6, 7, 8, 9, -2, -1)]

def reads(data):
    try:
        codec.unpack_codes(data)
    except codec.CodecError:
        return 0
    return data[3]

kernels, done = library.load(Path(sys.argv[1])).kernels, 0
for data in (*sound, *cut, *torn):
    place = start + PAGE - len(data)
    ctypes.memmove(place, data, len(data))
    for kernel, which in itertools.product(kernels, books):
        scored[0] = 0
        status = kernel._library.cherche_maxsim(
            kernel._path, query.ctypes.data, *query.shape, ctypes.byref(which),
            (ctypes.c_void_p * 1)(place), (ctypes.c_int64 * 1)(len(data)), 1, out.ctypes.data, scored.ctypes.data)
        assert status == 0 and bool(scored[0]) == (reads(data) == which.codec), (kernel.name, len(data))
        done += 1
print(done)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect is called as on Linux")
def test_nothing_behind_the_codes_is_read(compiled: Path) -> None:
    """Each document ends where memory ends: a byte too many kills the process."""
    root = Path(build.__file__).parents[2]
    command = [sys.executable, "-c", GUARDED, str(compiled)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 1000


def test_a_library_that_is_missing_or_no_library_is_none(tmp_path: Path) -> None:
    path = tmp_path / build.LIBRARY
    assert library.load(path).reason == "the kernel was not compiled"
    path.write_bytes(b"no library")
    assert library.load(path).reason.startswith("the kernel cannot be loaded: ")
    assert not library.load(path).kernels


def test_another_library_is_none() -> None:
    other = ctypes.util.find_library("m") and Path(ctypes.CDLL(ctypes.util.find_library("m"))._name)
    found = [
        folder / str(other)
        for folder in (Path(f"/lib/{platform.machine()}-linux-gnu"), Path("/lib64"), Path("/usr/lib"))
    ]
    path = next((one for one in found if one.is_file()), None)
    if path is None:
        pytest.skip("the C library's mathematics are not where Linux has them")
    assert "cherche_source" in library.load(path).reason


def test_a_library_of_another_source_is_none(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "digest", lambda: "of a source that was changed")
    assert library.load(compiled).reason.startswith("the kernel is older than its source: run python -m")


def test_which_maxsim_runs_is_said(kernels: tuple[Kernel, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "installed", lambda: library.Loaded(kernels))
    assert library.described() == f"compiled, {kernels[-1].name}"
    monkeypatch.setattr(library, "installed", lambda: library.Loaded(reason="the kernel was not compiled"))
    assert library.described() == "numpy, since the kernel was not compiled"
