"""A depot: where snapshots are published and pulled from. The port, and where a URL leads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from service.errors import DepotRejected, OperatorError
from service.settings import SyncSettings

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_PREFIX: Final = re.compile(r"(?:[A-Za-z0-9_.=-]+/)*", re.ASCII)
_FORMS: Final = "s3://BUCKET/PREFIX, file:///FOLDER or a folder"


@dataclass(frozen=True, slots=True)
class Delivery:
    """The answer to a read: the whole object's tag and size, and the bytes asked for as they come.

    Two answers with one tag are of one object; a depot that gives none has the empty tag, which equals nothing.
    """

    tag: str
    size: int
    parts: Iterator[bytes]


class Depot(Protocol):
    """Names and their bytes. Every name is one of ours: `latest`, or a file of a snapshot's folder.

    Nothing here is trusted: a depot may lie in every answer, and verification decides. When it is gone, each method
    raises `DepotUnavailable` (`DepotDenied`, `DepotMissing`) within its time-outs and tries nothing again; callers do,
    within their own bounds. A node that cannot reach its depot goes on serving what it holds until that expires.
    """

    @property
    def source(self) -> str:
        """Where it is, fit for a log and a status: no credentials, no query."""
        ...

    def tag(self, name: str) -> str:
        """The tag of what lies there now. Raises `DepotMissing`."""
        ...

    def read(self, name: str, start: int, stop: int) -> Delivery:
        """The bytes from `start` up to `stop`, or to the object's end if that comes before. Raises `DepotMissing`."""
        ...

    def create(self, name: str, parts: Iterator[bytes], size: int) -> bool:
        """Publish `size` bytes under a new name; False, changing nothing, where it is taken.

        Nobody sees a part of them: what is interrupted, or an error of `parts`, leaves the name free.
        """
        ...

    def swap(self, name: str, data: bytes, tag: str | None) -> None:
        """Replace what is still as it was when `tag` was read (None: nothing was there). Raises `DepotConflict`."""
        ...


def bounded(name: str, parts: Iterable[bytes], at_most: int) -> Iterator[bytes]:
    """The parts of a delivery, never a byte more than `at_most`. Raises `DepotRejected` for an endless one."""
    left = at_most
    for part in parts:
        left -= len(part)
        if left < 0:
            raise DepotRejected(f"{name} goes on beyond its {at_most} bytes")
        yield part


@dataclass(frozen=True, slots=True)
class Address:
    """Where a depot is: a bucket with a prefix (empty, or ending in `/`), or a folder."""

    bucket: str = ""
    prefix: str = ""
    folder: Path = Path()

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}" if self.bucket else self.folder.as_uri()


def is_url(text: str) -> bool:
    """Whether a source names a depot by URL, and not the folder of one snapshot."""
    return "://" in text


def parse_address(text: str) -> Address:
    """Where a URL or a path leads. Raises `OperatorError`, which never repeats it: it may hold a password."""
    if not is_url(text):
        return Address(folder=Path(text).absolute())
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise OperatorError(f"not the URL of a depot: {_FORMS}") from error
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise OperatorError("a depot's URL takes no user, password or query: credentials belong in AWS_* variables")
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and len(parts.path) > 1:
        return Address(folder=Path(unquote(parts.path)))
    prefix = parts.path.strip("/")
    prefix = f"{prefix}/" if prefix else ""
    if parts.scheme == "s3" and _BUCKET.fullmatch(parts.netloc) and _PREFIX.fullmatch(prefix) and ".." not in prefix:
        return Address(bucket=parts.netloc, prefix=prefix)
    raise OperatorError(f"not the URL of a depot: {_FORMS}")


def open_depot(address: Address, settings: SyncSettings) -> Depot:
    """The depot at an address. Raises `OperatorError` where the library for buckets is not installed."""
    if not address.bucket:
        from service.snapshot.depot_folder import FolderDepot  # noqa: PLC0415 - only what is used is imported

        return FolderDepot(address.folder)
    from service.snapshot.depot_bucket import BucketDepot  # noqa: PLC0415 - the library is an extra

    return BucketDepot(address, settings)
