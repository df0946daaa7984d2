"""One bit flipped, in every region of the two files of a snapshot: first unsigned, then signed by an evil threshold.

Unsigned, SHA-256 or a signature tells. Signed, the damage itself must be harmless: verified in a process of its own,
so that one killed by a signal is seen, and looked up person by person: never anybody's rights but their own.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from tests.attacks.forge import MANIFEST, RECORDS, Forge, sha256
from tests.attacks.judge import REFUSED, UNREADABLE, WHOLE, judged
from tests.attacks.regions import regions
from tests.attacks.victim import Contracts, Victim, in_child

SIGNATURES = "2 signatures and threshold"
FILES = "7 file list, sizes, SHA-256"
#: How many places are tried in each region.
PLACES = 8


def test_a_bit_of_the_manifest_is_refused_wherever_it_lies(victim: Victim, forge: Forge, second: Path):
    folder = forge.copy(second)
    good = (second / MANIFEST).read_bytes()
    chosen = random.Random(1)  # noqa: S311 - the same places in every run
    marks = {part: good.index(f'"{part}":"'.encode()) for part in ("payload", "protected", "signature")}
    spans = {part: (start, good.index(b'"', start + len(part) + 4) + 1) for part, start in marks.items()}
    places = [place for span in spans.values() for place in chosen.sample(range(*span), PLACES)]
    places += [good.index(mark) for mark in (b'"signatures"', b"[", b"]", b"},{")] + [0, len(good) - 1]
    before = victim.state()
    for place in places:
        forge.put(folder / MANIFEST, good)
        forge.flip(folder / MANIFEST, place, chosen.randrange(8))
        said = victim.load(folder)
        assert (said.status, said.out, said.err.count("\n")) == (1, "", 1), place
        assert said.err.startswith(f"relais: refused at step {SIGNATURES}: expected 2 of signer-1, signer-2; "), place
        assert victim.verdict(folder)["step"] == SIGNATURES
        assert victim.state() == before, place
    forge.put(folder / MANIFEST, good)
    victim.takes(folder, 2)


def test_a_bit_of_the_records_is_refused_by_its_digest(victim: Victim, forge: Forge, second: Path):
    folder = forge.copy(second)
    good = (second / RECORDS).read_bytes()
    chosen = random.Random(2)  # noqa: S311 - the same places in every run
    before = victim.state()
    for region, places in regions(good).items():
        forge.put(folder / RECORDS, good)
        forge.flip(folder / RECORDS, chosen.choice(places), chosen.randrange(8))
        evil = sha256((folder / RECORDS).read_bytes())
        said = victim.load(folder)
        line = f"expected records.lmdb of SHA-256 {sha256(good)}; found {evil}: altered"
        assert (said.status, said.out, said.err) == (1, "", f"relais: refused at step {FILES}: {line}\n"), region
        assert victim.verdict(folder)["step"] == FILES
        assert victim.state() == before, region
    forge.put(folder / RECORDS, good)
    victim.takes(folder, 2)


#: What a flipped bit may lead to, by the region it lies in. Everywhere else than in these, the page check refuses some.
HARMLESS = {"sealed value", "rest of the meta pages", "leaf free space", "branch free space", "pages in no use"}


def test_a_bit_flipped_and_signed_kills_nobody_and_gives_nobody_other_rights(
    victim: Victim, forge: Forge, second: Path, truth: dict[str, Contracts]
):
    folder = forge.copy(second)
    good = (second / RECORDS).read_bytes()
    chosen = random.Random(3)  # noqa: S311 - the same places in every run
    tally: dict[str, Counter[int]] = {}
    before = victim.state()
    for region, places in regions(good).items():
        for place in chosen.sample(list(places), min(PLACES, len(places))):
            bit = chosen.randrange(8)
            forge.put(folder / RECORDS, good)
            forge.flip(folder / RECORDS, place, bit)
            forge.refit(folder)
            outcome = in_child(lambda: judged(victim, folder, truth))
            assert outcome in (WHOLE, UNREADABLE, REFUSED), (region, place, bit, outcome)
            tally.setdefault(region, Counter())[outcome] += 1
    assert victim.state() == before
    # The damage did reach what it was meant to reach.
    assert all(tally[region][REFUSED] for region in tally if region not in HARMLESS | {"leaf key", "branch key"})
    assert tally["sealed value"] == {UNREADABLE: PLACES}
    for region in HARMLESS - {"sealed value"}:
        assert set(tally[region]) == {WHOLE}, region
    victim.takes(second, 2)


def test_random_damage_signed_kills_nobody_and_gives_nobody_other_rights(
    victim: Victim, forge: Forge, second: Path, truth: dict[str, Contracts]
):
    """Not one bit but words of noise, where lookups lead: page numbers, offsets, sizes."""
    folder = forge.copy(second)
    good = (second / RECORDS).read_bytes()
    chosen = random.Random(4)  # noqa: S311 - the same places in every run
    parts = regions(good)
    guides = [name for name in parts if "header" in name or "pointers" in name or name.startswith("meta page")]
    tally: Counter[int] = Counter()
    for _ in range(40):
        data = bytearray(good)
        for _ in range(chosen.randrange(1, 4)):
            place = chosen.choice(parts[chosen.choice(guides)])
            data[place : place + 2] = chosen.randbytes(2)
        forge.put(folder / RECORDS, bytes(data[: len(good)]))
        forge.refit(folder)
        outcome = in_child(lambda: judged(victim, folder, truth))
        assert outcome in (WHOLE, UNREADABLE, REFUSED), outcome
        tally[outcome] += 1
    assert tally[REFUSED] > 20
    victim.takes(second, 2)


def test_an_older_state_of_the_same_file_is_refused_though_signed(victim: Victim, forge: Forge, second: Path):
    """The engine keeps the state before the last commit; one word makes it the newest again, some people less."""
    folder = forge.copy(second)
    data = bytearray((second / RECORDS).read_bytes())
    older = min((0, 4096), key=lambda base: int.from_bytes(data[base + 144 : base + 152], "little"))
    data[older + 144 : older + 152] = (2**40).to_bytes(8, "little")
    forge.put(folder / RECORDS, bytes(data))
    forge.refit(folder)
    entries = forge.payload(second)["counts"]["entries"]
    held = int.from_bytes(data[older + 120 : older + 128], "little") - 1
    assert held < entries
    expected = f"records.lmdb to be a whole layer of {entries} records and a probe"
    victim.refuses(folder, FILES, expected, f"{held} records")
    victim.takes(second, 2)
