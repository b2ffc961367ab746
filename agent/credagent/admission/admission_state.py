"""Which bundles are in force: one frozen state, and the pure steps from one state to the next. No clock, file or log.

The sealed texts in `saved` are the truth; what became of each is worked out from them at every start and reload:

    a kept text
      │ signature, sender, audience
      ├── refused ─────────────────────────────────► Withheld, refused
      │ opened
      ├── a key service has yet to be asked ───────► Withheld, pending
      ├── the service was asked and did not answer ► Withheld, unavailable
      │ judged inside
      ├── refused ─────────────────────────────────► Withheld, refused
      └── sound ───────────────────────────────────► Admitted

What a slot is told by what became of the bundle (`statement`), and whether that is final (`awaits`):

    the kept bundle                  statement of a slot                                     awaits
    none                             None: nobody ever sent anything                         no
    Admitted                         what it says; *withdrawn* where it says *unavailable*   while the slot's earlier
                                     and the sender of the earlier bundle was removed        bundle is pending
    Withheld, pending                None                                                    yes
    Withheld, unavailable            *unavailable*: somebody granted something               no
    Withheld, refused                *declined* and *withdrawn* as it said, where that can   while nobody has read what
                                     be read; else *withdrawn* if its sender was removed,    it says, and a service
                                     *unavailable* for other reasons                         could
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, structs

from credagent.admission import attested_senders, rules
from credagent.admission.deferred_opening import NOT_OPENED_YET, Outcome, defects_refused, open_here
from credagent.admission.recipient_keyring import Keyring
from credagent.admission.rules import AdmissionPolicy, AdmissionResult, InForce, Standing
from credagent.admission.state_file import SavedState
from credagent.bundle import envelope as grammar
from credagent.bundle import opening, signature
from credagent.bundle.contents import Bundle
from credagent.bundle.refusal_codes import RefusalCode
from credagent.credentials import Slot, Statement
from credagent.errors import CredagentError, Refused, Unavailable


class AdmissionSettings(Struct, frozen=True, kw_only=True):
    """By what bundles are judged: the policy of the configuration, and the keys that open bundles here."""

    policy: AdmissionPolicy
    keyring: Keyring


class Admitted(Struct, frozen=True, kw_only=True):
    """A bundle in force, with the envelope it came in and the channel that brought it."""

    result: AdmissionResult
    text: str
    channel: str

    @property
    def bundle(self) -> Bundle:
        """Return what is inside."""
        return self.result.bundle

    @property
    def sender_id(self) -> str:
        """Return the key id of its sender."""
        return self.result.sender_id


class Withheld(Struct, frozen=True, kw_only=True):
    """A kept bundle that is not used.

    `error` says why, and `says` what is inside where that could be read. `pending`: what is inside is not known yet,
    since a key service has yet to be asked. `newest`: what newcomers have to be later than, though it is not open.
    """

    error: CredagentError
    says: Bundle | None = None
    pending: bool = False
    newest: InForce | None = None

    @property
    def sender_removed(self) -> bool:
        """Whether it is not used because its sender is no longer trusted."""
        return self.error.code == RefusalCode.UNTRUSTED_SENDER.value


class AdmissionState(Struct, frozen=True, kw_only=True):
    """The sealed texts, what became of each, and what came of opening them (`outcomes`, by text). See the drawing."""

    saved: SavedState
    current: Admitted | Withheld | None = None
    earlier: Mapping[Slot, Admitted | Withheld] = {}
    outcomes: Mapping[str, Outcome] = {}

    @property
    def in_force(self) -> Admitted | None:
        """Return the bundle in force."""
        return self.current if isinstance(self.current, Admitted) else None

    @property
    def withheld(self) -> CredagentError | None:
        """Return why the kept bundle is not used; None where it is, or where none is kept."""
        return self.current.error if isinstance(self.current, Withheld) else None

    @property
    def unopened(self) -> tuple[str, ...]:
        """Return the kept texts that a key service has yet to open, asked or not, each once."""
        found = (text for text in self.saved.texts() if isinstance(self.outcomes.get(text), Unavailable))
        return tuple(dict.fromkeys(found))

    @property
    def newest(self) -> InForce | None:
        """Return what a newcomer has to be later than. A kept bundle that is not open yet says that in clear."""
        match self.current:
            case Admitted(result=result):
                return result.in_force
            case Withheld(newest=newest):
                return newest
            case None:
                return None

    def statement(self, slot: Slot) -> Statement | None:
        """Return what is said of `slot`: the third column of the table."""
        match self.current:
            case None:
                return None
            case Admitted(bundle=bundle):
                said, earlier = bundle.statement(slot), self.earlier.get(slot)
                lost_its_sender = isinstance(earlier, Withheld) and earlier.sender_removed
                return Statement.WITHDRAWN if said is Statement.UNAVAILABLE and lost_its_sender else said
            case Withheld(error=Unavailable(code=code)) if code == NOT_OPENED_YET:
                return None
            case Withheld(says=Bundle() as says) if says.statement(slot) in (Statement.DECLINED, Statement.WITHDRAWN):
                return says.statement(slot)
            case withheld:
                # Somebody granted something that may not be used now: that is not the same as nobody having sent any.
                return Statement.WITHDRAWN if withheld.sender_removed else Statement.UNAVAILABLE

    def awaits(self, slot: Slot) -> bool:
        """Tell whether what `slot` may use is known only when a key service has opened what is kept."""
        what = self.earlier.get(slot) if isinstance(self.current, Admitted) else self.current
        return isinstance(what, Withheld) and what.pending


def admit(
    state: AdmissionState,
    content: bytes | str,
    channel: str,
    by: AdmissionSettings,
    *,
    now: datetime,
    outcome: Outcome | None = None,
) -> tuple[AdmissionState, Standing]:
    """Return the state after `content` came by `channel`, with what it is to this machine.

    `outcome` is what a key service made of it. Raises Refused, or Unavailable (`not-opened-yet` where a service has to
    be asked first, `not-attested-yet` where the sender's cloud has); then nothing has changed.
    """
    with defects_refused():
        text, attestation = attested_senders.split(content)
        envelope = grammar.parse(text)
        signature.verify_signature(envelope)
        senders = state.saved.senders
        if state.newest is not None and envelope.digest == state.newest.digest:
            policy = attested_senders.trusting(by.policy, senders)
        else:
            policy = attested_senders.for_newcomer(envelope, attestation, by.policy, senders, now)
        standing = rules.before_opening(envelope, policy, state.saved.marks, state.newest, now)
        known = state.outcomes.get(envelope.text)
        if outcome is None and isinstance(known, opening.Opened):
            outcome = known
        opened = open_here(envelope, by.keyring, outcome)
        result = _judged(envelope, opened, by)
    outcomes = {**state.outcomes, envelope.text: opened}
    if standing is Standing.AGAIN:  # it is kept already: in force, or waiting for a key service
        after = structs.replace(state, outcomes=outcomes)
        return (state if state.in_force is not None else readmit(after, by)), standing
    admitted = Admitted(result=result, text=envelope.text, channel=channel)
    earlier = _earlier_for(state, admitted.bundle)
    saved = structs.replace(
        state.saved,
        bundle=envelope.text,
        channel=channel,
        earlier={slot: text for slot, (text, _) in earlier.items()},
        marks={**state.saved.marks, result.sender_id: result.mark},
    )
    return AdmissionState(
        saved=saved,
        current=admitted,
        earlier={slot: kept for slot, (_, kept) in earlier.items()},
        outcomes={text: outcomes[text] for text in saved.texts() if text in outcomes},
    ), standing


def readmit(state: AdmissionState, by: AdmissionSettings, outcomes: Mapping[str, Outcome] = {}) -> AdmissionState:
    """Return the state after a start, a reload, or after key services have been asked (`outcomes`, by text).

    What was admitted before and would now have to be opened by another service stays as it is until that has
    answered. A sender that is no longer trusted has no such respite: that is said in clear.
    """
    former: dict[str, Admitted | Withheld] = {}
    for kept in (state.current, *state.earlier.values()):
        if isinstance(kept, Admitted):
            former[kept.text] = kept
    known = {**state.outcomes, **outcomes}
    trusting = structs.replace(by, policy=attested_senders.trusting(by.policy, state.saved.senders))
    became: dict[str, tuple[Admitted | Withheld, Outcome | None]] = {
        text: _readmitted(text, state.saved.channel, trusting, known.get(text), former.get(text))
        for text in dict.fromkeys(state.saved.texts())
    }
    bundle = state.saved.bundle
    return AdmissionState(
        saved=state.saved,
        current=None if bundle is None else became[bundle][0],
        earlier={slot: became[text][0] for slot, text in state.saved.earlier.items()},
        outcomes={text: outcome for text, (_, outcome) in became.items() if outcome is not None},
    )


def _readmitted(
    text: str, channel: str, by: AdmissionSettings, known: Outcome | None, former: Admitted | Withheld | None
) -> tuple[Admitted | Withheld, Outcome | None]:
    """Return what becomes of one kept text, and what came of opening it."""
    outcome: Outcome | None = known
    envelope: grammar.Envelope | None = None
    try:
        with defects_refused():
            envelope = grammar.parse(text)
            outcome = _opened_or_why(envelope, by.keyring, known)
            signature.verify_signature(envelope)
            rules.before_reopening(envelope, by.policy)
            if not isinstance(outcome, opening.Opened):
                raise outcome
            result = _judged(envelope, outcome, by)
            return Admitted(result=result, text=text, channel=channel), outcome
    except (Refused, Unavailable) as error:
        pending = isinstance(outcome, Unavailable) and outcome.code == NOT_OPENED_YET
        if pending and error is outcome and former is not None:
            return former, outcome
        says = outcome.bundle if isinstance(outcome, opening.Opened) else None
        newest = rules.in_force_of(envelope) if envelope is not None and isinstance(error, Unavailable) else None
        return Withheld(error=error, says=says, pending=pending, newest=newest), outcome


def _opened_or_why(envelope: grammar.Envelope, keyring: Keyring, known: Outcome | None) -> Outcome:
    try:
        with defects_refused():
            return open_here(envelope, keyring, known)
    except (Refused, Unavailable) as error:
        return error


def _judged(envelope: grammar.Envelope, opened: opening.Opened, by: AdmissionSettings) -> AdmissionResult:
    own_key = opened.recipient_id in by.keyring.own_ids
    return rules.after_opening(envelope, opened.bundle, by.policy, own_key=own_key)


def _earlier_for(state: AdmissionState, bundle: Bundle) -> dict[Slot, tuple[str, Admitted | Withheld]]:
    """Return, for each slot that `bundle` calls unavailable, the newest bundle that granted it, or may have.

    A kept bundle that no key service has opened yet may have granted the slot, unless the slot has an earlier one: a
    bundle has an earlier one for just the slots that it calls unavailable.
    """
    found: dict[Slot, tuple[str, Admitted | Withheld]] = {}
    for slot in Slot:
        if bundle.statement(slot) is not Statement.UNAVAILABLE:
            continue
        match state.current:
            case Admitted(bundle=granting) if granting.statement(slot) is Statement.GRANTED:
                found[slot] = state.current.text, state.current
            case _ if slot in state.earlier and _may_grant(state, state.saved.earlier[slot], state.earlier[slot]):
                found[slot] = state.saved.earlier[slot], state.earlier[slot]
            case Withheld() if slot not in state.earlier and state.saved.bundle in state.unopened:
                found[slot] = state.saved.bundle, state.current
    return found


def _may_grant(state: AdmissionState, text: str, kept: Admitted | Withheld) -> bool:
    """Tell whether an earlier bundle may still stand behind a slot: not where the one after it was refused since."""
    return text in state.unopened or (isinstance(kept, Admitted) and not isinstance(state.withheld, Refused))
