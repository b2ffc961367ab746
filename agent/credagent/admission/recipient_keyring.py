"""The keys that may open a bundle on this machine: its own, made on the first start, and those the configuration names.

The machine's own key is bound to the machine's id: an image cloned from this machine makes a key of its own, so that
what was sealed for one machine never opens on its copies.
"""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from msgspec import Struct

from credagent import log
from credagent.admission import state_file
from credagent.bundle import envelope
from credagent.bundle.content_key_wrapping import KeyOpener, StanzaKind
from credagent.bundle.key_pairs import Kem, RecipientPrivateKey, SenderPublicKey
from credagent.bundle.opening import stanza_for
from credagent.config.default_folders import BINDING_FILE
from credagent.errors import ConfigurationError, OutputError, Refused
from credagent.secret import Secret
from credagent.system.file_reading import read_bounded, read_private, read_trusted
from credagent.system.file_writing import write_private
from credagent.system.machine_id import MACHINE_ID_FILES, machine_fingerprint

KEY_FILE = "recipient.key"
PREVIOUS_FILE = "recipient.previous.key"
OLDER_PREFIX, OLDER_SUFFIX = "recipient.previous.", ".key"  # with the key's id between them
NO_BINDING = b"no machine-id\n"
KEY_LIMIT_BYTES = 4096
PREVIOUS_KEPT_S = 30 * 86_400  # as long as a bundle is valid by default
TRUST_LIMIT_BYTES = 256 * 1024

HELD_BY_A_SERVICE = frozenset({StanzaKind.AWS_KMS, StanzaKind.GCP_KMS})
"""To open by these is to ask somebody, who may not answer."""

OpenerMaker = Callable[[str], KeyOpener]
"""Makes an opener for a key that a cloud holds (`aws-kms:ARN`, `gcp-kms:NAME`)."""


class Keyring(Struct, frozen=True, kw_only=True):
    """All openers; `own` is the machine's own key, None where the configuration does not use it.

    `own_ids` names the machine's own keys, present and previous: no other machine holds them. `local_only` tells
    whether every opener answers without asking a cloud.
    """

    openers: tuple[KeyOpener, ...]
    own: RecipientPrivateKey | None = None
    own_ids: frozenset[bytes] = frozenset()
    local_only: bool = True

    def opens_by(self, recipient_id: bytes) -> bool:
        """Tell whether a key is one of these."""
        return any(key.recipient_id == recipient_id for key in self.openers)


def load(
    specs: tuple[str, ...],
    state_dir: str,
    environ: Mapping[str, str],
    remote: OpenerMaker,
    *,
    writes: bool = True,
) -> Keyring:
    """Return the keyring for `bundle.recipient_keys`. Raises ConfigurationError, PermissionRefused or OutputError."""
    openers: list[KeyOpener] = []
    own: RecipientPrivateKey | None = None
    own_ids: set[bytes] = set()
    local_only = True
    for spec in specs:
        kind, _, rest = spec.partition(":")
        match kind:
            case "state":
                own = _own_key(state_dir)
                keys = [own, *_previous_keys(state_dir, writes=writes)]
                openers += keys
                own_ids.update(key.recipient_id for key in keys)
            case "file":
                openers.append(_read_key(rest))
            case "credential":
                openers.append(_read_credential(rest, environ))
            case _:
                openers.append(remote(spec))
                local_only = False
    return Keyring(openers=tuple(openers), own=own, own_ids=frozenset(own_ids), local_only=local_only)


def has_own(state_dir: str) -> bool:
    """Tell whether this machine has made its key already."""
    return os.path.lexists(f"{state_dir}/{KEY_FILE}")


def put_back(keyring: Keyring, state_dir: str) -> None:
    """Write the machine's own keys where the folder that held them is gone; what is there stays. Raises OutputError."""
    if keyring.own is None or has_own(state_dir):
        return
    write_private(f"{state_dir}/{KEY_FILE}", _text_of(keyring.own))
    write_private(f"{state_dir}/{BINDING_FILE}", _binding())
    for key in keyring.openers:
        if isinstance(key, RecipientPrivateKey) and key.recipient_id in keyring.own_ids and key is not keyring.own:
            write_private(f"{state_dir}/{OLDER_PREFIX}{key.key_id}{OLDER_SUFFIX}", _text_of(key))
    log.warning("machine_key_restored", key_id=keyring.own.key_id)


def trusted_senders(specs: tuple[str, ...]) -> frozenset[bytes]:
    """Return the raw public keys of `bundle.trusted_senders`: lines, or `file:PATH` with a line each.

    What follows a key after a blank is somebody's name for it, and means nothing here.
    """
    keys: set[bytes] = set()
    for spec in specs:
        lines = [spec]
        if spec.startswith("file:"):
            text = read_trusted(spec.removeprefix("file:"), TRUST_LIMIT_BYTES).decode("utf-8", "replace")
            lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
        try:
            keys.update(SenderPublicKey.parse(line.split(" ", 1)[0]).raw for line in lines)
        except ConfigurationError as error:
            place = spec if spec.startswith("file:") else ""
            what = f"bundle.trusted_senders: {place}".rstrip(": ")
            raise ConfigurationError(error.code, error.why, what=what, hint=error.hint) from error
    return frozenset(keys)


def rotate(state_dir: str) -> RecipientPrivateKey:
    """Make a new own key and keep the present one beside it, for bundles that are on their way.

    The previous ones are kept too: whoever rotates twice, or again after a crash, loses none that is still needed.
    """
    present, path = _read_key(f"{state_dir}/{KEY_FILE}"), f"{state_dir}/{PREVIOUS_FILE}"
    if os.path.lexists(path):
        previous = _read_key(path)
        if previous.recipient_id != present.recipient_id:
            os.rename(path, f"{state_dir}/{OLDER_PREFIX}{previous.key_id}{OLDER_SUFFIX}")  # its age stays
    write_private(path, _text_of(present))
    return _make_key(state_dir)


def _own_key(state_dir: str) -> RecipientPrivateKey:
    path = f"{state_dir}/{KEY_FILE}"
    if not os.path.lexists(path):
        return _make_key(state_dir)
    bound_to = read_bounded(f"{state_dir}/{BINDING_FILE}", KEY_LIMIT_BYTES)
    binding = _binding()
    if bound_to is None or bound_to == binding:
        key = _read_key(path)
        if bound_to is None:
            write_private(f"{state_dir}/{BINDING_FILE}", binding)
        return key
    if binding == NO_BINDING:
        # A machine whose id is not there yet is no other machine: its key, once replaced, would be lost for good.
        log.warning("machine_id_missing", why="the key stays, bound to the id that this machine had before")
        return _read_key(path)
    log.warning("machine_key_replaced", why="this machine has another machine-id than the one that made the key")
    for previous in _previous_files(state_dir):
        _forget(previous)
    return _make_key(state_dir)


def _make_key(state_dir: str) -> RecipientPrivateKey:
    key = RecipientPrivateKey.generate(Kem.X_WING)
    write_private(f"{state_dir}/{KEY_FILE}", _text_of(key))
    write_private(f"{state_dir}/{BINDING_FILE}", _binding())
    log.info("machine_key_made", key_id=key.key_id)
    return key


def _previous_keys(state_dir: str, *, writes: bool) -> list[RecipientPrivateKey]:
    """Return the keys before the last rotations, while bundles for them may be on their way or are in force.

    After that they are removed.
    """
    kept = []
    for path in _previous_files(state_dir):
        key = _read_key(path)
        if time.time() - os.lstat(path).st_mtime <= PREVIOUS_KEPT_S or _is_needed(key, state_dir):
            kept.append(key)
        elif writes:
            _forget(path)
            log.info("previous_machine_key_removed", key_id=key.key_id)
    return kept


def _previous_files(state_dir: str) -> list[str]:
    """Return the files of earlier keys, the latest first."""
    found = (name for name in os.listdir(state_dir) if name.startswith(OLDER_PREFIX) and name.endswith(OLDER_SUFFIX))
    paths = [f"{state_dir}/{name}" for name in found]
    return sorted(paths, key=lambda path: os.lstat(path).st_mtime, reverse=True)


def _is_needed(key: RecipientPrivateKey, state_dir: str) -> bool:
    """Tell whether what is in force was sealed to `key`: however old it is, a start has to open that again."""
    for text in state_file.load(state_dir).texts():
        with suppress(Refused):
            if stanza_for(envelope.parse(text), key) is not None:
                return True
    return False


def _read_key(path: str, *, group_may_read: bool = False) -> RecipientPrivateKey:
    data = read_private(path, KEY_LIMIT_BYTES, group_may_read=group_may_read)
    try:
        return RecipientPrivateKey.parse(Secret(data.decode("ascii", "replace").strip()))
    except ConfigurationError as error:
        raise ConfigurationError(error.code, error.why, what=path, hint=error.hint) from error


def _read_credential(name: str, environ: Mapping[str, str]) -> RecipientPrivateKey:
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    if not folder:
        hint = f"start the agent by a unit with LoadCredential={name}:PATH"
        raise ConfigurationError("no-credential", "systemd passed no credentials", what=f"credential:{name}", hint=hint)
    return _read_key(f"{folder}/{name}", group_may_read=True)


def _text_of(key: RecipientPrivateKey) -> bytes:
    return key.to_text().reveal().encode() + b"\n"


def _binding() -> bytes:
    """Return what ties a key to this machine."""
    fingerprint = machine_fingerprint(MACHINE_ID_FILES)
    return f"{fingerprint}\n".encode() if fingerprint else NO_BINDING


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError("cannot-remove", os.strerror(error.errno or 0), what=path) from error
