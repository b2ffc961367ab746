"""What dask-jobqueue needs so that the workers of batch jobs find credentials: one agent a job, as the user.

Nothing here is secret: what a job script says is readable by whoever may look at the queue.
"""

import os
import shlex
import sys
from collections.abc import Iterable, Mapping

from credagent.bundle.key_pairs import SenderPublicKey
from credagent.config.keys import KEYS
from credagent.config.value_origins import PREFIX
from credagent.errors import UsageError
from credagent.sender import signing_key
from credagent.system.private_folder import make_private_folder

TEMPLATE = "/tmp/credagent.XXXXXX"  # noqa: S108  mktemp makes it private; a socket's path has room for 107 bytes only
OWN_SETTINGS: Mapping[str, str] = {
    "bundle.channels": "socket",  # Dask delivers; no other job's inbox is read
    "endpoint.listen": "127.0.0.1:0",  # several jobs on one node would want the same port
}
UNFIT = frozenset("'\"$`\\\n;%()")
"""What one of the batch systems would read in a value: a shell's words, HTCondor's macros, Python's % in a template."""


def jobqueue_options(
    *,
    trusted_senders: str | Iterable[str] = (),
    audience: str = "",
    config: Mapping[str, Mapping[str, object]] | None = None,
    python: str = sys.executable,
    job_script_prologue: Iterable[str] = (),
    security: object = True,
) -> dict[str, object]:
    """Return keyword arguments for a cluster of dask-jobqueue: SLURM, PBS, LSF, SGE, OAR, Moab and HTCondor alike.

    ``SLURMCluster(cores=4, memory="8GB", **jobqueue_options())``, then ``forward_credentials(cluster)``. Each job runs
    `credagent exec`, whose agent ends with it: no root, no systemd, nothing to install on the nodes beside `python`,
    which they must find under the same path and which must have credagent. The folders of an agent are its job's own,
    on the node's /tmp: several jobs of one user on one node, and one $HOME on all nodes, are kept apart.

    `trusted_senders`: public keys; nobody: this user's own, which is made where it is missing. `config`: more of the
    agents' configuration, ``{"aws": {"handover": "endpoint"}}``. `job_script_prologue`: your own lines, run first.
    `security`: as dask-jobqueue has it; True makes certificates for this cluster, for which its agents' keys are
    believed without a further word, those of jobs that start later (``cluster.adapt``) included; they are kept in
    ~/.config/credagent, which all nodes must see. None leaves it out: then forward with ``trust=…``.
    Raises UsageError, and what reading or making the key raises.
    """
    own_key = signing_key.default_path(os.environ)
    senders = [trusted_senders] if isinstance(trusted_senders, str) else list(trusted_senders)
    if not senders:
        senders = [signing_key.load_or_make(own_key)[0].public_key.line]
    for line in senders:
        SenderPublicKey.parse(line)  # a private key by mistake ends here, and not in a job script
    settings = {**OWN_SETTINGS, "bundle.trusted_senders": ",".join(senders)}
    if audience:
        settings["agent.audience"] = audience
    settings |= _flat(config or {})
    executable = shlex.quote(python)
    options: dict[str, object] = {
        "python": f"{executable} -m credagent exec -- {executable}",
        "job_script_prologue": [*job_script_prologue, *_prologue(settings)],
    }
    if security is not None:
        make_private_folder(os.path.dirname(own_key))
        options |= {"security": security, "shared_temp_directory": os.path.dirname(own_key)}
    return options


def _prologue(settings: Mapping[str, str]) -> list[str]:
    """Return the shell's lines. HTCondor joins them by semicolons and takes $( for a macro of its own."""
    folder, state = f"{PREFIX}AGENT_RUNTIME_DIR", f"{PREFIX}AGENT_STATE_DIR"
    return [
        "unset CREDAGENT_SOCKET",  # the submitter's own agent is on another machine
        f"export {folder}=`mktemp -d {TEMPLATE}`",
        f"export {state}=${folder}/state",
        f"trap 'rm -rf ${folder}' EXIT",
        *(f"export {PREFIX}{key.replace('.', '_').upper()}={_quoted(key, text)}" for key, text in settings.items()),
    ]


def _flat(config: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """Return `section.key` and its text as the environment has it."""
    found = {}
    for section, values in config.items():
        for name, value in values.items():
            if (key := f"{section}.{name}") not in KEYS:
                hint = "see credagent.toml(5), or `credagent check-config`"
                raise UsageError("unknown-key", "no such key in the configuration", what=key, hint=hint)
            found[key] = _text(value)
    return found


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _quoted(key: str, text: str) -> str:
    if UNFIT & set(text):
        hint = "leave that key to a configuration file on the nodes (/etc/credagent/config.toml)"
        raise UsageError("value-unfit", "does not survive every batch system's quoting", what=key, hint=hint)
    return shlex.quote(text)
