"""Alive and ready, for load balancers and orchestrators: functions of a snapshot. What ready means is `status`'s."""

from credagent.credentials import Slot, filled
from credagent.operations.observability.status_document import Snapshot, State, state


def is_ready(snapshot: Snapshot) -> bool:
    """Tell whether workers get what they were promised; a standing error alone (degraded) does not change that."""
    return state(snapshot) in (State.READY, State.DEGRADED)


def not_ready_because(snapshot: Snapshot) -> tuple[str, ...]:
    """Return what is missing, one sentence each; empty when ready."""
    reasons = [f"{slot.value}: not tried yet" for slot in Slot if not snapshot.slots[slot].tried]
    if snapshot.bundle_required and snapshot.bundle is None:
        reasons.append("bundle: required, and none is in force")
    reasons += [f"{slot.value}: required, and holds no credentials" for slot in Slot if _lacks(snapshot, slot)]
    return tuple(reasons)


def _lacks(snapshot: Snapshot, slot: Slot) -> bool:
    shown = snapshot.slots[slot]
    return shown.required and not filled(shown.content, snapshot.now, snapshot.min_validity)
