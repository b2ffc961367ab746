"""`credagent forward`: keep a running cluster supplied over its Dask connection, from a process of its own.

This process holds the signing key and reads nothing from the cluster but numbers and text, so that a hostile one
cannot run code here.
"""

import argparse
import contextlib
import os
import signal
import ssl
import sys
from typing import TYPE_CHECKING

from credagent.cli.forward_install_options import add_installing_arguments, install
from credagent.cli.seal_options import add_attest, add_identity_arguments, attest_said, identity_options
from credagent.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from types import FrameType

    from credagent.forwarder.forwarding_session import Forwarding

SUMMARY = "keep a running Dask cluster supplied with your identity"
EPILOG = """\
Which machine's key is believed? Those that --recipient names; else, over verified tls://, those that machines
announce; else those that AWS or Google says to belong to the account or project that is forwarded, late ones too
(--trust attested; --attest names others); or, with --trust first-use, those of the machines that are there when this
begins, and with --trust any, those of every machine that joins.

Examples:
  credagent forward --scheduler tls://10.0.0.1:8786 --tls-ca-file ca.pem --tls-cert me.pem --tls-key me-key.pem
  credagent forward --scheduler tcp://10.0.0.1:8786
  credagent forward --scheduler tcp://10.0.0.1:8786 --attest aws_accounts=123456789012 --attest aws_roles=dask-node
  credagent forward --scheduler tcp://10.0.0.1:8786 --trust first-use
"""
LOOK_S = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `forward` takes."""
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="tcp://HOST:PORT, tls://HOST:PORT or gateway://HOST:PORT/CLUSTER"
    )
    parser.add_argument(
        "--trust", choices=("attested", "first-use", "any"), help="which announced keys are believed (see below)"
    )
    add_attest(parser)
    parser.add_argument(
        "--recipient",
        action="append",
        default=[],
        metavar="PUB",
        help="a machine's or cluster's public key, a file that holds it, aws-kms:ARN, gcp-kms:NAME",
    )
    parser.add_argument(
        "--sender-key", metavar="KEY", help="your signing key (default: one of your own, made on first use)"
    )
    parser.add_argument(
        "--audience", default="", metavar="NAME", help="the cluster (default: what each machine announces)"
    )
    add_identity_arguments(parser)
    group = parser.add_argument_group("TLS (default: what Dask's environment variables say)")
    for name, what in (
        ("ca-file", "the cluster's CA"),
        ("cert", "your certificate"),
        ("key", "your certificate's key"),
    ):
        variable = f"DASK_DISTRIBUTED__COMM__TLS__{'CA_FILE' if name == 'ca-file' else f'CLIENT__{name.upper()}'}"
        group.add_argument(f"--tls-{name}", metavar="FILE", default=os.environ.get(variable), help=what)
    parser.add_argument("--once", action="store_true", help="end when every machine that is there has answered")
    parser.add_argument("--withdraw-on-exit", action="store_true", help="take the credentials back when this ends")
    add_installing_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Forward until interrupted; exit 0, or 1 with --once if a machine went without."""
    if arguments.install or arguments.uninstall:
        return install(arguments)
    if arguments.scheduler is None:
        hint = "name the scheduler, or have every client of yours forward by itself: --install"
        raise UsageError("usage", "--scheduler is missing", what="credagent forward", hint=hint)
    from credagent.attestation import policy
    from credagent.dask_cluster import scheduler_address
    from credagent.forwarder.forward_credentials import begin
    from credagent.system.process_control import make_non_dumpable

    make_non_dumpable()  # it holds the signing key and the identity for as long as it runs
    audience = arguments.audience
    options = identity_options(arguments, os.environ, audience=audience, allow_missing=True, audience_needed=False)
    place = scheduler_address.parse(arguments.scheduler, tls_context(arguments))
    interrupted = _interruptions()
    forwarding = begin(
        options,
        where=lambda: place,
        sender_key=arguments.sender_key,
        recipients=tuple(arguments.recipient),
        trust=arguments.trust,
        attest=policy.parse(attest_said(arguments)),
        say=_say,
        waits=False,
    )
    if arguments.once:
        return _once(forwarding)
    return _until_interrupted(forwarding, interrupted, withdraws=arguments.withdraw_on_exit)


def _once(forwarding: "Forwarding") -> int:
    forwarding.wait()
    status = forwarding.status()
    forwarding.stop()
    print(status)
    served = all(machine.state == "admitted" for machine in status.machines) and not status.faults
    return 0 if served and status.machines else 1


def _until_interrupted(forwarding: "Forwarding", interrupted: list[int], *, withdraws: bool) -> int:
    """Return 0, or 130 where it was interrupted before every machine that is there had answered.

    Some may have been served by then, so taking back is done in both cases.
    """
    with contextlib.suppress(KeyboardInterrupt):
        forwarding.wait()
        while not forwarding.ended(LOOK_S):
            pass
    has_begun = forwarding.has_begun
    if withdraws and interrupted:
        print(forwarding.withdraw())
    else:
        forwarding.stop()
    return 130 if interrupted and not has_begun else 0


def _interruptions() -> list[int]:
    """Let the first SIGINT or SIGTERM raise KeyboardInterrupt; return the list to which its number will be added.

    The second does nothing: it would cut off the end that the first began.
    """
    interrupted: list[int] = []

    def note(number: int, _frame: "FrameType | None") -> None:
        if not interrupted:
            interrupted.append(number)
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    return interrupted


def tls_context(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    """Return how the scheduler is spoken with, None without TLS. Raises UsageError, ConfigurationError."""
    if not arguments.scheduler.startswith(("tls://", "gateway://")):
        return None
    # A gateway's cluster has one certificate, which it signed itself, for its scheduler and its clients.
    of_a_gateway = arguments.tls_cert if arguments.scheduler.startswith("gateway://") else None
    ca_file = arguments.tls_ca_file or of_a_gateway
    if not ca_file:
        # Names are not compared below: with the system's authorities, whoever has any certificate would be the cluster.
        why = "nothing says whose certificate is the cluster's"
        raise UsageError("no-ca", why, what=arguments.scheduler, hint="name the cluster's CA: --tls-ca-file FILE")
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca_file)
        context.check_hostname = False  # as Dask itself: its certificates name no hosts
        if arguments.tls_cert:
            context.load_cert_chain(arguments.tls_cert, arguments.tls_key)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or type(error).__name__
        hint = "name PEM files: --tls-ca-file, --tls-cert, --tls-key"
        raise ConfigurationError("tls-files", reason, what="TLS files", hint=hint) from error
    return context


def _say(text: str) -> None:
    print(f"credagent: {text}", file=sys.stderr, flush=True)
