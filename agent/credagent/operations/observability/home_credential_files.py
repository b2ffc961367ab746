"""Files in a user's home that cloud libraries would find before, or instead of, what workers are handed. Pure.

Which of them win is told in worker_environment/ADR-01-closed-slots.md. Names of settings only: no value is kept.
"""

import configparser
from collections.abc import Iterator

from msgspec import Struct

from credagent.config import Config

GIVES_KEYS = frozenset({"aws_access_key_id", "credential_process", "role_arn", "sso_session", "sso_start_url"})
DEFAULT_PROFILES = ("default", "profile default")


class Profile(Struct, frozen=True):
    """What the default profile of a file sets. `masked`: the endpoint handover puts an empty file in its place."""

    path: str
    names: frozenset[str]
    masked: bool = False


class Home(Struct, frozen=True, kw_only=True):
    """What lies in the home of the user who asks; `google_default` is "" where there is none."""

    google_default: str = ""
    aws: tuple[Profile, ...] = ()


class Shadow(Struct, frozen=True, kw_only=True):
    """One file that gets in the way; `always`, or only while the slot is empty."""

    slot: str
    path: str
    found: str
    remedy: str
    always: bool = True


def default_profile(text: str) -> frozenset[str]:
    """Return the names of what the default profile of a file of the AWS SDKs sets; none where it cannot be read."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return frozenset()
    return frozenset(name for profile in DEFAULT_PROFILES if profile in parser for name in parser[profile])


def shadows(home: Home, config: Config) -> Iterator[Shadow]:
    """Return what gets in the way of workers that run as this user."""
    if home.google_default and config.google.handover == "metadata":
        found = f"{home.google_default} wins over the metadata server of the agent in most libraries"
        remedy = "`gcloud auth application-default revoke` as this user, or run workers as another one"
        yield Shadow(slot="google", path=home.google_default, found=found, remedy=remedy)
    for profile in home.aws:
        path, giving = profile.path, sorted(profile.names & GIVES_KEYS)
        if not giving or config.aws.handover == "off":
            continue
        what = f"the default profile in {path} has {', '.join(giving)}"
        remedy = f"`mv {path} {path}.unused`, or give that profile another name"
        if config.aws.handover == "environment":
            found = f"{what}: libraries use it while the aws slot is empty"
            yield Shadow(slot="aws", path=path, found=found, remedy=remedy, always=False)
        elif not profile.masked:
            yield Shadow(
                slot="aws", path=path, found=f"{what}: it wins over the endpoint in some clients", remedy=remedy
            )
