"""Nothing is acknowledged that is not on disk, whatever fails."""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from service.base64url import b64u
from service.errors import ChainBroken, JournalUnwritable, KeyRejected
from service.journal import register as register_module
from service.journal import segment as segment_module
from service.journal import writer as writer_module
from service.journal.damage import Cause
from service.journal.entries import Header, parse_entry
from service.journal.merkle import leaf_hash
from service.journal.reader import find_head
from service.journal.receipt import verify_receipt
from service.journal.segment import peek_header
from service.journal.verify import verify_journal
from service.journal.writer import JournalWriter
from service.strictjson import canonical
from tests.unit.journal.journal_node import NODE, Node, answer, officer_jwk, pending, public, signing_key


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer_module, "REOPEN_SECONDS", 0.02)
    monkeypatch.setattr(register_module, "ADVANCE_SECONDS", 0.02)


def headers(node: Node) -> list[Header]:
    found = [peek_header(path) for path in node.segments()]
    return [header for header in found if header is not None]


def entries(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines() if line.startswith(b'{"at"')]


async def reopened(writer: JournalWriter) -> None:
    for _ in range(200):
        if writer.writable:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the journal did not open again")


async def test_what_waits_together_is_one_batch_and_each_receipt_holds(node: Node):
    receipts = await node.write(1, 5)
    assert [receipt.index for receipt in receipts] == [0, 0, 1, 2, 3, 4]
    assert len({receipt.head for receipt in receipts}) == 2
    for number, receipt in enumerate(receipts):
        assert verify_receipt(answer(number), msgspec.to_builtins(receipt), node.keys).valid
    position = find_head(node.directory, receipts[-1].head)
    assert position is not None
    assert (position.first, position.last, position.line) == (1, 5, 9)


async def test_entries_that_arrive_during_a_write_form_the_next_batch(node: Node, monkeypatch: pytest.MonkeyPatch):
    writer = node.writer()
    await writer.start()
    true_write = os.write

    def slow(descriptor: int, data: bytes) -> int:
        time.sleep(0.05)
        return true_write(descriptor, data)

    monkeypatch.setattr(segment_module.os, "write", slow)
    first = writer.record(pending(0))
    await asyncio.sleep(0.01)
    later = [writer.record(pending(1)), writer.record(pending(2))]
    await asyncio.gather(first, *later)
    assert writer.status.batches == 2
    await writer.close()


async def test_a_batch_has_a_limit(node: Node, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer_module, "MAX_BATCH", 10)
    await node.write(25)
    assert verify_journal(node.directory, node.keys, node.register).batches == 3


async def test_a_fictitious_nir_leaves_neither_subject_nor_sealed_part(node: Node):
    writer = node.writer()
    await writer.start()
    await writer.record(pending(identity=None))
    await writer.close()
    (entry,) = entries(node.segments()[0])
    assert (entry["subject"], entry["sealed"], entry["n"]) == (None, None, 0)
    assert verify_journal(node.directory, node.keys, node.register).whole


async def test_no_identity_stands_in_the_clear(node: Node):
    await node.write(3)
    text = node.segments()[0].read_bytes() + node.segments()[0].with_suffix(".key").read_bytes()
    for secret in (b"1850575116001", b"1985-05-12", b'beneficiary"', b"contracts"):
        assert secret not in text


async def test_each_start_and_each_paris_day_begins_a_segment_that_names_the_last_head(node: Node):
    node.clock.value = dt.datetime(2024, 2, 5, 22, 59, 59, tzinfo=dt.UTC)
    writer = node.writer()
    await writer.start()
    await writer.record(pending(0))
    node.clock.value += dt.timedelta(seconds=1)
    receipt = await writer.record(pending(1))
    await writer.close()
    await node.write(1)
    first, second, third = headers(node)
    assert first.previous is None
    assert second.previous is not None
    assert second.previous.journal == first.journal
    assert third.previous is not None
    assert third.previous.journal == second.journal
    assert receipt.index == 0
    assert verify_journal(node.directory, node.keys, node.register).findings == ()


async def test_workers_have_chains_of_their_own(node: Node):
    await asyncio.gather(node.write(1, worker=0), node.write(2, worker=1))
    await asyncio.gather(node.write(1, worker=0), node.write(2, worker=1))
    report = verify_journal(node.directory, node.keys, node.register)
    assert (report.findings, report.segments, report.entries) == ((), 4, 6)


async def test_the_chain_goes_on_when_the_clock_went_back(node: Node):
    await node.write(1)
    await node.write(1)
    node.clock.value -= dt.timedelta(days=2)
    await node.write(1)
    await node.write(1)
    assert verify_journal(node.directory, node.keys, node.register).findings == ()


FAULTS = [("write", n) for n in range(4)] + [("fdatasync", n) for n in range(4)] + [("fsync", n) for n in range(4)]


@pytest.mark.parametrize(("call", "nth"), FAULTS)
async def test_the_nth_failure_loses_no_acknowledged_answer(
    node: Node, monkeypatch: pytest.MonkeyPatch, call: str, nth: int
):
    true_call: Callable[..., Any] = getattr(os, call)
    calls = 0

    def fail_once(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth + 1:
            raise OSError(errno.EIO, "injected")
        return true_call(*arguments)

    monkeypatch.setattr(os, call, fail_once)
    writer = node.writer(fsync=True)
    await writer.start()
    await reopened(writer)
    acknowledged, failed = [], 0
    for number in range(8):
        try:
            acknowledged.append(await writer.record(pending(number)))
        except JournalUnwritable:
            failed += 1
            await reopened(writer)
    await writer.close()
    assert calls > nth
    assert writer.status.failures == 1
    assert failed == (0 if call == "fsync" else 1)
    report = verify_journal(node.directory, node.keys, node.register)
    assert report.whole
    assert {finding.cause for finding in report.findings} <= {Cause.TORN_TAIL}
    assert all(find_head(node.directory, receipt.head) for receipt in acknowledged)


@pytest.mark.parametrize("call", ["write", "fdatasync"])
async def test_a_failure_is_not_tried_again_on_the_same_segment(node: Node, monkeypatch: pytest.MonkeyPatch, call: str):
    used: list[int] = []

    def fail(descriptor: int, *_: Any) -> int:
        used.append(descriptor)
        raise OSError(errno.ENOSPC, "injected")

    writer = node.writer(fsync=True)
    await writer.start()
    before = node.segments()
    monkeypatch.setattr(segment_module.os, call, fail)
    waiting = [writer.record(pending(0))]
    await asyncio.sleep(0)
    waiting.append(writer.record(pending(1)))
    for result in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(result, JournalUnwritable)
    monkeypatch.undo()
    await reopened(writer)
    assert len(used) == 1
    assert len(node.segments()) == len(before) + 1
    await writer.record(pending(2))
    await writer.close()
    assert verify_journal(node.directory, node.keys, node.register).whole


async def test_a_short_write_is_a_failed_one(node: Node, monkeypatch: pytest.MonkeyPatch):
    writer = node.writer()
    await writer.start()
    true_write = os.write
    monkeypatch.setattr(segment_module.os, "write", lambda descriptor, data: true_write(descriptor, data[:50]))
    with pytest.raises(JournalUnwritable):
        await writer.record(pending())
    monkeypatch.undo()
    await reopened(writer)
    await writer.record(pending())
    await writer.close()
    report = verify_journal(node.directory, node.keys, node.register)
    assert [finding.cause for finding in report.findings] == [Cause.TORN_TAIL]


async def test_a_batch_on_disk_whose_fsync_failed_is_told_from_a_fork(node: Node, monkeypatch: pytest.MonkeyPatch):
    writer = node.writer(fsync=True)
    await writer.start()
    await writer.record(pending(0))

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "injected")

    monkeypatch.setattr(segment_module.os, "fdatasync", fail)
    with pytest.raises(JournalUnwritable):
        await writer.record(pending(1))
    monkeypatch.undo()
    await reopened(writer)
    await writer.close()
    (finding,) = verify_journal(node.directory, node.keys, node.register).findings
    assert (finding.cause, finding.first, finding.last) == (Cause.TORN_TAIL, 1, 1)


@pytest.fixture
def hung_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Flushing hangs until the event is set."""
    back, true_call = threading.Event(), os.fdatasync

    def hang(descriptor: int) -> None:
        back.wait(30)
        true_call(descriptor)

    monkeypatch.setattr(segment_module.os, "fdatasync", hang)
    yield back
    back.set()


async def test_a_disk_that_hangs_fails_who_waits_and_recovers(
    node: Node, monkeypatch: pytest.MonkeyPatch, hung_disk: threading.Event
):
    monkeypatch.setattr(writer_module, "STALL_SECONDS", 0.05)
    writer = node.writer(fsync=True)
    await writer.start()
    under_way = writer.record(pending(0))
    await asyncio.sleep(0)
    waiting = writer.record(pending(1))
    for result in await asyncio.gather(under_way, waiting, return_exceptions=True):
        assert isinstance(result, JournalUnwritable)
    assert not writer.writable
    with pytest.raises(JournalUnwritable):
        await writer.record(pending(2))
    hung_disk.set()
    await reopened(writer)
    await writer.record(pending(3))
    await writer.close()
    report = verify_journal(node.directory, node.keys, node.register)
    assert (report.findings, report.entries) == ((), 2)


async def test_no_more_wait_for_the_disk_than_there_is_room_for(
    node: Node, monkeypatch: pytest.MonkeyPatch, hung_disk: threading.Event
):
    monkeypatch.setattr(writer_module, "MAX_WAITING", 4)
    writer = node.writer(fsync=True)
    await writer.start()
    under_way = writer.record(pending(0))
    await asyncio.sleep(0.01)
    waiting = [writer.record(pending(number)) for number in range(1, 5)]
    with pytest.raises(JournalUnwritable):
        await writer.record(pending(5))
    hung_disk.set()
    assert len(await asyncio.gather(under_way, *waiting)) == 5
    await writer.close()


async def test_without_a_place_to_write_the_journal_is_not_writable_and_recovers(node: Node):
    node.directory.parent.mkdir(exist_ok=True)
    node.directory.write_text("in the way")
    writer = node.writer()
    await writer.start()
    assert not writer.writable
    with pytest.raises(JournalUnwritable):
        await writer.record(pending())
    assert writer.status.last_failure is not None
    node.directory.unlink()
    await reopened(writer)
    await writer.record(pending())
    await writer.close()
    assert verify_journal(node.directory, node.keys, node.register).findings == ()


async def test_a_day_that_cannot_begin_fails_who_waits_and_recovers(node: Node):
    writer = node.writer()
    await writer.start()
    await writer.record(pending())
    node.clock.value += dt.timedelta(days=1)
    aside = node.directory.with_name("aside")
    node.directory.rename(aside)
    with pytest.raises(JournalUnwritable):
        await writer.record(pending())
    assert not writer.writable
    aside.rename(node.directory)
    await reopened(writer)
    await writer.record(pending())
    await writer.close()
    assert verify_journal(node.directory, node.keys, node.register).findings == ()


async def test_an_answer_that_cannot_be_encoded_fails_and_leaves_the_journal_whole(node: Node):
    writer = node.writer()
    await writer.start()
    with pytest.raises(JournalUnwritable):
        await writer.record(pending(client="\ud800"))
    await reopened(writer)
    await writer.record(pending())
    await writer.close()
    assert verify_journal(node.directory, node.keys, node.register).findings == ()


async def test_an_answer_beyond_the_limit_fails_alone(node: Node):
    writer = node.writer()
    await writer.start()
    too_long = writer.record(pending(answer=b"x" * (2 * 1024 * 1024 + 1)))
    await writer.record(pending())
    with pytest.raises(JournalUnwritable):
        await too_long
    assert writer.writable
    await writer.close()


async def test_a_caller_who_left_does_not_disturb_the_others(node: Node):
    writer = node.writer()
    await writer.start()
    gone, stays = writer.record(pending(0)), writer.record(pending(1))
    gone.cancel()
    assert (await stays).index == 1
    await writer.close()


async def test_closing_records_what_waits_and_refuses_what_comes(node: Node):
    writer = node.writer()
    await writer.start()
    waiting = [writer.record(pending(number)) for number in range(3)]
    await writer.close()
    assert all(future.done() and future.exception() is None for future in waiting)
    with pytest.raises(JournalUnwritable):
        await writer.record(pending())
    (known,) = node.register.segments()
    assert known.entries == 3


async def test_the_register_learns_at_intervals_and_at_the_end(node: Node, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(register_module, "ADVANCE_SECONDS", 60.0)
    writer = node.writer()
    await writer.start()
    for number in range(20):
        await writer.record(pending(number))
    assert node.register.calls <= 3
    await writer.close()
    assert node.register.calls <= 5
    (known,) = node.register.segments()
    assert known.entries == 20


async def test_a_lost_register_delays_nobody_and_catches_up(node: Node):
    node.register.down = True
    writer = node.writer()
    await writer.start()
    await writer.record(pending())
    await asyncio.sleep(0.1)
    assert writer.status.register_failure == "StoreUnavailable"
    node.register.down = False
    await asyncio.sleep(0.1)
    assert writer.status.register_failure is None
    await writer.close()
    assert verify_journal(node.directory, node.keys, node.register).findings == ()


async def test_a_register_that_knows_a_fork_stays_an_alarm(node: Node, monkeypatch: pytest.MonkeyPatch):
    def forked(*_: Any) -> None:
        raise ChainBroken

    monkeypatch.setattr(node.register, "advance", forked)
    writer = node.writer()
    await writer.start()
    await writer.record(pending())
    await asyncio.sleep(0.1)
    monkeypatch.undo()
    await writer.record(pending())
    await asyncio.sleep(0.1)
    assert writer.status.register_failure == "ChainBroken"
    await writer.close()


def test_a_journal_without_an_officer_is_refused(node: Node):
    for officers in ([], [signing_key().public.jwk], [{**public(officer_jwk()), "use": "sig"}]):
        with pytest.raises(KeyRejected):
            JournalWriter(node.directory, NODE, 0, node.key, officers, node.clock, node.register)


CHILD = """
import asyncio, sys
from pathlib import Path
from tests.unit.journal.journal_node import Node, pending

async def main() -> None:
    node = Node(Path(sys.argv[1]))
    writer = node.writer(fsync=True)
    await writer.start()

    async def ask(lane: int) -> None:
        for number in range(100000):
            receipt = await writer.record(pending(number))
            print(receipt.head, receipt.index, number, flush=True)

    await asyncio.gather(*[ask(lane) for lane in range(8)])

asyncio.run(main())
"""


def test_kill_9_loses_no_acknowledged_answer(node: Node):
    told: list[str] = []
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    for lines in (1, 40, 150):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(node.directory)], stdout=subprocess.PIPE, text=True, env=environment
        )
        assert child.stdout is not None
        told += [child.stdout.readline() for _ in range(lines)]
        os.kill(child.pid, signal.SIGKILL)
        told += [line for line in child.stdout if line.endswith("\n")]
        child.stdout.close()
        child.wait()
    report = verify_journal(node.directory, node.keys, None)
    assert report.whole
    assert report.segments == 3
    leaves = {}
    for path in node.segments():
        for line in path.read_bytes().splitlines():
            if line.startswith(b'{"at"'):
                entry = parse_entry(line)
                leaves[path.stem, entry.n] = entry.leaf
    for line in told:
        head, index, number = line.split()
        position = find_head(node.directory, head)
        assert position is not None
        expected = b64u(leaf_hash(canonical(answer(int(number)))))
        assert leaves[position.journal, position.first + int(index)] == expected
