"""What a launcher of virtual machines needs so that its Dask workers find credentials: options for dask-cloudprovider.

Everything here ends up in user data in clear, so nothing here is secret: public keys, paths, and a sealed bundle.
"""

import json
import os
import shlex
from collections.abc import Iterable, Mapping

from credagent.bundle import envelope
from credagent.bundle.key_pairs import SenderPublicKey
from credagent.bundle.signature import verify_signature
from credagent.errors import Unavailable, UsageError
from credagent.sender.grant_options import GrantOptions

RUNTIME_DIR = "/run/credagent"
WORKER_PATH = "/usr/share/credagent/worker"  # where the packages put the worker's module
CONFIG_PATH = "/etc/credagent/config.toml"
BUNDLE_PATH = "/etc/credagent/bundle"
USER_DATA_BYTES = 16_384  # EC2's limit for all of it
ROOM_BYTES = 8_192  # what dask-cloudprovider's own document, your Dask configuration and your commands need
SECRET_NAMES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
UNFIT = frozenset("'\"$`\\\n")
"""What dask-cloudprovider's quoting breaks: variables stand in double quotes, inside a single-quoted YAML scalar."""


def cloudprovider_options(
    *,
    audience: str,
    trusted_senders: str | Iterable[str] = (),
    trusted_identities: str | Iterable[str] = (),
    bundle: str | os.PathLike[str] | None = None,
    recipient_keys: Iterable[str] = ("state",),
    channels: Iterable[str] = ("socket",),
    config: Mapping[str, Mapping[str, object]] | None = None,
    install: Iterable[str] = (),
    env_vars: Mapping[str, str] | None = None,
    docker_args: str = "",
) -> dict[str, object]:
    """Return `env_vars`, `docker_args` and `extra_bootstrap` for a cluster of dask-cloudprovider, as keyword arguments.

    ``EC2Cluster(**cloudprovider_options(audience="lab"), iam_instance_profile=…)``; likewise for GCPCluster and every
    other VMCluster. The machines trust senders by key (`trusted_senders`) or by what a cloud says of them
    (`trusted_identities`); where neither is named, the AWS identity that is found here, which is asked of AWS. The
    agent runs on each machine, beside Docker; containers get its runtime folder and the worker's module mounted, and
    need nothing installed.

    `install`: shell commands that install credagent on the machine, for an image that does not bring it. `bundle`: a
    sealed bundle (its text, or a file) that each machine has at boot; machines that do not exist yet have no key yet,
    so it is sealed to a key that they can reach (``recipient_keys=["aws-kms:ARN"]``). Without one, forward when the
    cluster is there. `config`: more sections of the agent's configuration. Raises UsageError where something secret,
    something that does not survive the launcher's quoting, or more than user data holds would go there.
    """
    senders = [trusted_senders] if isinstance(trusted_senders, str) else list(trusted_senders)
    identities = [trusted_identities] if isinstance(trusted_identities, str) else list(trusted_identities)
    if not senders and not identities:
        identities = [_own_identity()]
    for line in senders:
        SenderPublicKey.parse(line)  # a private key by mistake ends here, and not in user data
    text = None if bundle is None else _sealed(bundle)
    wanted = [*channels, *([f"file:{BUNDLE_PATH}"] if text else [])]
    sections: dict[str, dict[str, object]] = {
        "agent": {"audience": audience},
        "bundle": {"recipient_keys": list(recipient_keys), "channels": wanted},
    }
    if senders:
        sections["bundle"]["trusted_senders"] = senders
    if identities:
        sections["bundle"]["trusted_identities"] = identities
    for section, values in (config or {}).items():
        sections.setdefault(section, {}).update(values)
    bootstrap = [*install, _written(CONFIG_PATH, _toml(sections), "0644")]
    if text:
        bootstrap.append(_written(BUNDLE_PATH, text, "0644"))
    bootstrap.append("systemctl enable credagent && systemctl restart credagent")
    # Read-only, through which a socket can be connected to all the same: tasks are root in most Dask images, and could
    # put their own socket, or a worker.env that systemd reads as root, in the place of the agent's.
    mounts = " ".join(f"--volume {folder}:{folder}:ro" for folder in (RUNTIME_DIR, WORKER_PATH))
    options: dict[str, object] = {
        "env_vars": _variables(env_vars or {}),
        "docker_args": f"{mounts} {docker_args}".strip(),
        # Each is an item of a list in YAML; what JSON quotes, YAML reads.
        "extra_bootstrap": [json.dumps(command) for command in bootstrap],
    }
    _demand_room(options)
    return options


def _own_identity() -> str:
    """Return how machines name whoever launches them. Raises UsageError where AWS does not say who that is."""
    from credagent.attestation.identity_pattern import pattern_of_arn  # noqa: PLC0415  only where nobody was named
    from credagent.sender.local_identity import look  # noqa: PLC0415  only where nobody was named

    try:
        found = look(GrantOptions(audience="launch")).found
    except Unavailable as error:
        raise _nobody_trusted(str(error)) from error
    named = [pattern_of_arn(one.principal) for one in found if one.principal.startswith("arn:")]
    if not named:
        raise _nobody_trusted("AWS does not say who you are")
    return named[0]


def _nobody_trusted(why: str) -> UsageError:
    hint = "say whom the machines trust: trusted_identities= (credagent whoami) or trusted_senders= (a public key)"
    return UsageError("no-senders", why, what="cloudprovider_options", hint=hint)


def _variables(given: Mapping[str, str]) -> dict[str, str]:
    # One name, not a list: the launcher puts values into double quotes of its own.
    variables = {
        "PYTHONPATH": ":".join(filter(None, (given.get("PYTHONPATH", ""), WORKER_PATH))),
        "DASK_DISTRIBUTED__WORKER__PRELOAD": "credagent_worker",
        "DASK_DISTRIBUTED__SCHEDULER__PRELOAD": "credagent_worker",
        "CREDAGENT_SOCKET": f"{RUNTIME_DIR}/agent.sock",
    }
    taken = [name for name in variables if name != "PYTHONPATH" and name in given]
    if taken:
        hint = "name your preload on the worker's command line instead (worker_options={'preload': …})"
        raise UsageError("variable-taken", "is set by credagent", what=taken[0], hint=hint)
    for name, value in given.items():
        if name in SECRET_NAMES:
            hint = "seal it instead: forward_credentials, or bundle=…"
            raise UsageError("variable-secret", "would stand in user data in clear", what=name, hint=hint)
        if UNFIT & set(value):
            hint = "user data is no place for it: send it in a bundle (seal --env, forward_credentials(environ=…))"
            raise UsageError("variable-unfit", "does not survive the launcher's quoting", what=name, hint=hint)
    return {**given, **variables}


def _sealed(bundle: str | os.PathLike[str]) -> str:
    """Return the text of a bundle whose form and signature are sound."""
    text = os.fspath(bundle)
    if not text.startswith(envelope.TEXT_PREFIX):
        from credagent.system.file_reading import read_bounded  # noqa: PLC0415  only where a path was given

        data = read_bounded(text, envelope.MAX_TEXT_BYTES + 1)
        if data is None:
            raise UsageError("file-missing", "there is no such file", what=text, hint="check the path")
        text = data.decode("ascii", "replace")
    parsed = envelope.parse(text)
    verify_signature(parsed)
    return parsed.text


def _toml(sections: Mapping[str, Mapping[str, object]]) -> str:
    lines = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines)


def _written(path: str, text: str, mode: str) -> str:
    """Return the command that writes a file with its mode from the start."""
    folder = shlex.quote(os.path.dirname(path))
    return f"mkdir -p {folder} && printf '%s\\n' {shlex.quote(text)} | install -m {mode} /dev/stdin {shlex.quote(path)}"


def _demand_room(options: Mapping[str, object]) -> None:
    size = len(json.dumps(options))
    if size > USER_DATA_BYTES - ROOM_BYTES:
        why = f"takes {size} bytes of the {USER_DATA_BYTES} that EC2 allows for user data, which others need too"
        hint = "put the bundle on s3:// or aws-ssm: and name it in channels, or seal to an X25519 or KMS key"
        raise UsageError("too-large", why, what="cloudprovider_options", hint=hint)
