"""Small parts of a machine in memory: its disk, its rules, and how a test names what it holds."""

from datetime import UTC, datetime

from credagent.admission.state_file import SavedState
from credagent.bundle.contents import Grant
from credagent.credentials import AwsCredentials, Held, Slot, SlotContent, Variables
from credagent.errors import OutputError
from credagent.slots.desired_slot import ResolverSettings, SlotSettings
from credagent.slots.precedence import Fallback


class Disk:
    """What survives a restart. `full`: nothing more can be kept."""

    def __init__(self) -> None:
        self.kept = SavedState()
        self.full = False

    def load(self) -> SavedState:
        return self.kept

    def save(self, kept: SavedState) -> None:
        if self.full:
            raise OutputError("cannot-write", "no space left on device", what="state", hint="free some space")
        self.kept = kept


def rules(
    fallback: Fallback = Fallback.ABSENT,
    *,
    required: bool = False,
    bundle_required: bool = False,
    google_off: bool = False,
) -> ResolverSettings:
    """Return what a configuration says; `expect = "required"` makes the fallback `never`, as the configuration does."""
    fallback = Fallback.NEVER if bundle_required else fallback
    return ResolverSettings(
        slots={
            Slot.AWS: SlotSettings(fallback=fallback, required=required, handover="environment"),
            Slot.GOOGLE: SlotSettings(fallback=fallback, handover="off" if google_off else "metadata"),
            Slot.ENVIRONMENT: SlotSettings(handover="environment"),
        },
        bundle_required=bundle_required,
    )


def name_of(content: SlotContent) -> str:
    """Return what tells one credential from another; empty for an empty slot."""
    if not isinstance(content, Held):
        return ""
    match content.credentials:
        case AwsCredentials(access_key_id=key):
            return key
        case Variables(values=values):
            return ",".join(f"{name}={value.reveal()}" for name, value in sorted(values.items()))
        case token:
            return token.access_token.reveal()


def last_end(grants: tuple[Grant, ...]) -> datetime:
    """Return when the last credential ends; for ever where one renews itself or has no end, and where there is none."""
    ends = [getattr(grant, "expires_at", None) for grant in grants]
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else datetime.max.replace(tzinfo=UTC)
