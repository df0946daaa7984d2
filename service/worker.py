"""gunicorn's worker. One that cannot start does not end those that serve.

gunicorn ends a whole server when a worker fails to start, also where that worker only takes the place of a killed
one: a key file lost at noon would end every answer at the next crash. Here it is tried again, and the log says why.
"""

from __future__ import annotations

import mmap
import sys
import time
from typing import Final

import structlog
from aiohttp.worker import GunicornUVLoopWebWorker

from service import telemetry

#: Between two tries of a worker that cannot start.
PAUSE_SECONDS: Final = 1.0
#: One byte all workers of a master share, for it imports this module before it forks: whether any has ever served.
_SERVED: Final = mmap.mmap(-1, 1)
_LOG = structlog.get_logger(__name__)


class Worker(GunicornUVLoopWebWorker):
    """A worker on uvloop."""

    def notify(self) -> None:
        """Tell gunicorn that this worker lives; called once a second while it serves."""
        if self.booted:
            _SERVED[0] = 1
        super().notify()

    def run(self) -> None:
        """Serve until asked to end. The first workers of a server that cannot start end it."""
        try:
            super().run()
        except Exception as error:
            if self.booted or not _SERVED[0]:
                raise
            # Where, not what: an error's text could quote a file.
            _LOG.error("worker_cannot_start", error=type(error).__name__, frames=telemetry.frames(error))
            time.sleep(PAUSE_SECONDS)
            sys.exit(1)
