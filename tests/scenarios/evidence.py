"""What must be true after every story: receipts hold, the journal is whole, nobody's identity lies anywhere."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from service.journal.reader import find_head
from service.journal.segment import peek_header, segment_path
from stubs.proof import Head, Keys, parse_jwks, verify_response
from tests.fleet import Installation, free_ports
from tests.scenarios.callers import Reply

_HEAD = re.compile(rb'\{"head":"([^"]+)"\}')
#: Thirteen characters of a NIR, Corsican ones included; every place of a longer run of digits is looked at.
_NIR = re.compile(rb"(?=([12][0-9]{5}[0-9AB][0-9]{6}))")
_MEMBER = re.compile(rb"[0-9A-Z][0-9A-Z./-]{3,19}")
_DATE = re.compile(rb"(?<![0-9])[12][0-9]{3}-[0-9]{2}-[0-9]{2}")
#: Later ones may be the day of something else, such as a line of a log.
_BORN_BEFORE = "2015-01-01"


@contextlib.contextmanager
def watched_copy(template: Installation, home: Path) -> Iterator[Installation]:
    """A copy of an installation, not yet served. Whatever comes of it, it leaves no identity behind."""
    shutil.copytree(template.home, home)
    rights, admin = free_ports(2)
    made = Installation(home, ports={"rights": rights, "admin": admin})
    try:
        yield made
        assert identities_found(made) == []
    finally:
        made.close()


def receipt_keys(site: Installation) -> Keys:
    """The receipt keys, from the file an operator publishes."""
    return parse_jwks({"keys": [orjson.loads((site.home / "keys" / "receipt.pub.jwk").read_bytes())]})


def prove(site: Installation, replies: Iterable[Reply]) -> list[Head]:
    """Every answer is proved by its receipt, and its head stands in the journal. Gives where each is recorded."""
    keys = receipt_keys(site)
    standing = {
        match[1].decode()
        for path in (site.home / "journal").glob("*.jsonl")
        for match in map(_HEAD.fullmatch, path.read_bytes().split(b"\n"))
        if match
    }
    heads = []
    sample = None
    for reply in replies:
        response = reply.response
        heads.append(verify_response(orjson.loads(reply.query), response, keys))
        assert response["receipt"]["head"] in standing, "an answer was given that the journal does not hold"
        assert response["answer"]["reasons"], "an answer of a degraded service says why"
        sample = reply
    if sample is not None:
        assert find_head(site.home / "journal", sample.response["receipt"]["head"]) is not None
        _verify_by_command(site, sample)
    return heads


def _verify_by_command(site: Installation, reply: Reply) -> None:
    path = site.home.with_name("answer.json")
    path.write_bytes(reply.body)
    said = site.relais("receipt", "verify", str(path)).stdout
    assert "its head stands in the journal" in said


def verify_journal(site: Installation, *remarks: str) -> dict[str, Any]:
    """`relais journal verify` finds it whole, with no other remarks than these."""
    report: dict[str, Any] = json.loads(site.relais("journal", "verify", "--json").stdout)
    assert report["whole"]
    assert report["registered"]
    assert {finding["cause"] for finding in report["findings"]} <= set(remarks), report["findings"]
    return report


def worker_slot(site: Installation, journal: str) -> int:
    """The slot of the worker that wrote a segment."""
    header = peek_header(segment_path(site.home / "journal", journal))
    assert header is not None
    return header.worker


def recorders(site: Installation, replies: Iterable[Reply]) -> list[tuple[int, int]]:
    """(worker slot, entry number) of each answer, its segments in the order they were begun."""
    places = []
    for reply in replies:
        head = orjson.loads(_decoded(reply.response["receipt"]["head"].split(".")[1]))
        places.append((worker_slot(site, head["journal"]), head["first"] + reply.response["receipt"]["index"]))
    return places


def _decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def identities_found(site: Installation) -> list[str]:
    """Where a NIR, a member number or a birth date of the source rows lies outside demo/: paths, never the number."""
    search = Search(site.rows())
    return [f"{name}: {what}" for name, data in _remains(site) for what in search.found(data)]


class Search:
    """Looks for what tells who somebody of the source rows is."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._nirs, self._members, self._births = set(), set(), set()
        for row in rows:
            self._nirs.add(row["nir"][:13].encode())
            self._members.add(row["member"].encode())
            if row["birth_date"] < _BORN_BEFORE:
                self._births.add(row["birth_date"].encode())

    def found(self, data: bytes) -> list[str]:
        """The kinds of things found."""
        found = []
        if any(match[1] in self._nirs for match in _NIR.finditer(data)):
            found.append("a NIR")
        if not self._members.isdisjoint(_MEMBER.findall(data)):
            found.append("a member number")
        if not self._births.isdisjoint(_DATE.findall(data)):
            found.append("a birth date")
        return found


def _remains(site: Installation) -> Iterator[tuple[str, bytes]]:
    """What the story left: files of the home, logs, and what the system shows of the processes."""
    for path in sorted(site.home.rglob("*")):
        if path.is_file() and not path.is_symlink() and site.home / "demo" not in path.parents:
            yield str(path.relative_to(site.home)), path.read_bytes()
    for server in site.ports:
        if site.log(server).exists():
            yield f"log of {server}", site.log(server).read_bytes()
    for pid in processes(str(site.home)):
        for name in ("cmdline", "environ"):
            yield f"{name} of a process", _read(Path(f"/proc/{pid}/{name}"))


def processes(marker: str) -> list[int]:
    """Processes whose environment or command line holds a marker of our own."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if marker.encode() in _shown(pid)]


def _shown(pid: int) -> bytes:
    return b"".join(_read(Path(f"/proc/{pid}/{name}")) for name in ("environ", "cmdline"))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # ended meanwhile, or another user's
        return b""
