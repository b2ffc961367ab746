"""Which file is the configuration where none is named. Loads nothing: commands that run often look there too."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MACHINES_FILE = "/etc/credagent/config.toml"
MACHINES_RUNTIME_DIR = "/run/credagent"
LIMIT_BYTES = 256 * 1024  # a hundred times what a long one has


def default_path(environ: Mapping[str, str], euid: int) -> str:
    """Return the machine's file or, where an ordinary user has one, his own in its place: the two are not merged.

    The user that the machine's agent runs as is none of these: he may write its runtime folder.
    """
    folder = "" if euid == 0 or os.access(MACHINES_RUNTIME_DIR, os.W_OK) else own_folder(environ)
    own = f"{folder}/config.toml"
    return own if folder and os.path.lexists(own) else MACHINES_FILE


def own_folder(environ: Mapping[str, str]) -> str:
    """Return the folder of a user's own configuration, "" for a user without a home.

    Follows the XDG Base Directory Specification, as the sender's own key does.
    """
    base, home = environ.get("XDG_CONFIG_HOME", ""), environ.get("HOME", "")
    if not base.startswith("/"):
        base = f"{home}/.config" if home.startswith("/") else ""
    return f"{base}/credagent" if base else ""
