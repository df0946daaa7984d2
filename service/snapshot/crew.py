"""The processes of a build. Tasks go out to whoever is idle; results come back in the order of the tasks.

A worker is given one task at a time and asked for its result when it is due, so that neither side ever waits for the
other to read, and what a worker has ready stays with it until it is wanted: memory is bounded. Workers hold nothing
that lasts. They end when their pipe does, however the process at the other end ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, Final, Protocol, TypeVar

from service.errors import BuildError, RelaisError
from service.snapshot.bench import Bench, Recipe, Sealed, Weigh, peak_rss_bytes

_ENDING_SECONDS: Final = 5
_START: Final = "import sys; from service.snapshot.crew import work; work(int(sys.argv[1]))"

R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")


class Task(Protocol[R_co]):
    """Something a process can be told to do (bench.py)."""

    def run(self, bench: Bench) -> R_co:
        """Do it."""
        ...


class Crew(Protocol):
    """Whoever does the work of a build. A task that fails raises what it raised; then only `close` may follow."""

    def map(self, tasks: Iterator[Task[R]], ahead: int = 0) -> Iterator[R]:
        """The results in the order of the tasks; at most `ahead` of them wait here for an earlier one."""
        ...

    def each(self, task: Task[R]) -> list[R]:
        """The result of one task from every process."""
        ...

    def peak_rss_bytes(self) -> int:
        """The sum of what each process held at its own peak: more than they ever held at once."""
        ...

    def close(self) -> None:
        """End every process; nothing of theirs remains."""
        ...


def crew_of(jobs: int, recipe: Recipe, descriptors: Sequence[int]) -> Crew:
    """`jobs` worker processes, each with a file of `descriptors` to write to; one job is done in this process."""
    return Workers(recipe, descriptors) if jobs > 1 else Alone(Bench(recipe, descriptors, 0))


class Alone:
    """A crew without processes."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def map(self, tasks: Iterator[Task[R]], ahead: int = 0) -> Iterator[R]:  # noqa: ARG002 - nothing waits here
        """Each task in turn."""
        for task in tasks:
            yield task.run(self._bench)

    def each(self, task: Task[R]) -> list[R]:
        """The only result."""
        return [task.run(self._bench)]

    def peak_rss_bytes(self) -> int:
        """The peak of this process."""
        return peak_rss_bytes()

    def close(self) -> None:
        """Nothing to end."""


class Workers:
    """A crew of processes, one for each descriptor."""

    def __init__(self, recipe: Recipe, descriptors: Sequence[int]) -> None:
        self._workers: list[_Worker] = []
        try:
            for own in range(len(descriptors)):
                self._workers.append(_Worker(descriptors))
                self._workers[-1].send((recipe, tuple(descriptors), own))
        except BaseException:
            self.close()
            raise

    def map(self, tasks: Iterator[Task[R]], ahead: int = 0) -> Iterator[R]:
        """Results in order. What fails first *in that order* is raised, whichever process found what first."""
        queue = _Queue(tasks)
        at_work: dict[_Worker, int] = {}
        ready: dict[int, R | BaseException] = {}
        due = 0
        while True:
            for worker in self._workers:
                if worker not in at_work and queue.head is not None:
                    at_work[worker], task = queue.head
                    worker.send(task)
                    queue.advance()
            if due in ready:
                result = ready.pop(due)
                if isinstance(result, BaseException):
                    raise result
                yield result
                due += 1
            elif at_work:
                wanted = [worker for worker, number in at_work.items() if number <= due + ahead]
                for worker in _ready(wanted):
                    ready[at_work.pop(worker)] = worker.receive()
            else:
                break
        queue.check()

    def each(self, task: Task[R]) -> list[R]:
        """The result of one task from every process."""
        for worker in self._workers:
            worker.send(task)
        results = [worker.receive() for worker in self._workers]
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results

    def peak_rss_bytes(self) -> int:
        """The peak of this process and those of the workers, added up."""
        return peak_rss_bytes() + sum(self.each(Weigh()))

    def close(self) -> None:
        """Kill and reap every worker."""
        for worker in self._workers:
            worker.kill()
        self._workers = []


class _Queue:
    """Tasks and their numbers, the next one fetched before it is wanted; where they break off, that waits its turn."""

    def __init__(self, tasks: Iterator[Task[Any]]) -> None:
        self._tasks = enumerate(tasks)
        self._failure: Exception | None = None
        self.head: tuple[int, Task[Any]] | None = None
        self.advance()

    def advance(self) -> None:
        """Fetch the next task; `head` is None where there is none."""
        self.head = None
        if self._failure is None:
            try:
                self.head = next(self._tasks, None)
            except Exception as error:  # noqa: BLE001 - raised by check, after what was found in the tasks before
                self._failure = error

    def check(self) -> None:
        """Raises what kept the tasks from coming to their end."""
        if self._failure is not None:
            raise self._failure


class _Worker:
    """One process, as seen from the one that started it."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        self.connection, theirs = Pipe()
        with ExitStack() as undo, theirs:
            undo.callback(self.connection.close)
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter and this module
                [sys.executable, "-P", "-c", _START, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # what it has to say comes by the pipe; the command says one line
                pass_fds=(theirs.fileno(), *descriptors),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                # Ctrl-C is for the command, which then ends its workers; they are not to complain each.
                process_group=0,
            )
            undo.pop_all()

    def send(self, message: Any) -> None:
        """Give the worker its recipe or a task. Raises `BuildError` if it is dead."""
        try:
            self.connection.send(message)
        except ConnectionError as error:
            raise self._ended() from error

    def receive(self) -> Any:
        """The result of its task, or the exception it ended in. Raises `BuildError` if the worker is dead."""
        try:
            result, pieces = self.connection.recv()
            if isinstance(result, Sealed):
                result.pieces = [self.connection.recv_bytes() for _ in range(pieces)]
        except (EOFError, ConnectionError) as error:
            raise self._ended() from error
        return result

    def kill(self) -> None:
        """End it, whatever it does, and wait until it is gone."""
        self.connection.close()
        self._process.kill()
        self._process.wait()

    def _ended(self) -> BuildError:
        # Its pipe is closed, so it is gone, or about to be.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDING_SECONDS)
        self._process.kill()
        status = self._process.wait()
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        return BuildError(f"a process of the build ended before its work ({how}): does the machine lack memory?")


def _ready(workers: Sequence[_Worker]) -> list[_Worker]:
    """Those with something to say, after waiting until there is one."""
    by_connection = {worker.connection: worker for worker in workers}
    return [by_connection[connection] for connection in wait(list(by_connection)) if isinstance(connection, Connection)]


def work(descriptor: int) -> None:
    """What a worker process does: task after task, until nobody is left to give any."""
    with Connection(descriptor) as connection:
        try:
            bench = Bench(*connection.recv())
            while True:
                _answer(connection, _result(connection.recv(), bench))
        except (EOFError, ConnectionError):
            return


def _result(task: Task[Any], bench: Bench) -> Any:
    try:
        return task.run(bench)
    except (RelaisError, OSError, MemoryError) as error:
        return error
    except Exception as error:  # noqa: BLE001 - a mistake of ours is told to the one who started us
        # Where, not what: texts of the interpreter's own errors may quote data.
        frames = traceback.extract_tb(error.__traceback__)
        places = " < ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in reversed(frames))
        return RuntimeError(f"{type(error).__name__} in a process of the build: {places}")


def _answer(connection: Connection, result: Any) -> None:
    pieces: list[bytes] = []
    if isinstance(result, Sealed):
        # Tens of megabytes: sent as they are, not copied into one message.
        pieces, result.pieces = result.pieces, []
    connection.send((result, len(pieces)))
    for piece in pieces:
        connection.send_bytes(piece)
