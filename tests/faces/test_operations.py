"""What probes, operators and the public see."""

from __future__ import annotations

from tests.fleet import Installation


def test_both_servers_are_alive_and_ready(served: Installation):
    for server in ("rights", "admin"):
        assert served.request("GET", "/livez", server=server).json() == {"status": "alive"}
        assert served.request("GET", "/readyz", server=server).json()["ready"] is True
