"""`relais trust sign`: root people sign a trust file, each on their own machine. And what the trust commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from service.cli.common import DEFAULT_HOME, HomeOption, JsonOption, print_json
from service.cli.signing import MergeOption, warn
from service.cli.trustview import View, view_of
from service.errors import OperatorError, SignatureRejected, TrustError
from service.files import write_durable
from service.jwk import PublicKey
from service.jws import add_signature, merge_signatures
from service.keyfiles import load_private
from service.signer import Signer
from service.snapshot.trust import MAX_TRUST_BYTES, TRUST_TYP, RoleName
from service.snapshot.trustfile import read_trust

DEFAULT_DAYS: Final = 365
PeopleOption = Annotated[
    list[str], Parameter(consume_multiple=True, negative="", help="A person and their public key, NAME=FILE; repeated.")
]
RootKeysOption = Annotated[
    list[Path] | None,
    Parameter(consume_multiple=True, negative="", help="Private keys of root people that are on this machine."),
]
ExpiresOption = Annotated[
    int, Parameter(name=("--expires-days", "--expires"), help="Days until the file must be renewed.")
]
FromOption = Annotated[
    Path | None, Parameter(name="--from", help="The version before it. Default: trust.json of the home.")
]


def sign(
    file: Annotated[Path, Parameter(help="A trust file that lacks signatures; it is changed in place.")],
    /,
    *,
    key: Annotated[Path | None, Parameter(help="The private JWK of one root person.")] = None,
    merge: MergeOption = None,
    before: FromOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Add one signature to a trust file, or those made elsewhere on copies of it; say what it is and what it lacks.

    Needs no home. Give --from with a version above 1, so that what changes is shown and its root people are counted.
    """
    if (key is None) == (not merge):
        raise OperatorError("give --key FILE to sign, or --merge FILE to add signatures made elsewhere")
    view = read_view(file, before, home)
    if key is not None:
        signer = load_private(key)
        _check_root(view, signer)
        document = add_signature(view.document, TRUST_TYP, signer)
    else:
        document = _merged(view, merge or [])
    if len(document) > MAX_TRUST_BYTES:
        raise OperatorError(f"{file}: with this signature it would be larger than {MAX_TRUST_BYTES} bytes")
    write_durable(file, document)
    tell(file, home, before, json=json)


def tell(file: Path, home: Path, before: Path | None = None, *, json: bool = False) -> None:
    """Show a trust file that is on its way, and the next step."""
    view = read_view(file, before, home)
    if json:
        print_json({"file": str(file), **view.members()})
        return
    print("\n".join(view.lines()))
    if view.complete:
        print(f"complete: relais trust rotate {file}")
    elif view.complete is False:
        print(f"signatures are missing: relais trust sign {file} --key FILE")


def read_view(file: Path, before: Path | None, home: Path) -> View:
    """A trust file to look at. Raises `OperatorError` that names the file where it is none, or a signature is wrong."""
    try:
        view = view_of(read_trust(file), before, home)
        _ = view.standings  # a signature that does not hold must not travel on
    except TrustError as error:
        raise OperatorError(f"{file}: {error}") from error
    return view


def check_absent(out: Path) -> None:
    """Raises `OperatorError` where a file would be overwritten."""
    if os.path.lexists(out):
        raise OperatorError(f"{out} exists: choose another name")


def parse_person(argument: str) -> tuple[str, str]:
    """Name and file of NAME=FILE. Raises `OperatorError`."""
    name, equals, path = argument.partition("=")
    if not (name and equals and path):
        raise OperatorError("a person is given as NAME=FILE")
    return name, path


def _merged(view: View, others: list[Path]) -> bytes:
    keys: dict[str, PublicKey] = {}
    for trust in (view.former, view.trust):
        keys.update({} if trust is None else trust.keys(RoleName.ROOT))
    document = view.document
    for path in others:
        try:
            document = merge_signatures([document, read_trust(path)], TRUST_TYP, keys)
        except SignatureRejected as error:
            raise OperatorError(f"{path}: {error}") from error
    return document


def _check_root(view: View, signer: Signer) -> None:
    """A signature that counts for neither version is refused; where the one before is not known, a warning is said."""
    versions = [trust for trust in (view.former, view.trust) if trust is not None]
    if any(trust.signers_of({signer.kid}, RoleName.ROOT) for trust in versions):
        return
    fault = f"key {signer.kid} is no root key of version {' or '.join(str(trust.version) for trust in versions)}"
    if view.former is not None or view.trust.version == 1:
        raise OperatorError(f"{fault}: its signature would not count")
    warn(f"{fault}; the version before is not known here (--from)")
