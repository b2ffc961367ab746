"""How much of its time a helper has used, by the marks that precede its reply. Pure: bytes and times in, a value out.

                         asking                                  reply, end of file
    started, preparing  ────────►  asking  ───────────────────────────────────────►  answered
                        ◄────────
                        preparing

While it prepares (the interpreter starts, an SDK is imported) its own time runs, while it asks the service's. Each
runs out by itself, and they are told apart: a machine that gives a process too little processor time is not a service
that hangs. Marks are in `progress`.
"""

from msgspec import Struct, structs

from credagent.cloud_helper.progress import ASKING, PREPARING, READY
from credagent.errors import Unavailable

WHAT = "the process that talks to the cloud"


class HelperProgress(Struct, frozen=True, kw_only=True):
    """What the helper has used of its two times up to `since` (monotonic seconds), and what of its output is unread."""

    since: float
    own_work_s: float
    deadline_s: float
    own_used_s: float = 0.0
    service_used_s: float = 0.0
    is_asking: bool = False
    output: bytes = b""

    @property
    def ends_at(self) -> float:
        """When the time that runs now is over, monotonic."""
        if self.is_asking:
            return self.since + self.deadline_s - self.service_used_s
        return self.since + self.own_work_s - self.own_used_s

    def after(self, block: bytes, now: float) -> "HelperProgress":
        """Return the progress once `block` has been read at `now`; `output` is then what may be the reply."""
        progress = structs.replace(self, output=self.output + block)
        while (mark := _mark(progress.output)) is not None:
            progress = structs.replace(progress, output=progress.output[len(mark) :])
            if mark != READY:
                progress = _counted(progress, now, is_asking=mark == ASKING)
        return progress

    def overdue(self, now: float) -> Unavailable | None:
        """Return the failure, where the time that runs has run out."""
        if now < self.ends_at:
            return None
        if self.is_asking:
            hint = "a service, a name server or a proxy hangs: look at network and HTTPS_PROXY"
            return Unavailable("timed-out", f"no answer within {self.deadline_s:g} s", what=WHAT, hint=hint)
        hint = "the machine gives it too little processor time: raise the CPU limit or share of the agent's unit or pod"
        return Unavailable("helper-slow", f"it did not get to ask within {self.own_work_s:g} s", what=WHAT, hint=hint)


def _counted(progress: HelperProgress, now: float, *, is_asking: bool) -> HelperProgress:
    used_s = now - progress.since
    if progress.is_asking:
        used_s += progress.service_used_s
        return structs.replace(progress, since=now, service_used_s=used_s, is_asking=is_asking)
    return structs.replace(progress, since=now, own_used_s=progress.own_used_s + used_s, is_asking=is_asking)


def _mark(output: bytes) -> bytes | None:
    return next((mark for mark in (READY, ASKING, PREPARING) if output.startswith(mark)), None)
