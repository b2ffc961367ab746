"""The senders that are trusted: as the configuration lists them, and in the trust file of this machine or user.

A file has one sender's public key a line, and after a blank somebody's name for it. `credagent trust` and the first
`forward` of a user add to it.
"""

import os
from collections.abc import Mapping

from credagent.bundle.key_pairs import SenderPublicKey
from credagent.config import Config
from credagent.config.default_folders import trust_file
from credagent.errors import ConfigurationError
from credagent.system.file_reading import read_trusted
from credagent.system.file_writing import write_private
from credagent.system.private_folder import make_private_folder

MODE = 0o644  # the agent may run as another user, and nothing in it is secret
FILE = "file:"
LIMIT_BYTES = 256 * 1024


def trusted_senders(specs: tuple[str, ...]) -> dict[bytes, str]:
    """Return the raw public keys of `bundle.trusted_senders` (lines, or `file:PATH` with a line each) with their names.

    What follows a key after a blank is somebody's name for it, "" where nothing does. It is for people alone.
    """
    keys: dict[bytes, str] = {}
    for spec in specs:
        lines = [spec]
        if spec.startswith(FILE):
            text = read_trusted(spec.removeprefix(FILE), LIMIT_BYTES).decode("utf-8", "replace")
            lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
        try:
            for key, _, name in (line.partition(" ") for line in lines):
                keys[SenderPublicKey.parse(key).raw] = name.strip()
        except ConfigurationError as error:
            place = spec if spec.startswith(FILE) else ""
            what = f"bundle.trusted_senders: {place}".rstrip(": ")
            raise ConfigurationError(error.code, error.why, what=what, hint=error.hint) from error
    return keys


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
        lines = read_trusted(path, LIMIT_BYTES).decode("utf-8", "replace").splitlines()
    if any(line.split(" ", 1)[0] == key.line for line in map(str.strip, lines)):
        return False
    folder = os.path.dirname(path)
    make_private_folder(folder, 0o755 if os.geteuid() == 0 else 0o700)
    lines.append(f"{key.line} {comment}".rstrip())
    write_private(path, "".join(f"{line}\n" for line in lines).encode(), MODE)
    return True
