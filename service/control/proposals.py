"""Orders that wait for a second person: outside the chain, signed, each with an id and an end.

A proposal is a compact JWS (typ `relais-proposal+jws`) by the order key over the RFC 8785 form of all its members,
signed anew with every decision. Losing the store loses what waits, and no order.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from service.control.database import COMMAND_BUSY_SECONDS, Database
from service.control.fleet import APPLICATION_ID
from service.control.format import Instant, instant_text
from service.control.intent import Intent
from service.control.orders import subject_of
from service.control.state import State
from service.errors import Conflict, NotFound, SignatureRejected
from service.jwk import PrivateKey, PublicKey
from service.jws import sign_compact, verify_compact
from service.strictjson import canonical

PROPOSAL_TYP: Final = "relais-proposal+jws"
#: More than that wait only where something proposes by itself: a person could not tell them apart any more.
MOST_WAITING: Final = 200
#: Of one author: a stolen credential must not keep everybody else from proposing.
MOST_OF_ONE: Final = 100
#: Those decided or over that stay to be looked up.
MOST_PAST: Final = 1000
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS proposals (
    id TEXT PRIMARY KEY, waits INTEGER NOT NULL, ends TEXT NOT NULL, jws TEXT NOT NULL
) STRICT, WITHOUT ROWID
"""
#: What a proposal of many orders names by its digest.
_LISTS: Final = """
CREATE TABLE IF NOT EXISTS proposed_lists (
    digest TEXT PRIMARY KEY, ends TEXT NOT NULL, payload BLOB NOT NULL
) STRICT, WITHOUT ROWID
"""
_HAS_TABLE: Final = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"

ProposalState = Literal["waiting", "approved", "rejected", "over"]


class Proposal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order somebody wants, and what became of it.

    `at`, `actor` to `until` are the order's to be; `ends` is when the proposal is over, `loosens` why it takes two
    people, `seen` the last order about the same subject when it was made. `order` is the version it was given.
    """

    id: str
    at: Instant
    actor: str
    kind: str
    scope: str
    body: dict[str, Any]
    reason: str
    until: Instant | None
    ends: Instant
    loosens: str
    seen: int
    state: ProposalState = "waiting"
    decided_by: str | None = None
    decided_at: Instant | None = None
    decided_reason: str | None = None
    order: int | None = None


def proposal_members(proposal: Proposal) -> dict[str, Any]:
    """The proposal for a machine: instants as orders write them."""
    members = {name: getattr(proposal, name) for name in Proposal.__struct_fields__}
    return {name: instant_text(value) if isinstance(value, dt.datetime) else value for name, value in members.items()}


def proposal_payload(proposal: Proposal) -> bytes:
    """The RFC 8785 bytes that are signed."""
    return canonical(proposal_members(proposal))


def parse_proposal(payload: bytes) -> Proposal:
    """The proposal in a verified payload. Raises `SignatureRejected` unless the bytes are its one canonical form."""
    try:
        proposal = msgspec.json.decode(payload, type=Proposal)
        if proposal_payload(proposal) == payload:
            return proposal
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise SignatureRejected("the payload is not a proposal") from error
    raise SignatureRejected("the proposal is not in canonical form")


def last_about(state: State, what: Intent | Proposal) -> int:
    """The last order about the same subject, 0 where there is none."""
    return state.touched.get(subject_of(what.kind, what.scope, what.body), 0)


def check_seen(proposal: Proposal, state: State) -> None:
    """Raises `Conflict` where its author may order no more, or what it would change is not what they saw."""
    author = state.clients.get(proposal.actor)
    if author is not None and author.suspended:
        raise Conflict("its author was suspended since: whoever still wants it proposes it anew")
    last = last_about(state, proposal)
    if last != proposal.seen:
        raise Conflict(f"order {last} changed since what this proposal would change: propose it anew")


class ProposalReader:
    """Proposals as they lie in the second store, for whoever may read and not decide: no order key is needed.

    When the store is gone every method raises `StoreUnavailable`.
    """

    def __init__(self, path: Path, keys: Mapping[str, PublicKey]) -> None:
        """`path` is the second store's, `keys` those that may have signed (by kid)."""
        self._database = Database(path, APPLICATION_ID, "FULL", COMMAND_BUSY_SECONDS, COMMAND_BUSY_SECONDS)
        self._keys = keys

    def listed(self, digest: str) -> bytes:
        """The list a proposal names, as it lies here: whoever opens it compares. Raises `Conflict` where it is gone."""
        rows = self._database.read(lambda connection: _select_list(connection, digest))
        if not rows:
            raise Conflict("the list of this proposal is lost: propose it anew")
        return bytes(rows[0][0])

    def waiting(self, state: State, now: dt.datetime) -> list[Proposal]:
        """Those that somebody may still approve, as far as the orders in `state` tell; oldest first."""
        found = [one for one in self.all() if one.state == "waiting" and now < one.ends]
        return [one for one in found if _stands(one, state)]

    def all(self) -> list[Proposal]:
        """Every proposal that is what its author signed, oldest first; another is left out."""
        rows = self._database.read(_select)
        found = [self._opened(row) for row in rows]
        return [proposal for proposal in found if proposal is not None]

    def get(self, proposal_id: str) -> Proposal:
        """One proposal. Raises `NotFound`, and `Conflict` for one that is not what its author signed."""
        return self._only(self._database.read(lambda connection: _select(connection, proposal_id)))

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _only(self, rows: list[tuple[str, str]]) -> Proposal:
        if not rows:
            raise NotFound("no proposal of this id")
        proposal = self._opened(rows[0])
        if proposal is None:
            raise Conflict("this proposal was tampered with: its signature does not hold")
        return proposal

    def _opened(self, row: tuple[str, str]) -> Proposal | None:
        """The proposal in a row; None where it does not verify, or was put under another's id."""
        try:
            proposal = parse_proposal(verify_compact(row[1], PROPOSAL_TYP, self._keys))
        except SignatureRejected:
            return None
        return proposal if proposal.id == row[0] else None


class ProposalStore(ProposalReader):
    """Proposals in the second store, beside the heartbeats; stored and judged here alike.

    When it is gone what loosens must wait, and what tightens needs no proposal.
    """

    def __init__(self, path: Path, key: PrivateKey, keys: Mapping[str, PublicKey]) -> None:
        """As `ProposalReader`; `key` is the one that signs now."""
        super().__init__(path, {**keys, key.kid: key.public})
        self._key = key

    def add(self, proposal: Proposal, now: dt.datetime, listed: tuple[str, bytes] | None = None) -> None:
        """Let it wait, with the digest and the bytes of its list if it has one. Raises `Conflict` while too many do."""

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute(_TABLE)
            waiting = "SELECT count(*) FROM proposals WHERE waits = 1 AND ends > ?"
            if connection.execute(waiting, (instant_text(now),)).fetchone()[0] >= MOST_WAITING:
                raise Conflict(f"{MOST_WAITING} proposals wait already: approve or reject those first")
            connection.execute("INSERT INTO proposals (id, waits, ends, jws) VALUES (?, 1, ?, ?)", self._row(proposal))
            past = "SELECT id FROM proposals WHERE waits = 0 OR ends <= ? ORDER BY id DESC LIMIT -1 OFFSET ?"
            connection.execute(f"DELETE FROM proposals WHERE id IN ({past})", (instant_text(now), MOST_PAST))  # noqa: S608 - our own text
            if listed is not None:
                digest, payload = listed
                connection.execute(_LISTS)
                connection.execute("DELETE FROM proposed_lists WHERE ends <= ?", (instant_text(now),))
                values = (digest, instant_text(proposal.ends), payload)
                connection.execute(
                    "INSERT OR REPLACE INTO proposed_lists (digest, ends, payload) VALUES (?, ?, ?)", values
                )

        self._database.write(insert)

    def decide(self, proposal_id: str, work: Callable[[Proposal], Proposal]) -> Proposal:
        """The proposal that `work` makes of it, kept in its place.

        Nobody else decides while `work` does. Raises as `get`, and what `work` raises.
        """

        def replace(connection: sqlite3.Connection) -> Proposal:
            decided = work(self._only(_select(connection, proposal_id)))
            _, ends, jws = self._row(decided)
            waits = int(decided.state == "waiting")
            statement = "UPDATE proposals SET waits = ?, ends = ?, jws = ? WHERE id = ?"
            connection.execute(statement, (waits, ends, jws, proposal_id))
            return decided

        return self._database.write(replace)

    def _row(self, proposal: Proposal) -> tuple[str, str, str]:
        jws = sign_compact(proposal_payload(proposal), PROPOSAL_TYP, self._key)
        return proposal.id, instant_text(proposal.ends), jws


def _stands(proposal: Proposal, state: State) -> bool:
    try:
        check_seen(proposal, state)
    except Conflict:
        return False
    return True


def _select(connection: sqlite3.Connection, proposal_id: str | None = None) -> list[tuple[str, str]]:
    """Id and JWS of one proposal, or of all; an older home has no table yet."""
    if not _has(connection, "proposals"):
        return []
    if proposal_id is None:
        return connection.execute("SELECT id, jws FROM proposals ORDER BY id").fetchall()
    return connection.execute("SELECT id, jws FROM proposals WHERE id = ?", (proposal_id,)).fetchall()


def _select_list(connection: sqlite3.Connection, digest: str) -> list[tuple[bytes]]:
    if not _has(connection, "proposed_lists"):
        return []
    return connection.execute("SELECT payload FROM proposed_lists WHERE digest = ?", (digest,)).fetchall()


def _has(connection: sqlite3.Connection, table: str) -> bool:
    return bool(connection.execute(_HAS_TABLE, (table,)).fetchone()[0])
