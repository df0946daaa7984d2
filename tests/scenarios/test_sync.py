"""Snapshots come from a depot: published once, pulled beside the servers, and whatever it does, these go on serving."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import buckets
from tests.buckets import ACCESS_KEY, SECRET_KEY, SESSION_TOKEN, LyingBucket, environment, lying_bucket, moto_server
from tests.fleet import Installation
from tests.scenarios.callers import Callers
from tests.scenarios.depots import URL, publish, sync_status, syncing
from tests.scenarios.evidence import prove
from tests.scenarios.supply import SIGNERS, build, held, policy_of, sign

DATA = "records.lmdb"


@pytest.fixture(scope="session")
def third_night(template: Installation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Snapshot 3, of the demo's people."""
    return build(Installation(shutil.copytree(template.home, tmp_path_factory.mktemp("builder") / "home")), 3)


@pytest.fixture
def moto(site: Installation) -> Iterator[int]:
    """The site and whoever publishes know moto's bucket."""
    with moto_server() as port:
        site.environment.update(environment(port))
        yield port


@pytest.fixture
def bucket(site: Installation) -> Iterator[LyingBucket]:
    """The site and whoever publishes know a bucket of our own."""
    with lying_bucket() as made:
        site.environment.update(
            {**environment(made.port), "RELAIS_SYNC_ATTEMPTS": "2", "RELAIS_SYNC_READ_SECONDS": "2"}
        )
        yield made


def served(site: Installation) -> set[int | None]:
    """What the workers of the rights server serve; while they swap, status ends with 3."""
    told = json.loads(site.relais("status", "--fleet", "--json", status=None).stdout)
    return {worker["sequence"] for worker in told["workers"] if worker["server"] == "rights"}


async def test_what_is_published_is_served_by_every_worker_without_a_failed_request(
    site: Installation, moto: int, queries: list[bytes], next_night: Path, third_night: Path
):
    site.start("rights", workers=2)
    said = publish(site, next_night)
    assert "snapshot 2 published: s3://relais-tests/nights/ snapshots/2-" in said
    assert "signed by signer-1, signer-2" in said
    assert "no change" in publish(site, next_night)
    assert "snapshot 2 activated" in site.relais("snapshot", "sync", URL, "--once").stdout
    assert held(site) == {1: "superseded", 2: "active"}
    assert "snapshot 2 is the latest" in site.relais("snapshot", "sync", URL, "--once").stdout
    assert (site.home / "snapshots" / "2" / DATA).read_bytes() == (next_night / DATA).read_bytes()

    with syncing(site) as sync:
        sync.until(lambda: "snapshot 2 is the latest" in sync.said())
        async with Callers(site, queries, count=4) as callers:
            await callers.more(50)
            await asyncio.to_thread(publish, site, third_night)
            await callers.until(lambda: callers.replies[-1].snapshot == "3")
            await callers.more(50)
        sync.until(lambda: "snapshot 3 activated" in sync.said())
        assert sync.stop() == 0
    assert callers.losses == callers.refused == []
    assert {reply.snapshot for reply in callers.replies} == {"2", "3"}
    prove(site, callers.replies)
    assert served(site) == {3}
    assert held(site) == {1: "superseded", 2: "superseded", 3: "active"}
    status = sync_status(site)
    assert (status["source"], status["error"]) == (f"{URL}/", None)
    assert status["changed_at"] <= status["checked_at"]
    assert [path.name for path in (site.home / "incoming").iterdir()] == [".lock"]


def test_a_folder_does_as_well(site: Installation, tmp_path: Path, next_night: Path):
    depot = tmp_path / "depot"
    depot.mkdir()
    publish(site, next_night, str(depot))
    assert "snapshot 2 verified" in site.relais("snapshot", "load", depot.as_uri()).stdout
    assert held(site) == {1: "superseded", 2: "active"}
    assert "already active: no change" in site.relais("snapshot", "load", depot.as_uri()).stdout
    assert "is the latest" in site.relais("snapshot", "sync", str(depot), "--once").stdout


def test_a_sync_killed_half_way_through_a_download_goes_on_where_it_was(
    site: Installation, bucket: LyingBucket, next_night: Path
):
    publish(site, next_night)
    bucket.honest()
    bucket.bend(DATA, buckets.drip(0.0005, 1 << 30))
    with syncing(site) as sync:
        sync.until(lambda: sum(one.stat().st_size for one in (site.home / "incoming").glob("*/*.part")) > 100)
        os.kill(sync.process.pid, signal.SIGKILL)
        sync.process.wait()
    (part,) = (site.home / "incoming").glob("*/*.part")
    done = part.stat().st_size
    bucket.honest()
    assert "snapshot 2 activated" in site.relais("snapshot", "sync", URL, "--once").stdout
    size = (next_night / DATA).stat().st_size
    assert [one.range for one in bucket.asked if one.name.endswith(DATA) and one.method == "GET"] == [
        f"bytes={done}-{size - 1}"
    ]
    assert sum(count for name, count in bucket.served.items() if name.endswith(DATA)) == size - done
    assert held(site) == {1: "superseded", 2: "active"}


LIES: dict[str, tuple[str, buckets.Bend, str]] = {
    "no right": ("latest", buckets.says(403, "AccessDenied"), "403 AccessDenied"),
    "expired credentials": ("latest", buckets.says(400, "ExpiredToken"), "400 ExpiredToken"),
    "out of order": ("latest", buckets.says(503, "SlowDown"), "503 SlowDown"),
    "garbage": ("latest", buckets.holds(b"{"), "no pointer"),
    "gone": ("manifest.json", buckets.says(404, "NoSuchKey"), "404 NoSuchKey"),
    "cut": (DATA, buckets.cut(0), "broke off"),
    "silent": (DATA, buckets.silent(3.0), "the time was out"),
    "endless": (DATA, buckets.endless(), "goes on beyond"),
    "longer": (DATA, buckets.of_size(1 << 40), "too long"),
    "other bytes": (DATA, buckets.holds(b"other bytes"), "cut short"),
}


def test_no_lie_ends_the_sync_or_changes_what_serves_and_the_next_honest_look_works(
    site: Installation, bucket: LyingBucket, next_night: Path
):
    site.start("rights", workers=1)
    publish(site, site.home / "snapshots" / "1")
    older = bucket.objects["nights/latest"]
    publish(site, next_night)
    bucket.bend("latest", buckets.says(500))
    with syncing(site) as sync:
        sync.until_error("500")
        # In the order in which a look asks, so that none slips through between two of them.
        for ending, lie, told in LIES.values():
            bucket.turn(ending, lie)
            sync.until_error(told)
            assert served(site) == {1}
        bucket.honest()
        sync.until(lambda: served(site) == {2})
        sync.until_looked()
        assert sync_status(site)["error"] is None
        bucket.objects["nights/latest"] = older
        error = sync.until_error("a rollback")
        assert (error["step"], set(error)) == ("5 sequence against the floor", {"at", "step", "text"})
        assert held(site) == {1: "superseded", 2: "active"}
        assert sync.stop() == 0
        told = sync.said() + (site.home / "node" / "sync.json").read_text()
    for secret in (ACCESS_KEY, SECRET_KEY, SESSION_TOKEN, "http://"):
        assert secret not in told
    once = site.relais("snapshot", "sync", URL, "--once", status=1)
    assert "a rollback" in once.stderr
    assert once.stderr.count("\n") == 1
    bucket.bend("latest", buckets.says(503))
    assert site.relais("snapshot", "sync", URL, "--once", status=3).stderr.startswith("relais: latest: 503")


def test_bytes_that_were_refused_are_not_fetched_again_until_others_lie_there(
    site: Installation, bucket: LyingBucket, next_night: Path
):
    publish(site, next_night)
    place = bucket.place("nights/snapshots/2-", DATA)
    honest = bucket.objects[place]
    bucket.objects[place] = honest[:-1] + bytes([honest[-1] ^ 1])
    with syncing(site) as sync:
        sync.until_error("altered")
        bucket.honest()
        sync.until_looked(2)
        assert sync_status(site)["error"]["step"] == "7 file list, sizes, SHA-256"
        assert {one.method for one in bucket.asked if one.name == place} == {"HEAD"}
        bucket.objects[place] = honest
        sync.until(lambda: "snapshot 2 activated" in sync.said())
    assert held(site) == {1: "superseded", 2: "active"}


def test_by_hand_a_snapshot_is_held_until_somebody_activates_it(
    site: Installation, bucket: LyingBucket, next_night: Path
):
    publish(site, site.home / "snapshots" / "1")
    older = bucket.objects["nights/latest"]
    publish(site, next_night)
    waiting = "snapshot 2 is verified and waits for somebody to activate it: relais snapshot activate 2"
    assert waiting in site.relais("snapshot", "sync", URL, "--once", "--activate", "manual").stdout
    assert held(site) == {1: "active", 2: "verified"}
    changed_at = sync_status(site)["changed_at"]
    bucket.honest()
    assert waiting in site.relais("snapshot", "sync", URL, "--once", "--activate", "manual").stdout
    assert {one.name for one in bucket.asked} == {"nights/latest"}
    assert sync_status(site)["changed_at"] == changed_at
    data = site.home / "snapshots" / "2" / DATA
    good = data.read_bytes()
    data.chmod(0o644)
    data.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert "altered" in site.relais("snapshot", "activate", "2", status=1).stderr
    assert "snapshot 2 activated" in site.relais("snapshot", "sync", URL, "--once", "--activate", "auto").stdout
    assert data.read_bytes() == good
    assert "is the latest" in site.relais("snapshot", "sync", URL, "--once", "--activate", "manual").stdout
    bucket.objects["nights/latest"] = older
    assert "a rollback" in site.relais("snapshot", "sync", URL, "--once", "--activate", "manual", status=1).stderr


def test_a_pin_holds_against_a_sync_and_what_was_held_is_activated_after_it(
    site: Installation, bucket: LyingBucket, next_night: Path, third_night: Path
):
    publish(site, next_night)
    site.relais("snapshot", "sync", URL, "--once")
    site.relais("snapshot", "pin", "1", "--reason", "doubt about 2", "--until", "2h")
    assert "snapshot 2 is the latest" in site.relais("snapshot", "sync", URL, "--once").stdout
    publish(site, third_night)
    assert (
        "snapshot 3 is verified and waits because 1 is pinned" in site.relais("snapshot", "sync", URL, "--once").stdout
    )
    assert held(site) == {1: "active", 2: "quarantined", 3: "verified"}
    site.relais("snapshot", "unpin", "--reason", "3 is good")
    assert "snapshot 3 activated" in site.relais("snapshot", "sync", URL, "--once").stdout
    assert held(site)[3] == "active"


def test_the_guard_holds_a_sync_and_a_person_accepts_what_was_fetched(site: Installation, bucket: LyingBucket):
    policy = site.home.with_name("policy.toml")
    policy.write_text(policy_of(site).read_text().replace("renewal_grace_days = 31", "renewal_grace_days = 90", 1))
    publish(site, build(site, 2, policy=policy))
    refused = site.relais("snapshot", "sync", URL, "--once", status=1).stderr
    assert "9 guard" in refused
    assert held(site) == {1: "active"}
    bucket.honest()
    assert "9 guard" in site.relais("snapshot", "load", URL, status=1).stderr
    tried = site.relais("snapshot", "load", URL, "--dry-run", "--accept", "the AMC wrote").stdout
    assert "snapshot 2 would be activated" in tried
    assert "snapshot 2 verified" in site.relais("snapshot", "load", URL, "--accept", "the AMC wrote").stdout
    assert not [one for one in bucket.asked if one.name.endswith(DATA)]
    assert held(site) == {1: "superseded", 2: "active"}


def test_one_sync_a_home_and_a_signal_ends_it_also_while_it_waits_for_an_answer(
    site: Installation, bucket: LyingBucket, next_night: Path
):
    publish(site, next_night)
    site.environment["RELAIS_SYNC_READ_SECONDS"] = "600"
    bucket.bend(DATA, buckets.silent(120.0))
    with syncing(site) as sync:
        sync.until(lambda: any(one.name.endswith(DATA) for one in bucket.asked if one.method == "GET"))
        assert "another sync runs" in site.relais("snapshot", "sync", URL, "--once", status=1).stderr
        assert "another download is under way" in site.relais("snapshot", "load", URL, status=1).stderr
        assert sync.stop() == 0
    bucket.honest()
    with syncing(site) as sync:
        sync.until(lambda: "snapshot 2 activated" in sync.said())
        assert sync.stop() == 0


def test_settings_say_where_from_and_a_password_in_the_url_is_refused_unseen(site: Installation, bucket: LyingBucket):
    said = site.relais("snapshot", "sync", "s3://AKIASYNTH:sesame@bucket/x", "--once", status=1).stderr
    assert "sesame" not in said
    assert "AWS_*" in said
    assert "sync.url" in site.relais("snapshot", "sync", "--once", status=1).stderr
    site.environment["RELAIS_SYNC_URL"] = URL
    assert "404" in site.relais("snapshot", "sync", "--once", status=1).stderr
    assert sync_status(site)["source"] == f"{URL}/"
    for every in ("0s", "10", "1d", "-1s"):
        assert "--every" in site.relais("snapshot", "sync", f"--every={every}", status=1).stderr


def test_a_delta_brings_its_base_and_an_attestation_no_data_at_all(
    site: Installation, bucket: LyingBucket, next_night: Path
):
    site.start("rights", workers=1)
    publish(site, next_night)
    words = ("--policy", str(policy_of(site)), "--base", str(next_night))
    delta, renewed = site.home.with_name("delta-3"), site.home.with_name("renewed-4")
    rows = ("--source", str(site.home / "demo" / "rows.ndjson"))
    site.relais("snapshot", "build", *words, *rows, "--sequence", "3", "--out", str(delta))
    site.relais("snapshot", "attest", *words, "--sequence", "4", "--out", str(renewed), at_home=False)
    for folder in (delta, renewed):
        for signer in SIGNERS:
            sign(site, folder, signer)
    leaver = site.example("open")

    publish(site, delta)
    bucket.honest()
    assert "snapshot 3 activated" in site.relais("snapshot", "sync", URL, "--once").stdout
    assert [one.name.split("/")[2][:2] for one in bucket.asked if one.name.endswith(DATA)] == ["2-", "3-"]
    answer = site.ask(leaver).json()["answer"]
    assert (answer["source"]["snapshot"], answer["status"]) == (3, "open")

    publish(site, renewed)
    bucket.honest()
    assert "snapshot 4 activated" in site.relais("snapshot", "sync", URL, "--once").stdout
    assert not [one for one in bucket.asked if one.name.endswith(DATA)]
    answer = site.ask(leaver).json()["answer"]
    assert (answer["source"]["snapshot"], answer["status"]) == (4, "unknown")
