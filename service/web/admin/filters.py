"""What stands behind the `?` of a list: each filter named once, each one known, numbers within their bounds."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from service.errors import InvalidField


def distinct(request: web.Request) -> Mapping[str, str]:
    """The filters of a request. Raises `InvalidField` where one is named twice."""
    if len(set(request.query)) != len(request.query):
        raise InvalidField("a filter is named once")
    return request.query


def check_known(query: Mapping[str, str], known: frozenset[str]) -> None:
    """Raises `InvalidField` for a filter that is not one of these."""
    if not query.keys() <= known:
        raise InvalidField(f"a filter that is not known here: they are {', '.join(sorted(known))}")


def number(query: Mapping[str, str], name: str, most: int) -> int | None:
    """A number from 1 to `most`, None where it is not named. Raises `InvalidField`."""
    text = query.get(name)
    if text is None:
        return None
    value = int(text) if text.isascii() and text.isdigit() and len(text) <= 16 else 0
    if not 1 <= value <= most:
        raise InvalidField(f"a number from 1 to {most}", f"/{name}")
    return value
