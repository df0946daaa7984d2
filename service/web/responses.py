"""JSON out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson
from aiohttp import hdrs, web

JSON: Final[Mapping[str, str]] = {hdrs.CONTENT_TYPE: "application/json"}


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON document."""
    return web.Response(status=status, body=orjson.dumps(value), headers={**JSON, **(headers or {})})
