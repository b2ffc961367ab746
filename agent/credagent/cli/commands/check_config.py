"""`credagent check-config`: read the configuration as the daemon does, and say what it means."""

import argparse
import json
import os
from collections.abc import Callable
from typing import NoReturn

from credagent.cli.common_options import add_config, add_json, config
from credagent.config import Config, Setting, describe

SUMMARY = "read the configuration as the daemon does, and explain it"
EPILOG = """\
Prints every key as TOML, with where its value comes from. Keys and trust files that it names are
read too, so that what the daemon would refuse is refused here, with the same exit code: 77 for a
file with an open mode, 78 for everything else.

With --nftables it prints the rules of interception and nothing else, as credagent-intercept.service
loads them: `credagent check-config --nftables | nft --check -f -` tries them without loading.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `check-config` takes."""
    add_config(parser)
    add_json(parser)
    parser.add_argument("--nftables", action="store_true", help="print the rules of interception for `nft -f`")
    parser.add_argument(
        "--agent-user", metavar="USER", help="with --nftables: the user that the agent runs as (default: this one)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Read and print it. Raises what the daemon would raise."""
    loaded = config(arguments)
    if arguments.nftables:
        print(_nftables(loaded, arguments.agent_user), end="")
        return 0
    notes = [*_notes(loaded), *_unread(loaded)]
    settings = describe(loaded)
    if arguments.json:
        described = [{"key": s.key, "value": json.loads(s.value), "origin": s.origin} for s in settings]
        document = {"version": 1, "path": loaded.path or None, "settings": described, "notes": notes}
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return 0
    print(f"# {loaded.path or 'no file'}, then the environment")
    print(_as_toml(settings))
    for note in notes:
        print(f"# note: {note}")
    return 0


def _nftables(loaded: Config, agent_user: str | None) -> str:
    """Return the rules of interception. Raises ConfigurationError where there are none."""
    import pwd

    from credagent.errors import UsageError
    from credagent.handover.interception.configured_ruleset import configured_ruleset
    from credagent.handover.interception.nftables_rules import as_text

    try:
        agent = os.geteuid() if agent_user is None else pwd.getpwnam(agent_user).pw_uid
    except KeyError:
        hint = "name the user that credagent.service runs as"
        raise UsageError("no-such-user", "no such user", what=f"--agent-user {agent_user}", hint=hint) from None
    return as_text(configured_ruleset(loaded, agent=agent))


def _as_toml(settings: list[Setting]) -> str:
    lines: list[str] = []
    section = ""
    for setting in settings:
        own, _, name = setting.key.partition(".")
        if own != section:
            section = own
            lines.append(f"\n[{section}]")
        line = f"{name} = {setting.value}"
        lines.append(line if setting.origin == "default" else f"{line:<50}  # {setting.origin}")
    return "\n".join([*lines, ""])


def _notes(loaded: Config) -> list[str]:
    """Return what follows from the values and may surprise."""
    notes = []
    if loaded.bundle.trusts_nobody:
        notes.append("no bundle will be admitted: bundle.trusted_senders and trusted_identities name nobody")
    if loaded.bundle.expect == "required":
        notes.append('bundle.expect = "required" makes every fallback "never"')
    if loaded.agent.audience == "":
        notes.append("bundles for any audience are admitted: agent.audience is empty")
    if loaded.workers.intercept:
        notes += _of_interception(loaded)
    return notes + _unknown_accounts(loaded)


def _of_interception(loaded: Config) -> list[str]:
    """Return what interception cannot hold with this configuration."""
    from credagent.errors import ConfigurationError
    from credagent.handover.interception.configured_ruleset import configured_ruleset

    notes = []
    try:
        ruleset = configured_ruleset(loaded, agent=os.geteuid())
    except ConfigurationError as error:
        return [f"interception cannot work: {error}"]
    if 0 in ruleset.users:
        notes.append("workers.intercept: workers that run as root are never redirected")
    if loaded.endpoint.listen and "::1" not in {address.host for address in loaded.endpoint.listen}:
        notes.append("workers.intercept: over IPv6 the metadata address is refused, since nothing listens on ::1")
    return notes


def _unknown_accounts(loaded: Config) -> list[str]:
    import grp
    import pwd

    users: Callable[[str], object] = pwd.getpwnam
    groups: Callable[[str], object] = grp.getgrnam
    notes = []
    for key, names, find in (
        ("workers.users", loaded.workers.users, users),
        ("workers.groups", loaded.workers.groups, groups),
        ("bundle.deliver_users", loaded.bundle.deliver_users, users),
    ):
        for name in names:
            try:
                find(name)
            except KeyError:
                if not name.isdigit():
                    notes.append(f"{key}: {name} is not known on this machine")
    return notes


def _unread(loaded: Config) -> list[str]:
    """Read the files that the configuration names; what this user may not read is a note, since the daemon may."""
    from credagent.admission import recipient_keyring, trust_file
    from credagent.errors import PermissionRefused

    def cloud_key(spec: str) -> NoReturn:
        raise AssertionError(spec)  # only files are asked for below

    in_files = tuple(spec for spec in loaded.bundle.recipient_keys if spec.startswith("file:"))
    notes = []
    for read in (
        lambda: recipient_keyring.load(in_files, loaded.agent.state_dir, os.environ, cloud_key),
        lambda: trust_file.trusted_senders(loaded.bundle.trusted_senders),
    ):
        try:
            read()
        except PermissionRefused as error:
            if error.code != "file-unreadable":
                raise
            notes.append(f"{error.what}: not readable for you, so not checked")
    return notes
