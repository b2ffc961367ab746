"""What a keeper is told of its slot, and what it says where there is nothing that could have failed. Values only."""

from datetime import datetime

from msgspec import Struct

from credagent.credentials import Statement
from credagent.slots.precedence import Fallback
from credagent.slots.source_state import GrantSource, SourceFailure


class DesiredSlot(Struct, frozen=True, kw_only=True):
    """What the bundles, the channels and the configuration say of one slot.

    `awaited`: what they say is not known yet, since a key service has to open the bundle that was in force.
    `unlooked`: what they say is not known yet, since a channel that may bring a bundle was not looked at.
    `forbidden`: the configuration does not let the grant use the machine's identity in this way (any more).
    """

    statement: Statement | None = None
    grant: GrantSource | None = None
    earlier_grant: GrantSource | None = None
    fallback: Fallback = Fallback.ABSENT
    content_refused: bool = False
    handed_over: bool = True
    bundle_in_force: bool = True
    awaited: bool = False
    unlooked: bool = False
    forbidden: bool = False

    @property
    def unresolved(self) -> bool:
        """Whether it is not known yet what there is to go by."""
        return self.awaited or self.unlooked


def loss_of(order: DesiredSlot, now: datetime) -> SourceFailure:
    """Return what status shows of a slot that has no source that could have failed."""
    if order.content_refused:
        code, message = "content-refused", "what a channel holds now is refused, and nothing was held before"
        return SourceFailure(code=code, message=message, hint="see the refused bundle for what to do", at=now)
    code, message = "not-granted", "its sender has nothing for it at the moment, and nothing is held"
    return SourceFailure(code=code, message=message, hint="deliver a new bundle", at=now)
