"""The admission state of one agent: replaced whole by each step, and saved before it counts.

The steps themselves are pure (`admission_state`); here they get the clock, the file and the log.
"""

from collections.abc import Mapping

from msgspec import structs

from credagent import log
from credagent.admission import admission_state, attested_senders
from credagent.admission.admission_state import AdmissionSettings, AdmissionState, Admitted, Withheld
from credagent.admission.deferred_opening import NOT_OPENED_YET, Outcome
from credagent.admission.rules import Standing
from credagent.admission.state_file import Load, Save, SavedState
from credagent.bundle import envelope as grammar
from credagent.bundle.fingerprint import fingerprint
from credagent.clock import Clock
from credagent.cloud_helper.job_requests import AttestationClaim
from credagent.cloud_helper.job_responses import AttestationOutcome
from credagent.credentials import Statement
from credagent.errors import OutputError


class BundleAdmission:
    """Admits bundles by `settings`. `unsaved` says why a withdrawal that is in force could not be saved."""

    def __init__(self, settings: AdmissionSettings, *, clock: Clock, load: Load, save: Save) -> None:
        """Take up what `load` returns; nothing is opened before `readmit`."""
        self.settings = settings
        self.state = AdmissionState(saved=load())
        self.unsaved: OutputError | None = None
        self._clock, self._load, self._save = clock, load, save

    def admit(self, content: bytes | str, channel: str, outcome: Outcome | None = None) -> Standing:
        """Admit what a channel brought; `outcome` is what a key service made of it.

        Raises Refused, Unavailable (`not-opened-yet`: a key service has to be asked first) or OutputError (it cannot
        be saved); then nothing has changed.
        """
        before, now = self.state, self._clock.now()
        after, standing = admission_state.admit(before, content, channel, self.settings, now=now, outcome=outcome)
        if after.saved is not before.saved:
            withdraws = after.in_force is not None and Statement.WITHDRAWN in after.in_force.bundle.slots.values()
            self._keep(after, withdraws=withdraws)
            _say_admitted(before.in_force, after.in_force)
        self.state = after
        return standing

    def claim(self, content: bytes | str) -> AttestationClaim:
        """Return what the cloud of the sender of `content` is asked. Raises Refused."""
        text, attestation = attested_senders.split(content)
        return attested_senders.claim_of(grammar.parse(text).header, attestation)

    def note_sender(self, content: bytes | str, outcome: AttestationOutcome) -> None:
        """Remember what the cloud said of the sender of `content`.

        Raises Refused (not a sender that is trusted), Unavailable (the cloud was not reached) or OutputError.
        """
        header, saved = grammar.parse(attested_senders.split(content)[0]).header, self.state.saved
        senders = attested_senders.noted(saved.senders, header, outcome, self.settings.policy, self._clock.now())
        saved = structs.replace(saved, senders=senders)
        self._save(saved)
        self.state = structs.replace(self.state, saved=saved)
        log.info("sender_attested", sender=header.sender_id, identity=senders[header.sender_id].identity.name)

    def readmit(self, outcomes: Mapping[str, Outcome] = {}) -> None:
        """Judge what is kept anew: at a start, by other settings, and by what key services have opened since."""
        before, self.state = self.state, admission_state.readmit(self.state, self.settings, outcomes)
        _say_withheld(before, self.state)

    def save_where_missing(self) -> None:
        """Save what is in force where the file that held it is gone. Raises CredagentError."""
        if self.state.saved != SavedState() and self._load() == SavedState():
            self._save(self.state.saved)

    def save_again(self) -> None:
        """Save what could not be saved."""
        if self.unsaved is not None:
            self._keep(self.state, withdraws=True)

    def _keep(self, state: AdmissionState, *, withdraws: bool) -> None:
        """Save what comes into force. Raises OutputError, unless the bundle `withdraws`.

        What was withdrawn must not be handed out until the disk has room; the error stands, and it is tried again.
        """
        try:
            self._save(state.saved)
        except OutputError as error:
            if not withdraws:
                raise
            self.unsaved = error
            log.error("withdrawal_not_kept", code=error.code, why=str(error), hint=error.hint)
        else:
            self.unsaved = None


def _say_admitted(before: Admitted | None, after: Admitted | None) -> None:
    if after is None:
        return
    bundle, sender = after.bundle, fingerprint(after.sender_id)
    log.info(
        "bundle_admitted", bundle_id=bundle.bundle_id, sender=sender, sequence=bundle.sequence, channel=after.channel
    )
    if before is not None and before.sender_id != after.sender_id:
        log.warning("sender_in_force_changed", before=fingerprint(before.sender_id), now=sender)


def _say_withheld(before: AdmissionState, after: AdmissionState) -> None:
    """Log which kept bundles are not used any more, and why: once, and not at each further attempt to open them."""
    error = after.withheld
    if error is not None and not _is_same(before.current, after.current):
        say = log.info if error.code == NOT_OPENED_YET else log.warning
        say("bundle_in_force_withheld", code=error.code, why=error.why)
    for slot, kept in after.earlier.items():
        if isinstance(kept, Withheld) and not _is_same(before.earlier.get(slot), kept):
            log.warning("earlier_bundle_withheld", slot=slot.value, code=kept.error.code, why=kept.error.why)


def _is_same(before: Admitted | Withheld | None, after: Admitted | Withheld | None) -> bool:
    return isinstance(before, Withheld) and isinstance(after, Withheld) and before.error.code == after.error.code
