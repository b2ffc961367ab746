"""Sound nodes as facts, and one fault at a time planted on them."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct, structs

from credagent.config import AgentSection, AwsSection, BundleSection, Config, GoogleSection, WorkersSection
from credagent.operations.doctor.facts import (
    ContainerFacts,
    DaskProcess,
    Facts,
    HomeFacts,
    MachineFacts,
    OtherAgent,
    PathFacts,
    PortHolder,
    ReportedError,
    UnitFacts,
    WorkerFacts,
)
from credagent.operations.observability.home_credential_files import Home, Profile
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


def failing(code: str, message: str = "…", *, empty: bool = True, hint: str = "`aws sso login`", **more: Any) -> Any:
    """Return a plant: the machine's role is what the aws slot wants, and it fails."""
    error = {"code": code, "message": message, "hint": hint, "at": at(minutes=1), "failures": 3}
    held = {"origin": "none", "principal": None, "expires_at": None} if empty else {}

    def plant(facts: Facts) -> Facts:
        failed = with_slot(facts, "aws", last_error=error, **{**held, **more})
        return changed(failed, state="degraded", bundle=NO_BUNDLE if not more.get("statement") else BUNDLE)

    return plant


def refused(code: str, message: str = "…", hint: str = "") -> Callable[[Facts], Facts]:
    """Return a plant: a pushed bundle is refused, none is in force, and tasks run as the machine."""
    one = {
        "code": code,
        "at": at(minutes=1),
        "channel": "socket",
        "message": f"bundle refused: {message}",
        "hint": hint,
    }

    def plant(facts: Facts) -> Facts:
        machine = with_slot(facts, "aws", origin="aws-metadata", statement=None, principal=ROLE, renewable=True)
        return changed(machine, state="degraded", bundle={**NO_BUNDLE, "refused": [one]}, problems=[code])

    return plant


def silent(code: str = "no-agent", **more: Any) -> Callable[[Facts], Facts]:
    gone: dict[str, Any] = {"status": None, "agent_pid": 0, "agent_state": "", "workers": (), "handed_out": None}
    gone |= {
        "silence": ReportedError(code=code, why="/run/credagent/agent.sock: connection refused"),
        "watches_files": None,
    }
    return lambda facts: structs.replace(facts, **{**gone, **more})


def replaced(**fields: Any) -> Callable[[Facts], Facts]:
    return lambda facts: structs.replace(facts, **fields)


def unit(**more: Any) -> dict[str, UnitFacts]:
    return {**UNITS, "credagent.service": structs.replace(UNITS["credagent.service"], **more)}


class Fault(Struct, frozen=True, kw_only=True):
    """A fault as the issue of an operator names it, how it is planted, and what has to be said."""

    name: str
    plant: Callable[[Facts], Facts]
    code: str
    says: str = ""
    type: str = ""
    level: str = "error"
    node: str = "environment"


def started(**failure: Any) -> Callable[[Facts], Facts]:
    """Return a plant: the agent is there, and could not start."""

    def plant(facts: Facts) -> Facts:
        nothing = {name: slot() for name in ("aws", "google", "environment")}
        trouble = ReportedError(**failure)
        failed = changed(facts, state="unavailable", generation=0, slots=nothing, bundle=NO_BUNDLE, workers=[])
        failed = changed(
            failed, problems=[trouble.code], agent={**(facts.status or {})["agent"], "configured_at": None}
        )
        return structs.replace(failed, start_failure=trouble, workers=(), dask=(), handed_out=None, watches_files=None)

    return plant


def full(facts: Facts) -> Facts:
    shown = changed(facts, state="degraded", problems=["not-written"])
    return structs.replace(shown, folders=(folder(RUN, 0o751, free_bytes=0), FOLDERS[1]))


def _late(facts: Facts) -> Facts:
    ends = with_slot(facts, "aws", expires_at=at(minutes=-12))
    return changed(ends, bundle={**BUNDLE, "issued_at": at(minutes=48)})


def _ahead(facts: Facts) -> Facts:
    late = failing("expired", "the credentials expired", statement="granted")(facts)
    late = changed(late, agent={**STATUS["agent"], "clock_skew_s": -3600.0})
    return structs.replace(late, machine=MachineFacts())


def _behind(facts: Facts) -> Facts:
    early = refused("from-the-future", "it was made at …")(facts)
    return structs.replace(early, machine=MachineFacts(skew_s=700.0))


def _broken(facts: Facts) -> Facts:
    trouble = ReportedError(
        code="unknown-key",
        why="/etc/credagent/config.toml: aws.handovr: an unknown key",
        hint="did you mean aws.handover?",
    )
    shown = changed(facts, state="degraded", problems=["reload-failed"])
    return structs.replace(shown, config_error=trouble, config_changed=NOW)


def _stopped(facts: Facts) -> Facts:
    late = structs.replace(facts.workers[0], state="T", process=ProcessFacts(pid=WORKER, now=KEYS, generation=3))
    return structs.replace(facts, workers=(late,), dask=(structs.replace(facts.dask[0], state="T"),))


def _without_preload(facts: Facts) -> Facts:
    process = ProcessFacts(pid=815, at_start=frozenset({"AWS_PROFILE"}))
    return structs.replace(
        facts, dask=(*facts.dask, DaskProcess(pid=815, uid=DASK, role="worker", age_s=60, state="S", process=process))
    )


def _home(home: Home) -> Callable[[Facts], Facts]:
    return replaced(homes=(HomeFacts(user="dask", home=home),))


def _caller(uid: int) -> Callable[[Facts], Facts]:
    return lambda facts: changed(facts, refused_callers=[{"uid": uid, "count": 12, "at": at(minutes=2)}])


def _without_region(facts: Facts) -> Facts:
    return structs.replace(facts, handed_out=KEYS, workers=(worker(*KEYS),))


HOLDER = PortHolder(address="127.0.0.1:9817", user="eve", pid=441, name="nginx")
CONTAINER = ContainerFacts(pid=903, name="jupyter")
LOST = {"code": "port-taken", "why": "127.0.0.1:9817: the port is taken", "hint": "see who listens there (ss -ltnp)"}
FILE = Profile("/home/dask/.aws/credentials", frozenset({"aws_access_key_id"}), masked=True)
SETTINGS = Profile("/home/dask/.aws/config", frozenset({"credential_process"}))
IN_USE = {
    "code": "state-in-use",
    "why": "/var/lib/credagent: another agent uses it",
    "hint": "`systemctl stop credagent`",
}

FAULTS = (
    Fault(
        name="metadata unreachable",
        plant=failing("metadata-unreachable"),
        code="metadata-unreachable",
        type="curl -sm2 http://169.254.169.254/",
    ),
    Fault(
        name="metadata off",
        plant=failing("metadata-disabled"),
        code="metadata-disabled",
        type="--region eu-central-1 --instance-id i-0abc1234def567890 --http-endpoint enabled",
    ),
    Fault(
        name="hop limit",
        plant=failing("hop-limit"),
        code="hop-limit",
        type="--instance-id i-0abc1234def567890 --http-put-response-hop-limit 2",
    ),
    Fault(
        name="clock behind",
        plant=_behind,
        code="clock-behind",
        says="this clock is 700 s behind the cloud's",
        type="timedatectl set-ntp true",
    ),
    Fault(
        name="clock ahead",
        plant=_ahead,
        code="clock-ahead",
        says="this clock is 3600 s ahead of the cloud's",
        type="timedatectl set-ntp true",
    ),
    Fault(
        name="wrong key",
        plant=refused("not-for-this-machine"),
        code="not-for-this-machine",
        says=f"tasks run as {ROLE}",
        type="credagent public-key",
    ),
    Fault(
        name="untrusted sender",
        plant=refused("untrusted-sender"),
        code="untrusted-sender",
        says=f"the sender's bundle was refused (untrusted-sender): tasks run as {ROLE}",
        type="credagent trust",
    ),
    Fault(
        name="wrong audience",
        plant=refused("wrong-audience"),
        code="wrong-audience",
        type="credagent forward --audience lab",
    ),
    Fault(
        name="expired bundle arrives",
        plant=refused("expired", "it ended at 2026-11-30T00:00:00Z"),
        code="expired",
        says=ROLE,
        type="credagent forward",
    ),
    Fault(
        name="expired session",
        plant=failing("expired", "the credentials expired", statement="granted"),
        code="expired",
        says="bundle b-17 of sender 5f1c",
        type="credagent whoami",
    ),
    Fault(
        name="granted, and not to be had",
        plant=failing("access-denied", statement="granted"),
        code="access-denied",
        type="aws sso login",
    ),
    Fault(
        name="renewal fails",
        plant=failing("access-denied", empty=False, origin="aws-metadata", renewable=True),
        code="access-denied",
        level="warning",
    ),
    Fault(
        name="folder on disk",
        plant=replaced(folders=(folder(RUN, 0o751, "ext4"), FOLDERS[1])),
        code="folder-on-disk",
        says="on ext4",
        type="mount -t tmpfs",
        level="warning",
    ),
    Fault(name="tmpfs full", plant=full, code="folder-full", says="0 KiB left", type="du -xah /run/credagent"),
    Fault(
        name="no inode left",
        plant=replaced(folders=(folder(RUN, 0o751, free_inodes=0), FOLDERS[1])),
        code="folder-full",
        says="no inode left",
        type="du -xah",
    ),
    Fault(name="agent not running", plant=silent(), code="no-agent", type="systemctl start credagent"),
    Fault(
        name="agent failed",
        plant=silent(units=unit(active="failed", result="exit-code", main_pid=0)),
        code="no-agent",
        says="exit-code",
        type="systemctl status credagent",
    ),
    Fault(
        name="agent not running, no systemd",
        plant=silent(units={}),
        code="no-agent",
        type="credagent run --config /etc/credagent/config.toml",
    ),
    Fault(
        name="agent hangs",
        plant=silent(hangs=True, silence=None, agent_pid=AGENT),
        code="agent-hangs",
        says="does not answer",
        type="systemctl restart credagent",
    ),
    Fault(
        name="agent stopped",
        plant=silent(hangs=True, silence=None, agent_pid=AGENT, agent_state="T"),
        code="agent-stopped",
        type=f"kill -CONT {AGENT}",
    ),
    Fault(name="asked by a stranger", plant=silent("not-allowed"), code="not-allowed", type="sudo credagent doctor"),
    Fault(
        name="unit masked",
        plant=silent(units=unit(load="masked", active="inactive", enabled="masked", main_pid=0)),
        code="unit-masked",
        type="systemctl unmask credagent.service",
    ),
    Fault(
        name="unit not enabled",
        plant=replaced(units=unit(enabled="disabled")),
        code="unit-not-enabled",
        type="systemctl enable --now credagent",
        level="warning",
    ),
    Fault(name="start failed", plant=started(**IN_USE), code="start-failed", says="another agent uses it"),
    Fault(
        name="port taken",
        plant=lambda facts: structs.replace(started(**LOST)(facts), port_holders=(HOLDER,)),
        code="port-taken",
        says="nginx (pid 441, user eve)",
        type="kill 441",
        node="endpoint",
    ),
    Fault(
        name="port taken, no agent",
        plant=silent(port_holders=(HOLDER,)),
        code="port-taken",
        says="127.0.0.1:9817",
        type="kill 441",
        node="endpoint",
    ),
    Fault(
        name="two agents",
        plant=replaced(other_agents=(OtherAgent(socket="/run/user/1001/credagent/agent.sock", user="dask", pid=950),)),
        code="two-agents",
        says="pid 950",
        type="kill 950",
        level="warning",
    ),
    Fault(
        name="typo in the configuration",
        plant=_broken,
        code="configuration-broken",
        says="aws.handovr",
        type="credagent check-config",
    ),
    Fault(
        name="configuration newer than what runs",
        plant=replaced(config_changed=NOW),
        code="configuration-not-loaded",
        type="systemctl reload credagent",
        level="warning",
    ),
    Fault(
        name="a key that waits for a restart",
        plant=lambda facts: changed(facts, agent={**STATUS["agent"], "needs_restart": ["workers.intercept"]}),
        code="restart-needed",
        says="workers.intercept of the configuration waits",
        type="systemctl restart credagent",
        level="warning",
    ),
    Fault(
        name="nobody trusted, a bundle required",
        plant=lambda facts: with_config(facts, bundle=BundleSection(expect="required")),
        code="no-sender-trusted",
        type="credagent trust",
    ),
    Fault(
        name="required slot empty",
        plant=lambda facts: with_slot(facts, "google", required=True),
        code="required-slot-empty",
        type="credagent forward",
    ),
    Fault(
        name="region missing",
        plant=_without_region,
        code="region-missing",
        type='aws.region = "eu-central-1"',
        level="warning",
    ),
    Fault(
        name="session near its end",
        plant=_late,
        code="session-ending",
        says="ends in 12 min, and sender 5f1c",
        type="credagent forward",
        level="warning",
    ),
    Fault(
        name="worker without the preload",
        plant=_without_preload,
        code="worker-without-preload",
        says="worker 815 takes nothing from the agent, and AWS_PROFILE is set",
        type="credagent exec",
    ),
    Fault(
        name="stopped worker",
        plant=_stopped,
        code="worker-stopped",
        says="worker 812 is stopped",
        type="kill -CONT 812",
    ),
    Fault(
        name="worker behind",
        plant=with_process(generation=3),
        code="worker-behind",
        type="py-spy dump --pid 812",
        level="warning",
    ),
    Fault(
        name="AWS_PROFILE set by a task",
        plant=with_process("AWS_PROFILE"),
        code="variable-shadows",
        says="AWS_PROFILE is set by something that ran in it",
        type="unset AWS_PROFILE",
    ),
    Fault(
        name="AWS_PROFILE since the start",
        plant=with_process("AWS_PROFILE", at_start=frozenset({"AWS_PROFILE"})),
        code="variable-shadows",
        says="AWS_PROFILE is set since its start",
        type="unset AWS_PROFILE",
    ),
    Fault(
        name="AWS_SECURITY_TOKEN",
        plant=with_process("AWS_SECURITY_TOKEN"),
        code="variable-shadows",
        says="in worker 812",
        type="unset AWS_SECURITY_TOKEN",
    ),
    Fault(
        name="AWS_SHARED_CREDENTIALS_FILE",
        plant=with_process(changed=frozenset({"AWS_SHARED_CREDENTIALS_FILE"})),
        code="variable-shadows",
        type="unset AWS_SHARED_CREDENTIALS_FILE",
        node="endpoint",
    ),
    Fault(
        name="GOOGLE_APPLICATION_CREDENTIALS",
        plant=with_process("GOOGLE_APPLICATION_CREDENTIALS"),
        code="variable-shadows",
        type="unset GOOGLE_APPLICATION_CREDENTIALS",
        node="Google",
    ),
    Fault(
        name="NO_GCE_CHECK",
        plant=replaced(workers=(worker("NO_GCE_CHECK"),)),
        code="variable-shadows",
        type="unset NO_GCE_CHECK",
        node="Google",
    ),
    Fault(
        name="GCE_METADATA_HOST",
        plant=with_process(changed=frozenset({"GCE_METADATA_HOST"})),
        code="variable-shadows",
        type="unset GCE_METADATA_HOST",
        node="Google",
    ),
    Fault(
        name="proxy catches loopback",
        plant=with_process("HTTP_PROXY", proxied=True),
        code="proxy-catches-loopback",
        type="export NO_PROXY=",
        node="endpoint",
    ),
    Fault(
        name="~/.aws/credentials of a worker's user",
        plant=_home(Home(aws=(FILE,))),
        code="file-shadows",
        says=FILE.path,
        type=f"mv {FILE.path}",
        level="warning",
    ),
    Fault(
        name="~/.aws/config beside the endpoint",
        plant=_home(Home(aws=(SETTINGS,))),
        code="file-shadows",
        says="credential_process",
        node="endpoint",
    ),
    Fault(
        name="gcloud's default file",
        plant=_home(Home(google_default=ADC)),
        code="file-shadows",
        says=ADC,
        type="gcloud auth application-default revoke",
        node="Google",
    ),
    Fault(
        name="old botocore",
        plant=with_process(versions={**VERSIONS, "botocore": "1.9.0"}),
        code="botocore-old",
        says="botocore 1.9.0",
        type="pip install --upgrade boto3",
        level="warning",
    ),
    Fault(
        name="other credagent_worker",
        plant=with_process(versions={**VERSIONS, "credagent_worker": "0.0.9"}),
        code="worker-module-version",
        says="0.0.9",
        type="pip install credagent-worker==0.1.0",
        level="warning",
    ),
    Fault(
        name="worker.env open",
        plant=replaced(files={ENV_FILE: PathFacts(path=ENV_FILE, uid=CREDAGENT, mode=0o644)}),
        code="file-mode",
        says="0644",
        type=f"chmod 0600 {ENV_FILE}",
    ),
    Fault(
        name="worker.env another's",
        plant=replaced(files={ENV_FILE: PathFacts(path=ENV_FILE, uid=1007, mode=0o600)}),
        code="wrong-owner",
        says="belongs to eve",
        type=f"chown credagent {ENV_FILE}",
    ),
    Fault(
        name="worker.env missing",
        plant=replaced(files={ENV_FILE: None}),
        code="env-file-missing",
        type="journalctl -u credagent",
        level="warning",
    ),
    Fault(
        name="folder open",
        plant=lambda facts: structs.replace(
            changed(facts, problems=["folder-mode"], state="degraded"), folders=(folder(RUN, 0o777), FOLDERS[1])
        ),
        code="folder-mode",
        says="0777",
        type=f"chmod go-w {RUN}",
    ),
    Fault(
        name="folder closed to workers",
        plant=replaced(folders=(folder(RUN, 0o700), FOLDERS[1])),
        code="folder-mode",
        says="0700",
        type=f"chmod 0751 {RUN}",
    ),
    Fault(
        name="token open",
        plant=replaced(files={TOKEN: PathFacts(path=TOKEN, uid=CREDAGENT, mode=0o644)}),
        code="file-mode",
        type=TOKEN,
        node="endpoint",
    ),
    Fault(
        name="a user is refused",
        plant=_caller(1007),
        code="caller-refused",
        says="user eve was refused 12 times",
        type="usermod -aG dask eve",
        level="warning",
    ),
    Fault(
        name="nobody is refused",
        plant=_caller(65_534),
        code="caller-nobody",
        says="12 times",
        type="credagent exec",
        level="warning",
    ),
    Fault(
        name="inotify used up",
        plant=replaced(watches_files=False),
        code="inotify-exhausted",
        says="credagent",
        type="sysctl fs.inotify.max_user_instances",
        level="warning",
    ),
    Fault(
        name="interception rule missing",
        plant=lambda facts: changed(
            with_config(facts, workers=WorkersSection(intercept=True)),
            state="degraded",
            problems=["interception-missing"],
        ),
        code="interception-missing",
        type="systemctl enable --now credagent-intercept",
    ),
    Fault(
        name="a container reaches metadata",
        plant=replaced(containers=(CONTAINER,)),
        code="container-reaches-metadata",
        says="jupyter, pid 903",
        type="--http-put-response-hop-limit 1",
    ),
)
