"""`forward_credentials`: one line of Python that keeps a live cluster supplied with the identity of this machine.

This trusts the cluster as any Dask client does: what workers return is unpickled by Dask in the process that holds the
signing key. `credagent forward` does the same in a process that reads nothing but text and numbers.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

from credagent.admission import trust_file
from credagent.attestation import policy
from credagent.attestation.policy import AttestPolicy
from credagent.bundle.key_pairs import SenderPublicKey
from credagent.clock import SystemClock
from credagent.config.default_folders import trust_file as trust_file_of
from credagent.dask_cluster import dask_objects
from credagent.dask_cluster.scheduler_address import SchedulerAddress
from credagent.duration import duration_s
from credagent.errors import CredagentError, UsageError
from credagent.forwarder import user_notices
from credagent.forwarder.forwarding_plan import ForwardingPlan
from credagent.forwarder.forwarding_session import START_S, Forwarding
from credagent.forwarder.loop import ForwarderLoop
from credagent.forwarder.user_notices import UserNotices
from credagent.secret import Secret
from credagent.sender import recipients as recipients_of
from credagent.sender import signing_key
from credagent.sender.grant_options import VALID_FOR_S, GrantOptions, check, variable
from credagent.worker import credagent_worker

OWN = "this is a LocalCluster on your own machine: its workers already have your identity, nothing is forwarded"
NOTHING_SAID = AttestPolicy()
Duration = int | float | str | timedelta


def forward_credentials(  # noqa: PLR0917  the order in which people know these from Coiled's own function
    client_or_cluster: object,
    aws: str | None = "local",
    google: str | None = None,
    environ: Mapping[str, str] | Iterable[str] | None = None,
    assume_role: str | None = None,
    duration: Duration | None = None,
    audience: str | None = None,
    sender_key: str | os.PathLike[str] | None = None,
    recipients: str | Iterable[str] | None = None,
    trust: str | None = None,
    *,
    attest: Mapping[str, str | Iterable[str]] | None = None,
    impersonate: str | None = None,
    allow_long_term: bool = False,
    allow_refresh_token: bool = False,
    valid_for: Duration | None = None,
    stand_by: bool = False,
    quiet: bool = False,
    timeout: float = START_S,
    say: Callable[[str], None] | None = None,
) -> Forwarding:
    """Forward this machine's identity to a Dask cluster whose machines run credagent, and renew it for good.

    A context manager, or an object with `stop`, `status` and `withdraw`; with an asynchronous client, `await` it or
    use ``async with``. It begins at once, and returns when the machines that are there have answered.

    `aws`: ``"local"`` (what boto3 would use), ``"profile:NAME"``, or None: the cluster's instance profile applies.
    `google`: ``"local"`` or None. `environ`: a mapping, or names to take from this environment. `audience`: None, the
    one that each machine announces. `recipients`: public keys, files of such, ``aws-kms:ARN``, ``gcp-kms:NAME``.
    `trust`: ``"attested"``, ``"first-use"`` or ``"any"``; without it, and without verified TLS, machines are believed
    that AWS or Google says to be of the account or project that is forwarded. `attest`: others in place of those, by
    ``aws_accounts``, ``aws_roles``, ``google_projects``, ``google_accounts``. Durations: seconds, ``"12h"`` or
    timedeltas. `stand_by`: leave another forwarder of yours at work, and forward when it has ended. `say` gets notices
    for people; `quiet`: of trouble only.
    Raises credagent.errors.UsageError and Unavailable.
    """
    options = GrantOptions(
        audience=audience or "",
        aws=aws or "none",
        google=google or "none",
        variables=_variables(environ),
        assume_role=assume_role or "",
        impersonate=impersonate or "",
        allow_long_term=allow_long_term,
        allow_refresh_token=allow_refresh_token,
        allow_missing=True,
        duration_s=_seconds(duration),
        valid_for_s=_seconds(valid_for) or VALID_FOR_S,
    )
    pins = (recipients,) if isinstance(recipients, str) else tuple(recipients or ())
    tell = say or _to_stderr
    if dask_objects.is_own(client_or_cluster):
        tell(OWN)
        return Forwarding(None, "", waits=False)
    try:
        return begin(
            options,
            where=dask_objects.whereabouts(client_or_cluster),
            is_client_closed=lambda: dask_objects.is_closed(client_or_cluster),
            sender_key=sender_key,
            recipients=pins,
            trust=trust,
            attest=policy.parse(attest or {}),
            say=tell,
            waits=not dask_objects.is_asynchronous(client_or_cluster),
            stands_by=stand_by,
            quiet=quiet,
            timeout_s=timeout,
        )
    except CredagentError as error:
        # A notebook prints each frame: where in this package it was raised helps nobody, what to do is in its notes.
        raise error.with_traceback(None) from None


def begin(
    options: GrantOptions,
    *,
    where: Callable[[], SchedulerAddress],
    sender_key: str | os.PathLike[str] | None,
    recipients: tuple[str, ...],
    trust: str | None,
    attest: AttestPolicy = NOTHING_SAID,
    say: Callable[[str], None],
    waits: bool,
    stands_by: bool = False,
    is_client_closed: Callable[[], bool] = bool,
    quiet: bool = False,
    timeout_s: float = START_S,
) -> Forwarding:
    """Begin to forward. Raises UsageError before anything is asked of a cloud or a cluster."""
    check(options, audience_needed=False)
    pinned = recipients_of.read_all(recipients)
    path = os.fspath(sender_key) if sender_key is not None else signing_key.default_path(os.environ)
    key, made = (signing_key.load(path), False) if sender_key is not None else signing_key.load_or_make(path)
    if made:
        say(f"made a signing key for you in {path}; agents must trust its public half:\n{key.public_key.line}")
        _trust_for_this_user(key.public_key)
    credagent_worker.mark_sender()
    plan = ForwardingPlan(
        options=options,
        key=key,
        pinned=pinned,
        trust=trust,
        attest=attest,
        whereabouts=where,
        environ=dict(os.environ),
        stands_by=stands_by,
        is_client_closed=is_client_closed,
    )
    # What a notebook shows at the end of a cell says it better.
    unsaid = user_notices.WHAT_IS_WELL if quiet or (say is _to_stderr and _in_notebook()) else ()
    forwarder = ForwarderLoop(plan, UserNotices(say, unsaid), SystemClock())
    return Forwarding(forwarder, key.public_key.line, waits=waits, timeout_s=timeout_s)


def _trust_for_this_user(key: SenderPublicKey) -> None:
    """Let this user's own agents trust the key that he has just made, on every machine that shares his home.

    Not as root, whose trust file is the machine's. Who can write the one file can write the other.
    """
    path = trust_file_of(os.environ, os.geteuid())
    if os.geteuid() != 0 and path:
        with contextlib.suppress(CredagentError):
            trust_file.add(path, key, "own key")


def _in_notebook() -> bool:
    """Tell whether this runs in IPython's kernel, which shows the value of a cell."""
    return "ipykernel" in sys.modules and getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)() is not None


def _variables(environ: Mapping[str, str] | Iterable[str] | None) -> dict[str, Secret]:
    if environ is None:
        return {}
    if isinstance(environ, Mapping):
        return {name: variable(name, value) for name, value in environ.items()}
    names = [environ] if isinstance(environ, str) else list(environ)
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise UsageError(
            "env-unset", "is not set in this environment", what=missing[0], hint="set it, or pass a mapping"
        )
    return {name: variable(name, os.environ[name]) for name in names}


def _seconds(duration: Duration | None) -> int | None:
    match duration:
        case None:
            return None
        case timedelta():
            return int(duration.total_seconds())
        case str():
            return duration_s(duration)
        case _:
            return int(duration)


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"credagent: {text}\n")
