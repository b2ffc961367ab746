"""`credagent whoami`: which identity would be forwarded, or, with `--worker`, which one a process here signs with."""

import argparse
import os
from typing import TYPE_CHECKING

from credagent.cli.common_options import add_agents_config, duration
from credagent.credentials import Slot

if TYPE_CHECKING:
    from credagent.sender.local_identity import FoundIdentity

_PASTED = "trusted_identities = "
_NOT_BY_GOOGLE = (
    "Google attests service accounts, not a person's login: machines have to trust your key (credagent trust PUB)"
)
SUMMARY = "show which identity would be forwarded, or which one a worker here signs with"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `whoami` takes."""
    parser.add_argument(
        "--aws", default="local", metavar="local|none|profile:NAME", help="your AWS identity (default: local)"
    )
    parser.add_argument("--google", default="none", metavar="local|none", help="your Google identity (default: none)")
    parser.add_argument("--duration", type=duration, metavar="D", help="how long a session made for this would last")
    parser.add_argument("--allow-long-term", action="store_true", help="look at a long-term key as it is")
    parser.add_argument(
        "--worker",
        nargs="?",
        type=process_number,
        const=0,
        metavar="PID",
        help="on a cluster machine: what a library in that process would sign with (without PID: in each one supplied)",
    )
    parser.add_argument("--ask", action="store_true", help="with --worker: ask AWS STS who that is")
    add_agents_config(parser)
    parser.add_argument("--json", action="store_true", help="print a stable document")


def run(arguments: argparse.Namespace) -> int:
    """Ask, and print. Exit 69 where there is no identity, 1 where a worker signs with another than it was given."""
    if arguments.worker is not None:
        from credagent.cli import worker_whoami

        return worker_whoami.run(
            arguments.worker, config_path=arguments.config, asks=arguments.ask, as_json=arguments.json
        )
    from credagent.sender.grant_options import GrantOptions, check
    from credagent.sender.local_identity import look

    options = check(
        GrantOptions(
            audience="whoami",
            aws=arguments.aws,
            google=arguments.google,
            duration_s=arguments.duration,
            allow_long_term=arguments.allow_long_term,
        )
    )
    facts = [_facts(found) for found in look(options, os.environ).found]
    if arguments.json:
        import msgspec

        document = {"version": 1, **{str(fact.pop("slot")): fact for fact in facts}}
        print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
        return 0
    if not facts:
        print("none: no identity would be forwarded (--aws and --google say so)")
    for fact in facts:
        for name, value in fact.items():
            print(f"{f'{name}:':<14}{_text(value)}")
    named = [str(fact["attested_as"]) for fact in facts if fact["attested_as"]]
    if named:
        listed = ", ".join(f'"{one}"' for one in named)
        print(f"Machines trust you by identity, whatever key you have, with this below [bundle]:\n{_PASTED}[{listed}]")
    return 0


def process_number(text: str) -> int:
    """Return the number of a process, for argparse."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the number of a process")
    return int(text)


def _facts(found: "FoundIdentity") -> dict[str, object]:
    from credagent.bundle.timestamps import text_of
    from credagent.sender.compose_bundle import expiry

    ends = expiry(found.grant) if found.grant is not None else None
    return {
        "slot": found.slot.value,
        "principal": found.principal or None,
        "account": found.account or None,
        "method": found.method or None,
        "expires_at": text_of(ends) if ends is not None else None,
        "expiry_known": found.expiry_known,
        "attested_as": _attested_as(found),
        "notices": [*found.notices, *([] if found.slot is Slot.AWS or _attested_as(found) else [_NOT_BY_GOOGLE])],
    }


def _attested_as(found: "FoundIdentity") -> str | None:
    """Return how a machine's `trusted_identities` names this identity; None where no cloud attests it."""
    from credagent.attestation.identity_pattern import pattern_of_arn

    if found.slot is Slot.AWS:
        return pattern_of_arn(found.principal) if found.principal.startswith("arn:") else None
    return f"google:{found.principal}" if found.principal.endswith(".gserviceaccount.com") else None


def _text(value: object) -> str:
    match value:
        case None:
            return "unknown"
        case bool():
            return "yes" if value else "no (a cautious guess)"
        case list():
            return "; ".join(map(str, value)) or "none"
        case _:
            return str(value)
