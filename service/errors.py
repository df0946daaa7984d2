"""Every exception the service raises on purpose.

RelaisError
├── CallerError               the request is at fault (4xx)
│   ├── MalformedRequest · MalformedJson · InvalidField · MediaType · BodyTooLarge · HeaderTooLarge · RequestTimeout
│   ├── NotFound · MethodNotAllowed · Conflict
│   └── PreconditionRequired · PreconditionFailed
├── AccessError               the caller may not (401, 403, 429)
│   ├── TokenMissing · TokenInvalid · TokenExpired
│   ├── ClientSuspended       FinessSuspended: a hub, for one of its pharmacies
│   ├── ScopeMissing · FinessNotAllowed
│   └── LimitReached          429
│       └── BudgetExhausted · TooFast
├── AvailabilityError         we cannot answer now (503)
│   └── ServiceSuspended · NoSnapshot · Overloaded · SpendingsUnavailable
├── TrustError                something is not what it claims to be
│   ├── KeyRejected · SignatureRejected
│   ├── TrustRefused          the trust file breaks a rule, or a rotation does
│   ├── SnapshotRefused       a verification step of a snapshot failed
│   ├── LayerRejected · RecordUnreadable   sealed data that does not open
│   └── ReceiptRejected       a receipt does not hold; `reason` is its code
├── BuildError                a snapshot cannot be built from these inputs
│   └── RowRejected           one source row is bad
├── DepotError                where snapshots are published: a folder or a bucket
│   ├── DepotUnavailable      it does not answer (status 3); DepotTooSlow: it drips
│   ├── DepotDenied · DepotMissing
│   ├── DepotConflict         a name holds other bytes, or the pointer was moved by somebody else
│   └── DepotRejected         what lies there is not what may lie there
├── UpstreamError             the service we stand in for gave no answer that counts
│   ├── UpstreamUnavailable   not in time, not connected, or a status that is no answer
│   └── UpstreamMalformed     garbage, too large, or about somebody else
├── ControlError              orders and shared state
│   └── StoreUnavailable · ChainBroken · VersionConflict
├── JournalError
│   └── JournalUnwritable (503) · JournalDamaged
├── SettingsError             relais.toml, environment or home are wrong
└── OperatorError             a command was refused; its text says what to do

`code` is stable and public. `detail` is for the vendor or the operator: it never holds a secret or personal
data, nor an echo of what was sent.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple


class RelaisError(Exception):
    """The root of every deliberate error."""

    code: ClassVar[str] = "internal"

    def __init_subclass__(cls, code: str = "", **others: object) -> None:
        super().__init_subclass__(**others)
        if code:
            cls.code = code

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.code)
        self.detail = detail


class CallerError(RelaisError):
    """The request is at fault; `pointer` (RFC 6901) names the field, `""` the whole body."""

    def __init__(self, detail: str = "", pointer: str = "") -> None:
        super().__init__(detail)
        self.pointer = pointer


class MalformedRequest(CallerError, code="malformed_request"):
    """Not HTTP/1.1 as we accept it."""


class MalformedJson(CallerError, code="malformed_json"):
    """Not one JSON text in UTF-8 with distinct keys."""


class InvalidField(CallerError, code="invalid_field"):
    """A field of the wrong type or range, or an unknown one."""


class MediaType(CallerError, code="media_type"):
    """Content-Type or Content-Encoding is not supported."""


class BodyTooLarge(CallerError, code="body_too_large"):
    """The body exceeds its limit."""


class HeaderTooLarge(CallerError, code="header_too_large"):
    """The request head exceeds its limit."""


class RequestTimeout(CallerError, code="request_timeout"):
    """The body did not arrive in time."""


class NotFound(CallerError, code="not_found"):
    """No such resource."""


class MethodNotAllowed(CallerError, code="method_not_allowed"):
    """The resource does not know the method; `allowed` lists those it does, for `Allow`."""

    def __init__(self, detail: str = "", *, allowed: str = "") -> None:
        super().__init__(detail)
        self.allowed = allowed


class Conflict(CallerError, code="conflict"):
    """The request contradicts the current state."""


class PreconditionRequired(CallerError, code="precondition_required"):
    """A write came without If-Match."""


class PreconditionFailed(CallerError, code="precondition_failed"):
    """If-Match names another state than the current one."""


class AccessError(RelaisError):
    """The caller may not."""


class TokenMissing(AccessError, code="token_missing"):
    """No bearer token."""


class TokenInvalid(AccessError, code="token_invalid"):
    """The token proves nothing. The cause is not told to the caller."""


class TokenExpired(AccessError, code="token_expired"):
    """The token was good once."""


class ClientSuspended(AccessError, code="client_suspended"):
    """A valid token of a suspended client."""


class FinessSuspended(ClientSuspended):
    """A hub that is suspended for the FINESS it names, and for no other."""


class ScopeMissing(AccessError, code="scope_missing"):
    """The client's class may not do this."""


class FinessNotAllowed(AccessError, code="finess_not_allowed"):
    """The hub is not registered for this FINESS."""


class Limit(NamedTuple):
    """One limit of a client's: `quota` in a window of seconds, what remains of it, and seconds until it is whole."""

    name: str
    quota: int
    window: int
    remaining: int
    resets: int


class LimitReached(AccessError):
    """A limit of this client's is reached: all its limits, and `seconds` until it is worth asking again."""

    def __init__(self, detail: str = "", *, seconds: float = 0.0, limits: tuple[Limit, ...] = ()) -> None:
        super().__init__(detail)
        self.seconds = seconds
        self.limits = limits


class BudgetExhausted(LimitReached, code="budget_exhausted"):
    """The day's lookups are used up."""


class TooFast(LimitReached, code="too_fast"):
    """The burst allowance is used up."""


class AvailabilityError(RelaisError):
    """We cannot answer now; the caller should look at the card and try later."""


class ServiceSuspended(AvailabilityError, code="service_suspended"):
    """An order suspended the service: our own data is in doubt."""


class NoSnapshot(AvailabilityError, code="no_snapshot"):
    """No verified snapshot is active."""


class Overloaded(AvailabilityError, code="overloaded"):
    """Too much work in flight."""


class SpendingsUnavailable(AvailabilityError, code="spendings_unavailable"):
    """What clients read today is not known: the store that counts it does not answer."""


class TrustError(RelaisError, code="untrusted"):
    """Something is not what it claims to be."""


class KeyRejected(TrustError, code="key_rejected"):
    """A JWK that is malformed, too weak, or meant for another use."""


class SignatureRejected(TrustError, code="signature_rejected"):
    """A signed object whose form or signatures do not hold."""


class TrustRefused(TrustError, code="trust_refused"):
    """A trust file that breaks a rule of its own, is expired, or does not follow the one before."""


class SnapshotRefused(TrustError, code="snapshot_refused"):
    """A verification step failed. `step` is its number and name in docs/trust_format.md."""

    def __init__(self, step: str, expected: str, found: str) -> None:
        super().__init__(f"refused at step {step}: expected {expected}; found {found}")
        self.step = step
        self.expected = expected
        self.found = found


class LayerRejected(TrustError, code="layer_rejected"):
    """A data file that is not a layer, is cut short, or was sealed with another pepper."""


class RecordUnreadable(TrustError, code="record_unreadable"):
    """One sealed record that does not open or decode."""


class ReceiptRejected(TrustError, code="receipt_rejected"):
    """A receipt does not hold. `reason` is a code of docs/journal_format.md."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the receipt does not hold: {reason}")
        self.reason = reason


class BuildError(RelaisError, code="build_refused"):
    """A snapshot cannot be built from these inputs."""


class RowRejected(BuildError):
    """One source row is bad: `column` names the field at fault (empty: the whole row), `fault` says how."""

    def __init__(self, column: str, fault: str) -> None:
        super().__init__(f"{column or 'row'}: {fault}")
        self.column = column
        self.fault = fault

    def __reduce__(self) -> tuple[type[RowRejected], tuple[str, str]]:
        """Rows are read in several processes, and their faults told to one."""
        return RowRejected, (self.column, self.fault)


class DepotError(RelaisError, code="depot_error"):
    """Where snapshots are published. No text of it holds credentials, or what a server said beyond a code."""


class DepotUnavailable(DepotError, code="depot_unavailable"):
    """Nobody answers, or the answer broke off: worth trying again."""


class DepotTooSlow(DepotError, code="depot_too_slow"):
    """The bytes come more slowly than `sync.min_bytes_per_second`."""


class DepotDenied(DepotError, code="depot_denied"):
    """It says no: credentials are missing, wrong or expired, or what was asked for is not allowed."""


class DepotMissing(DepotError, code="depot_missing"):
    """No such name."""


class DepotConflict(DepotError, code="depot_conflict"):
    """A name already holds other bytes, or `latest` is no longer what it was when it was read."""


class DepotRejected(DepotError, code="depot_rejected"):
    """What lies there is not what may lie there: a pointer that is none, an object without an end."""


class UpstreamError(RelaisError, code="upstream_error"):
    """The service we stand in for gave no answer that counts. No text of it quotes what was sent or received."""


class UpstreamUnavailable(UpstreamError, code="upstream_unavailable"):
    """Not connected, not in time, or a status that is no answer."""


class UpstreamMalformed(UpstreamError, code="upstream_malformed"):
    """An answer that is not JSON of the expected form, is too large, or answers another question."""


class ControlError(RelaisError, code="control_error"):
    """Orders and shared state."""


class StoreUnavailable(ControlError, code="store_unavailable"):
    """The control store does not answer."""


class ChainBroken(ControlError, code="chain_broken"):
    """The chain of orders does not hold, went back, or forked."""


class VersionConflict(ControlError, code="version_conflict"):
    """Somebody appended an order first."""


class JournalError(RelaisError, code="journal_error"):
    """The journal."""


class JournalUnwritable(JournalError, code="journal_unwritable"):
    """An answer could not be recorded, so it was not given."""


class JournalDamaged(JournalError, code="journal_damaged"):
    """The journal does not verify."""


class SettingsError(RelaisError, code="settings"):
    """relais.toml, the environment or the home are wrong."""


class OperatorError(RelaisError, code="refused"):
    """A command was refused."""
