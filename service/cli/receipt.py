"""`relais receipt`: what an answer's receipt proves, and why the answer says what it says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from cyclopts import App, Parameter

from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, open_home, print_json
from service.cli.exits import Exit
from service.cli.explanation import explain_answer
from service.cli.receiptkeys import fetch_receipt_keys
from service.errors import OperatorError
from service.journal.reader import Position, find_head
from service.journal.receipt import ReceiptFault, Verdict, verify_receipt
from service.keyring import load_receipt_keys
from service.settings import Home
from service.strictjson import parse_strict

app = App(name="receipt")

FileArgument = Annotated[
    str,
    Parameter(allow_leading_hyphen=True, help="A whole response of POST /v1/rights; - reads standard input."),
]
#: A response of one person takes some 3 KiB.
MAX_RESPONSE_BYTES: Final = 4 * 1024 * 1024

_PLAIN: Final = {
    ReceiptFault.MALFORMED_ANSWER: "the answer has no canonical form",
    ReceiptFault.MALFORMED_RECEIPT: "the receipt is not exactly head, index and path",
    ReceiptFault.MALFORMED_HEAD: "the receipt's head is not a signed head",
    ReceiptFault.UNKNOWN_KEY: "the head is signed by a key that is not known here",
    ReceiptFault.BAD_SIGNATURE: "the signature under the head does not match",
    ReceiptFault.INDEX_OUTSIDE_BATCH: "the index lies outside the head's batch",
    ReceiptFault.MALFORMED_PATH: "the path has not the form the head's batch asks for",
    ReceiptFault.ROOT_MISMATCH: "this answer is not the one that was recorded under this head",
}


@app.command(name="verify")
def verify(
    file: FileArgument,
    *,
    jwks: Annotated[str | None, Parameter(help="Receipt keys: a file or a URL. Default: the home's.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> int:
    """Verify that an answer was recorded as given; with a home's own keys, also find its head in the journal."""
    response = _read(file)
    # With keys from elsewhere it may be another service's answer, which no journal here need hold.
    in_home = jwks is None and Home(home).settings.exists()
    if jwks is None and not in_home:
        raise OperatorError(f"{home.absolute()} is not a relais home: name the service's receipt keys with --jwks")
    keys = fetch_receipt_keys(jwks) if jwks is not None else load_receipt_keys(*open_home(home))
    verdict = verify_receipt(response.get("answer"), response.get("receipt"), keys)
    position = find_head(Home(home).journal, response["receipt"]["head"]) if verdict.valid and in_home else None
    if json:
        print_json({**msgspec.to_builtins(verdict), "looked_up": in_home, "journal": msgspec.to_builtins(position)})
    else:
        _print(verdict, position, response)
    if verdict.reason is not None:
        print(f"relais: the receipt does not hold ({verdict.reason}): {_PLAIN[verdict.reason]}", file=sys.stderr)
        return Exit.REFUSED
    if in_home and position is None:
        print("relais: the receipt holds, but its head is not in the journal of this home", file=sys.stderr)
        return Exit.REFUSED
    return Exit.DONE


@app.command(name="explain")
def explain(file: FileArgument) -> None:
    """Say in plain French, from the response alone, why it says what it says. Verifies nothing."""
    for line in explain_answer(_read(file)):
        print(line)


def _print(verdict: Verdict, position: Position | None, response: dict[str, Any]) -> None:
    if not verdict.valid or verdict.head is None:
        return
    index = response["receipt"]["index"]
    print(f"valid: recorded at {verdict.head.at} as entry {verdict.head.first + index} of {verdict.head.journal}")
    if position is not None:
        print(f"its head stands in the journal, line {position.line}")


def _read(file: str) -> dict[str, Any]:
    """The JSON object in a file; one in which a name stands twice could say one thing and prove another."""
    if file == "-":
        data = sys.stdin.buffer.read(MAX_RESPONSE_BYTES + 1)
    else:
        with Path(file).open("rb") as stream:
            data = stream.read(MAX_RESPONSE_BYTES + 1)
    if len(data) > MAX_RESPONSE_BYTES:
        raise OperatorError("that is no response: it is too long")
    try:
        value = parse_strict(data)
    except ValueError as error:
        raise OperatorError("that is no response: not one JSON text with distinct names") from error
    if not isinstance(value, dict) or not isinstance(value.get("answer"), dict):
        raise OperatorError("that is no response: an answer is missing")
    return value
