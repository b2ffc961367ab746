"""Opens envelopes with the keys of this machine: at once with keys that are here, later where a key service has to.

A key service may take the deadline of a helper process to answer, so nobody waits for one on the way of a bundle: what
only a service can open is `not-opened-yet`, is asked for in a thread (`ask`), and is judged again with the outcome.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from credagent.admission.attested_senders import NOT_ATTESTED_YET, split
from credagent.admission.recipient_keyring import HELD_BY_A_SERVICE, Keyring
from credagent.bundle import envelope as grammar
from credagent.bundle import opening
from credagent.errors import CredagentError, NotForThisMachine, Refused, Unavailable

NOT_OPENED_YET = "not-opened-yet"
DEFERRED = frozenset({NOT_OPENED_YET, NOT_ATTESTED_YET})
"""Nothing was refused, and nothing has changed: somebody has to be asked first."""

Outcome = opening.Opened | Refused | Unavailable
"""What came of opening an envelope."""


@contextmanager
def defects_refused() -> Iterator[None]:
    """Refuse what a defect of ours fails on: it may lie in an inbox, and would end the agent at each start.

    Only the class of the failure is told; texts of exceptions quote what they choked on.
    """
    try:
        yield
    except CredagentError:
        raise
    except Exception as error:  # noqa: BLE001  of whatever class: each would end the agent
        hint = "this is a defect of credagent: report it, and seal the bundle in another way"
        raise Refused(
            "internal", f"judging it failed ({type(error).__name__})", what="bundle refused", hint=hint
        ) from None


def open_here(envelope: grammar.Envelope, keyring: Keyring, known: Outcome | None = None) -> opening.Opened:
    """Open without asking a service. `known` is what came of opening this envelope before, None where nobody has.

    What was opened before is not opened again, unless its key was taken away since. Raises Refused, or Unavailable:
    what a service said, and `not-opened-yet` where none was asked.
    """
    if isinstance(known, opening.Opened) and keyring.opens_by(known.recipient_id):
        return known
    here = [key for key in keyring.openers if key.kind not in HELD_BY_A_SERVICE]
    try:
        return opening.open_by(envelope, here)
    except NotForThisMachine:
        if all(opening.stanza_for(envelope, key) is None for key in keyring.openers):
            raise
    if isinstance(known, Refused | Unavailable):
        raise known
    hint = "nothing to do: the key service is being asked"
    raise Unavailable(NOT_OPENED_YET, "a key service has yet to open it", what="the bundle", hint=hint)


def ask(content: bytes | str, keyring: Keyring) -> Outcome:
    """Open with any key, and wait for a key service as long as it takes; for a thread, since nothing is changed."""
    try:
        with defects_refused():
            return opening.open_by(grammar.parse(split(content)[0]), keyring.openers)
    except (Refused, Unavailable) as error:
        return error
