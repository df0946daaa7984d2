"""Settings, read once from `relais.toml` and `RELAIS_*`, and the paths of a home.

Every setting, its unit and default is a field here; docs/settings.md lists the same. An unknown key stops the start.
`RELAIS_<SECTION>_<KEY>` overrides a key, e.g. `RELAIS_RIGHTS_PORT=9000`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from service.errors import SettingsError
from service.files import PRIVATE_MODE, write_durable

SETTINGS_FILE = "relais.toml"
Port = Annotated[int, Meta(ge=1, le=65535)]
Count = Annotated[int, Meta(ge=1)]
Days = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(gt=0)]
Percent = Annotated[int, Meta(ge=1, le=100)]
#: Where msgspec says that a value is wrong: "… - at `$.rights.port`".
_PLACE = re.compile(r"at `\$\.(\w+)\.(\w+)")


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of relais.toml."""


class InstanceSettings(_Section, frozen=True, forbid_unknown_fields=True):
    """Who this installation is. `name` is the `aud` of tokens; `demo` allows private keys that production forbids."""

    name: str = "relais-droits"
    node: str = "node-1"
    demo: bool = False


class ServerSettings(_Section, frozen=True, forbid_unknown_fields=True):
    """One HTTP server: address, port, worker processes."""

    host: str = "127.0.0.1"
    port: Port = 8080
    workers: Count = 2


class KeySettings(_Section, frozen=True, forbid_unknown_fields=True):
    """Key files, relative to the home or absolute. In production the pepper and private keys lie elsewhere.

    `sentinel_public` are receipt keys of other nodes: their rights workers may have signed the sentinel's orders.
    """

    pepper: str = "keys/pepper.jwk"
    receipt: str = "keys/receipt.jwk"
    receipts_retired: tuple[str, ...] = ()
    order: str = "keys/order.jwk"
    order_public: tuple[str, ...] = ("keys/order.pub.jwk",)
    sentinel_public: tuple[str, ...] = ()
    officers: tuple[str, ...] = ("keys/officer.pub.jwk",)


class QuerySettings(_Section, frozen=True, forbid_unknown_fields=True):
    """Rules of the rights query: whole days around today a service date may lie; AMC numbers of other operators."""

    past_days: Days = 90
    ahead_days: Days = 1
    out_of_scope_amcs: tuple[str, ...] = ("99999997", "88888888", "75500017")


class LimitSettings(_Section, frozen=True, forbid_unknown_fields=True):
    """Limits of one worker: bytes, seconds, counts."""

    body_bytes: Count = 64 * 1024
    batch_bytes: Count = 256 * 1024
    body_seconds: Seconds = 2.0
    bodies_in_flight: Count = 512
    retry_seconds: Seconds = 300.0
    retry_entries: Count = 10_000
    retry_batch_bytes: Count = 32 * 1024 * 1024
    token_entries: Count = 4096


class BudgetSettings(_Section, frozen=True, forbid_unknown_fields=True):
    """How the daily budgets are lent to workers: lookups at once, and seconds until what lies idle is given back.

    A hub's ceiling over all its pharmacies is `hub_ceiling_percent` of their budgets. `nodes` share one control store,
    and so the outage share.
    """

    lease_lookups: Count = 20
    idle_seconds: Seconds = 60.0
    hub_ceiling_percent: Percent = 50
    nodes: Count = 1


class SentinelSettings(_Section, frozen=True, forbid_unknown_fields=True):
    """What the sentinel does about those who ask like thieves: `enforce`, or only say it (`report`).

    So it does of what the rules in `report_rules` find, and while fewer than `least_pharmacies` have asked (a canary
    excepted): it judges by comparing. It never acts against more than `most_an_hour` clients, or
    `most_an_hour_percent` of them where that is more, within an hour.
    """

    mode: Literal["enforce", "report"] = "enforce"
    report_rules: tuple[Literal["canary", "unknown", "pace", "neighbours", "strangers", "nights"], ...] = ()
    least_pharmacies: Annotated[int, Meta(ge=0)] = 20
    most_an_hour: Count = 5
    most_an_hour_percent: Annotated[float, Meta(ge=0, le=100)] = 0.5


class JournalSettings(_Section, frozen=True, forbid_unknown_fields=True):
    """`fsync = false` is for measuring only: an answer then may outlive its record."""

    fsync: bool = True


class ControlSettings(_Section, frozen=True, forbid_unknown_fields=True):
    """How often a worker looks for orders and reports (seconds), and whether what loosens takes a second person.

    A proposal that nobody approved in `proposal_hours` is over.
    """

    watch_seconds: Seconds = 0.1
    heartbeat_seconds: Seconds = 1.0
    two_person: Literal["outside_demo", "always", "never"] = "outside_demo"
    proposal_hours: Count = 24


class EnrolmentSettings(_Section, frozen=True, forbid_unknown_fields=True):
    """How long (days) a client enrolled by a vendor has only a share of its budgets (percent); 0 days: not at all."""

    slow_days: Days = 7
    slow_percent: Percent = 25


class SnapshotSettings(_Section, frozen=True, forbid_unknown_fields=True):
    """How many superseded snapshots stay for a rollback, and when status begins to warn (hours).

    `expiry_warning_hours` before the end, `stale_warning_hours` after what serves was made (0: never).
    """

    keep: Annotated[int, Meta(ge=0)] = 3
    expiry_warning_hours: Annotated[int, Meta(ge=0)] = 48
    stale_warning_hours: Annotated[int, Meta(ge=0)] = 36


class TrustSettings(_Section, frozen=True, forbid_unknown_fields=True):
    """How close to the end of the trust file operators are warned (days)."""

    expiry_warning_days: Days = 30


class UpstreamSettings(_Section, frozen=True, forbid_unknown_fields=True):
    """The service we stand in for, asked in mode live: where it is, how long it may take, when it counts as failing.

    `url` is its base, asked at `/v1/rights`; empty where there is none. `client` and `key` (a private JWK file)
    sign the tokens it is shown, for `audience`; without `client` it is shown none. Times of one question in
    milliseconds: `total_ms` in all, `connect_ms` to connect, `read_ms` between two reads. `in_flight` questions at
    once a worker, more are answered from the snapshot. Answers are kept `cache_seconds` (0: not at all), at most
    `cache_entries` of them.

    It counts as failing once, of at least `minimum_calls` in `window_seconds`, `failure_percent` failed or
    `slow_percent` took longer than `slow_ms`. Then it is left alone for `open_seconds`, doubled at each failure in
    a row up to `open_seconds_most`, and asked again by `probe_calls`; it is asked for 10, then 50 % of the
    queries, `step_seconds` each, then for all.
    """

    url: str = ""
    client: str = ""
    key: str = ""
    audience: str = "relais-droits"
    allow_http: bool = False
    total_ms: Count = 800
    connect_ms: Count = 200
    read_ms: Count = 600
    response_bytes: Count = 64 * 1024
    in_flight: Count = 64
    cache_seconds: Annotated[float, Meta(ge=0)] = 30.0
    cache_entries: Count = 10_000
    window_seconds: Count = 10
    minimum_calls: Count = 5
    failure_percent: Percent = 50
    slow_percent: Percent = 80
    slow_ms: Count = 500
    open_seconds: Seconds = 5.0
    open_seconds_most: Seconds = 60.0
    probe_calls: Count = 3
    step_seconds: Annotated[float, Meta(ge=0)] = 5.0


class SyncSettings(_Section, frozen=True, forbid_unknown_fields=True):
    """Pulling snapshots from a depot: where from, how often, and how much patience (seconds, bytes, tries).

    `allow_http` lets an endpoint do without TLS; `spare_bytes` is the room on the disk that a download leaves alone.
    """

    url: str = ""
    every_seconds: Seconds = 60.0
    activate: Literal["auto", "manual"] = "auto"
    min_bytes_per_second: Count = 64 * 1024
    attempts: Count = 6
    connect_seconds: Seconds = 5.0
    read_seconds: Seconds = 15.0
    allow_http: bool = False
    spare_bytes: Annotated[int, Meta(ge=0)] = 256 * 1024 * 1024


class Settings(_Section, frozen=True, forbid_unknown_fields=True):
    """All of relais.toml."""

    instance: InstanceSettings = InstanceSettings()
    rights: ServerSettings = ServerSettings()
    admin: ServerSettings = ServerSettings(port=8081)
    keys: KeySettings = KeySettings()
    query: QuerySettings = QuerySettings()
    limits: LimitSettings = LimitSettings()
    budgets: BudgetSettings = BudgetSettings()
    sentinel: SentinelSettings = SentinelSettings()
    journal: JournalSettings = JournalSettings()
    control: ControlSettings = ControlSettings()
    enrolment: EnrolmentSettings = EnrolmentSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    snapshot: SnapshotSettings = SnapshotSettings()
    trust: TrustSettings = TrustSettings()
    sync: SyncSettings = SyncSettings()

    @property
    def two_person(self) -> bool:
        """Whether an order that loosens takes a second person."""
        chosen = self.control.two_person
        return not self.instance.demo if chosen == "outside_demo" else chosen == "always"


@dataclass(frozen=True, slots=True)
class Home:
    """The one directory that holds an installation."""

    root: Path

    def path(self, name: str) -> Path:
        """A path named in the settings: relative to the home, or absolute."""
        return self.root / name

    @property
    def settings(self) -> Path:
        """relais.toml."""
        return self.root / SETTINGS_FILE

    @property
    def keys(self) -> Path:
        """Key files of a demo home."""
        return self.root / "keys"

    @property
    def trust(self) -> Path:
        """The trust file: who may sign snapshots, and how many of them it takes."""
        return self.root / "trust.json"

    @property
    def snapshots(self) -> Path:
        """Staged and verified snapshots, one folder a sequence."""
        return self.root / "snapshots"

    @property
    def incoming(self) -> Path:
        """Downloads under way, one folder a snapshot."""
        return self.root / "incoming"

    @property
    def orders(self) -> Path:
        """The order store."""
        return self.root / "control" / "orders.db"

    @property
    def fleet(self) -> Path:
        """The second store: heartbeats and the register of journal segments."""
        return self.root / "control" / "fleet.db"

    @property
    def node(self) -> Path:
        """What this node remembers by itself: last orders seen, floor, latest time seen."""
        return self.root / "node"

    @property
    def journal(self) -> Path:
        """Journal segments and their key files."""
        return self.root / "journal"

    @property
    def run(self) -> Path:
        """Locks of running workers."""
        return self.root / "run"

    @property
    def demo(self) -> Path:
        """Synthetic rows and example queries of a demo home."""
        return self.root / "demo"


def load_settings(home: Home, environment: Mapping[str, str]) -> Settings:
    """Settings of a home with overrides from the environment. Raises `SettingsError` naming the key at fault."""
    return parse_settings(_read(home), environment)


def load_or_keep_settings(
    home: Home, environment: Mapping[str, str], kept: Path
) -> tuple[Settings, SettingsError | None]:
    """The settings of a home, noted in `kept`; where they are broken, those noted last, and what is wrong.

    A worker that comes back, or is told to take its settings anew, must not fail over an edit that nobody tried.
    Raises `SettingsError` where none were noted.
    """
    try:
        text = _read(home)
        settings = parse_settings(text, environment)
    except SettingsError as error:
        try:
            return parse_settings(kept.read_text("utf-8"), environment), error
        except OSError:
            raise error from None
    # A note that cannot be written is missed only by the next broken edit.
    with suppress(OSError):
        if not kept.exists() or kept.read_text("utf-8") != text:
            write_durable(kept, text.encode(), PRIVATE_MODE)
    return settings, None


def parse_settings(text: str, environment: Mapping[str, str]) -> Settings:
    """Settings from the text of a relais.toml, and from the environment. Raises `SettingsError`."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{SETTINGS_FILE} is not TOML: {error}") from error
    for section in Settings.__struct_fields__:
        kind = type(getattr(Settings(), section))
        for key in kind.__struct_fields__:
            value = environment.get(f"RELAIS_{section}_{key}".upper())
            if value is not None:
                tables.setdefault(section, {})[key] = _typed(value, getattr(kind(), key))
    try:
        # strict=False lets the text of an environment variable become a number or a boolean.
        return msgspec.convert(tables, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{_source(str(error), environment)}: {error}") from error


def _source(fault: str, environment: Mapping[str, str]) -> str:
    """Whose value is at fault: a variable's, or the file's."""
    place = _PLACE.search(fault)
    variable = f"RELAIS_{place[1]}_{place[2]}".upper() if place else ""
    return variable if variable in environment else SETTINGS_FILE


def _read(home: Home) -> str:
    try:
        return home.settings.read_text("utf-8")
    except FileNotFoundError as error:
        raise SettingsError(f"{home.root} is not a relais home ({SETTINGS_FILE} is missing): relais init") from error
    except OSError as error:
        raise SettingsError(f"{SETTINGS_FILE} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{SETTINGS_FILE} is not TOML: {error}") from error


def _typed(value: str, default: Any) -> Any:
    return value.split(",") if isinstance(default, tuple) else value
