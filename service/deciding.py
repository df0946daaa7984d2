"""How orders come to be in a home: one assembly, so that the command line and the admin server judge alike."""

from __future__ import annotations

from service.access.clients import CLASS_BUDGETS
from service.control.chain import ChainKeys
from service.control.decisions import Decisions
from service.control.ledger import Ledger
from service.control.proposals import ProposalStore
from service.keyring import load_order_key, load_order_keys, load_sentinel_keys
from service.settings import Home, Settings


def chain_keys(home: Home, settings: Settings) -> ChainKeys:
    """The keys by which a home verifies its orders. Raises `SettingsError`, `KeyRejected`."""
    return ChainKeys(load_order_keys(home, settings), load_sentinel_keys(home, settings))


def decisions_on(ledger: Ledger, home: Home, settings: Settings) -> Decisions:
    """Decisions on an open ledger, by the home's order key and rules. Raises `SettingsError`, `KeyRejected`."""
    key = load_order_key(home, settings)
    return Decisions(
        ledger,
        ProposalStore(home.fleet, key, ledger.keys),
        key,
        two_person=settings.two_person,
        proposal_hours=settings.control.proposal_hours,
        class_limits=CLASS_BUDGETS,
    )
