"""A pharmacy's software: mints its own token, asks for rights, verifies the receipt, tells the counter.

python -m stubs.pharmacy ask  --url http://127.0.0.1:8080 --client ID --key FILE --query FILE
python -m stubs.pharmacy load --url http://127.0.0.1:8080 --client ID --key FILE --rows FILE --seconds 30
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import jwt
import orjson

from stubs.connection import Pharmacy, Reply, Signer
from stubs.load import run
from stubs.proof import Head, ReceiptError, verify_response

_STATUS: Final = {"open": "DROITS OUVERTS", "closed": "DROITS FERMÉS", "unknown": "DROITS NON DÉTERMINÉS"}
_ADVICE: Final = {
    "apply": "appliquer le tiers payant",
    "apply_unguaranteed": "tiers payant possible, sans garantie de paiement",
    "check_card": "consulter la carte de tiers payant",
    "patient_pays": "le patient règle la part complémentaire",
    "do_not_apply": "ne pas appliquer le tiers payant",
}


def summary(response: dict[str, Any], head: Head) -> str:
    """What the screen at the counter shows."""
    answer = response["answer"]
    stand_in = " (mode secours)" if answer["degraded"] else ""
    lines = [f"{_STATUS[answer['status']]}{stand_in} le {answer['service_date']} : {_ADVICE[answer['advice']]}"]
    lines += [_contract(contract) for contract in answer["contracts"]]
    lines += [f"  ! {notice['text']}" for notice in answer["notices"]]
    lines += [response["counter_text"], f"Reçu vérifié : journal {head.journal}, entrée {head.entry}, {head.at}"]
    return "\n".join(lines)


def _contract(contract: dict[str, Any]) -> str:
    line = f"  {contract['amc_name']} ({contract['amc']}) : {_STATUS[contract['status']].lower()}"
    if "member" in contract:
        line += f", adhérent {contract['member']}, du {contract['valid_from']} au {contract.get('valid_to') or '…'}"
    rates = [f"{code} {rate} %" for code, rate in contract.get("rates", {}).items() if rate is not None]
    return f"{line}, {' '.join(rates)} {contract['rate_base']}" if rates else line


def problem_text(reply: Reply) -> str:
    """What the screen shows instead: the sentence for the counter and, for the vendor, the code."""
    try:
        problem = orjson.loads(reply.body)
        return f"{problem['counter_text']} [{reply.status} {problem['type']}: {problem.get('detail', '')}]"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"Réponse illisible [{reply.status}]"


async def ask(url: str, signer: Signer, query: bytes) -> tuple[int, str]:
    """Exit status and text of one question: 0 answered and proved, 1 refused, 3 unreachable."""
    try:
        async with Pharmacy(url, signer) as pharmacy:
            reply = await pharmacy.ask(query)
            if reply.status != 200:
                return 1, problem_text(reply)
            response = orjson.loads(reply.body)
            head = verify_response(orjson.loads(query), response, await pharmacy.keys())
            return 0, summary(response, head)
    except ReceiptError as error:
        return 1, f"Reçu refusé : {error}"
    except (aiohttp.ClientError, TimeoutError) as error:
        return 3, f"Service injoignable : {type(error).__name__}"


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", default="http://127.0.0.1:8080", help="the rights server")
    common.add_argument("--client", required=True, help="client id, the token's issuer")
    common.add_argument("--key", type=Path, required=True, help="the client's private JWK file")
    common.add_argument("--audience", default="relais-droits")
    parser = argparse.ArgumentParser(prog="python -m stubs.pharmacy", description="A pharmacy's software.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("ask", parents=[common], help="ask once and verify the receipt")
    one.add_argument("--query", type=Path, help="JSON body of the question (default: standard input)")
    load = commands.add_parser("load", parents=[common], help="ask as fast as the service answers")
    load.add_argument("--rows", type=Path, required=True, help="NDJSON rows whose people are asked for")
    load.add_argument("--connections", type=int, default=32)
    load.add_argument("--finess", action="append", help="ask as a hub for this pharmacy; may be repeated")
    load.add_argument("--batch", type=int, default=0, help="as a hub: queries a request, at most 200 (0: one by one)")
    load.add_argument("--seconds", type=float, default=10.0)
    load.add_argument("--verify-share", type=float, default=0.01, help="share of answers whose receipts are verified")
    load.add_argument("--keep", type=Path, help="file for every answer received, one JSON line each")
    load.add_argument("--json", action="store_true", help="report as one JSON document")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; gives its exit status."""
    options = _parser().parse_args(arguments)
    try:
        signer = Signer(options.client, options.key, options.audience)
    except (OSError, ValueError, jwt.PyJWTError) as error:
        print(f"pharmacy: {options.key}: {error}", file=sys.stderr)
        return 2
    if options.command == "load":
        return asyncio.run(run(options, signer))
    query = options.query.read_bytes() if options.query else sys.stdin.buffer.read()
    status, text = asyncio.run(ask(options.url, signer, query))
    print(text)
    return status


if __name__ == "__main__":
    sys.exit(main())
