"""The service that is stood in for: a real server on synthetic people, whose faults are switched while it runs.

python -m stubs.visiodroits --people 1000
curl -X PUT http://127.0.0.1:8090/faults -d '{"hang": true}'
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import gc
import multiprocessing
import os
import random
import signal
import socket
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import Final

import orjson
import uvloop
from aiohttp import web

from stubs.answer import PARIS, Answers
from stubs.board import Board
from stubs.insurers import INSURERS
from stubs.population import Population, write_examples
from stubs.register import Register, opened_rows
from stubs.sandbox import Sandbox

_BACKLOG: Final = 1024
_LOOK_SECONDS: Final = 0.5


def load_register(options: argparse.Namespace) -> Register:
    """The people asked for on the command line. Raises `OSError` or `ValueError`."""
    if options.people is None:
        with opened_rows(options.rows) as lines:
            return Register(lines)
    population = Population(options.people, options.seed, options.today or dt.datetime.now(PARIS).date())
    if options.examples:
        write_examples(population, options.examples)
    return Register(orjson.dumps(row) for row in population.rows())


def load_names(policy: Path | None) -> Mapping[str, str]:
    """The AMCs' names: those of a policy file, else those of the synthetic insurers. Raises `OSError`, `ValueError`."""
    if policy is None:
        return {insurer.number: insurer.name for insurer in INSURERS}
    try:
        return {amc["number"].zfill(10): amc["name"] for amc in tomllib.loads(policy.read_text("utf-8"))["amc"]}
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"{policy} is not a policy file") from None


async def _serve(listening: socket.socket, sandbox: Sandbox, tell: Callable[[], object]) -> None:
    """Serve until a signal asks to stop, or until the process that started this one has ended."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    # Whoever hangs up does not wait any more; who still waits at the end is not waited for.
    runner = web.AppRunner(
        sandbox.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1, auto_decompress=False
    )
    await runner.setup()
    await web.SockSite(runner, listening, backlog=_BACKLOG).start()
    tell()
    parent = os.getppid()
    while not stopping.is_set() and os.getppid() == parent:
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), _LOOK_SECONDS)
    await runner.cleanup()


def _run(listening: socket.socket, sandbox: Sandbox, tell: Callable[[], object]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(listening, sandbox, tell))


def _run_many(listening: socket.socket, sandboxes: Sequence[Callable[[], Sandbox]], tell: Callable[[], object]) -> int:
    """A process for each; 0 after a signal, 1 where one of them ended by itself."""
    fork = multiprocessing.get_context("fork")
    ready = fork.Semaphore(0)
    workers = [
        fork.Process(target=lambda make=make: _run(listening, make(), ready.release), daemon=True) for make in sandboxes
    ]
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    signal.signal(signal.SIGINT, lambda _number, _frame: sys.exit(0))
    for worker in workers:
        worker.start()
    waiting = len(workers)
    while not wait([worker.sentinel for worker in workers], _LOOK_SECONDS if not waiting else 0.01):
        while waiting and ready.acquire(block=False):
            waiting -= 1
            if not waiting:
                tell()
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stubs.visiodroits",
        description="A service that answers POST /v1/rights about synthetic people, and fails as it is told to.",
        epilog="GET, PUT and DELETE /faults tell, change and mend what is wrong with it; GET /counts what was asked.",
    )
    people = parser.add_mutually_exclusive_group(required=True)
    people.add_argument("--rows", type=Path, help="NDJSON rows of stubs.population, plain or as .gz or .zst")
    people.add_argument("--people", type=int, help="so many synthetic people, made at the start")
    parser.add_argument("--policy", type=Path, help="policy file the AMCs' names are taken from")
    parser.add_argument("--examples", type=Path, help="with --people: directory for three example questions")
    parser.add_argument("--today", type=dt.date.fromisoformat, help="with --people: the day their rights lie around")
    parser.add_argument("--seed", type=int, default=1, help="of the people and of chance in the faults")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; gives its exit status: 1 where it cannot serve, 2 where it was asked for nonsense."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.workers < 1:
        parser.error("at least one process serves")
    try:
        listening = _bound(options.host, options.port)
        register, names = load_register(options), load_names(options.policy)
    except (OSError, ValueError) as error:
        print(f"visiodroits: {error}", file=sys.stderr)
        return 1
    board = Board(options.workers)

    def sandbox(number: int) -> Sandbox:
        board.take(number)
        chance = random.Random(options.seed + number)
        return Sandbox(Answers(register, names, chance), board, chance)

    def tell() -> None:
        host, port = listening.getsockname()[:2]
        print(f"visiodroits ready: http://{host}:{port}, {len(register)} contracts", flush=True)

    gc.freeze()
    if options.workers == 1:
        _run(listening, sandbox(0), tell)
        return 0
    return _run_many(listening, [partial(sandbox, number) for number in range(options.workers)], tell)


def _bound(host: str, port: int) -> socket.socket:
    """A socket that has its port and does not listen yet. Raises `OSError`."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listening


if __name__ == "__main__":
    sys.exit(main())
