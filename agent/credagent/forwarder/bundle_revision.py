"""An edition: one state of the sender's identity, sealed for each machine once. A resealed letter takes a new number.

Agents remember the number and the digest of what they admitted, so the text sealed for a machine is kept and sent
again as it is; the same number over another text would be refused as forked.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from credagent.bundle.contents import Bundle
from credagent.bundle.envelope import MAX_RECIPIENTS
from credagent.bundle.key_pairs import RecipientPublicKey, SenderPrivateKey
from credagent.bundle.sealing import seal, seal_each
from credagent.credentials import Slot, Statement
from credagent.errors import UsageError
from credagent.forwarder.known_machines import KnownMachine
from credagent.sender.bundle_draft import number
from credagent.sender.compose_bundle import LocalIdentity
from credagent.sender.grant_options import GrantOptions
from credagent.sender.local_identity import IdentityLookup
from credagent.sender.recipients import Recipient

UNNAMED_AUDIENCE = "dask"  # for agents that have no audience: they accept any, from a sender they trust


class BundleRevision:
    """The identity of one moment, and the texts sealed from it so far. Filled by one thread at a time."""

    def __init__(
        self,
        options: GrantOptions,
        local: LocalIdentity,
        *,
        key: SenderPrivateKey,
        pinned: Sequence[Recipient],
        environ: Mapping[str, str],
        now: datetime,
    ) -> None:
        """Seal nothing yet. `pinned` are the recipients that the caller named."""
        self._options, self.local, self._key, self._environ, self.made_at = options, local, key, environ, now
        self.sealed = 0
        self._pinned_keys = {pin for pin in pinned if isinstance(pin, RecipientPublicKey)}
        self._pinned = tuple(pinned)[:MAX_RECIPIENTS]
        self._letters: dict[str, tuple[Bundle, tuple[str, ...]]] = {}
        self._shared: dict[str, str] = {}
        self._texts: dict[tuple[str, str], str] = {}

    def again(self, now: datetime) -> "BundleRevision":
        """Return an edition of the same identity that is made now."""
        return BundleRevision(
            self._options, self.local, key=self._key, pinned=self._pinned, environ=self._environ, now=now
        )

    @property
    def granted(self) -> list[str]:
        """Return the slots that it fills."""
        bundle = next(iter(self._letters.values()), (None, ()))[0]
        return [slot.value for slot in Slot if bundle is not None and bundle.statement(slot) is Statement.GRANTED]

    @property
    def bundle_ids(self) -> set[str]:
        """Return the ids of the bundles sealed from it so far."""
        return {bundle.bundle_id for bundle, _ in self._letters.values()}

    @property
    def notices(self) -> tuple[str, ...]:
        """Return what a person should know of what is sent."""
        return tuple(dict.fromkeys(notice for _, notices in self._letters.values() for notice in notices))

    def audience_of(self, machine: KnownMachine) -> str:
        """Return the audience that is sealed for this machine."""
        return self._options.audience or machine.audience or UNNAMED_AUDIENCE

    def letter(self, audience: str) -> tuple[Bundle, tuple[str, ...]]:
        """Return the bundle for `audience` and what a person should know of it."""
        if audience not in self._letters:
            options = replace(self._options, audience=audience)
            look = IdentityLookup(local=self.local, found=())
            made = number(options, look, self._key, environ=self._environ, now=self.made_at)
            self._letters[audience] = (made.bundle, made.notices)
        return self._letters[audience]

    def seal_for(self, machines: Iterable[KnownMachine]) -> None:
        """Seal for those of `machines` that have no text yet. Blocks: 0.1 ms for each, longer where a KMS is asked."""
        for audience, group in _by_audience(self, machines).items():
            own = [machine for machine in group if self._own_key(machine) is not None]
            bundle, _ = self.letter(audience)
            keys = [key for machine in own if (key := self._own_key(machine)) is not None]
            texts = seal_each(bundle, keys, self._key)
            for machine, text in zip(own, texts, strict=True):
                self._texts[machine.recipient, audience] = text
                self.sealed += 1
            if len(own) < len(group) and audience not in self._shared:
                self._shared[audience] = seal(bundle, self._pinned, self._key)

    def text_for(self, machine: KnownMachine) -> str:
        """Return what was sealed for this machine."""
        audience = self.audience_of(machine)
        return self._texts.get((machine.recipient, audience)) or self._shared[audience]

    def is_sealed_for(self, machine: KnownMachine) -> bool:
        """Tell whether `text_for` has something."""
        audience = self.audience_of(machine)
        known = (machine.recipient, audience) in self._texts
        return known or (self._own_key(machine) is None and audience in self._shared)

    def _own_key(self, machine: KnownMachine) -> RecipientPublicKey | None:
        """Return the machine's announced key if it is sealed to; None: the recipients that the caller named are."""
        if not self._pinned:
            if machine.key is None:
                raise UsageError("no-key", "the machine announced no key", what=machine.host, hint="name recipients=")
            return machine.key
        return machine.key if machine.key in self._pinned_keys else None


def _by_audience(edition: BundleRevision, machines: Iterable[KnownMachine]) -> dict[str, list[KnownMachine]]:
    groups: dict[str, dict[str, KnownMachine]] = {}
    for machine in machines:
        if not edition.is_sealed_for(machine):
            groups.setdefault(edition.audience_of(machine), {})[machine.recipient] = machine
    return {audience: list(group.values()) for audience, group in groups.items()}
