"""Every route of both servers, in one table each. Neither server knows the other's."""

from __future__ import annotations

from aiohttp import web

from service.web import batch_api, rights_api, status
from service.web.admin import clients, exposure, history, modes, notices, proposals, snapshots

RIGHTS: tuple[web.RouteDef, ...] = (
    web.post("/v1/rights", rights_api.ask),
    web.post("/v1/rights/batch", batch_api.ask_batch),
    web.post("/v1/receipts/verify", rights_api.verify),
    web.get("/v1/status", status.status),
    web.get("/.well-known/jwks.json", rights_api.jwks),
    web.get("/livez", status.livez),
    web.get("/readyz", status.readyz),
)

ADMIN: tuple[web.RouteDef, ...] = (
    web.get("/admin/v1/modes/{scope}", modes.read_mode),
    web.put("/admin/v1/modes/{scope}", modes.write_mode),
    web.delete("/admin/v1/modes/{scope}", modes.clear_mode),
    web.get("/admin/v1/snapshots", snapshots.list_snapshots),
    web.post("/admin/v1/snapshots/{sequence}/activate", snapshots.activate),
    web.post("/admin/v1/snapshots/{sequence}/pin", snapshots.pin),
    web.delete("/admin/v1/pin", snapshots.unpin),
    web.get("/admin/v1/notices", notices.list_notices),
    web.get("/admin/v1/notices/{id}", notices.read_notice),
    web.put("/admin/v1/notices/{id}", notices.put_notice),
    web.delete("/admin/v1/notices/{id}", notices.withdraw_notice),
    web.get("/admin/v1/clients", clients.list_clients),
    web.get("/admin/v1/clients/{id}", clients.read_client),
    web.put("/admin/v1/clients/{id}", clients.register_client),
    web.post("/admin/v1/clients/{id}/suspend", clients.suspend_client),
    web.post("/admin/v1/clients/{id}/resume", clients.resume_client),
    web.get("/admin/v1/exposure", exposure.read_exposure),
    web.get("/admin/v1/orders", history.list_orders),
    web.get("/admin/v1/proposals", proposals.list_proposals),
    web.get("/admin/v1/proposals/{id}", proposals.read_proposal),
    web.post("/admin/v1/proposals/{id}/approve", proposals.approve),
    web.post("/admin/v1/proposals/{id}/reject", proposals.reject),
    web.get("/livez", status.livez),
    web.get("/readyz", status.readyz),
)
