"""A sync beside the servers, as a process, and what it notes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.buckets import BUCKET
from tests.fleet import REPOSITORY, START_SECONDS, STOP_SECONDS, Installation, kill_group, wait_until

URL = f"s3://{BUCKET}/nights"


def publish(builder: Installation, folder: Path, url: str = URL) -> str:
    """`relais snapshot publish`, from a home that can check the signatures; what it said."""
    return builder.relais("snapshot", "publish", str(folder), url).stdout


def sync_status(site: Installation) -> dict[str, Any]:
    """`<home>/node/sync.json`; empty before the first look."""
    with suppress(FileNotFoundError):
        status: dict[str, Any] = json.loads((site.home / "node" / "sync.json").read_bytes())
        return status
    return {}


@dataclass
class Sync:
    """A running `relais snapshot sync`."""

    site: Installation
    process: subprocess.Popen[bytes]
    log: Path

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds, while the sync runs on."""
        wait_until(
            lambda: self._runs() and condition(), START_SECONDS, lambda: f"{self.said()}\n{sync_status(self.site)}"
        )

    def until_error(self, *words: str) -> dict[str, Any]:
        """Wait until a look failed for a reason that holds these words; the error as noted."""
        self.until(lambda: all(word in str(sync_status(self.site).get("error")) for word in words))
        error: dict[str, Any] = sync_status(self.site)["error"]
        return error

    def until_looked(self, times: int = 2) -> None:
        """Wait for so many looks that end from now on."""
        for _ in range(times):
            before = sync_status(self.site).get("checked_at")
            self.until(lambda before=before: sync_status(self.site).get("checked_at") != before)  # type: ignore[misc]

    def said(self) -> str:
        """What it has written so far."""
        return self.log.read_text("utf-8", "replace")

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        self.process.terminate()
        return self.process.wait(STOP_SECONDS)

    def _runs(self) -> bool:
        assert self.process.poll() is None, f"the sync ended with {self.process.returncode}: {self.said()}"
        return True


@contextmanager
def syncing(site: Installation, *words: str, url: str = URL) -> Iterator[Sync]:
    """A sync that looks every second, killed at the end if it still runs."""
    log = site.home.with_name(f"{site.home.name}-sync.log")
    with log.open("ab") as file:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "service",
                "snapshot",
                "sync",
                url,
                "--every",
                "1s",
                *words,
                "--home",
                str(site.home),
            ],
            cwd=REPOSITORY,
            env=site.environ(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield Sync(site, process, log)
    finally:
        kill_group(process.pid)
        process.wait(STOP_SECONDS)
