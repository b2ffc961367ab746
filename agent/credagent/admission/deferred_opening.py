"""What is kept is opened again: at hand, or by a key service that may not answer; and by code that may be at fault."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from credagent.bundle import envelope as grammar
from credagent.bundle import opening
from credagent.errors import CredagentError, Refused, Unavailable

NOT_OPENED_YET = "not-opened-yet"

Outcome = opening.Opened | Refused | Unavailable
"""What came of opening an envelope."""

Opens = Callable[[grammar.Envelope], opening.Opened]


@contextmanager
def defects_refused() -> Iterator[None]:
    """Refuse what a defect of ours fails on: it may lie in an inbox, and would end the agent at each start.

    Only the failure's class is told; texts of exceptions quote what they choked on.
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


class Opener(Protocol):
    """What opens envelopes with the keys of this machine."""

    def open(self, envelope: grammar.Envelope) -> opening.Opened:
        """Open with any key, a key service's among them. Raises Refused or Unavailable."""

    def open_at_hand(self, envelope: grammar.Envelope) -> opening.Opened:
        """Open with a key that is here. Raises Refused, or Unavailable where only a key service could."""

    def opens_by(self, recipient_id: bytes) -> bool:
        """Tell whether the key of that id is one of this machine's still."""


class PendingOpening:
    """Opens what is kept in one pass of `Intake.restore`, and remembers what a key service has yet to open."""

    def __init__(self, opener: Opener, outcomes: Mapping[str, Outcome] | None) -> None:
        """Wait for key services where there are no `outcomes`."""
        self._opener, self._outcomes = opener, outcomes
        self.unopened: list[str] = []
        self.unavailable: list[str] = []

    def open(self, envelope: grammar.Envelope) -> opening.Opened:
        """Return what is inside. Raises Refused or Unavailable."""
        try:
            return self._opened(envelope)
        except Unavailable as error:
            (self.unopened if error.code == NOT_OPENED_YET else self.unavailable).append(envelope.text)
            raise

    def _opened(self, envelope: grammar.Envelope) -> opening.Opened:
        if self._outcomes is None:
            return self._opener.open(envelope)
        match self._outcomes.get(envelope.text):
            case opening.Opened() as opened if self._opener.opens_by(opened.recipient_id):
                return opened
            case Refused() | Unavailable() as error:
                raise error
            case _:
                return self._opener.open_at_hand(envelope)
