"""Checks of the configuration, the agent itself, its units, folders, files and ports."""

from collections.abc import Iterator

from credagent.operations.doctor import remedies
from credagent.operations.doctor.facts import Facts, PathFacts
from credagent.operations.doctor.findings import Finding
from credagent.operations.observability.status_document import text

OTHERS_READ_OR_WRITE = 0o077
OTHERS_WRITE = 0o022
ENTER = 0o001
LEAST_FREE_BYTES = 64 * 1024  # worker.env and the largest bundle fit


def configuration(facts: Facts) -> Iterator[Finding]:
    """Judge the file: whether it can be read, and whether the agent has read it."""
    error, status = facts.config_error, facts.status
    if error is not None:
        check = f"`credagent check-config --config {facts.config.path}`"
        runs_on = "the agent goes on with what it read before, and could not start again"
        yield Finding(
            check="configuration",
            level="error",
            code="configuration-broken",
            found=f"the configuration cannot be read: {error.why}",
            why=runs_on if status is not None else "the agent cannot start with it",
            remedy=f"{error.hint}; {check}, then {remedies.reload(facts)}",
        )
    read_at = ((status or {}).get("agent") or {}).get("configured_at")
    if facts.config_changed is not None and read_at and (text(facts.config_changed) or "") > read_at:
        yield Finding(
            check="configuration",
            level="warning",
            code="configuration-not-loaded",
            found=f"{facts.config.path} was changed at {text(facts.config_changed)}, after the agent read it",
            why=f"the agent works with what stood there at {read_at}",
            remedy=remedies.reload(facts),
        )
    if waiting := ((status or {}).get("agent") or {}).get("needs_restart"):
        yield Finding(
            check="configuration",
            level="warning",
            code="restart-needed",
            found=f"{', '.join(waiting)} of the configuration {'waits' if len(waiting) == 1 else 'wait'} for a restart",
            why="the agent goes on with the value that it started with",
            remedy=remedies.restart(facts),
        )
    if facts.config.bundle.expect == "required" and facts.config.bundle.trusts_nobody:
        yield Finding(
            check="configuration",
            level="error",
            code="no-sender-trusted",
            found="a bundle is required, and no sender is trusted",
            why="every bundle is refused",
            remedy=trust(facts),
        )


def trust(facts: Facts) -> str:
    """Return how a sender's key comes to this node: typed at the sender, so that nobody trusts what a bundle claims."""
    there = f"'credagent trust \"$(cat)\" && {remedies.reload(facts).strip('`')}'"
    return f"at the sender: `credagent public-key ~/.config/credagent/sender.key | ssh root@{facts.host} {there}`"


def agent(facts: Facts) -> Iterator[Finding]:
    """Judge whether an agent answers, and if not, why."""
    if facts.agent_state == "T":
        yield Finding(
            check="agent",
            level="error",
            code="agent-stopped",
            found=f"the agent (pid {facts.agent_pid}) is stopped by a signal",
            why="it answers nobody, and renews nothing",
            remedy=f"`kill -CONT {facts.agent_pid}`",
        )
    if facts.hangs:
        yield Finding(
            check="agent",
            level="error",
            code="agent-hangs",
            found=f"the agent (pid {facts.agent_pid or 'unknown'}) listens and does not answer",
            why="workers that start get nothing, and nothing is renewed",
            remedy=remedies.restart(facts),
        )
    elif facts.status is None and facts.silence is not None:
        yield from _silent(facts, facts.silence.code, facts.silence.why)
    failure = facts.start_failure
    if failure is not None and not (failure.code == "port-taken" and facts.port_holders):
        yield Finding(
            check="agent",
            level="error",
            code="port-taken" if failure.code == "port-taken" else "start-failed",
            found=f"the agent could not start ({failure.code}): {failure.why}",
            why="workers get nothing until it has; it tries again by itself",
            remedy=f"{failure.hint}; then {remedies.reload(facts)}",
        )
    for other in facts.other_agents:
        yield Finding(
            check="agent",
            level="warning",
            code="two-agents",
            found=f"a second agent (pid {other.pid}) answers at {other.socket}",
            why=f"processes of {other.user} ask it before this machine's, and get what it holds",
            remedy=f"`kill {other.pid}`, or export CREDAGENT_SOCKET where workers start",
            subject=other.socket,
        )


def _silent(facts: Facts, code: str, why: str) -> Iterator[Finding]:
    if code == "not-allowed":
        yield Finding(
            check="agent",
            level="error",
            code="not-allowed",
            found="the agent does not answer this user",
            why="it answers root, its own user and those of workers.users",
            remedy="`sudo credagent doctor`",
        )
        return
    unit = facts.units.get(remedies.SERVICE)
    failed = unit is not None and unit.active == "failed"
    last = f"its service failed ({unit.result})" if failed and unit else why
    yield Finding(
        check="agent",
        level="error",
        code="no-agent",
        found=f"no agent runs: {last}",
        why="workers that start get nothing, and what others hold is not renewed",
        remedy=f"{remedies.start(facts)}{'; `systemctl status credagent` says why it failed' if failed else ''}",
    )


def units(facts: Facts) -> Iterator[Finding]:
    """Judge whether systemd would start the agent, now and after the next boot."""
    for name in (remedies.SERVICE, remedies.SOCKET):
        unit = facts.units.get(name)
        if unit is not None and unit.load == "masked":
            yield Finding(
                check="agent",
                level="error",
                code="unit-masked",
                found=f"{name} is masked",
                why="systemd refuses to start it",
                remedy=f"`systemctl unmask {name} && systemctl enable --now credagent`",
                subject=name,
            )
    service = facts.units.get(remedies.SERVICE)
    if service is not None and service.load == "loaded" and service.enabled == "disabled":
        yield Finding(
            check="agent",
            level="warning",
            code="unit-not-enabled",
            found="credagent.service is not enabled",
            why="after the next boot there is no agent",
            remedy="`systemctl enable --now credagent`",
        )


def folders(facts: Facts) -> Iterator[Finding]:
    """Judge where the folders are, what room they have, and who may change them."""
    runtime_dir = facts.config.agent.runtime_dir
    for folder in facts.folders:
        is_runtime = folder.path == runtime_dir
        if is_runtime and folder.file_system not in ("tmpfs", "ramfs", ""):
            mount = f"mount -t tmpfs -o mode=0751,uid={folder.uid},size=16m tmpfs {folder.path}"
            yield Finding(
                check="folder",
                level="warning",
                code="folder-on-disk",
                found=f"{folder.path} is on {folder.file_system}",
                why="worker.env and the token lie there in clear, and a disk keeps what was deleted",
                remedy=f"`{mount}`, then {remedies.restart(facts)}",
                subject=folder.path,
            )
        yield from _room(folder)
        if folder.mode & OTHERS_WRITE:
            yield _mode(folder, "others can put files of theirs there", f"chmod go-w {folder.path}")
        elif is_runtime and not folder.mode & ENTER:
            yield _mode(folder, "workers cannot reach the agent's socket", f"chmod 0751 {folder.path}")
        elif facts.agent_uid is not None and folder.uid not in (0, facts.agent_uid):
            yield _owner(facts, folder)


def _room(folder: PathFacts) -> Iterator[Finding]:
    if folder.free_bytes is None:
        return
    of = f"{folder.file_system or 'its file system'} of {folder.size_bytes // 1024} KiB"
    if folder.free_bytes < LEAST_FREE_BYTES or folder.free_inodes == 0:
        left = f"{folder.free_bytes // 1024} KiB" if folder.free_inodes != 0 else "no inode"
        yield Finding(
            check="folder",
            level="error",
            code="folder-full",
            found=f"{folder.path} is full: {left} left in {of}",
            why="renewed credentials cannot be written, and no new bundle can be kept",
            remedy=f"`du -xah {folder.path} | sort -h | tail` shows what to remove",
            subject=folder.path,
        )


def _mode(found: PathFacts, why: str, command: str) -> Finding:
    return Finding(
        check="folder",
        level="error",
        code="folder-mode",
        found=f"{found.path} has mode {found.mode:04o}",
        why=why,
        remedy=f"`{command}`",
        subject=found.path,
    )


def _owner(facts: Facts, found: PathFacts) -> Finding:
    owner = facts.user(facts.agent_uid or 0)
    return Finding(
        check="folder",
        level="error",
        code="wrong-owner",
        found=f"{found.path} belongs to {facts.user(found.uid)}, and the agent runs as {owner}",
        why="whoever owns it can change what workers read there",
        remedy=f"`chown {owner} {found.path}`, then {remedies.restart(facts)}",
        subject=found.path,
    )


def files(facts: Facts) -> Iterator[Finding]:
    """Judge the files that workers read: worker.env and the endpoint's token."""
    env_file, runtime_dir = facts.config.workers.env_file, facts.config.agent.runtime_dir
    for path, found in facts.files.items():
        if found is None:
            if facts.status is not None and path == env_file and facts.start_failure is None:
                yield Finding(
                    check="file",
                    level="warning",
                    code="env-file-missing",
                    found=f"{path} does not exist",
                    why="units that read it by EnvironmentFile= start without credentials",
                    remedy=remedies.log(facts),
                    subject=path,
                )
            continue
        listed = path == f"{runtime_dir}/token"  # its mode's middle digit is the mask of an access control list
        if found.mode & (0o027 if listed else OTHERS_READ_OR_WRITE):
            command = f"setfacl -m mask::r,other::- {path}" if listed else f"chmod 0600 {path}"
            yield Finding(
                check="file",
                level="error",
                code="file-mode",
                found=f"{path} has mode {found.mode:04o}",
                why="other users of this machine can read or change the credentials in it",
                remedy=f"`{command}`, then `credagent renew`",
                subject=path,
            )
        elif facts.agent_uid not in (None, found.uid):
            yield _owner(facts, found)


def ports(facts: Facts) -> Iterator[Finding]:
    """Name who holds a port that the agent wants."""
    for holder in facts.port_holders:
        who = f"{holder.name} (pid {holder.pid}, user {holder.user})" if holder.pid else f"user {holder.user}"
        free = f"`kill {holder.pid}`" if holder.pid else f"`ss -ltnp 'sport = :{holder.address.rpartition(':')[2]}'`"
        yield Finding(
            check="port",
            level="error",
            code="port-taken",
            found=f"{holder.address} is held by {who}",
            why="the agent does not start beside somebody who would be asked for credentials in its place",
            remedy=f"{free}, then {remedies.restart(facts)}; or give endpoint.listen another port",
            subject=holder.address,
        )


def watching(facts: Facts) -> Iterator[Finding]:
    """Judge whether the agent sees new bundles at once."""
    if facts.watches_files is False:
        yield Finding(
            check="channel",
            level="warning",
            code="inotify-exhausted",
            found=f"the agent watches no folder: user {facts.user(facts.agent_uid or 0)} has no inotify instance left",
            why="a bundle that is put there is seen seconds later, by looking",
            remedy="`sysctl fs.inotify.max_user_instances=1024 fs.inotify.max_user_watches=524288`",
        )
