"""What a slot should hold, by all that is said of it: bundles, channels and configuration. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from credagent.admission.admission_state import AdmissionState, Admitted, Withheld
from credagent.credentials import Slot, Statement
from credagent.slots.allowed_targets import Targets
from credagent.slots.precedence import Fallback
from credagent.slots.source_state import GrantSource, SourceFailure


class SlotSettings(Struct, frozen=True, kw_only=True):
    """What the configuration says of one slot."""

    fallback: Fallback = Fallback.ABSENT
    required: bool = False
    handover: str = "off"


class ResolverSettings(Struct, frozen=True, kw_only=True):
    """What the configuration says of all slots."""

    slots: Mapping[Slot, SlotSettings]
    bundle_required: bool = False
    min_validity: timedelta = timedelta(seconds=10)
    targets: Targets = Targets()


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
        """Whether it is not known yet what the slot should hold."""
        return self.awaited or self.unlooked


def desired_slot(
    slot: Slot, admission: AdmissionState, settings: ResolverSettings, *, content_refused: bool, unlooked: bool
) -> DesiredSlot:
    """Return what `slot` should hold.

    `content_refused`: what a pull channel holds now is refused. `unlooked`: a channel that may bring a bundle was not
    looked at yet.
    """
    said = settings.slots[slot]
    statement = admission.statement(slot)
    grant = _source_of(admission.current, slot)
    stands_behind = admission.in_force is not None and statement is Statement.UNAVAILABLE
    earlier = _source_of(admission.earlier.get(slot), slot) if stands_behind else None
    grants = (one.grant for one in (grant, earlier) if one is not None)
    return DesiredSlot(
        statement=statement,
        grant=grant,
        earlier_grant=earlier,
        fallback=said.fallback,
        content_refused=content_refused,
        handed_over=said.handover != "off",
        bundle_in_force=admission.in_force is not None,
        awaited=admission.awaits(slot),
        unlooked=unlooked,
        forbidden=not all(settings.targets.allow(one) for one in grants),
    )


def loss_of(desired: DesiredSlot, now: datetime) -> SourceFailure:
    """Return what status shows of a slot that has no source that could have failed."""
    if desired.content_refused:
        code, message = "content-refused", "what a channel holds now is refused, and nothing was held before"
        return SourceFailure(code=code, message=message, hint="see the refused bundle for what to do", at=now)
    code, message = "not-granted", "its sender has nothing for it at the moment, and nothing is held"
    return SourceFailure(code=code, message=message, hint="deliver a new bundle", at=now)


def _source_of(kept: Admitted | Withheld | None, slot: Slot) -> GrantSource | None:
    """Return what a bundle grants for `slot`; nothing where it is not admitted."""
    if not isinstance(kept, Admitted):
        return None
    grant = kept.bundle.grant(slot)
    if grant is None:
        return None
    return GrantSource(grant=grant, not_after=kept.bundle.not_after, issued_at=kept.bundle.issued_at)
