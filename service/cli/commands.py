"""The commands of `relais` and what the help says of each, in the order an operator meets them.

The text stands here rather than beside the commands, so that `relais --help` imports none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PURPOSE: Final = "Answer beneficiary-rights queries from a signed snapshot while Visiodroits is off."

#: Command → its help: one line, and for a command without subcommands a paragraph after it.
COMMANDS: Final[Mapping[str, str]] = {
    "run": """Serve rights and admin together; make a demo home on the first start. `make run` is this command.

        Serves rights on PORT (8080) and admin on ADMIN_PORT (8081) until Ctrl-C. The environment may set
        PORT, ADMIN_PORT and WORKERS (2) at every start, and PEOPLE (100000) at the first, which makes a demo home of
        synthetic people. UPSTREAM is the address of an upstream, or `stub`: then a stand-in runs beside the servers, on
        STUB_PORT (8090), and where nobody ordered a mode a demo goes live. Ready when it prints
        "relais-droits ready".""",
    "init": """Make a home: settings, keys, stores; with --demo also people, a snapshot and clients.

        Without --demo the home gets what a server holds: pepper, order key, receipt key. Root, signer and officer keys
        are made by their people on their own machines with `relais keys new`; only public halves come here. On a home
        that is there already it makes the folders and stores that are missing, and nothing else.""",
    "serve": """Serve one of the two HTTP servers in the foreground, until SIGTERM or SIGINT.

        `rights` answers pharmacy software, `admin` operators. Outside a demo home it refuses to start where a private
        key other than its own lies in the home.""",
    "status": """Show the active snapshot, its supply and what to expect of it, the last order, the mode, the workers.

        Exit status 3 if a worker does not follow, or if nobody can tell. Warnings do not change it.""",
    "keys": "Make the keys of signers, roots, clients and officers, and the pepper.",
    "trust": "Say who may sign snapshots, and how many of them it takes (the trust file).",
    "snapshot": "Build, sign, verify, compare, load, activate and pin snapshots.",
    "mode": "Show or set how queries are answered: live, degraded or suspended.",
    "notice": "Put, withdraw and list sentences that answers and the status page carry.",
    "client": "Register, import, list, limit, rotate, suspend and resume those who may ask.",
    "exposure": """Show who reads how much of what they may: lookups and people, today and over a week.

        Figures are upper bounds: what a worker has in hand counts as used, and each answer about somebody known as
        another person. Days are those of Europe/Paris. Exit status 3 if the store that counts does not answer.""",
    "token": "Mint a client's token on the machine that holds its key.",
    "orders": "List the signed chain of every decision; approve or reject what waits for a second person.",
    "journal": "Check the signed journal of answers, report a breach from it, forget what was kept long enough.",
    "receipt": "Check and explain an answer by its receipt.",
    "reconcile": """Once the upstream is back, ask it again what was answered in its place, and report the differences.

        Opens the journal with the officer's private key, so it runs where that key is, with the home's settings:
        [upstream] says whom to ask. Questions in clear stay in memory. Broken off, it goes on when it is run again
        with the same --out. Exit status 3 if the upstream keeps failing.""",
}


def overview() -> str:
    """What `relais --help` prints."""
    lines = [f"  {name:<10}{text.splitlines()[0]}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "Usage: relais COMMAND",
            "",
            PURPOSE,
            "",
            *lines,
            "",
            "relais COMMAND --help says more; relais --version says which version this is.",
            "Exit status: 0 done, 1 refused or failed, 2 usage, 3 unavailable, 4 proposed.",
        ]
    )
