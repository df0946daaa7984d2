"""`relais snapshot sign`: one person's signature, on the folder or as a file of its own, and signatures merged."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, open_home, print_json
from service.cli.progress import Meter
from service.clock import SystemClock
from service.errors import OperatorError, RelaisError
from service.files import write_durable
from service.keyfiles import load_private
from service.settings import Home
from service.signer import Signer
from service.snapshot.folder import MAX_MANIFEST_BYTES
from service.snapshot.signing import Draft, merge_folder, sign_detached, sign_folder
from service.snapshot.trust import RoleName, Trust
from service.snapshot.truststore import TrustStore

DirectoryArgument = Annotated[Path, Parameter(help="The folder of a built snapshot.")]
MergeOption = Annotated[
    list[Path] | None,
    Parameter(consume_multiple=True, negative="", help="Files with signatures made elsewhere, to be added here."),
]


def sign(
    directory: DirectoryArgument,
    /,
    *,
    key: Annotated[Path | None, Parameter(help="The private JWK of one signer.")] = None,
    signature_out: Annotated[
        Path | None, Parameter(help="Write the signature to this new file and leave the folder as it is.")
    ] = None,
    merge: MergeOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Check a built snapshot's files and add one signature to its manifest, or those made elsewhere.

    With --signature-out only the signature comes back from a signer's machine, and the folder there may be read-only,
    or hold manifest.json alone; --merge then adds it where the snapshot is.
    """
    trust = trust_if_any(home)
    if key is not None and not merge:
        outcome = _sign(directory, load_private(key), signature_out, trust)
    elif merge and key is None and signature_out is None:
        draft = merge_folder(directory, {str(path): read_signature(path) for path in merge}, trust)
        outcome = Outcome(draft, trust, merged=tuple(map(str, merge)))
    else:
        raise OperatorError(
            "give --key FILE to sign (--signature-out FILE: aside), or --merge FILE to add signatures made elsewhere"
        )
    outcome.warn()
    if json:
        print_json(outcome.members())
    else:
        print("\n".join(outcome.lines()))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `sign` did, for people and machines."""

    draft: Draft
    trust: Trust | None
    signer: Signer | None = None
    data_read: bool = False
    signature: Path | None = None
    merged: tuple[str, ...] = ()

    def warn(self) -> None:
        """On standard error: what the signer should not overlook."""
        if self.signer is not None and self.signature is not None and not self.data_read:
            warn("the folder holds manifest.json alone: its data was signed as the manifest names it, and not read")
        if self.trust is None:
            warn("whether this signature counts is not known here")
        elif self.signer is not None and not self._counts(self.trust, self.signer):
            kid = self.signer.kid
            warn(f"key {kid} is not a snapshot signer of this home's trust file: its signature will not count")

    def members(self) -> dict[str, Any]:
        """The outcome as one JSON object."""
        return {
            "kid": None if self.signer is None else self.signer.kid,
            "counts": None if self.signer is None else bool(self.trust and self._counts(self.trust, self.signer)),
            "sequence": self.draft.manifest.sequence,
            "digest": self.draft.digest,
            "data_read": self.data_read,
            "signature": None if self.signature is None else str(self.signature),
            "merged": list(self.merged),
            "signers": sorted(self.draft.signers(self.trust)) if self.trust else [],
            "threshold": self.trust.threshold(RoleName.SNAPSHOT) if self.trust else None,
        }

    def lines(self) -> list[str]:
        """The outcome for people. The digest is what signers compare by telephone."""
        sequence = self.draft.manifest.sequence
        if self.signer is None:
            said = [f"snapshot {sequence}: signatures merged from {', '.join(self.merged)}"]
        elif self.signature is None:
            said = [f"snapshot {sequence} signed with {self.signer.kid}"]
        else:
            said = [f"snapshot {sequence} signed with {self.signer.kid}, in {self.signature}; the folder is unchanged"]
        said.append(f"digest {self.draft.digest}")
        if self.trust and self.signature is None:
            signers = sorted(self.draft.signers(self.trust))
            said.append(f"{len(signers)} of {self.trust.threshold(RoleName.SNAPSHOT)} needed: {_listed(signers)}")
        return said

    def _counts(self, trust: Trust, signer: Signer) -> bool:
        return bool(trust.signers_of({signer.kid}, RoleName.SNAPSHOT))


def _sign(directory: Path, signer: Signer, signature_out: Path | None, trust: Trust | None) -> Outcome:
    if signature_out is None:
        with Meter() as meter:
            return Outcome(sign_folder(directory, signer, meter.stage("check")), trust, signer, data_read=True)
    if os.path.lexists(signature_out):
        raise OperatorError(f"{signature_out} exists: choose another name for the signature")
    with Meter() as meter:
        draft, signature, data_read = sign_detached(directory, signer, meter.stage("check"))
    write_durable(signature_out, signature)
    return Outcome(draft, trust, signer, data_read, signature_out)


def read_signature(path: Path) -> bytes:
    """A file with signatures. Raises `OperatorError` where it is larger than a manifest can be."""
    with path.open("rb") as file:
        document = file.read(MAX_MANIFEST_BYTES + 1)
    if len(document) > MAX_MANIFEST_BYTES:
        raise OperatorError(f"{path}: a signature file is at most {MAX_MANIFEST_BYTES} bytes")
    return document


def trust_if_any(path: Path) -> Trust | None:
    """The home's trust file; a signer's own machine has neither home nor trust file, and need not."""
    if not Home(path).settings.exists():
        return None
    try:
        home, settings = open_home(path)
        return TrustStore.of(home, demo=settings.instance.demo).load(SystemClock().now())
    except RelaisError as error:
        warn(str(error))
        return None


def warn(text: str) -> None:
    """One line on standard error that stops nothing."""
    print(f"relais: warning: {text}", file=sys.stderr)


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"
