"""The chain of orders: each signed, numbered, and linked to the one before. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.control.format import ORDER_TYP, Order, StoredOrder, order_digest, parse_order
from service.control.tightening import SENTINEL_TYP, check_author
from service.errors import ChainBroken, RelaisError
from service.jwk import PublicKey
from service.jws import verify_one_of


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

    def accept(self, rows: Sequence[StoredOrder]) -> tuple[list[Order], ChainBroken | None]:
        """The orders up to the first that does not hold, and why that one does not."""
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
