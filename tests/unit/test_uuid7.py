from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from service.uuid7 import UUID7_BYTES, uuid7


@given(st.integers(0, 2**48 - 1), st.binary(min_size=UUID7_BYTES, max_size=UUID7_BYTES))
def test_an_id_is_a_uuid_of_version_7_that_holds_its_time(milliseconds: int, chance: bytes):
    made = uuid.UUID(uuid7(milliseconds, chance))
    assert (made.version, made.variant, made.int >> 80) == (7, uuid.RFC_4122, milliseconds)
