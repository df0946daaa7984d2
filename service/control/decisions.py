"""How an order comes to be: at once where it tightens, by a second person's approval where it loosens.

The rule binds whoever goes through here: every command and the admin server. It keeps one person, or one stolen
credential, from loosening anything; it cannot keep away somebody who holds the order key itself.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from service.control.format import Order, check_reason, to_milliseconds
from service.control.intent import Intent
from service.control.ledger import Ledger
from service.control.lists import (
    IMPORT,
    Item,
    check_listed,
    check_unchanged,
    list_body,
    list_clause,
    list_digest,
    list_intents,
    list_payload,
    open_list,
)
from service.control.loosening import ClassLimits, loosens
from service.control.proposals import MOST_OF_ONE, Proposal, ProposalStore, check_seen, last_about
from service.control.state import State
from service.errors import Conflict, ControlError, RelaisError, StoreUnavailable, VersionConflict
from service.jwk import PrivateKey
from service.uuid7 import UUID7_BYTES, uuid7

#: What makes two proposals of one author the same: to give one again makes no second one.
_SAME: Final = ("kind", "scope", "body", "reason", "until", "seen")


class Decisions:
    """Gives orders on a ledger, or proposes them. Methods block (disk): call them from a thread where a loop runs."""

    def __init__(
        self,
        ledger: Ledger,
        proposals: ProposalStore,
        key: PrivateKey,
        *,
        two_person: bool,
        proposal_hours: int,
        class_limits: Mapping[str, ClassLimits],
    ) -> None:
        """`class_limits` as for `loosens`; with `two_person` false whoever may order may also loosen."""
        self._ledger = ledger
        self._proposals = proposals
        self._key = key
        self._two_person = two_person
        self._waits = dt.timedelta(hours=proposal_hours)
        self._class_limits = class_limits

    @property
    def ledger(self) -> Ledger:
        """The orders it decides on."""
        return self._ledger

    def decide(
        self, intent: Intent, now: dt.datetime, expected: Callable[[State], None] | None = None
    ) -> Order | Proposal:
        """The order an intent became, or the proposal where it loosens something and takes a second person.

        `expected` as for `Ledger.issue`; raises as it does, and `Conflict` where too many proposals wait.
        """
        self._ledger.refresh()
        state = self._ledger.state
        clause = self._loosened(state, intent, now)
        if clause is not None:
            if expected is not None:
                expected(state)
            return self._propose(intent, now, state, clause)

        def as_judged(current: State) -> None:
            if expected is not None:
                expected(current)
            if current.version != state.version and self._loosened(current, intent, now) is not None:
                raise VersionConflict("after another order just given, this one takes a second person: try again")

        return self._ledger.issue(intent, self._key, now, as_judged)

    def decide_list(self, heading: Intent, items: Sequence[Item], now: dt.datetime) -> Sequence[Order] | Proposal:
        """The orders a list became, or the one proposal that stands for it where that takes a second person.

        `heading` says who wants it and why; its scope is the client whose list it is, and an order about that client
        ends the proposal. Raises as `decide`, and `Conflict` for a list that would replace a client.
        """
        self._ledger.refresh()
        state = self._ledger.state
        check_listed(items, state)
        intents = list_intents(items, heading, now)
        if not self._two_person:
            return self._ledger.issue_all(intents, self._key, now, lambda current: check_listed(items, current))
        self._ledger.check_all(intents, now)
        payload = list_payload(items)
        digest = list_digest(payload)
        wanted = msgspec.structs.replace(heading, body=list_body(heading, items, digest, state))
        return self._propose(wanted, now, state, list_clause(items), (digest, payload))

    def approve(self, proposal_id: str, actor: str, now: dt.datetime, reason: str | None = None) -> Order:
        """The order a proposal became (of a list, the last), with its author and `actor` as the second person.

        The proposal keeps `reason`.

        Raises `InvalidField` for a reason that may not be kept, `NotFound`, and `Conflict` where `actor` is its author,
        its author was suspended, it was decided, it is over or tampered with, what it would change has been changed
        since, or it would loosen something else by now than it says; otherwise as `Ledger.issue`. Of two approvals at
        once, one gives the order.
        """
        if reason is not None:
            check_reason(reason)
        waiting = self._proposals.get(proposal_id)
        if waiting.kind == IMPORT:
            return self._approve_list(waiting, actor, now, reason)
        given: list[Order] = []

        def work(proposal: Proposal) -> Proposal:
            self._check_may_approve(proposal, actor, now)
            given.append(self._order(proposal, actor, now))
            return _decided(proposal, actor, now, state="approved", order=given[0].version, decided_reason=reason)

        try:
            self._proposals.decide(proposal_id, work)
        except StoreUnavailable:
            # The order is in force; the proposal, as it stands, contradicts it and cannot be approved again.
            if not given:
                raise
        return given[0]

    def reject(self, proposal_id: str, actor: str, reason: str, now: dt.datetime) -> Proposal:
        """The proposal, rejected; whoever made it may take it back so.

        Raises `InvalidField` for a reason that may not be kept, `NotFound`, and `Conflict` where it waits no more.
        """
        check_reason(reason)

        def work(proposal: Proposal) -> Proposal:
            self._check_waits(proposal, now)
            return _decided(proposal, actor, now, state="rejected", decided_reason=reason)

        return self._proposals.decide(proposal_id, work)

    def proposals(self, now: dt.datetime) -> list[Proposal]:
        """All that are kept, oldest first, each as it stands now. Raises `StoreUnavailable`."""
        self._follow()
        return [self._seen_at(proposal, now) for proposal in self._proposals.all()]

    def get(self, proposal_id: str, now: dt.datetime) -> Proposal:
        """One as it stands now. Raises `NotFound`, `Conflict` for one that was tampered with, `StoreUnavailable`."""
        self._follow()
        return self._seen_at(self._proposals.get(proposal_id), now)

    def listed(self, proposal: Proposal) -> Sequence[Item]:
        """What a proposal of many orders would give, none for another. Raises `Conflict` where its list is not there.

        The list is the one its digest names.
        """
        if proposal.kind != IMPORT:
            return ()
        return open_list(self._proposals.listed(proposal.body["digest"]), proposal.body["digest"])

    def close(self) -> None:
        """Let go of both stores."""
        self._proposals.close()
        self._ledger.close()

    def _loosened(self, state: State, intent: Intent, now: dt.datetime) -> str | None:
        return loosens(state, intent, now, self._class_limits) if self._two_person else None

    def _approve_list(self, proposal: Proposal, actor: str, now: dt.datetime, reason: str | None) -> Order:
        """Many signatures take seconds, for which nobody may hold the second store.

        Of two approvals at once one gives the orders all the same: the other then finds the clients registered.
        """
        self._check_may_approve(proposal, actor, now)
        items = self.listed(proposal)

        def as_proposed(state: State) -> None:
            self._check_as_proposed(proposal, state, now)
            check_unchanged(items, state, proposal.body["version"])

        intents = list_intents(items, _intent(proposal, actor), now)
        last = self._ledger.issue_all(intents, self._key, now, as_proposed)[-1]

        def work(seen: Proposal) -> Proposal:
            # Also over a rejection made meanwhile: the orders are in force.
            return _decided(seen, actor, now, state="approved", order=last.version, decided_reason=reason)

        with contextlib.suppress(StoreUnavailable):
            self._proposals.decide(proposal.id, work)
        return last

    def _propose(
        self,
        intent: Intent,
        now: dt.datetime,
        state: State,
        clause: str,
        listed: tuple[str, bytes] | None = None,
    ) -> Proposal:
        at = to_milliseconds(now)
        until = None if intent.until is None else to_milliseconds(intent.until)
        proposal = Proposal(
            id=uuid7(int(now.timestamp() * 1000), os.urandom(UUID7_BYTES)),
            at=at,
            actor=intent.actor,
            kind=intent.kind,
            scope=intent.scope,
            body=dict(intent.body),
            reason=intent.reason,
            until=until,
            ends=at + self._waits if until is None else min(until, at + self._waits),
            loosens=clause,
            seen=last_about(state, intent),
        )
        own = [one for one in self.proposals(now) if one.state == "waiting" and one.actor == intent.actor]
        for waiting in own:
            if all(getattr(waiting, one) == getattr(proposal, one) for one in _SAME):
                return waiting
        if len(own) >= MOST_OF_ONE:
            raise Conflict(f"{MOST_OF_ONE} proposals of one author wait already: take some back")
        self._proposals.add(proposal, now, listed)
        return proposal

    def _order(self, proposal: Proposal, actor: str, now: dt.datetime) -> Order:
        def as_proposed(state: State) -> None:
            self._check_as_proposed(proposal, state, now)

        return self._ledger.issue(_intent(proposal, actor), self._key, now, as_proposed)

    def _check_as_proposed(self, proposal: Proposal, state: State, now: dt.datetime) -> None:
        """Raises `Conflict` where the order would be another than its author saw and whoever approves it reads.

        The mode of an AMC depends on everybody's: the same order may by now do more than when it was proposed.
        """
        check_seen(proposal, state)
        if proposal.kind != IMPORT and self._loosened(state, _intent(proposal), now) not in (None, proposal.loosens):
            raise Conflict("by now this would loosen something else than the proposal says: propose it anew")

    def _follow(self) -> None:
        """What has been ordered since makes proposals over; while the store is lost, what is known must do."""
        with contextlib.suppress(ControlError):
            self._ledger.refresh()

    def _check_may_approve(self, proposal: Proposal, actor: str, now: dt.datetime) -> None:
        self._check_waits(proposal, now)
        if actor == proposal.actor:
            raise Conflict("whoever proposed it cannot approve it: that takes somebody else")

    def _check_waits(self, proposal: Proposal, now: dt.datetime) -> None:
        if proposal.state != "waiting":
            raise Conflict(f"this proposal was {proposal.state} already, by {proposal.decided_by}")
        if now >= proposal.ends:
            raise Conflict("this proposal is over: propose it anew")

    def _seen_at(self, proposal: Proposal, now: dt.datetime) -> Proposal:
        """One that waits is over once its end has passed, or it would not be given any more as it was proposed."""
        if proposal.state != "waiting":
            return proposal
        if now < proposal.ends:
            with contextlib.suppress(RelaisError):
                self._check_as_proposed(proposal, self._ledger.state, now)
                return proposal
        return msgspec.structs.replace(proposal, state="over")


def _intent(proposal: Proposal, approved_by: str | None = None) -> Intent:
    return Intent(
        kind=proposal.kind,
        scope=proposal.scope,
        body=proposal.body,
        reason=proposal.reason,
        actor=proposal.actor,
        until=proposal.until,
        approved_by=approved_by,
    )


def _decided(proposal: Proposal, actor: str, now: dt.datetime, **members: object) -> Proposal:
    return msgspec.structs.replace(proposal, decided_by=actor, decided_at=to_milliseconds(now), **members)
