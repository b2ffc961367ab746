"""One fault at a time, planted on a sound node, and what `doctor` has to say of it."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct, structs

from credagent.config import BundleSection, WorkersSection
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
)
from credagent.operations.observability.home_credential_files import Home, Profile
from credagent.operations.observability.process_identity import ProcessFacts
from tests.unit.operations.doctor.nodes import (
    ADC,
    AGENT,
    BUNDLE,
    CREDAGENT,
    DASK,
    ENV_FILE,
    FOLDERS,
    KEYS,
    NO_BUNDLE,
    NOW,
    ROLE,
    RUN,
    STATUS,
    TOKEN,
    UNITS,
    VERSIONS,
    WORKER,
    at,
    changed,
    folder,
    slot,
    with_config,
    with_process,
    with_slot,
    worker,
)


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


class Fault(Struct, frozen=True):
    """A fault as the issue of an operator names it, how it is planted, and what has to be said."""

    name: str
    plant: Callable[[Facts], Facts]
    code: str
    says: str = ""
    type: str = ""
    level: str = "error"
    node: str = "environment"


def _warned(name: str, plant: Callable[[Facts], Facts], code: str, **more: Any) -> Fault:
    return Fault(name, plant, code, level="warning", **more)


def started(**failure: Any) -> Callable[[Facts], Facts]:
    """Return a plant: the agent is there, and could not start."""

    def plant(facts: Facts) -> Facts:
        nothing = {name: slot() for name in ("aws", "google", "environment")}
        trouble = ReportedError(**failure)
        failed = changed(facts, state="unavailable", generation=0, slots=nothing, bundle=NO_BUNDLE, workers=[])
        failed = changed(failed, problems=[trouble.code], agent={**facts.section("agent"), "configured_at": None})
        return structs.replace(failed, start_failure=trouble, workers=(), dask=(), handed_out=None, watches_files=None)

    return plant


def full(facts: Facts) -> Facts:
    shown = changed(facts, state="degraded", problems=["not-written"])
    return _runtime_folder(0o751, free_bytes=0)(shown)


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


def _runtime_folder(mode: int, kind: str = "tmpfs", **more: Any) -> Callable[[Facts], Facts]:
    return replaced(folders=(folder(RUN, mode, kind, **more), FOLDERS[1]))


def _file(path: str, uid: int, mode: int) -> Callable[[Facts], Facts]:
    return replaced(files={path: PathFacts(path=path, uid=uid, mode=mode)})


def _home(home: Home) -> Callable[[Facts], Facts]:
    return replaced(homes=(HomeFacts(user="dask", home=home),))


def _caller(uid: int) -> Callable[[Facts], Facts]:
    return lambda facts: changed(facts, refused_callers=[{"uid": uid, "count": 12, "at": at(minutes=2)}])


def _without_region(facts: Facts) -> Facts:
    return structs.replace(facts, handed_out=KEYS, workers=(worker(*KEYS),))


def _untrusted_folder(facts: Facts) -> Facts:
    why = "others can replace what lies in /srv (mode 0777)"
    refused = ReportedError(code="folder-mode", why=why, hint="chmod +t /srv, or name a folder below one of root's")
    return silent(silence=None, folder_refused=refused)(facts)


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
        "metadata unreachable",
        failing("metadata-unreachable"),
        "metadata-unreachable",
        type="curl -sm2 http://169.254.169.254/",
    ),
    Fault(
        "metadata off",
        failing("metadata-disabled"),
        "metadata-disabled",
        type="--region eu-central-1 --instance-id i-0abc1234def567890 --http-endpoint enabled",
    ),
    Fault(
        "hop limit",
        failing("hop-limit"),
        "hop-limit",
        type="--instance-id i-0abc1234def567890 --http-put-response-hop-limit 2",
    ),
    Fault(
        "clock behind",
        _behind,
        "clock-behind",
        says="this clock is 700 s behind the cloud's",
        type="timedatectl set-ntp true",
    ),
    Fault(
        "clock ahead",
        _ahead,
        "clock-ahead",
        says="this clock is 3600 s ahead of the cloud's",
        type="timedatectl set-ntp true",
    ),
    Fault(
        "wrong key",
        refused("not-for-this-machine"),
        "not-for-this-machine",
        says=f"tasks run as {ROLE}",
        type="credagent public-key",
    ),
    Fault(
        "untrusted sender",
        refused("untrusted-sender"),
        "untrusted-sender",
        says=f"the sender's bundle was refused (untrusted-sender): tasks run as {ROLE}",
        type="credagent trust",
    ),
    Fault("wrong audience", refused("wrong-audience"), "wrong-audience", type="credagent forward --audience lab"),
    Fault(
        "expired bundle arrives",
        refused("expired", "it ended at 2026-11-30T00:00:00Z"),
        "expired",
        says=ROLE,
        type="credagent forward",
    ),
    Fault(
        "expired session",
        failing("expired", "the credentials expired", statement="granted"),
        "expired",
        says="bundle b-17 of sender 5f1c",
        type="credagent whoami",
    ),
    Fault(
        "granted, and not to be had",
        failing("access-denied", statement="granted"),
        "access-denied",
        type="aws sso login",
    ),
    _warned(
        "renewal fails", failing("access-denied", empty=False, origin="aws-metadata", renewable=True), "access-denied"
    ),
    _warned("folder on disk", _runtime_folder(0o751, "ext4"), "folder-on-disk", says="on ext4", type="mount -t tmpfs"),
    _warned(
        "folder of a user's own agent on disk",
        replaced(units={}, folders=(folder(RUN, 0o751, "ext4"), FOLDERS[1])),
        "folder-on-disk",
        says="on ext4",
        type=f'agent.runtime_dir = "/dev/shm/credagent-{CREDAGENT}"',
    ),
    Fault("tmpfs full", full, "folder-full", says="0 KiB left", type="du -xah /run/credagent"),
    Fault("no inode left", _runtime_folder(0o751, free_inodes=0), "folder-full", says="no inode left", type="du -xah"),
    Fault("agent not running", silent(), "no-agent", type="systemctl start credagent"),
    Fault(
        "agent failed",
        silent(units=unit(active="failed", result="exit-code", main_pid=0)),
        "no-agent",
        says="exit-code",
        type="systemctl status credagent",
    ),
    Fault(
        "agent not running, no systemd",
        silent(units={}),
        "no-agent",
        type="credagent run --config /etc/credagent/config.toml",
    ),
    Fault(
        "agent hangs",
        silent(hangs=True, silence=None, agent_pid=AGENT),
        "agent-hangs",
        says="does not answer",
        type="systemctl restart credagent",
    ),
    Fault(
        "agent stopped",
        silent(hangs=True, silence=None, agent_pid=AGENT, agent_state="T"),
        "agent-stopped",
        type=f"kill -CONT {AGENT}",
    ),
    Fault("asked by a stranger", silent("not-allowed"), "not-allowed", type="sudo credagent doctor"),
    Fault(
        "unit masked",
        silent(units=unit(load="masked", active="inactive", enabled="masked", main_pid=0)),
        "unit-masked",
        type="systemctl unmask credagent.service",
    ),
    _warned(
        "unit not enabled",
        replaced(units=unit(enabled="disabled")),
        "unit-not-enabled",
        type="systemctl enable --now credagent",
    ),
    Fault("start failed", started(**IN_USE), "start-failed", says="another agent uses it"),
    Fault(
        "port taken",
        lambda facts: structs.replace(started(**LOST)(facts), port_holders=(HOLDER,)),
        "port-taken",
        says="nginx (pid 441, user eve)",
        type="kill 441",
        node="endpoint",
    ),
    Fault(
        "port taken, no agent",
        silent(port_holders=(HOLDER,)),
        "port-taken",
        says="127.0.0.1:9817",
        type="kill 441",
        node="endpoint",
    ),
    _warned(
        "two agents",
        replaced(other_agents=(OtherAgent(socket="/run/user/1001/credagent/agent.sock", user="dask", pid=950),)),
        "two-agents",
        says="pid 950",
        type="kill 950",
    ),
    Fault(
        "typo in the configuration", _broken, "configuration-broken", says="aws.handovr", type="credagent check-config"
    ),
    _warned(
        "configuration newer than what runs",
        replaced(config_changed=NOW),
        "configuration-not-loaded",
        type="systemctl reload credagent",
    ),
    _warned(
        "a key that waits for a restart",
        lambda facts: changed(facts, agent={**STATUS["agent"], "needs_restart": ["workers.intercept"]}),
        "restart-needed",
        says="workers.intercept of the configuration waits",
        type="systemctl restart credagent",
    ),
    Fault(
        "nobody trusted, a bundle required",
        lambda facts: with_config(facts, bundle=BundleSection(expect="required")),
        "no-sender-trusted",
        type="credagent trust",
    ),
    Fault(
        "required slot empty",
        lambda facts: with_slot(facts, "google", required=True),
        "required-slot-empty",
        type="credagent forward",
    ),
    _warned("region missing", _without_region, "region-missing", type='aws.region = "eu-central-1"'),
    _warned(
        "session near its end",
        _late,
        "session-ending",
        says="ends in 12 min, and sender 5f1c",
        type="credagent forward",
    ),
    Fault(
        "worker without the preload",
        _without_preload,
        "worker-without-preload",
        says="worker 815 takes nothing from the agent, and AWS_PROFILE is set",
        type="credagent exec",
    ),
    Fault("stopped worker", _stopped, "worker-stopped", says="worker 812 is stopped", type="kill -CONT 812"),
    _warned("worker behind", with_process(generation=3), "worker-behind", type="py-spy dump --pid 812"),
    Fault(
        "AWS_PROFILE set by a task",
        with_process("AWS_PROFILE"),
        "variable-shadows",
        says="AWS_PROFILE is set by something that ran in it",
        type="unset AWS_PROFILE",
    ),
    Fault(
        "AWS_PROFILE since the start",
        with_process("AWS_PROFILE", at_start=frozenset({"AWS_PROFILE"})),
        "variable-shadows",
        says="AWS_PROFILE is set since its start",
        type="unset AWS_PROFILE",
    ),
    Fault(
        "AWS_SECURITY_TOKEN",
        with_process("AWS_SECURITY_TOKEN"),
        "variable-shadows",
        says="in worker 812",
        type="unset AWS_SECURITY_TOKEN",
    ),
    Fault(
        "AWS_SHARED_CREDENTIALS_FILE",
        with_process(changed=frozenset({"AWS_SHARED_CREDENTIALS_FILE"})),
        "variable-shadows",
        type="unset AWS_SHARED_CREDENTIALS_FILE",
        node="endpoint",
    ),
    Fault(
        "GOOGLE_APPLICATION_CREDENTIALS",
        with_process("GOOGLE_APPLICATION_CREDENTIALS"),
        "variable-shadows",
        type="unset GOOGLE_APPLICATION_CREDENTIALS",
        node="Google",
    ),
    Fault(
        "NO_GCE_CHECK",
        replaced(workers=(worker("NO_GCE_CHECK"),)),
        "variable-shadows",
        type="unset NO_GCE_CHECK",
        node="Google",
    ),
    Fault(
        "GCE_METADATA_HOST",
        with_process(changed=frozenset({"GCE_METADATA_HOST"})),
        "variable-shadows",
        type="unset GCE_METADATA_HOST",
        node="Google",
    ),
    Fault(
        "proxy catches loopback",
        with_process("HTTP_PROXY", proxied=True),
        "proxy-catches-loopback",
        type="export NO_PROXY=",
        node="endpoint",
    ),
    _warned(
        "~/.aws/credentials of a worker's user",
        _home(Home(aws=(FILE,))),
        "file-shadows",
        says=FILE.path,
        type=f"mv {FILE.path}",
    ),
    Fault(
        "~/.aws/config beside the endpoint",
        _home(Home(aws=(SETTINGS,))),
        "file-shadows",
        says="credential_process",
        node="endpoint",
    ),
    Fault(
        "gcloud's default file",
        _home(Home(google_default=ADC)),
        "file-shadows",
        says=ADC,
        type="gcloud auth application-default revoke",
        node="Google",
    ),
    _warned(
        "old botocore",
        with_process(versions={**VERSIONS, "botocore": "1.9.0"}),
        "botocore-old",
        says="botocore 1.9.0",
        type="pip install --upgrade boto3",
    ),
    _warned(
        "other credagent_worker",
        with_process(versions={**VERSIONS, "credagent_worker": "0.0.9"}),
        "worker-module-version",
        says="0.0.9",
        type="pip install credagent-worker==0.1.0",
    ),
    Fault(
        "worker.env open", _file(ENV_FILE, CREDAGENT, 0o644), "file-mode", says="0644", type=f"chmod 0600 {ENV_FILE}"
    ),
    Fault(
        "worker.env another's",
        _file(ENV_FILE, 1007, 0o600),
        "wrong-owner",
        says="belongs to eve",
        type=f"chown credagent {ENV_FILE}",
    ),
    _warned("worker.env missing", replaced(files={ENV_FILE: None}), "env-file-missing", type="journalctl -u credagent"),
    Fault(
        "folder open",
        lambda facts: _runtime_folder(0o777)(changed(facts, problems=["folder-mode"], state="degraded")),
        "folder-mode",
        says="0777",
        type=f"chmod go-w {RUN}",
    ),
    Fault(
        "folder below one that others can write to",
        _untrusted_folder,
        "folder-mode",
        says=f"nobody was asked at {RUN}: others can replace",
        type='agent.runtime_dir = "/run/credagent"',
    ),
    Fault("folder closed to workers", _runtime_folder(0o700), "folder-mode", says="0700", type=f"chmod 0751 {RUN}"),
    Fault("token open", _file(TOKEN, CREDAGENT, 0o644), "file-mode", type=TOKEN, node="endpoint"),
    _warned(
        "a user is refused",
        _caller(1007),
        "caller-refused",
        says="user eve was refused 12 times",
        type="usermod -aG dask eve",
    ),
    _warned("nobody is refused", _caller(65_534), "caller-nobody", says="12 times", type="credagent exec"),
    _warned(
        "inotify used up",
        replaced(watches_files=False),
        "inotify-exhausted",
        says="credagent",
        type="sysctl fs.inotify.max_user_instances",
    ),
    Fault(
        "interception rule missing",
        lambda facts: changed(
            with_config(facts, workers=WorkersSection(intercept=True)),
            state="degraded",
            problems=["interception-missing"],
        ),
        "interception-missing",
        type="systemctl enable --now credagent-intercept",
    ),
    Fault(
        "a container reaches metadata",
        replaced(containers=(CONTAINER,)),
        "container-reaches-metadata",
        says="jupyter, pid 903",
        type="--http-put-response-hop-limit 1",
    ),
)
