"""What a cloud library in one process would sign with, and what stands before what the agent gave it. Pure.

It goes by names of variables and by what is true of them, never by their values: whoever reads an environment makes
`ProcessFacts` of it and drops the rest. The order of sources is botocore's and google-auth's; what other libraries do
is told in worker_environment/ADR-01-closed-slots.md.
"""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct, structs

from credagent.config import Config
from credagent.operations.observability.home_credential_files import GIVES_KEYS, Home, Shadow, shadows
from credagent.worker.credagent_worker import CLOUD_NAMES, OFF, past_proxies
from credagent.worker_environment.handover_variables import (
    ACCESS_KEY_ID,
    AWS_HANDOVERS,
    GOOGLE_HANDOVERS,
    GOOGLE_METADATA,
    HANDOVER_VARIABLES,
    SECRET_ACCESS_KEY,
    SESSION_TOKEN,
)

NO_GCE_CHECK = "NO_GCE_CHECK"
METADATA_DISABLED = "AWS_EC2_METADATA_DISABLED"
CONTAINER_URIS = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
FIXED = frozenset(
    {*CONTAINER_URIS, "GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT", "AWS_SHARED_CREDENTIALS_FILE"}
)
"""Variables whose value stays the same over generations: another one is somebody else's."""

INSTEAD = "libraries read it before what the agent hands over"
BESIDE_KEYS: Mapping[str, str] = {
    "AWS_SECURITY_TOKEN": "botocore takes it for AWS_SESSION_TOKEN: requests are refused",
    "AWS_TOKEN": "polars, obstore and deltalake take it for AWS_SESSION_TOKEN",
    "AWS_ACCESS_KEY": "older SDKs read it before AWS_ACCESS_KEY_ID",
    "AWS_SECRET_KEY": "older SDKs read it before AWS_SECRET_ACCESS_KEY",
    "AWS_ACCOUNT_ID": "botocore addresses that account with the keys of another",
    "AWS_PROFILE": "botocore fails where that profile does not exist, and takes its region and role where it does",
    "AWS_DEFAULT_PROFILE": "botocore fails where that profile does not exist, and takes its region where it does",
}
"""What gets in the way of keys in the environment; any other source comes after them."""


class ProcessFacts(Struct, frozen=True, kw_only=True):
    """What is known of one process, without any value.

    `at_start`: names of its variables when it started (/proc/PID/environ); None where that may not be read. `now`:
    those that it has now, as its worker's side reports; None where it does not. `changed`: names whose value is not
    the one that the agent hands out (of FIXED, where that was judged from outside). `proxied`: a proxy would get
    requests to loopback. `generation`: what it has put in place; None where nothing in it follows the agent. `home`:
    of its user.
    """

    pid: int
    at_start: frozenset[str] | None = None
    now: frozenset[str] | None = None
    changed: frozenset[str] = frozenset()
    proxied: bool = False
    generation: int | None = None
    home: Home = Home()


class SlotUse(Struct, frozen=True, kw_only=True):
    """What a library would sign with for one slot, in words; `ours`: it is what the agent hands over."""

    slot: str
    source: str
    ours: bool


def of_interest(name: str) -> bool:
    """Tell whether a variable says anything about which identity is used."""
    return name in HANDOVER_VARIABLES or name in CLOUD_NAMES


def names_set(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the names of `of_interest` that an environment sets; a switch that is off counts as not set."""
    return frozenset(name for name, value in environ.items() if of_interest(name) and value.lower() not in OFF)


def catches_loopback(environ: Mapping[str, str], hosts: Iterable[str]) -> bool:
    """Tell whether an environment names a proxy and does not except `hosts`, by which the agent is asked."""
    wanted = past_proxies(environ, hosts)
    return any(environ.get(name) != value for name, value in wanted.items())


def changed_names(environ: Mapping[str, str], handed_out: Mapping[str, str]) -> frozenset[str]:
    """Return the names of FIXED for which an environment has another value than the agent hands out."""
    return frozenset(
        name for name in FIXED & handed_out.keys() if name in environ and environ[name] != handed_out[name]
    )


def present(facts: ProcessFacts) -> frozenset[str]:
    """Return the names that the process has now, as far as is known.

    The environment that the kernel shows is that of the start. A process whose worker's side has put a generation in
    place has lost then what that scrubs.
    """
    if facts.now is not None:
        return facts.now
    started = facts.at_start or frozenset()
    if facts.generation is None:
        return started
    return started - frozenset().union(*(one.scrubs for one in (*AWS_HANDOVERS.values(), *GOOGLE_HANDOVERS.values())))


def uses(facts: ProcessFacts, config: Config) -> tuple[SlotUse, ...]:
    """Return what botocore and google-auth would sign with in that process."""
    names = present(facts)
    found = []
    if config.aws.handover != "off":
        found.append(next(_aws_uses(names, facts, config)))
    if config.google.handover != "off":
        found.append(next(_google_uses(names, facts)))
    return tuple(found)


def process_shadows(
    facts: ProcessFacts, config: Config, filled: frozenset[str] = frozenset({"aws", "google"})
) -> Iterator[Shadow]:
    """Return what stands before, or in the way of, what the agent hands over to that process, each with a remedy.

    `filled`: the slots that hold something. Where one holds nothing, nothing stands before it (`always` is False).
    """
    for shadow in _shadows(facts, config):
        yield structs.replace(shadow, always=shadow.always and shadow.slot in filled)


def _shadows(facts: ProcessFacts, config: Config) -> Iterator[Shadow]:
    names = present(facts)
    for slot, name, why, always in _variables(names, config):
        yield Shadow(
            slot=slot,
            path=name,
            found=f"{name} is set {_since(name, facts)}: {why}",
            remedy=_unset(name),
            always=always,
        )
    for name in sorted(facts.changed):
        slot = "aws" if name.startswith("AWS_") else "google"
        if {"aws": config.aws.handover, "google": config.google.handover}[slot] != "off":
            found = f"{name} is not what the agent hands out: something in the process has set it"
            yield Shadow(slot=slot, path=name, found=found, remedy=_unset(name))
    if facts.proxied and (config.aws.handover == "endpoint" or config.google.handover == "metadata"):
        slot = "aws" if config.aws.handover == "endpoint" else "google"
        found = "its proxy variables catch loopback: the agent is asked through the proxy, and does not answer it"
        remedy = (
            "`export NO_PROXY=localhost,127.0.0.1,::1,169.254.169.254,metadata.google.internal` where workers start"
        )
        yield Shadow(slot=slot, path="HTTP_PROXY", found=found, remedy=remedy)
    yield from shadows(facts.home, config)


def _variables(names: frozenset[str], config: Config) -> Iterator[tuple[str, str, str, bool]]:
    """Yield slot, name, what it does, and whether it does that always or only while the slot is empty."""
    match config.aws.handover:
        case "environment":
            for name in sorted(names & AWS_HANDOVERS["environment"].scrubs):
                empty = "libraries use it while the aws slot is empty"
                yield "aws", name, BESIDE_KEYS.get(name, empty), name in BESIDE_KEYS
        case "endpoint":
            for name in sorted(names & AWS_HANDOVERS["endpoint"].scrubs):
                yield "aws", name, INSTEAD, True
        case "off":
            pass
    if config.google.handover == "off":
        return
    for name in sorted(names & (GOOGLE_METADATA.scrubs - {"CLOUDSDK_CONFIG", NO_GCE_CHECK})):
        yield "google", name, INSTEAD, True
    if NO_GCE_CHECK in names and "GCE_METADATA_HOST" not in names:
        yield "google", NO_GCE_CHECK, "google-auth asks no metadata server, the agent's neither", True


def _since(name: str, facts: ProcessFacts) -> str:
    return "since its start" if name in (facts.at_start or ()) else "by something that ran in it"


def _unset(name: str) -> str:
    return f"`unset {name}` where the worker is started, or in the task that sets it, and restart the worker"


def _aws(source: str, *, ours: bool = False) -> SlotUse:
    return SlotUse(slot="aws", source=source, ours=ours)


def _aws_uses(names: frozenset[str], facts: ProcessFacts, config: Config) -> Iterator[SlotUse]:
    """Yield what botocore would take, in its order: it takes the first."""
    handover = config.aws.handover
    if ACCESS_KEY_ID in names:
        yield _keys(names, facts, handover)
    if {"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"} <= names:
        yield _aws("a web identity (AWS_WEB_IDENTITY_TOKEN_FILE)")
    if {"AWS_PROFILE", "AWS_DEFAULT_PROFILE"} & names:
        yield _aws("the profile that AWS_PROFILE names")
    masked = handover == "endpoint" and "AWS_SHARED_CREDENTIALS_FILE" in names - facts.changed
    for profile in facts.home.aws:
        if profile.names & GIVES_KEYS and not (masked and profile.masked):
            yield _aws(f"the default profile in {profile.path}")
    if CONTAINER_URIS[0] in names or (CONTAINER_URIS[1] in names and CONTAINER_URIS[1] in facts.changed):
        yield _aws("another container's endpoint than the agent's")
    if CONTAINER_URIS[1] in names and handover == "endpoint":
        yield _aws("the agent's endpoint", ours=True)
    if METADATA_DISABLED in names:
        yield _aws("nothing: the slot is closed here", ours=True)
    if CONTAINER_URIS[1] in names:
        yield _aws("a container's endpoint")
    yield _aws("whatever instance metadata answers: the machine's own role")


def _keys(names: frozenset[str], facts: ProcessFacts, handover: str) -> SlotUse:
    if SECRET_ACCESS_KEY not in names:
        return _aws("half a key: AWS_SECRET_ACCESS_KEY is missing")
    if facts.generation is None:
        return _aws("keys in its environment, which nobody renews")
    if handover != "environment":
        return _aws("keys of its own")
    if facts.changed & {ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN}:
        return _aws("keys that something in the process has put in their place")
    if "AWS_SECURITY_TOKEN" in names:
        return _aws("the keys that the agent has put there, with another session token: AWS_SECURITY_TOKEN")
    return _aws(f"the keys in its environment, generation {facts.generation} of the agent", ours=True)


def _google(source: str, *, ours: bool = False) -> SlotUse:
    return SlotUse(slot="google", source=source, ours=ours)


def _google_uses(names: frozenset[str], facts: ProcessFacts) -> Iterator[SlotUse]:
    """Yield what google-auth would take, in its order: it takes the first."""
    if "GOOGLE_APPLICATION_CREDENTIALS" in names:
        yield _google("the file that GOOGLE_APPLICATION_CREDENTIALS names")
    if facts.home.google_default:
        yield _google(facts.home.google_default)
    if "GCE_METADATA_HOST" in names and "GCE_METADATA_HOST" in facts.changed:
        yield _google("another metadata server than the agent's")
    if NO_GCE_CHECK in names:
        ours = "GCE_METADATA_HOST" in names
        yield _google("nothing: the slot is closed here" if ours else "nothing: NO_GCE_CHECK is set", ours=ours)
    if "GCE_METADATA_HOST" in names:
        yield _google("the agent's metadata server", ours=True)
    yield _google("the machine's metadata server, where it has one")
