"""`credagent forward --install` and `--uninstall`: what every Dask client of this user then does by itself."""

import argparse
import os

from credagent.cli.seal_options import attest_said, identity_options
from credagent.errors import UsageError


def add_installing_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two options."""
    group = parser.add_argument_group("zero lines of code")
    one = group.add_mutually_exclusive_group()
    one.add_argument(
        "--install", action="store_true", help="have each Dask client of yours forward by itself, with these options"
    )
    one.add_argument("--uninstall", action="store_true", help="undo --install")


def install(arguments: argparse.Namespace) -> int:
    """Write or remove the preload, and say what it does."""
    from credagent.forwarder import client_preload_install

    if arguments.once or arguments.withdraw_on_exit:
        hint = "leave out --once and --withdraw-on-exit"
        raise UsageError("usage", "the preload forwards as long as a client lives", what="forward", hint=hint)
    if arguments.trust not in (None, "attested") and not arguments.scheduler and not arguments.uninstall:
        # Or the first cluster of somebody else's that a client is pointed at announces a key, and is sent the identity.
        why = "believing what a cluster announces is decided for one cluster, and this would be for all of them"
        hint = "name the cluster, --scheduler ADDRESS, or the machines' keys, --recipient, instead of --trust"
        raise UsageError("trust-for-all", why, what="--install --trust", hint=hint)
    if arguments.uninstall:
        removed = client_preload_install.uninstall(os.environ)
        print(f"removed {removed}: clients forward no more" if removed else "nothing was installed")
        return 0
    path = client_preload_install.install(os.environ, _options(arguments))
    print(f"written {path}")
    where = arguments.scheduler or "a cluster of other machines"
    print(f"From now on each Dask client of yours that connects to {where} forwards your identity to")
    print(
        "the agents there, and renews it while the client lives. Never from inside a worker, never for a LocalCluster."
    )
    print("`credagent forward --uninstall` undoes it.")
    return 0


def _options(arguments: argparse.Namespace) -> dict[str, object]:
    """Return the options as `forward_credentials` takes them, and for which cluster; no value of a variable."""
    if arguments.env_file:
        hint = "name variables with --env; their values are taken from the environment of each client"
        raise UsageError("usage", "a file of values is not kept for later", what="--env-file", hint=hint)
    identity_options(arguments, os.environ, audience=arguments.audience, allow_missing=True, audience_needed=False)
    absolute = [os.path.abspath(one) if os.path.exists(one) else one for one in arguments.recipient]
    wanted: dict[str, object] = {
        "aws": arguments.aws if arguments.aws != "local" else None,
        "google": arguments.google if arguments.google != "none" else None,
        "environ": arguments.env,
        "assume_role": next(iter(arguments.assume_role), None),
        "impersonate": arguments.impersonate,
        "allow_long_term": arguments.allow_long_term,
        "allow_refresh_token": arguments.allow_refresh_token,
        "duration": arguments.duration,
        "audience": arguments.audience,
        "recipients": absolute,
        "trust": arguments.trust,
        "attest": attest_said(arguments),
        "scheduler": arguments.scheduler,
        "sender_key": os.path.abspath(arguments.sender_key) if arguments.sender_key else None,
    }
    return {name: value for name, value in wanted.items() if value}
