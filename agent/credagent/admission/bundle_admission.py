"""The one way in: text becomes an envelope, is opened, admitted, kept, and then in force. Nothing is used before that.

Each step raises and changes nothing. What a slot makes of the bundle in force is decided in slots/precedence.
"""

from collections.abc import Callable, Mapping

from msgspec import Struct, structs

from credagent import log
from credagent.admission import rules
from credagent.admission.deferred_opening import NOT_OPENED_YET, Opens, Outcome, PendingOpening, defects_refused
from credagent.admission.recipient_keyring import HELD_BY_A_SERVICE, Keyring
from credagent.admission.rules import AdmissionPolicy, AdmissionResult, InForce, ReplayMark, Standing
from credagent.admission.state_file import AdmissionState
from credagent.bundle import envelope as grammar
from credagent.bundle import opening
from credagent.bundle.contents import Bundle
from credagent.bundle.refusal_codes import RefusalCode, refusal
from credagent.clock import Clock
from credagent.credentials import Slot, Statement
from credagent.errors import CredagentError, NotForThisMachine, OutputError, Refused, Unavailable


class Admitted(Struct, frozen=True, kw_only=True):
    """A bundle in force, with the envelope it came in and the channel that brought it."""

    bundle: Bundle
    text: str
    sender_id: str
    in_force: InForce
    channel: str


class BundleAdmission:
    """Admits bundles. `in_force` and `earlier` are what the slots live on.

    `withheld` says why the kept bundle is not used, and `withheld_bundle` what it says where that could be read.
    `cut_off` are the slots whose earlier bundle is of a sender that is no longer trusted. Of the kept envelopes,
    `unopened` wait for a key service to open them, and `unavailable` are those that it did not open when asked.
    `unsaved` says why a withdrawal that is in force could not be kept.
    """

    def __init__(
        self,
        *,
        policy: AdmissionPolicy,
        keyring: Keyring,
        clock: Clock,
        load: Callable[[], AdmissionState],
        save: Callable[[AdmissionState], None],
    ) -> None:
        """Remember what `load` returns; nothing is opened before `restore`."""
        self.policy, self.keyring = policy, keyring
        self.in_force: Admitted | None = None
        self.earlier: Mapping[Slot, Admitted] = {}
        self.withheld: CredagentError | None = None
        self.withheld_bundle: Bundle | None = None
        self.cut_off: frozenset[Slot] = frozenset()
        self.unopened: tuple[str, ...] = ()
        self.unavailable: tuple[str, ...] = ()
        self.unsaved: OutputError | None = None
        self._clock, self._save = clock, save
        self._kept = load()
        self._opened: dict[str, opening.Opened] = {}  # of what is kept: a reload asks no key service again

    @property
    def sender_removed(self) -> bool:
        """Whether the kept bundle is not used because its sender is no longer trusted."""
        return self.withheld is not None and self.withheld.code == RefusalCode.UNTRUSTED_SENDER.value

    @property
    def awaited(self) -> bool:
        """Whether nobody knows yet what the kept bundle says: a key service has to open it."""
        return self.withheld is not None and self.withheld.code == NOT_OPENED_YET

    def awaits(self, slot: Slot) -> bool:
        """Tell whether what `slot` may use is known only when a key service has opened what is kept."""
        if self.in_force is not None:
            return slot not in self.earlier and self._kept.earlier.get(slot) in self.unopened
        said_unknown = isinstance(self.withheld, Refused) and self.withheld_bundle is None
        return self._kept.bundle in self.unopened and (self.awaited or said_unknown)

    def restore(self, outcomes: Mapping[str, Outcome] | None = None) -> None:
        """Re-admit what was in force before the start, or before the configuration changed.

        Without `outcomes` (of `attempt`, by envelope) this waits for key services. With them it asks none: what only a
        service opens and has no outcome is left in `unopened`, and what is used stays in use until that is known. A
        sender that is no longer trusted has no such respite.
        """
        kept, pending = self._kept, PendingOpening(self, outcomes)
        in_force, earlier, withheld, said, cut_off = None, {}, None, None, set()
        try:
            in_force = self._reopened(kept.bundle, kept.channel, pending.open) if kept.bundle is not None else None
        except (Refused, Unavailable) as error:
            withheld = error
            said = self._read_without_trust(kept.bundle, pending.open) if isinstance(error, Refused) else None
        for slot, text in kept.earlier.items() if in_force is not None else ():
            try:
                earlier[slot] = self._reopened(text, kept.channel, pending.open)
            except (Refused, Unavailable) as error:
                log.warning("earlier_bundle_withheld", slot=slot.value, code=error.code, why=error.why)
                if error.code == RefusalCode.UNTRUSTED_SENDER.value:
                    cut_off.add(slot)
        self.unopened, self.unavailable = tuple(pending.unopened), tuple(pending.unavailable)
        nothing_yet = self.in_force is None and self.withheld is None
        if pending.unopened and not nothing_yet and not isinstance(withheld, Refused):
            return
        if withheld is not None:
            say = log.info if withheld.code == NOT_OPENED_YET else log.warning
            say("bundle_in_force_withheld", code=withheld.code, why=withheld.why)
        self.in_force, self.earlier, self.cut_off = in_force, earlier, frozenset(cut_off)
        self.withheld, self.withheld_bundle = withheld, said

    def attempt(self, text: str) -> Outcome:
        """Open a kept envelope, and wait for it as long as it takes; for a thread, since nothing is changed."""
        try:
            return self.open(grammar.parse(text))
        except (Refused, Unavailable) as error:
            return error

    def take(self, content: bytes | str, channel: str) -> Standing:
        """Admit what a channel brought. Raises Refused, Unavailable (a key service) or OutputError (cannot be kept)."""
        envelope = self.examine(content)
        return self.admit(envelope, self.open(envelope), channel)

    @defects_refused()
    def open(self, envelope: grammar.Envelope) -> opening.Opened:
        """Open an examined envelope; with a key service this waits for it. Raises Refused or Unavailable.

        What is kept was opened before, and is not opened again unless its key was taken away.
        """
        known = self._known(envelope.text)
        return known if known is not None else opening.open_by(envelope, self.keyring.openers)

    @defects_refused()
    def open_at_hand(self, envelope: grammar.Envelope) -> opening.Opened:
        """Open without asking anybody. Raises Refused, or Unavailable (`not-opened-yet`) where a service has to."""
        known = self._known(envelope.text)
        if known is not None:
            return known
        keys = self.keyring.openers
        try:
            return opening.open_by(envelope, [key for key in keys if key.kind not in HELD_BY_A_SERVICE])
        except NotForThisMachine:
            if all(opening.stanza_for(envelope, key) is None for key in keys):
                raise
        hint = "nothing to do: the key service is being asked"
        raise Unavailable(NOT_OPENED_YET, "a key service has yet to open it", what="the bundle", hint=hint)

    @defects_refused()
    def examine(self, content: bytes | str) -> grammar.Envelope:
        """Return a sound envelope, signed by a trusted sender, that this machine may open. Raises Refused."""
        envelope = grammar.parse(content)
        opening.verify_signature(envelope)
        rules.before_opening(envelope, self.policy, self._kept.marks, self._in_force(), self._clock.now())
        return envelope

    @defects_refused()
    def admit(self, envelope: grammar.Envelope, opened: opening.Opened, channel: str) -> Standing:
        """Put an opened bundle in force. Judged again from the start, since opening it may have taken a while."""
        standing = rules.before_opening(envelope, self.policy, self._kept.marks, self._in_force(), self._clock.now())
        if not self.opens_by(opened.recipient_id):
            raise refusal(RefusalCode.NOT_FOR_THIS_MACHINE, "the key that opened it was taken away meanwhile")
        admitted = self._judged(envelope, opened, standing)
        if standing is Standing.AGAIN:
            if self.in_force is None:  # it is kept, and was waiting for a key service
                self._opened[envelope.text] = opened
                self.restore({})
            return standing
        accepted = Admitted(
            bundle=admitted.bundle,
            text=envelope.text,
            sender_id=admitted.sender_id,
            in_force=admitted.in_force,
            channel=channel,
        )
        self._put_in_force(accepted, admitted.mark)
        self._opened = {text: known for text, known in self._opened.items() if text in self._kept.earlier.values()}
        self._opened[accepted.text] = opened
        return standing

    def _put_in_force(self, accepted: Admitted, mark: ReplayMark) -> None:
        earlier = self._earlier_for(accepted.bundle)
        kept = structs.replace(
            self._kept,
            bundle=accepted.text,
            channel=accepted.channel,
            earlier={**self._unread_earlier(accepted.bundle), **{slot: one.text for slot, one in earlier.items()}},
            marks={**self._kept.marks, accepted.sender_id: mark},
        )
        self._keep(kept, withdraws=Statement.WITHDRAWN in accepted.bundle.slots.values())
        still = set(kept.earlier.values())
        self.unopened = tuple(text for text in self.unopened if text in still)
        self.unavailable = tuple(text for text in self.unavailable if text in still)
        replaced = self.in_force
        self._kept, self.in_force, self.earlier = kept, accepted, earlier
        self.withheld, self.withheld_bundle, self.cut_off = None, None, frozenset()
        log.info(
            "bundle_admitted",
            bundle_id=accepted.bundle.bundle_id,
            sender=accepted.sender_id,
            sequence=accepted.bundle.sequence,
            channel=accepted.channel,
        )
        if replaced is not None and replaced.sender_id != accepted.sender_id:
            log.warning("sender_in_force_changed", before=replaced.sender_id, now=accepted.sender_id)

    def _keep(self, kept: AdmissionState, *, withdraws: bool) -> None:
        """Keep what comes into force. Raises OutputError, unless the bundle `withdraws`.

        What was withdrawn must not be handed out until the disk has room; the error stands, and it is tried again.
        """
        try:
            self._save(kept)
        except OutputError as error:
            if not withdraws:
                raise
            self.unsaved = error
            log.error("withdrawal_not_kept", code=error.code, why=str(error), hint=error.hint)
        else:
            self.unsaved = None

    def save_again(self) -> None:
        """Keep what could not be kept."""
        if self.unsaved is not None:
            self._keep(self._kept, withdraws=True)

    def _unread_earlier(self, bundle: Bundle) -> dict[Slot, str]:
        """Return, for each slot that `bundle` calls unavailable, what may have granted it and could not be opened yet.

        A kept bundle that is not open calls unavailable just the slots that it has an earlier one for.
        """
        unread = (*self.unopened, *self.unavailable)
        kept = self._kept.bundle if self.in_force is None else None
        texts = {slot: self._kept.earlier.get(slot, kept) for slot in Slot}
        wanted = [slot for slot in Slot if bundle.statement(slot) is Statement.UNAVAILABLE]
        return {slot: text for slot in wanted if (text := texts[slot]) is not None and text in unread}

    def _earlier_for(self, bundle: Bundle) -> dict[Slot, Admitted]:
        """Return, for each slot that `bundle` calls unavailable, the newest bundle that granted it."""
        found = {}
        for slot in Slot:
            if bundle.statement(slot) is not Statement.UNAVAILABLE:
                continue
            if self.in_force is not None and self.in_force.bundle.statement(slot) is Statement.GRANTED:
                found[slot] = self.in_force
            elif slot in self.earlier:
                found[slot] = self.earlier[slot]
        return found

    @defects_refused()
    def _reopened(self, text: str, channel: str, opens: Opens) -> Admitted:
        envelope = grammar.parse(text)
        opening.verify_signature(envelope)
        standing = rules.before_reopening(envelope, self.policy)
        admitted = self._judged(envelope, self._open_kept(envelope, opens), standing)
        return Admitted(
            bundle=admitted.bundle,
            text=text,
            sender_id=admitted.sender_id,
            in_force=admitted.in_force,
            channel=channel,
        )

    def _open_kept(self, envelope: grammar.Envelope, opens: Opens) -> opening.Opened:
        opened = self._opened[envelope.text] = opens(envelope)
        return opened

    def _known(self, text: str) -> opening.Opened | None:
        """Return what was opened before, unless its key was taken away since."""
        known = self._opened.get(text)
        return known if known is not None and self.opens_by(known.recipient_id) else None

    def opens_by(self, recipient_id: bytes) -> bool:
        """Tell whether a key is among those of the present configuration."""
        return any(key.recipient_id == recipient_id for key in self.keyring.openers)

    def _read_without_trust(self, text: str | None, opens: Opens) -> Bundle | None:
        """Return what a bundle says that is not admitted: which slots it granted, so that they are closed."""
        try:
            return self._open_kept(grammar.parse(text or ""), opens).bundle
        except (Refused, Unavailable):
            return None

    def _judged(self, envelope: grammar.Envelope, opened: opening.Opened, standing: Standing) -> AdmissionResult:
        own_key = opened.recipient_id in self.keyring.own_ids
        return rules.after_opening(envelope, opened.bundle, self.policy, standing, own_key=own_key)

    def _in_force(self) -> InForce | None:
        """Return what a newcomer has to be later than. A kept bundle that is not open yet says that in clear."""
        if self.in_force is not None:
            return self.in_force.in_force
        if self._kept.bundle is None or not isinstance(self.withheld, Unavailable):
            return None
        kept = grammar.parse(self._kept.bundle)
        return InForce(sender=kept.header.sender, issued_at=kept.header.issued_at, digest=kept.digest)
