"""Sound nodes as facts, and one fault at a time planted on them."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import structs

from credagent.config import AgentSection, AwsSection, BundleSection, Config, GoogleSection
from credagent.operations.doctor.facts import (
    DaskProcess,
    Facts,
    HomeFacts,
    MachineFacts,
    PathFacts,
    UnitFacts,
    WorkerFacts,
)
from credagent.operations.observability.home_credential_files import Home
from credagent.operations.observability.process_identity import ProcessFacts

NOW = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
AGENT, WORKER, DASK, CREDAGENT = 700, 812, 1001, 990
ROLE = "arn:aws:sts::123456789012:assumed-role/node/i-0abc1234def567890"
ANA = "arn:aws:sts::123456789012:assumed-role/reader/ana"
ADC = "/home/dask/.config/gcloud/application_default_credentials.json"
KEYS = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CREDENTIAL_EXPIRATION"})
REGIONS = frozenset({"AWS_REGION", "AWS_DEFAULT_REGION"})
ENDPOINT = frozenset({"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_SHARED_CREDENTIALS_FILE"})
METADATA = frozenset({"GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"})
VERSIONS = {"credagent_worker": "0.1.0", "botocore": "1.43.11", "python": "3.12.1"}
UNITS = {
    "credagent.service": UnitFacts(load="loaded", active="active", enabled="enabled", main_pid=AGENT),
    "credagent.socket": UnitFacts(load="loaded", active="active", enabled="enabled"),
}


def at(**ago: float) -> str:
    return (NOW - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def slot(origin: str = "none", **more: Any) -> dict[str, Any]:
    return {
        "origin": origin,
        "statement": None,
        "principal": None,
        "expires_at": None,
        "renew_at": None,
        "renewable": False,
        "required": False,
        "handover": "environment",
        "last_error": None,
        **more,
    }


SESSION = slot("bundle", statement="granted", principal=ANA, expires_at=at(minutes=-50))
BUNDLE = {
    "bundle_id": "b-17",
    "sender": "5f1c",
    "sequence": 7,
    "issued_at": at(minutes=10),
    "not_after": at(days=-30),
    "channel": "socket",
    "refused": [],
}
NO_BUNDLE: dict[str, Any] = {**dict.fromkeys(BUNDLE), "refused": []}
STATUS: Mapping[str, Any] = {
    "state": "ready",
    "generation": 4,
    "audience": "lab",
    "slots": {"aws": SESSION, "google": slot(handover="metadata"), "environment": slot("bundle")},
    "bundle": BUNDLE,
    "problems": [],
    "workers": [{"pid": WORKER}],
    "refused_callers": [],
    "agent": {"pid": AGENT, "version": "0.1.0", "configured_at": at(hours=2), "clock_skew_s": 0.3},
}


def worker(*names: str, **more: Any) -> WorkerFacts:
    process: dict[str, Any] = {"pid": WORKER, "now": frozenset(names), "at_start": frozenset[str](), "generation": 4}
    fields = {name: value for name, value in more.items() if name in WorkerFacts.__struct_fields__}
    process |= {name: value for name, value in more.items() if name not in fields}
    own: dict[str, Any] = {"role": "worker", "uid": DASK, "state": "S", "versions": VERSIONS, **fields}
    return WorkerFacts(process=ProcessFacts(**process), **own)


def folder(path: str, mode: int, kind: str = "tmpfs", **more: Any) -> PathFacts:
    room = {"size_bytes": 2**24, "free_bytes": 2**23, "free_inodes": 1000}
    return PathFacts(path=path, uid=CREDAGENT, mode=mode, file_system=kind, **{**room, **more})


RUN, STATE, ENV_FILE, TOKEN = (
    "/run/credagent",
    "/var/lib/credagent",
    "/run/credagent/worker.env",
    "/run/credagent/token",
)
FOLDERS = (folder(RUN, 0o751), folder(STATE, 0o700, "ext4"))
HOME = HomeFacts(user="dask", home=Home())

ENVIRONMENT = Facts(
    now=NOW,
    host="node-3",
    config=Config(
        path="/etc/credagent/config.toml",
        agent=AgentSection(audience="lab"),
        bundle=BundleSection(trusted_senders=("credagent-sender:ed25519:AAAA",)),
    ),
    config_changed=NOW - timedelta(days=3),
    status=STATUS,
    agent_pid=AGENT,
    agent_uid=CREDAGENT,
    agent_state="S",
    handed_out=KEYS | REGIONS,
    units=UNITS,
    folders=FOLDERS,
    files={ENV_FILE: PathFacts(path=ENV_FILE, uid=CREDAGENT, mode=0o600)},
    workers=(worker(*KEYS, *REGIONS),),
    dask=(DaskProcess(pid=WORKER, uid=DASK, role="worker", age_s=3600, state="S"),),
    homes=(HOME,),
    watches_files=True,
    machine=MachineFacts(instance_id="i-0abc1234def567890", region="eu-central-1", skew_s=0.4),
    user_names={DASK: "dask", CREDAGENT: "credagent", 1007: "eve"},
)


def changed(facts: Facts, **status: Any) -> Facts:
    """Return the facts with other fields of the status document."""
    return structs.replace(facts, status={**(facts.status or {}), **status})


def with_slot(facts: Facts, name: str, **more: Any) -> Facts:
    slots = (facts.status or {})["slots"]
    return changed(facts, slots={**slots, name: {**slots[name], **more}})


def with_config(facts: Facts, **sections: Any) -> Facts:
    return structs.replace(facts, config=structs.replace(facts.config, **sections))


def with_process(*names: str, **more: Any) -> Callable[[Facts], Facts]:
    def plant(facts: Facts) -> Facts:
        own = facts.workers[0].process.now or frozenset()
        return structs.replace(facts, workers=(worker(*own, *names, **more),))

    return plant


ENDPOINT_NODE = structs.replace(
    with_slot(with_config(ENVIRONMENT, aws=AwsSection(handover="endpoint")), "aws", handover="endpoint"),
    handed_out=ENDPOINT | REGIONS,
    files={
        ENV_FILE: PathFacts(path=ENV_FILE, uid=CREDAGENT, mode=0o600),
        TOKEN: PathFacts(path=TOKEN, uid=CREDAGENT, mode=0o640),
    },
    workers=(worker(*ENDPOINT, *REGIONS),),
)
GOOGLE_NODE = structs.replace(
    changed(
        ENVIRONMENT,
        bundle=NO_BUNDLE,
        slots={
            "aws": slot(
                last_error={"code": "no-identity", "message": "…", "hint": "", "at": at(hours=1), "failures": 9}
            ),
            "google": slot("google-metadata", principal="data@p.iam.gserviceaccount.com", renewable=True),
            "environment": slot(),
        },
    ),
    config=Config(agent=AgentSection(audience="lab"), google=GoogleSection(handover="metadata")),
    handed_out=METADATA,
    workers=(worker(*METADATA),),
    machine=MachineFacts(metadata_address="http://metadata.google.internal", skew_s=0.1),
)
SOUND = {"environment": ENVIRONMENT, "endpoint": ENDPOINT_NODE, "Google": GOOGLE_NODE}
