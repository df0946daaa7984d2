"""A depot in an S3-compatible bucket, by obstore: the only module that knows it.

Endpoint, region and credentials come from the `AWS_*` variables, as obstore reads them. What it says in its errors is
never passed on, only a status and the server's error code: the text around them may name keys and signed requests.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from service.errors import (
    DepotConflict,
    DepotDenied,
    DepotMissing,
    DepotRejected,
    DepotUnavailable,
    OperatorError,
)
from service.settings import SyncSettings
from service.snapshot.depot import Address, Delivery

try:
    from obstore import exceptions
    from obstore.store import S3Store
except ImportError as missing:
    raise OperatorError("buckets need a library that is not installed: pip install relais-droits[bucket]") from missing

if TYPE_CHECKING:
    from obstore import BytesStream
    from obstore.store import ClientConfig

#: What fits is put at once, create-only. S3 takes up to 5 GB so, but the client holds all of it in memory.
SINGLE_PUT_BYTES: Final = 16 * 1024 * 1024
#: S3 takes at most 10,000 parts an upload: room for 312 GiB.
_PART_BYTES: Final = 32 * 1024 * 1024
_PARTS_AT_ONCE: Final = 4
#: One part of an upload, however slow the line.
_PUT_TIMEOUT: Final = dt.timedelta(minutes=10)
_PUT_RETRIES: Final = 4
#: The client limits a whole download; ours is bounded by its size and its least speed.
_GET_TIMEOUT: Final = dt.timedelta(days=2)
_STATUS: Final = re.compile(r"status code: ([1-5][0-9]{2})\b")
_CODE: Final = re.compile(r"<Code>([A-Za-z]{1,64})</Code>")
#: Words of the client's errors, and what an operator should know.
_CAUSES: Final = {
    "builder error": "the endpoint has no TLS (sync.allow_http), or is no URL",
    "dns error": "the endpoint's name is not known",
    "Connection refused": "the connection was refused",
    "invalid peer certificate": "the endpoint's certificate is not trusted",
    "TimedOut": "the time was out",
    "redirect": "a redirect that leads nowhere: is AWS_REGION right",
}
_TRY_AGAIN: Final = frozenset({"408", "429"})


class BucketDepot:
    """A `Depot` in a bucket, below a prefix. Each read is bounded by `read_seconds` of silence; nothing is retried.

    An upload is retried part by part, and can be repeated as a whole: what is there already is left as it is.
    """

    def __init__(self, address: Address, settings: SyncSettings) -> None:
        self._address = address
        connect = dt.timedelta(seconds=settings.connect_seconds)
        silence = dt.timedelta(seconds=settings.read_seconds)
        reading: ClientConfig = {"timeout": _GET_TIMEOUT, "read_timeout": silence}
        writing: ClientConfig = {"timeout": _PUT_TIMEOUT}
        for options in (reading, writing):
            options["connect_timeout"] = connect
            options["allow_http"] = settings.allow_http
        self._reader = _store(address, reading, retries=0)
        self._writer = _store(address, writing, retries=_PUT_RETRIES)

    @property
    def source(self) -> str:
        """`s3://bucket/prefix/`."""
        return str(self._address)

    def tag(self, name: str) -> str:
        """The e-tag of what lies there. Raises `DepotMissing`."""
        with _telling(name):
            return self._reader.head(name)["e_tag"] or ""

    def read(self, name: str, start: int, stop: int) -> Delivery:
        """The bytes from `start` up to `stop`, by a range request. Raises `DepotMissing`."""
        with _telling(name):
            result = self._reader.get(name, options={"range": (start, stop)})
            meta, (first, _) = result.meta, result.range
            # In the pieces the network brings: waiting for a whole one would let a drip go on for days.
            stream = result.stream(min_chunk_size=1)
        if first != start:
            raise DepotRejected(f"{name}: the bytes from {start} were asked for, those from {first} came")
        return Delivery(meta["e_tag"] or "", meta["size"], _parts(name, stream))

    def create(self, name: str, parts: Iterator[bytes], size: int) -> bool:
        """Publish `size` bytes under a new name; False where it is taken.

        More than 16 MiB go up in parts, which obstore cannot make create-only: whether the name is taken is then
        looked up before. Two publishers in that moment write the same bytes, since a name follows from its content.
        """
        try:
            with _telling(name):
                if size <= SINGLE_PUT_BYTES:
                    self._writer.put(name, b"".join(parts), mode="create")
                    return True
                try:
                    self._reader.head(name)
                except FileNotFoundError:
                    self._writer.put(
                        name, parts, use_multipart=True, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE
                    )
                    return True
        except DepotConflict:
            return False
        return False

    def swap(self, name: str, data: bytes, tag: str | None) -> None:
        """Replace what still has that e-tag (None: what is not there). Raises `DepotConflict`."""
        if tag == "":
            raise DepotRejected(f"{name}: the bucket gives no e-tag, so nobody could tell who changed it last")
        with _telling(name):
            self._writer.put(name, data, mode="create" if tag is None else {"e_tag": tag})


def _store(address: Address, options: ClientConfig, retries: int) -> S3Store:
    try:
        return S3Store(
            address.bucket,
            prefix=address.prefix.rstrip("/") or None,
            client_options=options,
            retry_config={"max_retries": retries, "retry_timeout": dt.timedelta(minutes=3)},
        )
    except (exceptions.BaseError, ValueError) as error:
        raise OperatorError(f"the AWS_* variables were not understood ({type(error).__name__})") from None


def _parts(name: str, stream: BytesStream) -> Iterator[bytes]:
    with _telling(name):
        yield from stream


@contextmanager
def _telling(name: str) -> Iterator[None]:
    """Errors of the client in the words of a depot. Their own text is dropped, also from tracebacks."""
    try:
        yield
    except FileNotFoundError as error:
        raise DepotMissing(f"{name} is not there ({_said(error)})") from None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise DepotDenied(f"{name}: {_said(error)}") from None
    except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
        raise DepotConflict(f"{name} was changed by somebody else meanwhile ({_said(error)})") from None
    except (exceptions.BaseError, OSError, ValueError) as error:
        said = _said(error)
        kind = DepotDenied if said.startswith("4") and said[:3] not in _TRY_AGAIN else DepotUnavailable
        raise kind(f"{name}: {said}") from None


def _said(error: BaseException) -> str:
    """Status and error code of the server's answer, or why there was none."""
    text = str(error)
    status, code = _STATUS.search(text), _CODE.search(text)
    if status is None:
        return next((cause for word, cause in _CAUSES.items() if word in text), "no answer, or one that broke off")
    return f"{status[1]} {code[1]}" if code else status[1]
