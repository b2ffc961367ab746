"""The credential set in force: one value, replaced whole. Who sees it, and in which form, is decided in handover."""

from collections.abc import Callable, Mapping

from msgspec import structs

from credagent.credentials import CredentialSet, Held, Slot, SlotContent

Listener = Callable[[CredentialSet, CredentialSet], None]
"""Told (old, new) after each pass; both are the same value where the pass has changed nothing that workers see."""


class CredentialStore:
    """Holds the present credential set, and tells listeners of each pass that may have replaced it."""

    def __init__(self, generation: int = 0) -> None:
        """Start with three empty slots under `generation`, the last one this machine handed out."""
        self.current = CredentialSet(generation=generation)
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
            self.current = structs.replace(old, generation=old.generation + 1, **changed)
        for listener in tuple(self._listeners):
            listener(old, self.current)
        return not same


def same_content(one: SlotContent, other: SlotContent) -> bool:
    """Tell whether workers would notice no difference (when a credential was obtained is none)."""
    if isinstance(one, Held) and isinstance(other, Held):
        return structs.replace(one, obtained_at=other.obtained_at) == other
    return one == other
