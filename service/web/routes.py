"""Every route of both servers, in one table each. Neither server knows the other's."""

from __future__ import annotations

from aiohttp import web

from service.web import admin_api, rights_api, status

RIGHTS: tuple[web.RouteDef, ...] = (
    web.post("/v1/rights", rights_api.ask),
    web.post("/v1/receipts/verify", rights_api.verify),
    web.get("/v1/status", status.status),
    web.get("/.well-known/jwks.json", rights_api.jwks),
    web.get("/livez", status.livez),
    web.get("/readyz", status.readyz),
)

ADMIN: tuple[web.RouteDef, ...] = (
    web.get("/admin/v1/modes/{scope}", admin_api.read_mode),
    web.put("/admin/v1/modes/{scope}", admin_api.write_mode),
    web.get("/livez", status.livez),
    web.get("/readyz", status.readyz),
)
