"""A command as a whole: its seconds, and the memory of all its processes while it ran."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.5


@dataclass(frozen=True)
class Run:
    output: str
    wall_seconds: float
    cpu_seconds: float
    peak_megabytes: float

    def figures(self) -> dict[str, float]:
        return {
            "wall_seconds": round(self.wall_seconds, 1),
            "cpu_seconds": round(self.cpu_seconds, 1),
            "peak_megabytes": round(self.peak_megabytes, 1),
        }


def run(command: Sequence[str], cwd: Path) -> Run:
    """Run to the end; raises where it fails. Memory is the proportional set size of the whole tree, sampled."""
    before = _cpu()
    started = time.monotonic()
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, text=True) as process:
        peak = [0.0]
        watcher = threading.Thread(target=_watch, args=(process, peak), daemon=True)
        watcher.start()
        output, _ = process.communicate()
        watcher.join()
    wall = time.monotonic() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Run(output, wall, _cpu() - before, peak[0])


def private_megabytes(pid: int) -> float:
    """Memory that this process alone holds. Pages of the data file are the page cache's, whoever has them mapped."""
    return _rollup(pid, "Private_Dirty") / 1024


def tree(pid: int) -> list[int]:
    found = [pid]
    for name in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in name.read_text().split():
            found += tree(int(child))
    return found


def drop_page_cache() -> bool:
    """Empty the page cache, so that what follows reads the disk; whether it could be done (root)."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("1\n")
    except OSError:
        return False
    return True


def _watch(process: subprocess.Popen[str], peak: list[float]) -> None:
    while process.poll() is None:
        total = 0.0
        for pid in _alive(process.pid):
            total += _rollup(pid, "Pss") / 1024
        peak[0] = max(peak[0], total)
        time.sleep(SAMPLE_SECONDS)


def _alive(pid: int) -> list[int]:
    try:
        return tree(pid)
    except OSError:
        return []


def _rollup(pid: int, name: str) -> float:
    """A line of smaps_rollup, in KiB; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((float(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
