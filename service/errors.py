"""Every exception the service raises on purpose.

RelaisError
├── CallerError               the request is at fault (4xx)
│   ├── MalformedRequest · MalformedJson · InvalidField · MediaType · BodyTooLarge · HeaderTooLarge · RequestTimeout
│   ├── NotFound · MethodNotAllowed · Conflict
│   └── PreconditionRequired · PreconditionFailed
├── AccessError               the caller may not (401, 403, 429)
│   ├── TokenMissing · TokenInvalid · TokenExpired
│   ├── ClientSuspended · ScopeMissing · FinessNotAllowed
│   └── BudgetExhausted · TooFast
├── AvailabilityError         we cannot answer now (503)
│   └── ServiceSuspended · NoSnapshot · Overloaded
├── TrustError                something is not what it claims to be
│   ├── KeyRejected · SignatureRejected
│   ├── TrustRefused          the trust file breaks a rule, or a rotation does
│   ├── SnapshotRefused       a verification step of a snapshot failed
│   ├── LayerRejected · RecordUnreadable   sealed data that does not open
│   └── ReceiptRejected       a receipt does not hold; `reason` is its code
├── BuildError                a snapshot cannot be built from these inputs
│   └── RowRejected           one source row is bad
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

from typing import ClassVar


class RelaisError(Exception):
    """The root of every deliberate error."""

    code: ClassVar[str] = "internal"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.code)
        self.detail = detail


class CallerError(RelaisError):
    """The request is at fault; `pointer` (RFC 6901) names the field, `""` the whole body."""

    def __init__(self, detail: str = "", pointer: str = "") -> None:
        super().__init__(detail)
        self.pointer = pointer


class MalformedRequest(CallerError):
    """Not HTTP/1.1 as we accept it."""

    code = "malformed_request"


class MalformedJson(CallerError):
    """Not one JSON text in UTF-8 with distinct keys."""

    code = "malformed_json"


class InvalidField(CallerError):
    """A field of the wrong type or range, or an unknown one."""

    code = "invalid_field"


class MediaType(CallerError):
    """Content-Type or Content-Encoding is not supported."""

    code = "media_type"


class BodyTooLarge(CallerError):
    """The body exceeds its limit."""

    code = "body_too_large"


class HeaderTooLarge(CallerError):
    """The request head exceeds its limit."""

    code = "header_too_large"


class RequestTimeout(CallerError):
    """The body did not arrive in time."""

    code = "request_timeout"


class NotFound(CallerError):
    """No such resource."""

    code = "not_found"


class MethodNotAllowed(CallerError):
    """The resource does not know the method; `allowed` lists those it does, for `Allow`."""

    code = "method_not_allowed"

    def __init__(self, detail: str = "", *, allowed: str = "") -> None:
        super().__init__(detail)
        self.allowed = allowed


class Conflict(CallerError):
    """The request contradicts the current state."""

    code = "conflict"


class PreconditionRequired(CallerError):
    """A write came without If-Match."""

    code = "precondition_required"


class PreconditionFailed(CallerError):
    """If-Match names another state than the current one."""

    code = "precondition_failed"


class AccessError(RelaisError):
    """The caller may not."""


class TokenMissing(AccessError):
    """No bearer token."""

    code = "token_missing"


class TokenInvalid(AccessError):
    """The token proves nothing. The cause is not told to the caller."""

    code = "token_invalid"


class TokenExpired(AccessError):
    """The token was good once."""

    code = "token_expired"


class ClientSuspended(AccessError):
    """A valid token of a suspended client."""

    code = "client_suspended"


class ScopeMissing(AccessError):
    """The client's class may not do this."""

    code = "scope_missing"


class FinessNotAllowed(AccessError):
    """The hub is not registered for this FINESS."""

    code = "finess_not_allowed"


class BudgetExhausted(AccessError):
    """The day's lookups are used up."""

    code = "budget_exhausted"


class TooFast(AccessError):
    """The burst allowance is used up."""

    code = "too_fast"


class AvailabilityError(RelaisError):
    """We cannot answer now; the caller should look at the card and try later."""


class ServiceSuspended(AvailabilityError):
    """An order suspended the service: our own data is in doubt."""

    code = "service_suspended"


class NoSnapshot(AvailabilityError):
    """No verified snapshot is active."""

    code = "no_snapshot"


class Overloaded(AvailabilityError):
    """Too much work in flight."""

    code = "overloaded"


class TrustError(RelaisError):
    """Something is not what it claims to be."""

    code = "untrusted"


class KeyRejected(TrustError):
    """A JWK that is malformed, too weak, or meant for another use."""

    code = "key_rejected"


class SignatureRejected(TrustError):
    """A signed object whose form or signatures do not hold."""

    code = "signature_rejected"


class TrustRefused(TrustError):
    """A trust file that breaks a rule of its own, is expired, or does not follow the one before."""

    code = "trust_refused"


class SnapshotRefused(TrustError):
    """A verification step failed. `step` is its number and name in docs/trust_format.md."""

    code = "snapshot_refused"

    def __init__(self, step: str, expected: str, found: str) -> None:
        super().__init__(f"refused at step {step}: expected {expected}; found {found}")
        self.step = step
        self.expected = expected
        self.found = found


class LayerRejected(TrustError):
    """A data file that is not a layer, is cut short, or was sealed with another pepper."""

    code = "layer_rejected"


class RecordUnreadable(TrustError):
    """One sealed record that does not open or decode."""

    code = "record_unreadable"


class ReceiptRejected(TrustError):
    """A receipt does not hold. `reason` is a code of docs/journal_format.md."""

    code = "receipt_rejected"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the receipt does not hold: {reason}")
        self.reason = reason


class BuildError(RelaisError):
    """A snapshot cannot be built from these inputs."""

    code = "build_refused"


class RowRejected(BuildError):
    """One source row is bad: `column` names the field at fault (empty: the whole row), `fault` says how."""

    def __init__(self, column: str, fault: str) -> None:
        super().__init__(f"{column or 'row'}: {fault}")
        self.column = column
        self.fault = fault


class ControlError(RelaisError):
    """Orders and shared state."""

    code = "control_error"


class StoreUnavailable(ControlError):
    """The control store does not answer."""

    code = "store_unavailable"


class ChainBroken(ControlError):
    """The chain of orders does not hold, went back, or forked."""

    code = "chain_broken"


class VersionConflict(ControlError):
    """Somebody appended an order first."""

    code = "version_conflict"


class JournalError(RelaisError):
    """The journal."""

    code = "journal_error"


class JournalUnwritable(JournalError):
    """An answer could not be recorded, so it was not given."""

    code = "journal_unwritable"


class JournalDamaged(JournalError):
    """The journal does not verify."""

    code = "journal_damaged"


class SettingsError(RelaisError):
    """relais.toml, the environment or the home are wrong."""

    code = "settings"


class OperatorError(RelaisError):
    """A command was refused."""

    code = "refused"
