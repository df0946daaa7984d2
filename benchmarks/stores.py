"""LMDB against a flat sorted file with a fan-out index, as the store of one layer: size, building, lookups, memory.

    python benchmarks/stores.py --layer SNAPSHOT/records.lmdb [--lookups 200000] [--folder DIR]

Writes the layer's records again in both forms beneath --folder (by default where the layer lies), which takes twice
its size, and measures both with the same keys; no pepper is needed, since records are looked up by their keys and not
opened. Cold: the pages of the files are put out of memory, the store is opened anew and asked --cold times, in --rounds
rounds; `resident_when_cold` is the share of the pages that stayed in memory nevertheless, and must be near zero. With
--drop-caches the page cache of the whole machine is dropped instead (root). Private memory: two processes look up the
same keys and then measure themselves at the same time, less what the same process had before. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import mmap
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Protocol

import lmdb
from flat_layer import FlatLayer, FlatWriter, index_path
from machine import machine

from service.snapshot.records import LMDB_LIBRARY
from service.snapshot.writer import LayerWriter

BATCH = 32 * 1024
READERS = 2
Item = tuple[bytes, bytes]
Get = Callable[[bytes], bytes | None]
Opened = Callable[[Path], AbstractContextManager[Get]]


class Writer(Protocol):
    def append(self, items: list[Item]) -> None: ...

    def finish(self) -> None: ...


@contextlib.contextmanager
def environment(path: Path) -> Iterator[lmdb.Environment]:
    """Opened as the product opens a layer (service/snapshot/records.py)."""
    with lmdb.open(
        str(path), subdir=False, readonly=True, lock=False, readahead=False, max_dbs=0, lib_version=LMDB_LIBRARY
    ) as opened:
        yield opened


@contextlib.contextmanager
def lmdb_get(path: Path) -> Iterator[Get]:
    with environment(path) as opened, opened.begin() as transaction:
        yield transaction.get


@contextlib.contextmanager
def flat_get(path: Path, *, mapped: bool) -> Iterator[Get]:
    with FlatLayer(path, mapped=mapped) as layer:
        yield layer.get


def flat_mapped(path: Path) -> AbstractContextManager[Get]:
    return flat_get(path, mapped=True)


def flat_in_memory(path: Path) -> AbstractContextManager[Get]:
    return flat_get(path, mapped=False)


def append_all(layer: Path, writer: Writer) -> tuple[float, float]:
    """Wall and CPU seconds of writing alone; reading the layer between the batches is not counted."""
    wall = cpu = 0.0
    with environment(layer) as opened, opened.begin() as transaction:
        items = iter(transaction.cursor())
        while batch := list(islice(items, BATCH)):
            started = time.perf_counter(), time.process_time()
            writer.append(batch)
            wall, cpu = wall + time.perf_counter() - started[0], cpu + time.process_time() - started[1]
        started = time.perf_counter(), time.process_time()
        writer.finish()
    return wall + time.perf_counter() - started[0], cpu + time.process_time() - started[1]


def some_keys(layer: Path, number: int) -> list[bytes]:
    """Keys of the layer, spread over all of it, in no order."""
    chance = random.Random(1)  # noqa: S311 - the same keys in every run
    keys = []
    with environment(layer) as opened, opened.begin() as transaction, transaction.cursor() as cursor:
        while len(keys) < number:
            if cursor.set_range(chance.randbytes(16)):
                keys.append(cursor.key())
    return keys


def look_up(get: Get, keys: list[bytes]) -> dict[str, float]:
    """Microseconds a lookup: CPU in all, and the wall time of each."""
    cpu = time.process_time()
    for key in keys:
        get(key)
    cpu = time.process_time() - cpu
    return {"cpu_us": round(cpu / len(keys) * 1e6, 3), **percentiles([timed(get, key) for key in keys])}


def timed(get: Get, key: bytes) -> float:
    started = time.perf_counter_ns()
    get(key)
    return (time.perf_counter_ns() - started) / 1000


def percentiles(microseconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(microseconds, n=1000)
    return {"p50_us": round(cuts[499], 2), "p99_us": round(cuts[989], 2), "p999_us": round(cuts[998], 2)}


def warm(opened: Opened, path: Path, keys: list[bytes]) -> dict[str, Any]:
    """The best of three rounds, after one that touches every page; and how long it takes to find nothing."""
    absent = [key[:-1] + bytes([key[-1] ^ 1]) for key in keys]
    with opened(path) as get:
        if any(get(key) is None for key in keys):
            raise SystemExit(f"{path} lacks a record")
        found = [look_up(get, keys) for _ in range(3)]
        missed = [look_up(get, absent) for _ in range(3)]
    return {
        "found": min(found, key=lambda figures: figures["cpu_us"]),
        "missed": min(missed, key=lambda figures: figures["cpu_us"]),
    }


def cold(
    opened: Opened, files: list[Path], keys: list[bytes], rounds: int, forget: Callable[[Path], None]
) -> dict[str, Any]:
    """The first lookups of a store whose files are not in memory; `open_us` is what opening it takes."""
    each = len(keys) // rounds
    taken, opening, resident = [], [], 0.0
    for number in range(rounds):
        for file in files:
            forget(file)
            resident = max(resident, resident_share(file))
        started = time.perf_counter_ns()
        with opened(files[0]) as get:
            opening.append((time.perf_counter_ns() - started) / 1000)
            taken += [timed(get, key) for key in keys[number * each : (number + 1) * each]]
    return {
        **percentiles(taken),
        "open_us": round(statistics.median(opening), 1),
        "lookups": len(taken),
        "resident_when_cold": round(resident, 4),
    }


def forget_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def forget_all(_path: Path) -> None:
    Path("/proc/sys/vm/drop_caches").write_text("1")


def resident_share(path: Path) -> float:
    """The share of a file's pages that lie in memory (mincore)."""
    pages = -(-path.stat().st_size // mmap.PAGESIZE)
    found = (ctypes.c_ubyte * pages)()
    # A private writable mapping, because ctypes gives no address of another; nothing is written.
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        first = ctypes.c_char.from_buffer(mapped)
        address = ctypes.c_void_p(ctypes.addressof(first))
        if ctypes.CDLL(None, use_errno=True).mincore(address, ctypes.c_size_t(len(mapped)), found):
            raise OSError(ctypes.get_errno(), "mincore")
        del first
    return sum(page & 1 for page in found) / pages


def memory(opened: Opened, path: Path, keys: list[bytes]) -> dict[str, float]:
    """Megabytes that one of several reading processes has for itself, after all keys were looked up."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(READERS)
    pipes = [context.Pipe(duplex=False) for _ in range(READERS)]
    readers = [context.Process(target=read_all, args=(opened, path, keys, barrier, end)) for _, end in pipes]
    for reader in readers:
        reader.start()
    figures = [receiver.recv() for receiver, _ in pipes]
    for reader in readers:
        reader.join()
    return {name: round(statistics.mean(each[name] for each in figures), 2) for name in figures[0]}


def read_all(opened: Opened, path: Path, keys: list[bytes], barrier: Barrier, told: Connection) -> None:
    for key in keys:  # touched before, so that what is counted is the store's
        hash(key)
    before = private_memory()
    with opened(path) as get:
        for key in keys:
            get(key)
        barrier.wait()
        after = private_memory()
        barrier.wait()
    told.send({name: after[name] - before[name] for name in after})


def private_memory() -> dict[str, float]:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(size.split()[0]) / 1024 for name, size in (line.split(":") for line in lines)}
    return {
        "private_mb": sizes["Private_Dirty"] + sizes["Private_Clean"],
        "private_dirty_mb": sizes["Private_Dirty"],
        "rss_mb": sizes["Rss"],
    }


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    layer = options.layer
    with environment(layer) as opened:
        entries = opened.stat()["entries"]
    writers: dict[Path, Writer] = {
        folder / "records.lmdb": LayerWriter(folder / "records.lmdb", 2 * layer.stat().st_size + (1 << 20)),
        folder / "records.flat": FlatWriter(folder / "records.flat", entries),
    }
    written = {path: append_all(layer, writer) for path, writer in writers.items()}
    keys, cold_keys = some_keys(layer, options.lookups), some_keys(layer, options.cold * options.rounds)
    random.Random(2).shuffle(cold_keys)  # noqa: S311
    forget = forget_all if options.drop_caches else forget_file
    stores: dict[str, tuple[Path, Opened]] = {
        "lmdb": (folder / "records.lmdb", lmdb_get),
        "flat, index mapped": (folder / "records.flat", flat_mapped),
        "flat, index in memory": (folder / "records.flat", flat_in_memory),
    }
    figures: dict[str, Any] = {"entries": entries, "layer_bytes": layer.stat().st_size, "machine": machine()}
    for name, (path, opened_store) in stores.items():
        files = [file for file in (path, index_path(path)) if file.exists()]
        size = sum(file.stat().st_size for file in files)
        figures[name] = {
            "bytes": size,
            "bytes_an_entry": round(size / entries, 2),
            "append_wall_s": round(written[path][0], 3),
            "append_cpu_s": round(written[path][1], 3),
            "warm": warm(opened_store, path, keys),
            "cold": cold(opened_store, files, cold_keys, options.rounds, forget),
            "memory": memory(opened_store, path, keys),
        }
        print(f"{name}: measured", file=sys.stderr)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layer", type=Path, required=True, help="an LMDB layer: records.lmdb of a built snapshot")
    parser.add_argument("--folder", type=Path, help="where both forms are written, and removed afterwards")
    parser.add_argument("--lookups", type=int, default=200_000)
    parser.add_argument("--cold", type=int, default=200, help="lookups after each opening of a cold store")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--drop-caches", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder or options.layer.parent) as folder:
        json.dump(measure(options, Path(folder)), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
