"""What the agent must know after a restart or a power loss: the sealed bundles in force and the replay marks.

One file, replaced whole, so that bundle and mark never disagree. Nothing in it is readable without the machine's key.
"""

from collections.abc import Callable, Iterator, Mapping

import msgspec
from msgspec import Struct

from credagent.admission.attested_senders import AttestedSender
from credagent.admission.rules import ReplayMark
from credagent.credentials import Slot
from credagent.errors import ConfigurationError
from credagent.system.file_reading import read_bounded
from credagent.system.file_writing import write_private

FILE_NAME = "in-force.json"
LIMIT_BYTES = 4 * 1024 * 1024  # four envelopes of 128 KiB and the marks of thousands of senders


class SavedState(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The sealed bundle in force, the sealed earlier ones that *unavailable* slots still use, and all marks.

    `senders`: what clouds said of senders' keys, by key id; left out where nothing was, as earlier versions have it.
    """

    version: int = 1
    bundle: str | None = None
    channel: str = ""
    earlier: Mapping[Slot, str] = {}
    marks: Mapping[str, ReplayMark] = {}
    senders: Mapping[str, AttestedSender] = {}

    def texts(self) -> Iterator[str]:
        """Yield every sealed bundle in it; one that several slots use comes as often."""
        if self.bundle is not None:
            yield self.bundle
        yield from self.earlier.values()


Load = Callable[[], SavedState]
Save = Callable[[SavedState], None]


def load(state_dir: str) -> SavedState:
    """Return what was saved; nothing where nothing was. Raises ConfigurationError where the file is damaged.

    Damage is not absence: starting without the marks would open the door to replayed bundles.
    """
    path = f"{state_dir}/{FILE_NAME}"
    data = read_bounded(path, LIMIT_BYTES)
    if data is None:
        return SavedState()
    try:
        return msgspec.json.decode(data, type=SavedState)
    except msgspec.MsgspecError as error:
        hint = "move it away to start anew: the marks against replayed bundles are lost with it"
        raise ConfigurationError("state-damaged", "is damaged", what=path, hint=hint) from error


def save(state_dir: str, saved: SavedState) -> None:
    """Put `saved` in place, durably. Raises OutputError."""
    write_private(f"{state_dir}/{FILE_NAME}", msgspec.json.encode(saved))


def load_and_save(state_dir: str, *, writes: bool) -> tuple[Load, Save]:
    """Return how admission loads and saves; `writes` False: what is admitted lasts as long as the process."""
    return lambda: load(state_dir), lambda saved: save(state_dir, saved) if writes else None
