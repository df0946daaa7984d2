"""The chain of orders as this process knows it: verified as it is read, kept beside the node, and never let go.

Verify, keep, then follow. Whatever goes wrong with the store, the last state that verified goes on serving; `status`
says what it rests on. Methods may block (disk): call them from a thread where a loop must not wait.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from service.control.chain import ChainKeys, ChainVerifier
from service.control.format import (
    ORDER_TYP,
    Order,
    StoredOrder,
    order_digest,
    order_payload,
)
from service.control.intent import Intent, draft_order
from service.control.orders import fold, fold_all
from service.control.replica import Replica
from service.control.state import State
from service.control.store import OrderStore
from service.control.tightening import SENTINEL_TYP, check_author
from service.errors import ChainBroken, OperatorError, RelaisError, StoreUnavailable, VersionConflict
from service.jwk import PrivateKey, PublicKey
from service.jws import sign_compact

#: Somebody else's order between our reading and our append is rare; eight in a row is a loop.
_APPEND_TRIES: Final = 8


class LedgerStatus(msgspec.Struct, frozen=True):
    """What the state rests on: the store, or the node's copy while the store is lost or does not verify.

    `error` is the store's (its code in `code`), `copy_error` the copy's; both end with the next success.
    """

    version: int
    source: Literal["store", "copy"]
    code: str | None = None
    error: str | None = None
    copy_error: str | None = None


class _Kept(msgspec.Struct, frozen=True):
    """The last state that verified, and the order it ends with: one reference, so that both always agree."""

    state: State
    head: StoredOrder | None


class Ledger:
    """Orders verified against the order keys, number by number and link by link."""

    def __init__(self, store: OrderStore, keys: Mapping[str, PublicKey], replica: Replica) -> None:
        self._store = store
        self._keys = keys
        self._replica = replica
        self._kept = _Kept(State(), None)
        self._status = LedgerStatus(version=0, source="copy")
        self._copy_unsound = False
        self._lock = threading.Lock()

    @property
    def state(self) -> State:
        """The last state that verified."""
        return self._kept.state

    @property
    def status(self) -> LedgerStatus:
        """What the state rests on."""
        return self._status

    @property
    def keys(self) -> Mapping[str, PublicKey]:
        """The keys orders may be signed by, by kid."""
        return self._keys

    @property
    def store(self) -> OrderStore:
        """The store behind it."""
        return self._store

    def open(self) -> None:
        """Start from the node's copy, then follow the store.

        With a copy, a store that is lost or does not verify is an alarm in `status`; without one there is nothing to
        go on with: raises `StoreUnavailable` or `ChainBroken`. A damaged copy alone is not gone on with either, for
        nobody knows which suspension it lost.
        """
        self._copy_unsound = not self._load_copy()
        damaged = self._copy_unsound
        try:
            self.refresh()
        except (StoreUnavailable, ChainBroken):
            if damaged or self._kept.head is None:
                raise

    def changed(self) -> bool:
        """Whether the store may hold news. Never waits. Raises `StoreUnavailable`, and `status` tells that too."""
        try:
            return self._store.changed()
        except StoreUnavailable as error:
            self._report(code=error.code, error=str(error), source="copy")
            raise

    def refresh(self) -> bool:
        """Follow the store; whether the state changed.

        Raises `StoreUnavailable`, or `ChainBroken` if the chain went back, forked, or does not verify; whatever did
        verify is followed, the rest is not.
        """
        with self._lock:
            before = self._kept
            try:
                rows = self._beyond_head(self._store.read(before.head[0] if before.head else 1))
                verified, failure = self._verify(rows)
                self._keep_copy(rows[: len(verified)])
                self._follow(rows, verified)
                if failure is not None:
                    raise failure
            except (StoreUnavailable, ChainBroken) as error:
                self._report(code=error.code, error=str(error), source="copy")
                raise
            self._report(code=None, error=None, source="store")
            return self._kept is not before

    def issue(
        self, intent: Intent, key: PrivateKey, now: dt.datetime, expected: Callable[[State], None] | None = None
    ) -> Order:
        """The order an intent became, appended and followed here.

        `expected` sees the state the order would change and raises if it is another than its author saw; it is asked
        again whenever somebody was first. Raises `InvalidField`, `NotFound`, `Conflict` for an order that may not be
        given, `StoreUnavailable`, `ChainBroken`, and `VersionConflict` if others were first eight times.
        """
        return self.issue_all((intent,), key, now, expected)[0]

    def issue_all(
        self,
        intents: Sequence[Intent],
        key: PrivateKey,
        now: dt.datetime,
        expected: Callable[[State], None] | None = None,
    ) -> list[Order]:
        """The orders that intents became, in their order: all in one append, or none. Raises as `issue`."""
        return self._issue(intents, key, now, ORDER_TYP, expected)

    def issue_sentinels(self, intents: Sequence[Intent], key: PrivateKey, now: dt.datetime) -> list[Order]:
        """The sentinel's orders, signed with a node's receipt key: as `issue_all`, and only what it may order."""
        return self._issue(intents, key, now, SENTINEL_TYP)

    def _issue(
        self,
        intents: Sequence[Intent],
        key: PrivateKey,
        now: dt.datetime,
        typ: str,
        expected: Callable[[State], None] | None = None,
    ) -> list[Order]:
        if key.kid not in ChainKeys.by_typ(self._keys)[typ]:
            raise OperatorError("the key that signs is not among the public keys: nobody would follow its orders")
        for _ in range(_APPEND_TRIES):
            self.refresh()
            kept = self._kept
            if expected is not None:
                expected(kept.state)
            orders, signed = _next_orders(intents, kept, now, key, typ)
            try:
                self._store.append(orders[0].version, *signed)
            except VersionConflict:
                continue
            # They are in the chain, whether or not we can read them back just now.
            with contextlib.suppress(StoreUnavailable):
                self.refresh()
            return orders
        raise VersionConflict("others keep appending orders: try again")

    def check(self, intent: Intent, now: dt.datetime) -> None:
        """Whether `issue` would give the order on the state as it is; raises as it would, and gives none."""
        self.check_all((intent,), now)

    def check_all(self, intents: Sequence[Intent], now: dt.datetime) -> None:
        """As `check`, for `issue_all`."""
        state = self._kept.state
        fold_all(state, [draft_order(intent, _at(state, n), now) for n, intent in enumerate(intents)])

    def orders(self) -> list[Order]:
        """Every order in the store, verified from the first. Raises `StoreUnavailable`, `ChainBroken`."""
        orders, failure = ChainVerifier(self._keys).accept(self._store.read(1))
        if failure is not None:
            raise failure
        return orders

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()

    def _load_copy(self) -> bool:
        """Follow the node's copy as far as it verifies; whether it does so to its end."""
        try:
            rows, damaged = self._replica.load()
        except OSError as error:
            self._report(copy_error=f"the node's copy cannot be read: {error.strerror or error}")
            return False
        verified, failure = self._verify(rows)
        self._follow(rows, verified)
        sound = not damaged and failure is None
        self._report(copy_error=None if sound else f"the node's copy is damaged after order {self.state.version}")
        return sound

    def _beyond_head(self, rows: Sequence[StoredOrder]) -> Sequence[StoredOrder]:
        """The rows after our head, once the store is seen to hold it."""
        head = self._kept.head
        if head is None:
            return rows
        if not rows or rows[0][0] != head[0]:
            raise ChainBroken(f"the store went back: this node saw order {head[0]}, and the store lacks it")
        if rows[0][1] != head[1]:
            raise ChainBroken(f"the store forked: its order {head[0]} is not the one this node saw")
        return rows[1:]

    def _verify(self, rows: Sequence[StoredOrder]) -> tuple[list[Order], ChainBroken | None]:
        """The orders that verify and fold, and what stopped there."""
        orders, failure = ChainVerifier(self._keys, self._kept.head).accept(rows)
        try:
            fold_all(self.state, orders)
        except RelaisError:
            good = _foldable(self.state, orders)
            stopped = orders[good]
            return orders[:good], ChainBroken(f"order {stopped.version} does not follow from those before it")
        return orders, failure

    def _follow(self, rows: Sequence[StoredOrder], verified: Sequence[Order]) -> None:
        if verified:
            self._kept = _Kept(fold_all(self.state, verified), rows[len(verified) - 1])

    def _keep_copy(self, rows: Sequence[StoredOrder]) -> None:
        """A copy that cannot be written must not keep a suspension from taking effect: it is reported."""
        try:
            # After a failed write nobody knows which pages are durable: the file is written anew, not appended to.
            if self._copy_unsound or not self._extend_copy(rows):
                last = rows[-1][0] if rows else self.state.version
                self._replica.replace(self._store.read(1)[:last])
        except OSError as error:
            self._copy_unsound = True
            self._report(copy_error=f"the node's copy cannot be written: {error.strerror or error}")
        else:
            if self._replica.writable:
                self._copy_unsound = False
                self._report(copy_error=None)

    def _extend_copy(self, rows: Sequence[StoredOrder]) -> bool:
        """As `Replica.extend`; a copy that contradicts the store counts only if it verifies, else it is damaged."""
        try:
            return self._replica.extend(rows)
        except ChainBroken:
            kept, damaged = self._replica.load()
            if not damaged and ChainVerifier(self._keys).accept(kept)[1] is None:
                raise
            return False

    def _report(self, **changes: Any) -> None:
        self._status = msgspec.structs.replace(self._status, version=self.state.version, **changes)


def _next_orders(
    intents: Sequence[Intent], kept: _Kept, now: dt.datetime, key: PrivateKey, typ: str
) -> tuple[list[Order], list[str]]:
    """The orders that intents would become, and these signed. Raises where one may not be given, before signing any."""
    orders = [draft_order(intent, _at(kept.state, number), now) for number, intent in enumerate(intents)]
    for order in orders:
        check_author(order, typ)
    fold_all(kept.state, orders)
    previous = order_digest(kept.head[1]) if kept.head else None
    linked: list[Order] = []
    signed: list[str] = []
    for order in orders:
        linked.append(msgspec.structs.replace(order, previous=previous))
        signed.append(sign_compact(order_payload(linked[-1]), typ, key))
        previous = order_digest(signed[-1])
    return linked, signed


def _at(state: State, number: int) -> State:
    """The state as far as numbering the order after `number` others is concerned."""
    return msgspec.structs.replace(state, version=state.version + number)


def _foldable(state: State, orders: Sequence[Order]) -> int:
    """How many of the orders fold, one after the other."""
    for number, order in enumerate(orders):
        try:
            state = fold(state, order)
        except RelaisError:
            return number
    return len(orders)
