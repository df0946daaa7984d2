"""What building a snapshot is measured against: the same rows, checked by the same rules, imported into SQLite.

    python benchmarks/sqlite_import.py --rows rows.ndjson --policy policy.toml --database rows.sqlite

An ordinary script, as somebody would write it who knows SQLite well: orjson, compiled expressions, executemany in
batches in one transaction, no journal and no syncs while importing, indexes after the rows. It checks what the
builder checks and rejects, drops or refuses the same rows (tests/unit/benchmarks compares them); it knows nothing of
the product's code, and does not seal, sign or merge anything. Prints its figures as one JSON object.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import datetime as dt
import itertools
import json
import os
import re
import resource
import sqlite3
import sys
import time
import tomllib
import zoneinfo
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

Row = dict[str, Any]
PARIS = zoneinfo.ZoneInfo("Europe/Paris")
COLUMNS = ("nir", "birth_date", "birth_rank", "amc", "member", "csr", "convention", "payer_rank", "valid_from")
COLUMNS += ("valid_to", "card_valid_to", "closed_on", "suspended", "responsible", "domains", "rates", "rate_base")
TYPES = dict.fromkeys(COLUMNS, str) | {"birth_rank": int, "payer_rank": int, "responsible": bool}
TYPES |= {"suspended": list, "domains": list, "rates": dict}
NULLABLE = {"valid_to", "card_valid_to", "closed_on"}

NIR = re.compile(r"[1-4]\d{2}(?:0[1-9]|1[0-2]|[2-9]\d)(?:\d{2}|2A|2B)\d{6}", re.ASCII)
NIR_WITHOUT_KEY = re.compile(r"[5-8][12]\d{11}|555555\d{7}", re.ASCII)
FICTITIOUS = re.compile(r"2555555\d{3}0(?:30|42)|555555\d{7}", re.ASCII)
KEY = re.compile(r"\d{2}", re.ASCII)
DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
COMPACT_DATE = re.compile(r"\d{8}", re.ASCII)
AMC = re.compile(r"\d{8,10}", re.ASCII)
MEMBER = re.compile(r"[0-9A-Z./-]{1,20}", re.ASCII)
CONVENTION = re.compile(r"[0-9A-Za-z]{2}", re.ASCII)
CODE = re.compile(r"[0-9A-Za-z_./-]{1,20}", re.ASCII)

MAX_LINE_BYTES = 64 * 1024
KEPT_DAYS = 60
MAX_REJECT_SHARE = 0.001
BATCH = 10_000

TABLE = """
CREATE TABLE contracts (
    nir TEXT NOT NULL, birth_date TEXT NOT NULL, birth_rank INTEGER NOT NULL, amc TEXT NOT NULL, member TEXT NOT NULL,
    csr TEXT NOT NULL, convention TEXT NOT NULL, payer_rank INTEGER NOT NULL, valid_from TEXT NOT NULL, valid_to TEXT,
    card_valid_to TEXT, closed_on TEXT, suspended TEXT NOT NULL, responsible INTEGER NOT NULL, domains TEXT NOT NULL,
    rates TEXT NOT NULL, rate_base TEXT NOT NULL
)
"""
INSERT = f"INSERT INTO contracts VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - question marks
INDEXES = (
    "CREATE INDEX by_nir ON contracts (nir, birth_date, birth_rank)",
    "CREATE INDEX by_member ON contracts (amc, member, birth_date, birth_rank)",
)


class Rejected(Exception):  # noqa: N818
    def __init__(self, column: str, code: str) -> None:
        super().__init__(column, code)
        self.column = column
        self.code = code


def check(line: bytes) -> Row:
    """The row of a line, normalised. Raises `Rejected`; a column nobody may deliver ends the import."""
    if len(line) > MAX_LINE_BYTES:
        raise Rejected("", "too_long")
    row = parse(line)
    for column, kind in TYPES.items():
        value = row[column]
        if value is None and column not in NULLABLE:
            raise Rejected(column, "missing")
        if value is not None and type(value) is not kind:
            raise Rejected(column, "wrong_type")
    row["nir"] = nir(row["nir"])
    row["birth_date"] = birth_date(row["birth_date"])
    row["amc"] = matching(AMC, "amc", row["amc"]).zfill(10)
    row["member"] = matching(MEMBER, "member", capitals("member", row["member"]))
    matching(CONVENTION, "convention", row["convention"])
    if len(row["csr"]) > 9 or not row["csr"].isprintable():
        raise Rejected("csr", "malformed")
    between("birth_rank", row["birth_rank"], 1, 9)
    between("payer_rank", row["payer_rank"], 1, 99)
    check_dates(row)
    check_parts(row)
    if row["rate_base"] not in ("TR", "TM"):
        raise Rejected("rate_base", "malformed")
    return row


def parse(line: bytes) -> Row:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            line.decode()
        except UnicodeDecodeError:
            raise Rejected("", "not_utf8") from None
        raise Rejected("", "not_json") from None
    if type(row) is not dict:
        raise Rejected("", "wrong_type")
    if row.keys() != TYPES.keys():
        unknown = row.keys() - TYPES.keys()
        if unknown:
            raise SystemExit("the source has a column that is not asked for")
        raise Rejected(next(column for column in COLUMNS if column not in row), "missing")
    rates = row["rates"]
    # orjson takes the last of two members of one name; each has its colon.
    if line.count(b":") != len(COLUMNS) + (len(rates) if type(rates) is dict else 0):
        check_distinct(line)
    return row


def check_distinct(line: bytes) -> None:
    def members(pairs: list[tuple[str, Any]]) -> Row:
        names = [name for name, _ in pairs]
        for name in names:
            if names.count(name) > 1:
                raise Rejected(name if name in TYPES else "rates", "repeated")
        return dict(pairs)

    json.loads(line, object_pairs_hook=members)


def matching(pattern: re.Pattern[str], column: str, text: str) -> str:
    if not pattern.fullmatch(text):
        raise Rejected(column, "malformed" if text else "missing")
    return text


def capitals(column: str, text: str) -> str:
    if not text.isascii():
        raise Rejected(column, "malformed")
    return text.replace(" ", "").upper()


def nir(text: str) -> str:
    written = capitals("nir", text).replace(".", "")
    number, key = written[:13], written[13:]
    if key:
        matching(KEY, "nir", key)
    if NIR_WITHOUT_KEY.fullmatch(number):
        return number
    if not NIR.fullmatch(number):
        raise Rejected("nir", "malformed" if text else "missing")
    if key:
        digits = number.replace("2A", "19").replace("2B", "18")
        if 97 - int(digits) % 97 != int(key):
            raise Rejected("nir", "malformed")
    return number


def birth_date(text: str) -> str:
    if COMPACT_DATE.fullmatch(text):
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return matching(DATE, "birth_date", text)  # it may be lunar


def between(column: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise Rejected(column, "malformed")


def check_date(column: str, text: Any) -> None:
    if type(text) is not str:
        raise Rejected(column, "missing" if text is None else "wrong_type")
    try:
        if DATE.fullmatch(text):
            dt.date.fromisoformat(text)
            return
    except ValueError:
        pass
    raise Rejected(column, "malformed")


def check_dates(row: Row) -> None:
    check_date("valid_from", row["valid_from"])
    for column in ("valid_to", "card_valid_to", "closed_on"):
        if row[column] is not None:
            check_date(column, row[column])
    if row["valid_to"] is not None and row["valid_to"] < row["valid_from"]:
        raise Rejected("valid_to", "before_valid_from")


def check_parts(row: Row) -> None:
    for gap in row["suspended"]:
        check_gap(gap)
    if len(row["domains"]) > 64:
        raise Rejected("domains", "malformed")
    for code in row["domains"]:
        check_code("domains", code)
    if len(row["rates"]) > 256:
        raise Rejected("rates", "malformed")
    for code, percent in row["rates"].items():
        check_code("rates", code)
        if type(percent) is not int:
            raise Rejected("rates", "missing" if percent is None else "wrong_type")
        between("rates", percent, 0, 1000)


def check_gap(gap: Any) -> None:
    if type(gap) is not list:
        raise Rejected("suspended", "wrong_type")
    if len(gap) != 2:
        raise Rejected("suspended", "malformed")
    since, until = gap
    check_date("suspended", since)
    if until is not None:
        check_date("suspended", until)
        if until < since:
            raise Rejected("suspended", "malformed")


def check_code(column: str, code: Any) -> None:
    if type(code) is not str:
        raise Rejected(column, "missing" if code is None else "wrong_type")
    if not CODE.fullmatch(code):
        raise Rejected(column, "malformed")


def stored(row: Row) -> tuple[Any, ...]:
    """A row as the table has it: what has parts as JSON text."""
    return (
        row["nir"],
        row["birth_date"],
        row["birth_rank"],
        row["amc"],
        row["member"],
        row["csr"],
        row["convention"],
        row["payer_rank"],
        row["valid_from"],
        row["valid_to"],
        row["card_valid_to"],
        row["closed_on"],
        orjson.dumps(row["suspended"]).decode(),
        row["responsible"],
        orjson.dumps(row["domains"]).decode(),
        orjson.dumps(row["rates"]).decode(),
        row["rate_base"],
    )


class Import:
    """One pass over the rows."""

    def __init__(self, policy: Path, rejects: Path) -> None:
        self.rows = self.dropped = self.rejected = 0
        self.faults: collections.Counter[str] = collections.Counter()
        self._oldest = {}
        for amc in tomllib.loads(policy.read_text("utf-8"))["amc"]:
            extracted = amc["extracted_at"].astimezone(PARIS).date()
            self._oldest[amc["number"].zfill(10)] = str(extracted - dt.timedelta(days=KEPT_DAYS))
        self._rejects = rejects

    def kept(self, file: BinaryIO) -> Iterator[tuple[Any, ...]]:
        """Rows to be stored; the others are counted, and the bad ones listed."""
        with self._rejects.open("w", encoding="utf-8") as rejects:
            for number, line in enumerate(file, start=1):
                if line.isspace():
                    continue
                self.rows += 1
                try:
                    row = check(line)
                except Rejected as rejected:
                    self.rejected += 1
                    self.faults[f"{rejected.column or 'row'} {rejected.code}"] += 1
                    listed = {"line": number, "column": rejected.column or None, "code": rejected.code}
                    rejects.write(json.dumps(listed) + "\n")
                    continue
                if self._is_kept(row):
                    yield stored(row)
                else:
                    self.dropped += 1

    def _is_kept(self, row: Row) -> bool:
        oldest = self._oldest.get(row["amc"])
        if oldest is None:
            raise SystemExit(f"AMC {row['amc']} is not in the policy file")
        if FICTITIOUS.fullmatch(row["nir"]):
            return False
        return not any(end is not None and end < oldest for end in (row["valid_to"], row["closed_on"]))


def fill(database: sqlite3.Connection, rows: Iterator[tuple[Any, ...]]) -> None:
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    database.execute("PRAGMA cache_size = -65536")
    database.execute(f"PRAGMA threads = {os.cpu_count() or 1}")
    database.execute(TABLE)
    database.execute("BEGIN")
    while batch := list(itertools.islice(rows, BATCH)):
        database.executemany(INSERT, batch)
    database.execute("COMMIT")


def index(database: sqlite3.Connection) -> None:
    for statement in INDEXES:
        database.execute(statement)


def make_durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def run(rows: Path, policy: Path, path: Path) -> dict[str, Any]:
    work = Import(policy, path.with_name(f"{path.name}.rejects.ndjson"))
    wall, cpu = time.perf_counter(), time.process_time()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        with rows.open("rb", buffering=1 << 20) as file:
            fill(database, work.kept(file))
        imported = time.perf_counter() - wall
        if work.rejected > MAX_REJECT_SHARE * work.rows:
            raise SystemExit(f"{work.rejected} of {work.rows} rows are bad: {dict(work.faults)}")
        index(database)
        make_durable(path)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        distinct = "SELECT count(*) FROM (SELECT DISTINCT nir, birth_date, birth_rank FROM contracts)"
        people = database.execute(distinct).fetchone()[0]
    size = path.stat().st_size
    return {
        "rows": work.rows,
        "contracts": work.rows - work.rejected - work.dropped,
        "people": people,
        "rejected": work.rejected,
        "rejects": dict(sorted(work.faults.items())),
        "dropped": work.dropped,
        "wall_s": round(wall, 2),
        "wall_s_until_indexing": round(imported, 2),
        "cpu_s": round(cpu, 2),
        "cpu_us_a_row": round(cpu / work.rows * 1e6, 2),
        "rows_a_second": round(work.rows / wall),
        "peak_rss_mb": round(peak / 1024, 1),
        "bytes": size,
        "bytes_a_person": round(size / people, 1),
        "sqlite": sqlite3.sqlite_version,
        "cores": os.cpu_count(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, required=True, help="NDJSON, as stubs.population writes it")
    parser.add_argument("--policy", type=Path, required=True, help="the policy file that belongs to the rows")
    parser.add_argument("--database", type=Path, required=True, help="SQLite file to write; must not exist")
    arguments = parser.parse_args()
    if arguments.database.exists():
        parser.error(f"{arguments.database} exists")
    json.dump(run(arguments.rows, arguments.policy, arguments.database), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
