"""The sender's signing key on disk: read where it was named, made on first use where none was. No trust is decided."""

import os
from collections.abc import Mapping

from credagent.bundle.key_pairs import SenderPrivateKey
from credagent.errors import ConfigurationError, OutputError
from credagent.secret import Secret
from credagent.system.file_reading import read_private
from credagent.system.file_writing import create_new_private, write_private
from credagent.system.private_folder import make_private_folder

KEY_BYTES = 4_096


def load(path: str) -> SenderPrivateKey:
    """Return the key in `path`. Raises ConfigurationError or PermissionRefused; no text holds a part of the key."""
    try:
        text = read_private(path, KEY_BYTES).decode("ascii").strip()
    except UnicodeDecodeError:
        hint = "name the sender.key that `credagent keygen --role sender` made"
        raise ConfigurationError("wrong-key", "is not a key file", what=path, hint=hint) from None
    try:
        return SenderPrivateKey.parse(Secret(text))
    except ConfigurationError as error:
        raise ConfigurationError(error.code, error.why, what=path, hint=error.hint) from error


def default_path(environ: Mapping[str, str]) -> str:
    """Return where this user's own key is (XDG base directories)."""
    base = environ.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):
        base = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config")
    return os.path.join(base, "credagent", "sender.key")


def load_or_make(path: str) -> tuple[SenderPrivateKey, bool]:
    """Return the key in `path`, and whether it was made just now (its public line is then in PATH with `.pub`)."""
    if os.path.lexists(path):
        return load(path), False
    make_private_folder(os.path.dirname(path))
    key = SenderPrivateKey.generate()
    try:
        create_new_private(path, f"{key.to_text().reveal()}\n".encode())
    except OutputError as error:
        if error.code != "exists":
            raise
        return load(path), False  # another process was faster
    write_private(f"{path.removesuffix('.key')}.pub", f"{key.public_key.line}\n".encode(), 0o644)
    return key, True
