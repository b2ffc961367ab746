"""`credagent deliver`: put a sealed bundle on a channel, and say what became of it."""

import argparse
import sys
from typing import TYPE_CHECKING

from credagent.cli.named_files import read_bundle, write_output
from credagent.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from credagent.config.channel_grammar import Target

SUMMARY = "put a sealed bundle on a channel"
EPILOG = """\
targets:
  file:PATH            renamed into place, whole; it is sealed, so others may read it (0644)
  socket[:PATH]        handed to the agent that runs here; its answer is shown
  dask:ADDRESS         handed to every agent of a Dask cluster; their answers are shown
  s3://… gs://…        written with your own identity (any size)
  aws-ssm:NAME         likewise, in a parameter (at most 8 KiB, free up to 4 KiB)

env, stdin, credential, ec2-user-data, gce-attribute and https are filled by whoever launches the machine or owns the
server: deliver then says how, or that the bundle is too large, and exits with 64 or 73.

Example:
  credagent deliver bundle --to file:/run/credagent/inbox/bundle
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `deliver` takes."""
    parser.add_argument("bundle", metavar="BUNDLE", help="the sealed bundle's file, - for standard input")
    parser.add_argument("--to", required=True, metavar="TARGET", help="where to put it (see below)")


def run(arguments: argparse.Namespace) -> int:
    """Look at the bundle's form, then put it there."""
    from credagent.admission import attested_senders
    from credagent.bundle import envelope
    from credagent.bundle.signature import verify_signature
    from credagent.config import parse_channel

    try:
        target = parse_channel(arguments.to)
    except ConfigurationError as error:
        raise UsageError(error.code, error.why, what="--to", hint=error.hint) from error
    content, attestation = attested_senders.split(read_bundle(arguments.bundle))
    parsed = envelope.parse(content)
    verify_signature(parsed)  # what every agent would refuse is not carried anywhere
    return _put(target, f"{parsed.text}\n{attestation}" if attestation else parsed.text)


def _put(target: "Target", text: str) -> int:
    from credagent.config import channel_grammar

    match target:
        case channel_grammar.FileChannelSpec(path):
            _write(path, text)
        case channel_grammar.SocketChannelSpec(path):
            _push(path, text)
        case channel_grammar.DaskTargetSpec(address):
            return _over_dask(address, text)
        case channel_grammar.S3ChannelSpec() | channel_grammar.GsChannelSpec() | channel_grammar.SsmChannelSpec():
            from credagent.sender.deliver_to_cloud import to_cloud

            notice = to_cloud(target, text)
            print(f"written to {channel_grammar.channel_text(target)} ({len(text)} bytes)")
            if notice:
                print(f"credagent: note: {notice}", file=sys.stderr)
        case _:
            from credagent.sender.deliver_to_cloud import by_hand

            raise by_hand(target, text)
    return 0


def _write(path: str, text: str) -> None:
    # Readable: it is sealed, and an agent with a user of its own must be able to read what root puts into its inbox. A
    # file that it cannot read would be refused content, and close every slot for which nothing was granted.
    write_output(path, f"{text}\n".encode(), 0o644)
    print(f"written to {path}")


def _push(path: str, text: str) -> None:
    from credagent.errors import Unavailable
    from credagent.handover.unix.agent_client import refusal_of
    from credagent.worker import credagent_worker

    try:
        answer = credagent_worker.ask({"op": "deliver", "bundle": text}, path)
    except credagent_worker.AgentAbsent as error:
        hint = "start it with `credagent run`, or name the socket of the one that runs: --to socket:PATH"
        raise Unavailable("no-agent", "no agent answers", what=path, hint=hint) from error
    except credagent_worker.AgentRefused as error:
        raise refusal_of(error) from error
    print(f"{answer['outcome']} by the agent at {path}")


def _over_dask(address: str, text: str) -> int:
    import asyncio

    from credagent.dask_cluster.deliver_to_cluster import deliver_everywhere

    outcomes = asyncio.run(deliver_everywhere(address, text))
    for place, outcome in sorted(outcomes.items()):
        print(f"{place}: {outcome}")
    return 0 if outcomes and all(outcome in ("admitted", "unchanged") for outcome in outcomes.values()) else 1
