"""One state of the sender's identity, numbered, and the texts that are sealed from it: one for each recipient.

Agents remember the sequence and the digest of what they admitted, so the text that was sealed for a recipient is kept
and sent again as it is; the same sequence over another text would be refused as forked.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from credagent.bundle.contents import Bundle
from credagent.bundle.envelope import MAX_RECIPIENTS
from credagent.bundle.sealing import seal, seal_each
from credagent.credentials import Slot
from credagent.forwarder.forwarding_plan import ForwardingPlan
from credagent.forwarder.key_trust import TrustedRecipient
from credagent.forwarder.validity_after_withdrawal import HandedOut, handed_out
from credagent.sender.bundle_draft import BundleDraft, draft_from_lookup
from credagent.sender.compose_bundle import LocalIdentity, granted_slots
from credagent.sender.local_identity import IdentityLookup

MOST_TEXTS = 16_384  # that are kept, of some kilobytes each: batch jobs bring a new key every few seconds, for days
FRESH = timedelta(seconds=5)  # what is younger is not made anew, however many machines call theirs too old


class BundleRevision:
    """What the cluster is to have from `made_at` on. Machines confirm it by its `number`, counted from 1.

    Bundles and texts are made when they are first asked for. Filled by one thread at a time.
    """

    def __init__(
        self,
        number: int,
        identity: LocalIdentity,
        plan: ForwardingPlan,
        made_at: datetime,
        withdrawn: frozenset[Slot] = frozenset(),
    ) -> None:
        """Seal nothing yet, and take no sequence number. `withdrawn` slots are taken back."""
        self.number, self.identity, self.made_at, self.withdrawn = number, identity, made_at, withdrawn
        self._plan = plan
        self._drafts: dict[str, BundleDraft] = {}
        self._texts: dict[TrustedRecipient, tuple[str, str]] = {}  # the bundle's id, and the text
        self._bundle_ids: set[str] = set()
        self._to_renumber: set[str] = set()  # audiences of which a text was dropped

    @property
    def sender(self) -> str:
        """Return the key id of the sender."""
        return self._plan.key.key_id

    @property
    def sender_line(self) -> str:
        """Return the sender's public key, as configurations name it."""
        return self._plan.key.public_key.line

    @property
    def granted(self) -> list[str]:
        """Return the slots that it fills."""
        filled = granted_slots(replace(self._plan.options, withdrawn=self.withdrawn), self.identity)
        return [slot.value for slot in Slot if slot in filled]

    @property
    def only_takes_back(self) -> bool:
        """Tell whether it withdraws and grants nothing: there is no secret in it."""
        return bool(self.withdrawn) and not self.granted

    @property
    def handed_out(self) -> HandedOut:
        """Return what its bundles hand out; they differ in their audience alone."""
        bundles = [draft.bundle for draft in self._drafts.values()][:1]
        return handed_out(bundles[0]) if bundles else HandedOut()

    @property
    def notices(self) -> tuple[str, ...]:
        """Return what a person should know of what is sent."""
        return tuple(dict.fromkeys(notice for draft in self._drafts.values() for notice in draft.notices))

    @property
    def sealed_texts(self) -> int:
        """Return how many texts were sealed so far."""
        return len(self._texts)

    def holds(self, bundle_id: str) -> bool:
        """Tell whether the bundle with this id was sealed from this revision."""
        return bundle_id in self._bundle_ids

    def text_for(self, recipient: TrustedRecipient) -> str:
        """Return what was sealed for exactly this key and audience. Raises KeyError where nothing is kept."""
        return self._texts[recipient][1]

    def seal_for(self, recipients: Iterable[TrustedRecipient]) -> None:
        """Seal for those of `recipients` that have no text yet. Blocks: 0.1 ms each, longer where a KMS is asked."""
        for audience, wanted in _by_audience(one for one in recipients if one not in self._texts).items():
            if audience not in self._drafts or audience in self._to_renumber:
                self._draft(audience, self.made_at)
            self._seal(self._drafts[audience].bundle, wanted)

    def seal_afresh(self, recipients: Iterable[TrustedRecipient], now: datetime) -> None:
        """Seal a new bundle with the same contents for agents that call theirs too old. Blocks as `seal_for`."""
        for audience, wanted in _by_audience(recipients).items():
            if audience not in self._drafts or now - self._drafts[audience].bundle.issued_at > FRESH:
                self._draft(audience, now)
            bundle = self._drafts[audience].bundle
            self._seal(bundle, [one for one in wanted if self._texts.get(one, ("",))[0] != bundle.bundle_id])

    def _draft(self, audience: str, now: datetime) -> None:
        plan = self._plan
        options = replace(plan.options, audience=audience, withdrawn=self.withdrawn)
        look = IdentityLookup(local=self.identity, found=())
        self._to_renumber.discard(audience)
        self._drafts[audience] = draft_from_lookup(options, look, plan.key, environ=plan.environ, now=now)

    def _seal(self, bundle: Bundle, recipients: Sequence[TrustedRecipient]) -> None:
        if bundle.grants and not all(recipient.grants for recipient in recipients):
            raise ValueError("a grant for a key that is not believed any more")
        self._bundle_ids.add(bundle.bundle_id)
        own = {recipient: recipient.key for recipient in recipients if recipient.key is not None}
        for recipient, text in zip(own, seal_each(bundle, own.values(), self._plan.key), strict=True):
            self._texts[recipient] = (bundle.bundle_id, text)
        for recipient in recipients:
            if recipient.key is None:
                text = seal(bundle, self._plan.pinned[:MAX_RECIPIENTS], self._plan.key)
                self._texts[recipient] = (bundle.bundle_id, text)
        self._drop_earliest(frozenset(recipients))

    def _drop_earliest(self, wanted: frozenset[TrustedRecipient]) -> None:
        """Let go of the earliest texts where there are too many, but for those that are `wanted` now.

        Whoever comes back for one gets a bundle with another sequence: agents know what they admitted under this one.
        """
        too_many = len(self._texts) - MOST_TEXTS
        if too_many > 0:
            earliest = [recipient for recipient in self._texts if recipient not in wanted]
            for recipient in earliest[: max(too_many, MOST_TEXTS // 4)]:
                del self._texts[recipient]
                self._to_renumber.add(recipient.audience)


def _by_audience(recipients: Iterable[TrustedRecipient]) -> dict[str, list[TrustedRecipient]]:
    groups: dict[str, list[TrustedRecipient]] = {}
    for recipient in dict.fromkeys(recipients):
        groups.setdefault(recipient.audience, []).append(recipient)
    return groups
