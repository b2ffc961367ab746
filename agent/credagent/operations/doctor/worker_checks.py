"""Checks of the Dask processes on a node, of who else asked, and of ways past the agent."""

from collections.abc import Collection, Iterable, Iterator

from credagent.operations.doctor import remedies
from credagent.operations.doctor.facts import DaskProcess, Facts
from credagent.operations.doctor.findings import Area, Finding
from credagent.operations.observability.home_credential_files import Shadow, shadows
from credagent.operations.observability.process_identity import process_shadows, uses

METADATA, USERS, WORKER = Area("metadata"), Area("users"), Area("worker")

STARTING_S = 20.0  # in which a process imports Dask and comes to its preload, on a busy machine
LISTED = 3  # processes by number; a node may have hundreds
OVERFLOW_UID = 65_534  # how users of another user namespace look

OLDEST_BOTOCORE = (1, 9, 12)
"""The first botocore that heeds AWS_EC2_METADATA_DISABLED: with an older one a closed slot is the machine's role.

All measured ones (worker_environment/CLIENTS.md) are newer; keys in the environment are read again since before it.
"""


def processes(facts: Facts) -> Iterator[Finding]:
    """Judge the Dask processes: whether they run, whether the agent supplies them, and whether they are up to date."""
    supplied = {one.process.pid: one for one in facts.workers}
    states = {pid: one.state for pid, one in supplied.items()} | {one.pid: one.state for one in facts.dask}
    stopped = [pid for pid, state in states.items() if state == "T"]
    if stopped:
        schedulers = {one.pid for one in facts.dask if one.role == "scheduler"}.intersection(stopped)
        yield WORKER.error(
            "worker-stopped",
            f"{_processes(stopped, 'process' if schedulers else 'worker')} {_is(stopped)} stopped by a signal",
            "no task runs there, and nothing is applied",
            f"`kill -CONT {' '.join(map(str, sorted(stopped)))}`",
            subject=_subject(stopped),
        )
    if facts.status is None:
        return
    workers = [one for one in facts.dask if one.role == "worker" and one.age_s > STARTING_S]
    yield from _unsupplied(facts, [one for one in workers if one.pid not in {*supplied, *stopped}])
    newest = facts.status["generation"]
    behind = {pid: one.process.generation for pid, one in supplied.items() if pid not in stopped}
    # None: it is just starting.
    behind = {pid: generation for pid, generation in behind.items() if generation not in (None, newest)}
    if behind:
        oldest = min(map(str, behind.values()))
        yield WORKER.warning(
            "worker-behind",
            f"{_processes(behind)} {_is(behind)} at generation {oldest}, the agent at {newest}",
            "a task that holds Python's GIL keeps a process from applying what is new",
            f"`py-spy dump --pid {min(behind)}` shows the task; it is up to date when that ends",
            subject=_subject(behind),
        )


def _unsupplied(facts: Facts, ones: list[DaskProcess]) -> Iterator[Finding]:
    if not ones:
        return
    pids = [one.pid for one in ones]
    names = sorted({name for one in ones for name in _set_there(facts, one)})
    since = f", and {', '.join(names)} {'is' if len(names) == 1 else 'are'} set since the start" if names else ""
    yield WORKER.error(
        "worker-without-preload",
        f"{_processes(pids)} {'takes' if len(pids) == 1 else 'take'} nothing from the agent{since}",
        f"tasks there sign with {' or '.join(sorted({_signs_with(facts, one) for one in ones}))}",
        "start it by `credagent exec -- dask worker …`, or `export PYTHONPATH=$(credagent worker-path) "
        "DASK_DISTRIBUTED__WORKER__PRELOAD=credagent_worker` before",
        subject=_subject(pids),
    )


def _set_there(facts: Facts, one: DaskProcess) -> set[str]:
    """Return what its environment sets that a worker of the agent's would have lost."""
    found = process_shadows(one.process, facts.config) if one.process is not None else ()
    return {shadow.path for shadow in found if not shadow.path.startswith("/")}


def _signs_with(facts: Facts, one: DaskProcess) -> str:
    if one.process is None:
        return "whatever their environment and this machine give"
    return (
        "; ".join(f"{use.source} ({use.slot})" for use in uses(one.process, facts.config)) or "nothing of the agent's"
    )


def _is(pids: Collection[int]) -> str:
    return "is" if len(pids) == 1 else "are"


def _subject(pids: Collection[int]) -> str:
    return " ".join(map(str, sorted(pids)))


def in_the_way(facts: Facts) -> Iterator[Finding]:
    """Name what shadows the agent's credentials: in the workers, then in the homes of their users. Each once."""
    shadowed: dict[tuple[str, str], tuple[Shadow, list[int]]] = {}
    for worker in facts.workers:
        for shadow in process_shadows(worker.process, facts.config):
            shadowed.setdefault((shadow.slot, shadow.path), (shadow, []))[1].append(worker.process.pid)
    for one in facts.homes:
        for shadow in shadows(one.home, facts.config):
            shadowed.setdefault((shadow.slot, shadow.path), (shadow, []))
    for shadow, pids in shadowed.values():
        where = f"in {_processes(pids)}: " if pids and not shadow.path.startswith("/") else ""
        yield Area(shadow.slot).finding(
            "error" if shadow.always else "warning",
            _code_of(shadow),
            f"{where}{shadow.found}",
            "tasks sign as somebody else, or are refused"
            if shadow.always
            else "a slot that is empty lets tasks sign as somebody else",
            shadow.remedy,
            subject=str(pids[0]) if len(pids) == 1 else shadow.path,
        )


def _code_of(shadow: Shadow) -> str:
    if shadow.path == "HTTP_PROXY":
        return "proxy-catches-loopback"
    return "file-shadows" if shadow.path.startswith("/") else "variable-shadows"


def _processes(pids: Iterable[int], kind: str = "worker") -> str:
    listed, kinds = sorted(pids), f"{kind}{'es' if kind.endswith('s') else 's'}"
    shown = ", ".join(map(str, listed[:LISTED]))
    if len(listed) > LISTED:
        return f"{len(listed)} {kinds} (pid {shown}, …)"
    return f"{kind} {shown}" if len(listed) == 1 else f"{kinds} {shown}"


def versions(facts: Facts) -> Iterator[Finding]:
    """Judge the versions that workers report: of this project's module in them, and of what signs their requests."""
    agents = facts.section("agent").get("version")
    others: dict[str, list[int]] = {}
    old: dict[str, list[int]] = {}
    for worker in facts.workers:
        module, botocore = worker.versions.get("credagent_worker"), worker.versions.get("botocore")
        if module and agents and module != agents:
            others.setdefault(module, []).append(worker.process.pid)
        if botocore and _numbers(botocore) < OLDEST_BOTOCORE and facts.config.aws.handover != "off":
            old.setdefault(botocore, []).append(worker.process.pid)
    for version, pids in others.items():
        yield WORKER.warning(
            "worker-module-version",
            f"credagent_worker {version} is in {_processes(pids)}, and the agent is {agents}",
            "what has been mended in one of them is not in the other",
            "`export PYTHONPATH=$(credagent worker-path)` where workers start, or "
            f"`pip install credagent-worker=={agents}`; then restart them",
        )
    for version, pids in old.items():
        yield WORKER.warning(
            "botocore-old",
            f"botocore {version} is in {_processes(pids)}",
            "it does not heed AWS_EC2_METADATA_DISABLED: where the slot is closed it takes the machine's role",
            "`pip install --upgrade boto3` in the environment of the workers, then restart them",
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def callers(facts: Facts) -> Iterator[Finding]:
    """Name the users who asked and may not."""
    for one in (facts.status or {}).get("refused_callers", ()):
        uid, times = one["uid"], f"{one['count']} time{'s' if one['count'] > 1 else ''}, last at {one['at']}"
        if uid == OVERFLOW_UID:
            yield USERS.warning(
                "caller-nobody",
                f"a caller without a user here (nobody) was refused {times}",
                "it runs in another user namespace, a rootless container: nobody can tell who it is",
                "run an agent in that container: `credagent exec -- COMMAND` as its entrypoint",
                subject=str(uid),
            )
            continue
        name = facts.user(uid)
        group = facts.config.workers.groups[0] if facts.config.workers.groups else ""
        join = f"`usermod -aG {group} {name}`" if group and group not in facts.missing_accounts else ""
        add = remedies.setting(facts, f'workers.users = ["{name}"]')
        yield USERS.warning(
            "caller-refused",
            f"user {name} was refused {times}",
            "it is not in workers.users, nor in a group of workers.groups",
            f"if its tasks should have credentials: {join or add}",
            subject=str(uid),
        )


def past_the_agent(facts: Facts) -> Iterator[Finding]:
    """Name the ways by which a process gets the machine's own role beside what the agent holds."""
    for container in facts.containers:
        yield METADATA.error(
            "container-reaches-metadata",
            f"a container ({container.name}, pid {container.pid}) reaches the instance's metadata",
            "its processes have the machine's own role, whatever the agent holds",
            remedies.instance_option(facts, "--http-put-response-hop-limit 1"),
            subject=str(container.pid),
        )


PROBLEMS = {
    "interception-missing": (
        "the rule that redirects workers' metadata requests is not loaded",
        "workers reach the machine's own role",
        "`systemctl enable --now credagent-intercept && systemctl restart credagent-intercept`",
    ),
    "interception-of-nobody": (
        "interception redirects nobody: workers.users names no user of this machine but root",
        "workers reach the machine's own role",
        "`credagent check-config` shows workers.users: name users of this machine, root is never redirected",
    ),
    "interception-port": (
        "interception has no port of its own to redirect to",
        "workers reach the machine's own role",
        'write `endpoint.listen = ["127.0.0.1:9817", "[::1]:9817"]`, then `systemctl restart credagent`',
    ),
    "callers-unknown": (
        "the kernel does not tell the agent whose a connection is",
        "everybody is refused at the endpoint and the metadata server",
        'write `aws.handover = "environment"`, or run the agent outside this sandbox',
    ),
}


def standing_problems(facts: Facts) -> Iterator[Finding]:
    """Name what else troubles the agent, and is not said by a refusal or a slot."""
    said = {refusal["code"] for refusal in facts.section("bundle").get("refused", ())}
    said |= {slot["last_error"]["code"] for slot in facts.section("slots").values() if slot["last_error"]}
    if facts.start_failure is not None:
        said.add(facts.start_failure.code)
    for code in (facts.status or {}).get("problems", ()):
        if code in said:
            continue
        found, why, remedy = PROBLEMS.get(code, (f"the agent has a standing problem: {code}", "", ""))
        yield Area("interception" if code.startswith("interception") else "agent").finding(
            "error" if code in PROBLEMS else "warning",
            code,
            found,
            why or "the agent tries again by itself, and has not succeeded",
            remedy or remedies.log(facts),
        )
