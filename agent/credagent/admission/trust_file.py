"""The trust file of this machine or user: one sender's public key a line, and after a blank somebody's name for it.

`credagent trust` and the first `forward` of a user add to it. What a file says is read by `recipient_keyring`.
"""

import os
from collections.abc import Mapping

from credagent.admission.recipient_keyring import TRUST_LIMIT_BYTES
from credagent.bundle.key_pairs import SenderPublicKey
from credagent.config import Config
from credagent.config.default_folders import trust_file
from credagent.errors import ConfigurationError
from credagent.system.file_reading import read_trusted
from credagent.system.file_writing import write_private
from credagent.system.private_folder import make_private_folder

MODE = 0o644  # the agent may run as another user, and nothing in it is secret
FILE = "file:"


def path_of(config: Config, environ: Mapping[str, str], euid: int) -> str:
    """Return the trust file that agents with this configuration read. Raises ConfigurationError where there is none."""
    path = trust_file(environ, euid)
    if "bundle.trusted_senders" in config.origins:
        named = [spec.removeprefix(FILE) for spec in config.bundle.trusted_senders if spec.startswith(FILE)]
        if not named:
            why = "bundle.trusted_senders names no file that could be added to"
            hint = f'add "{FILE}{path}" to it, or the key itself'
            raise ConfigurationError("no-trust-file", why, what=config.path or "the environment", hint=hint)
        return path if path in named else named[0]
    if not path:
        hint = "set HOME, or CREDAGENT_BUNDLE_TRUSTED_SENDERS to the key itself"
        raise ConfigurationError("no-trust-file", "this user has no home folder", what="trust", hint=hint)
    return path


def add(path: str, key: SenderPublicKey, comment: str = "") -> bool:
    """Add a key to the trust file at `path`, made where it is missing; False where it holds that key already.

    Raises PermissionRefused where others could change the file or its folder, and OutputError where it cannot be
    written. Two that add at the same moment may lose one of the two lines.
    """
    lines = []
    if os.path.lexists(path):
        lines = read_trusted(path, TRUST_LIMIT_BYTES).decode("utf-8", "replace").splitlines()
    if any(line.split(" ", 1)[0] == key.line for line in map(str.strip, lines)):
        return False
    folder = os.path.dirname(path)
    make_private_folder(folder, 0o755 if os.geteuid() == 0 else 0o700)
    lines.append(f"{key.line} {comment}".rstrip())
    write_private(path, "".join(f"{line}\n" for line in lines).encode(), MODE)
    return True
