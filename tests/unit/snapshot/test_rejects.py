from __future__ import annotations

import json
from pathlib import Path

from service.errors import RowRejected
from service.snapshot.rejects import Rejects


def test_rejects_are_listed_by_line_column_and_code(tmp_path: Path):
    rejects = Rejects(tmp_path / "rejects")
    assert not rejects.path.exists()
    rejects.add("rows.ndjson", 3, RowRejected("nir", "malformed"))
    rejects.add("rows.ndjson", 7, RowRejected("", "not_json"))
    rejects.close()
    assert [json.loads(line) for line in rejects.path.read_text().splitlines()] == [
        {"source": "rows.ndjson", "line": 3, "column": "nir", "code": "malformed"},
        {"source": "rows.ndjson", "line": 7, "column": None, "code": "not_json"},
    ]


def test_a_summary_tells_the_most_frequent_fault_first_and_where_it_began(tmp_path: Path):
    rejects = Rejects(tmp_path / "rejects")
    rejects.add("a", 1, RowRejected("", "not_json"))
    for line in range(2, 8):
        rejects.add("a", line, RowRejected("nir", "missing"))
    assert rejects.summary() == "nir missing: 6 (first at a:2, a:3, a:4); row not_json: 1 (first at a:1)"
    for number in range(10):
        rejects.add("a", 9, RowRejected(f"column_{number}", "missing"))
    assert rejects.summary().endswith("; …")
    rejects.close()
