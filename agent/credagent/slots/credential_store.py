"""The credential set in force: one value, replaced whole. Who sees it, and in which form, is decided in handover."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec
from msgspec import structs

from credagent.credentials import CredentialSet, Held, Slot, SlotContent
from credagent.secret import Secret

NEVER = datetime.fromtimestamp(0, UTC)

Listener = Callable[[CredentialSet, CredentialSet], None]
"""Told (old, new) after each pass; both are the same value where the pass has changed nothing that workers see."""


class CredentialStore:
    """Holds the present credential set, and tells listeners of each pass that may have replaced it."""

    def __init__(self, generation: int = 0, digest: str = "") -> None:
        """Start with three empty slots under `generation`, the last one this machine handed out.

        `digest` is of what that was (`digest_of`): if the first that is put in force is the same, it keeps the number.
        """
        self.current = CredentialSet(generation=generation)
        self._resumed = digest
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` after each pass, in the order of listening; return how to stop it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def publish(self, contents: Mapping[Slot, SlotContent]) -> bool:
        """Put `contents` in force, under the next generation where they are others, and tell so: the end of a pass."""
        old = self.current
        same = all(same_content(old.content(slot), content) for slot, content in contents.items())
        if not same:
            changed = {slot.value: content for slot, content in contents.items()}
            new = structs.replace(old, **changed)
            resumed = bool(self._resumed) and digest_of(new) == self._resumed
            self.current = new if resumed else structs.replace(new, generation=old.generation + 1)
            self._resumed = ""
        for listener in tuple(self._listeners):
            listener(old, self.current)
        return not same


def digest_of(credential_set: CredentialSet) -> str:
    """Return a SHA-256 of what workers get, by which a later agent knows it again. It is as private as a secret.

    Somebody who has it can try out values of little entropy.
    """
    contents = [_without_time(credential_set.content(slot)) for slot in Slot]
    text = msgspec.json.encode(contents, enc_hook=_revealed, order="deterministic")
    return hashlib.sha256(text).hexdigest()


def _revealed(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(type(value).__name__)


def _without_time(content: SlotContent) -> SlotContent:
    return structs.replace(content, obtained_at=NEVER) if isinstance(content, Held) else content


def same_content(one: SlotContent, other: SlotContent) -> bool:
    """Tell whether workers would notice no difference (when a credential was obtained is none)."""
    return _without_time(one) == _without_time(other)
