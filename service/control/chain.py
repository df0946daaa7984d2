"""The chain of orders: each signed, numbered, and linked to the one before. Pure.

An order names the SHA-256 of the one before it as stored, signature included. So whoever signed an order signed the
bytes of all orders before it, and knew that they held: nobody signs onto a chain that they did not verify
(`Ledger.issue`). Of many orders read at once only the last signature is therefore computed; the others are read from
the last backwards, each only once its bytes are those that the order after it names. `verify_each` computes all.

Only an order key's signature vouches, because only who holds one could have signed the orders below as well. An order
that any other key may sign is to be verified by its own signature, and vouches for none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.base64url import b64u_decode
from service.control.format import ORDER_TYP, Order, StoredOrder, order_digest, parse_order
from service.control.tightening import SENTINEL_TYP, check_author
from service.errors import ChainBroken, RelaisError
from service.jwk import PublicKey
from service.jws import check_header, verify_one_of


class ChainKeys(dict[str, PublicKey]):
    """The keys a chain is verified by: by kid, those that sign any order; `sentinel` are the nodes' receipt keys."""

    def __init__(self, orders: Mapping[str, PublicKey], sentinel: Mapping[str, PublicKey]) -> None:
        super().__init__(orders)
        self.sentinel = dict(sentinel)

    @staticmethod
    def by_typ(keys: Mapping[str, PublicKey]) -> Mapping[str, Mapping[str, PublicKey]]:
        """Whose signature counts on which type of order; where only order keys are known, only theirs."""
        return {ORDER_TYP: keys, SENTINEL_TYP: keys.sentinel if isinstance(keys, ChainKeys) else {}}


class ChainVerifier:
    """Takes orders one after the other, from the first or from behind a `head` that was verified before."""

    def __init__(self, keys: Mapping[str, PublicKey], head: StoredOrder | None = None) -> None:
        self._keys = ChainKeys.by_typ(keys)
        self._version = head[0] if head else 0
        self._digest = order_digest(head[1]) if head else None
        self._headers: dict[str, str] = {}

    def accept(self, rows: Sequence[StoredOrder]) -> tuple[list[Order], ChainBroken | None]:
        """The orders up to the last that holds, and why the one after it does not.

        An order holds if it is linked to those before it and its signature verifies, or that of one after it.
        """
        orders = self._vouched(rows)
        if orders:
            version, jws = rows[len(orders) - 1]
            self._version, self._digest = version, order_digest(jws)
        further, failure = self.verify_each(rows[len(orders) :])
        return orders + further, failure

    def verify_each(self, rows: Sequence[StoredOrder]) -> tuple[list[Order], ChainBroken | None]:
        """The orders up to the first that does not hold, and why that one does not; every signature is computed."""
        orders: list[Order] = []
        for version, jws in rows:
            try:
                orders.append(self._accept(version, jws))
            except ChainBroken as error:
                return orders, error
        return orders, None

    def _accept(self, version: int, jws: str) -> Order:
        try:
            typ, payload = verify_one_of(jws, self._keys)
            order = parse_order(payload)
            check_author(order, typ)
        except (RelaisError, ValueError) as error:
            raise ChainBroken(f"order {version} does not verify: {error}") from error
        if version != self._version + 1 or order.version != version:
            raise ChainBroken(f"order {self._version + 1} is missing from the chain")
        if order.previous != self._digest:
            raise ChainBroken(f"order {version} follows another order {self._version} than the one before it")
        self._version, self._digest = version, order_digest(jws)
        return order

    def _vouched(self, rows: Sequence[StoredOrder]) -> list[Order]:
        """The longest beginning of the rows that ends in a signature and is linked from there down to the head.

        Where a link breaks, nothing above it can hold: the next attempt begins below, so that all of them together
        read each row once.
        """
        end = len(rows)
        while end:
            orders, end = self._descend(rows, end)
            if orders and not end:
                return orders
        return []

    def _descend(self, rows: Sequence[StoredOrder], end: int) -> tuple[list[Order], int]:
        """The orders of `rows[:end]` and 0; or none, and how many rows may hold at most."""
        orders: list[Order] = []
        vouched = False
        for position in range(end - 1, -1, -1):
            version, jws = rows[position]
            try:
                if orders and order_digest(jws) != orders[-1].previous:
                    return [], position + 1
                typ, payload = self._read_vouched(jws) if vouched else verify_one_of(jws, self._keys)
                order = parse_order(payload)
                check_author(order, typ)
            except (RelaisError, ValueError):
                return [], position
            if not version == order.version == self._version + 1 + position:
                return [], position
            orders.append(order)
            vouched = vouched or typ == ORDER_TYP
        if orders[-1].previous != self._digest:
            return [], 0
        orders.reverse()
        return orders, 0

    def _read_vouched(self, jws: str) -> tuple[str, bytes]:
        """Type and payload of an order whose bytes a later one vouches for; the rest's form is checked all the same."""
        head, _, rest = jws.partition(".")
        typ = self._headers.get(head)
        if typ is None:
            typ = self._headers[head] = check_header(head, self._keys)[0]
        payload, _, signature = rest.partition(".")
        b64u_decode(signature)
        return typ, b64u_decode(payload)
