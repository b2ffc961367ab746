"""The options that say what is sent, and to whom: from the command line to `sender.grant_options.GrantOptions`."""

import argparse
import os
import re
import sys
from collections.abc import Mapping

from credagent.cli.common_options import duration
from credagent.credentials import Slot
from credagent.errors import ConfigurationError, UsageError
from credagent.secret import Secret
from credagent.sender.grant_options import VALID_FOR_S, GrantOptions, check, variable

ATTEST_NAMES = "aws_accounts, aws_roles, google_projects, google_accounts"
ENV_FILE_BYTES = 128 * 1024  # no bundle can hold more
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def add_identity_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says which identity is sent."""
    group = parser.add_argument_group("what is sent")
    group.add_argument(
        "--aws", default="local", metavar="local|none|profile:NAME", help="your AWS identity (default: local)"
    )
    group.add_argument("--google", default="none", metavar="local|none", help="your Google identity (default: none)")
    group.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME",
        help="a variable, its value from this environment; repeat for more",
    )
    group.add_argument(
        "--env-file", metavar="FILE", help="variables from a file of NAME=VALUE lines, - for standard input"
    )
    group.add_argument(
        "--assume-role", action="append", default=[], metavar="ARN", help="a role that the agent assumes and renews"
    )
    group.add_argument("--impersonate", metavar="ACCOUNT", default="", help="a Google service account to impersonate")
    group.add_argument(
        "--allow-long-term", action="store_true", help="send an AWS key that has no session token as it is"
    )
    group.add_argument("--allow-refresh-token", action="store_true", help="send your Google refresh token")
    group.add_argument(
        "--duration", type=duration, metavar="D", help="how long sessions made for this last: 90s, 30m, 12h, 2d"
    )
    group.add_argument(
        "--valid-for",
        type=duration,
        default=VALID_FOR_S,
        metavar="D",
        help="until when at most what has no end of its own is used (default: 30d)",
    )


def add_sealing_arguments(parser: argparse.ArgumentParser) -> None:
    """Add everything `seal` takes."""
    group = parser.add_argument_group("for whom, from whom")
    group.add_argument(
        "--recipient",
        action="append",
        required=True,
        metavar="PUB",
        help="who may open it: a public key's line, a file that holds it, aws-kms:ARN or gcp-kms:NAME; repeat for more",
    )
    group.add_argument(
        "--sender-key", required=True, metavar="KEY", help="your signing key (`credagent keygen --role sender`)"
    )
    group.add_argument(
        "--audience", required=True, metavar="NAME", help="the cluster that the bundle is for: its agent.audience"
    )
    add_identity_arguments(parser)
    parser.add_argument(
        "--allow-missing", action="store_true", help="without local credentials: decline instead of failing"
    )
    parser.add_argument(
        "--attested",
        action="store_true",
        help="add your cloud's word for your key: for machines that trust you by identity, within 15 minutes",
    )
    parser.add_argument("--out", default="-", metavar="FILE", help="where the bundle goes (default: standard output)")


def identity_options(
    arguments: argparse.Namespace,
    environ: Mapping[str, str],
    *,
    audience: str,
    allow_missing: bool,
    audience_needed: bool = True,
) -> GrantOptions:
    """Return what the arguments ask for. Raises UsageError, or ConfigurationError for a file that is not there."""
    if len(arguments.assume_role) > 1:
        hint = "seal one bundle for each role, or let the one role assume the next"
        raise UsageError("several-roles", "a bundle fills the aws slot with one role", what="--assume-role", hint=hint)
    return check(
        GrantOptions(
            audience=audience,
            aws=arguments.aws,
            google=arguments.google,
            variables=_variables(arguments, environ),
            assume_role=next(iter(arguments.assume_role), ""),
            impersonate=arguments.impersonate,
            allow_long_term=arguments.allow_long_term,
            allow_refresh_token=arguments.allow_refresh_token,
            allow_missing=allow_missing,
            duration_s=arguments.duration,
            valid_for_s=arguments.valid_for,
            withdrawn=frozenset(Slot(slot) for slot in getattr(arguments, "slots", ())),
        ),
        audience_needed=audience_needed,
    )


def _variables(arguments: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, Secret]:
    variables = _from_file(arguments.env_file) if arguments.env_file else {}
    for name in arguments.env:
        _check_name(name, "--env")
        if name not in environ:
            raise UsageError(
                "env-unset",
                "is not set in this environment",
                what=name,
                hint=f"export {name}=… first; its value is never an argument, which others could read",
            )
        variables[name] = variable(name, environ[name])
    return variables


def _check_name(name: str, what: str) -> None:
    if "=" in name:
        # The text after the sign may be the secret itself, and the error is printed.
        hint = "the value is taken from the environment, so that it is not in the list of processes"
        raise UsageError(
            "env-value",
            f"takes a name only; {name.split('=', maxsplit=1)[0]!r} came with a value",
            what=what,
            hint=hint,
        )
    if not _NAME.fullmatch(name):
        raise UsageError(
            "env-name", f"{name[:40]!r} is not a variable's name", what=what, hint="[A-Za-z_][A-Za-z0-9_]*"
        )


def _from_file(path: str) -> dict[str, Secret]:
    found: dict[str, Secret] = {}
    for number, line in enumerate(_text(path).splitlines(), 1):
        entry = line.strip().removeprefix("export ").lstrip()
        if not entry or entry.startswith("#"):
            continue
        name, sign, value = entry.partition("=")
        if not sign or not _NAME.fullmatch(name.strip()):
            # The line is not shown: a broken line may well be the rest of a secret.
            raise ConfigurationError(
                "env-file",
                f"line {number} is not NAME=VALUE",
                what=path,
                hint="one variable a line; values over several lines come by --env",
            )
        found[name.strip()] = Secret(_unquoted(value.strip()))
    return found


def _unquoted(value: str) -> str:
    for quote in ('"', "'"):
        if len(value) > 1 and value[0] == value[-1] == quote:
            return value[1:-1]
    return value


def _text(path: str) -> str:
    from credagent.system.file_reading import read_bounded

    if path == "-":
        data = sys.stdin.buffer.read(ENV_FILE_BYTES + 1)
        if len(data) > ENV_FILE_BYTES:
            raise ConfigurationError(
                "env-file", f"more than {ENV_FILE_BYTES} bytes", what="--env-file -", hint="is this the right file?"
            )
    else:
        found = read_bounded(path, ENV_FILE_BYTES)
        if found is None:
            raise ConfigurationError("env-file", "there is no such file", what=os.fspath(path), hint="check the path")
        data = found
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ConfigurationError("env-file", "is not UTF-8 text", what=path, hint="save it as UTF-8") from None


def add_attest(parser: argparse.ArgumentParser) -> None:
    """Add `--attest`: whose attested machines are believed, in place of those of the account or project forwarded."""
    parser.add_argument(
        "--attest",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"whose attested machines are believed ({ATTEST_NAMES}; may be repeated)",
    )


def attest_said(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """Return what `--attest` said, by name. Raises UsageError."""
    said: dict[str, list[str]] = {}
    for text in arguments.attest:
        name, equals, value = text.partition("=")
        if not equals or not value:
            why = f"{text[:80]!r} is not NAME=VALUE"
            raise UsageError("usage", why, what="--attest", hint=f"name one of {ATTEST_NAMES}")
        said.setdefault(name, []).append(value)
    return said
