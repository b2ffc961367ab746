"""The machine's own recipient key: made on the first start, rotated, kept, and bound to this machine.

It is bound to the machine's id: an image cloned from this machine makes a key of its own, so that what was sealed for
one machine never opens on its copies. Earlier keys stay while bundles for them may be on their way or are in force.
"""

import os
import time
from contextlib import suppress

from credagent import log
from credagent.admission import state_file
from credagent.bundle import envelope
from credagent.bundle.fingerprint import fingerprint
from credagent.bundle.key_pairs import Kem, RecipientPrivateKey
from credagent.bundle.opening import stanza_for
from credagent.config.default_folders import BINDING_FILE
from credagent.errors import ConfigurationError, OutputError, Refused
from credagent.secret import Secret
from credagent.system.file_reading import read_bounded, read_private
from credagent.system.file_writing import write_private
from credagent.system.machine_id import MACHINE_ID_FILES, machine_fingerprint

KEY_FILE = "recipient.key"
PREVIOUS_FILE = "recipient.previous.key"
OLDER_PREFIX, OLDER_SUFFIX = "recipient.previous.", ".key"  # with the key's id between them
NO_BINDING = b"no machine-id\n"
KEY_LIMIT_BYTES = 4096
PREVIOUS_KEPT_S = 30 * 86_400  # as long as a bundle is valid by default


def exists(state_dir: str) -> bool:
    """Tell whether this machine has made its key already."""
    return os.path.lexists(f"{state_dir}/{KEY_FILE}")


def load(state_dir: str, *, writes: bool = True) -> list[RecipientPrivateKey]:
    """Return the machine's own key, made where it is missing, and the earlier ones that are still of use.

    `writes` False: earlier keys that are of no use any more are not removed. Raises CredagentError.
    """
    return [_own_key(state_dir), *_previous_keys(state_dir, writes=writes)]


def rotate(state_dir: str) -> RecipientPrivateKey:
    """Make a new own key and keep the present one beside it, for bundles that are on their way.

    The previous ones are kept too: whoever rotates twice, or again after a crash, loses none that is still needed.
    """
    present, path = read_key(f"{state_dir}/{KEY_FILE}"), f"{state_dir}/{PREVIOUS_FILE}"
    if os.path.lexists(path):
        previous = read_key(path)
        if previous.recipient_id != present.recipient_id:
            os.rename(path, f"{state_dir}/{OLDER_PREFIX}{previous.key_id}{OLDER_SUFFIX}")  # its age stays
    write_private(path, _text_of(present))
    return _make_key(state_dir)


def put_back(keys: list[RecipientPrivateKey], state_dir: str) -> None:
    """Write the machine's keys (its own first) where the folder that held them is gone; what is there stays.

    Raises OutputError.
    """
    if not keys or exists(state_dir):
        return
    own, *previous = keys
    write_private(f"{state_dir}/{KEY_FILE}", _text_of(own))
    write_private(f"{state_dir}/{BINDING_FILE}", _binding())
    for key in previous:
        write_private(f"{state_dir}/{OLDER_PREFIX}{key.key_id}{OLDER_SUFFIX}", _text_of(key))
    log.warning("machine_key_restored", key=fingerprint(own.key_id))


def read_key(path: str, *, group_may_read: bool = False) -> RecipientPrivateKey:
    """Return the private key in a file, this machine's or another. Raises ConfigurationError or PermissionRefused."""
    data = read_private(path, KEY_LIMIT_BYTES, group_may_read=group_may_read)
    try:
        return RecipientPrivateKey.parse(Secret(data.decode("ascii", "replace").strip()))
    except ConfigurationError as error:
        raise ConfigurationError(error.code, error.why, what=path, hint=error.hint) from error


def _own_key(state_dir: str) -> RecipientPrivateKey:
    path = f"{state_dir}/{KEY_FILE}"
    if not os.path.lexists(path):
        return _make_key(state_dir)
    bound_to = read_bounded(f"{state_dir}/{BINDING_FILE}", KEY_LIMIT_BYTES)
    binding = _binding()
    if bound_to is None or bound_to == binding:
        key = read_key(path)
        if bound_to is None:
            write_private(f"{state_dir}/{BINDING_FILE}", binding)
        return key
    if binding == NO_BINDING:
        # An id that is missing makes this no other machine. A key that is replaced is lost for good.
        log.warning("machine_id_missing", why="the key stays, bound to the id that this machine had before")
        return read_key(path)
    log.warning("machine_key_replaced", why="this machine has another machine-id than the one that made the key")
    for previous in _previous_files(state_dir):
        _forget(previous)
    return _make_key(state_dir)


def _make_key(state_dir: str) -> RecipientPrivateKey:
    key = RecipientPrivateKey.generate(Kem.X_WING)
    write_private(f"{state_dir}/{KEY_FILE}", _text_of(key))
    write_private(f"{state_dir}/{BINDING_FILE}", _binding())
    log.info("machine_key_made", key=fingerprint(key.key_id))
    return key


def _previous_keys(state_dir: str, *, writes: bool) -> list[RecipientPrivateKey]:
    """Return the keys before the last rotations, while bundles for them may be on their way or are in force.

    After that they are removed.
    """
    kept = []
    for path in _previous_files(state_dir):
        key = read_key(path)
        if time.time() - os.lstat(path).st_mtime <= PREVIOUS_KEPT_S or _is_needed(key, state_dir):
            kept.append(key)
        elif writes:
            _forget(path)
            log.info("previous_machine_key_removed", key=fingerprint(key.key_id))
    return kept


def _previous_files(state_dir: str) -> list[str]:
    """Return the files of earlier keys, the latest first."""
    found = (name for name in os.listdir(state_dir) if name.startswith(OLDER_PREFIX) and name.endswith(OLDER_SUFFIX))
    paths = [f"{state_dir}/{name}" for name in found]
    return sorted(paths, key=lambda path: os.lstat(path).st_mtime, reverse=True)


def _is_needed(key: RecipientPrivateKey, state_dir: str) -> bool:
    """Tell whether the bundle in force was sealed to `key`: the next start has to open it again, however old it is."""
    for text in state_file.load(state_dir).texts():
        with suppress(Refused):
            if stanza_for(envelope.parse(text), key) is not None:
                return True
    return False


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
