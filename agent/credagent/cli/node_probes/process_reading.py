"""What the kernel and the file system show of a process and of its user's home: names and kinds, not values.

Linux only: /proc/PID/environ, for root and for who runs the process, unless it forbids that (proc_pid_environ(5)).
Judging it is `operations/observability/process_identity`'s.
"""

import os
import pwd
from collections.abc import Iterable, Mapping

from msgspec import Struct

from credagent.operations.observability.home_credential_files import Home, Profile, default_profile
from credagent.operations.observability.process_identity import catches_loopback, changed_names, names_set

LONGEST_ENVIRONMENT_BYTES = 4 * 1024 * 1024  # more than ARG_MAX allows by default
LONGEST_FILE_BYTES = 1024 * 1024


class StartEnvironment(Struct, frozen=True, kw_only=True):
    """What is true of the environment that a process started with, and of its user's home."""

    names: frozenset[str]
    changed: frozenset[str]
    proxied: bool
    home: Home


def read_start_environment(
    pid: int, *, handed_out: Mapping[str, str] = {}, past_proxies: Iterable[str] = ()
) -> StartEnvironment:
    """Return what the environment of `pid` was at its start. Raises OSError where it may not be read.

    `handed_out`: what a worker gets now, to be compared with. `past_proxies`: hosts that no proxy should get.
    """
    environ = read_environ(pid)
    environ.setdefault("HOME", _home_of(os.stat(f"/proc/{pid}").st_uid))
    return StartEnvironment(
        names=names_set(environ),
        changed=changed_names(environ, handed_out),
        proxied=catches_loopback(environ, past_proxies),
        home=home_of(environ),
    )


def read_environ(pid: int) -> dict[str, str]:
    """Return the environment that `pid` started with, values and all. Raises OSError."""
    with open(f"/proc/{pid}/environ", "rb") as file:
        text = file.read(LONGEST_ENVIRONMENT_BYTES).decode("utf-8", "surrogateescape")
    return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)


def home_of(environ: Mapping[str, str]) -> Home:
    """Return which files libraries would find with `environ`: where the variables that move them say, else at home."""
    at_home = environ.get("HOME") or os.path.expanduser("~")
    google = environ.get("CLOUDSDK_CONFIG") or f"{at_home}/.config/gcloud"
    default = f"{google}/application_default_credentials.json"
    aws = (
        (environ.get("AWS_SHARED_CREDENTIALS_FILE") or f"{at_home}/.aws/credentials", True),
        (environ.get("AWS_CONFIG_FILE") or f"{at_home}/.aws/config", False),
    )
    return Home(
        google_default=default if os.path.exists(default) else "",
        aws=tuple(
            Profile(path, default_profile(_text(path)), masked=masked) for path, masked in aws if os.path.isfile(path)
        ),
    )


def _home_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return "/"


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(LONGEST_FILE_BYTES)
    except OSError:
        return ""
