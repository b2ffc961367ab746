"""Checks of the configuration, the agent itself, its units, folders, files and ports."""

from collections.abc import Iterator

from credagent.operations.doctor import remedies
from credagent.operations.doctor.facts import Facts, PathFacts
from credagent.operations.doctor.findings import Area, Finding
from credagent.operations.observability.status_document import text

AGENT, CHANNEL, CONFIGURATION = Area("agent"), Area("channel"), Area("configuration")
FILE, FOLDER, PORT = Area("file"), Area("folder"), Area("port")

OTHERS_READ_OR_WRITE = 0o077
OTHERS_WRITE = 0o022
ENTER = 0o001
LEAST_FREE_BYTES = 64 * 1024  # worker.env and the largest bundle fit


def configuration(facts: Facts) -> Iterator[Finding]:
    """Judge the file: whether it can be read, and whether the agent has read it."""
    if (error := facts.config_error) is not None:
        check = f"`credagent check-config --config {facts.config.path}`"
        runs_on = "the agent goes on with what it read before, and could not start again"
        yield CONFIGURATION.error(
            "configuration-broken",
            f"the configuration cannot be read: {error.why}",
            runs_on if facts.status is not None else "the agent cannot start with it",
            f"{error.hint}; {check}, then {remedies.reload(facts)}",
        )
    read_at = facts.section("agent").get("configured_at")
    if facts.config_changed is not None and read_at and (text(facts.config_changed) or "") > read_at:
        yield CONFIGURATION.warning(
            "configuration-not-loaded",
            f"{facts.config.path} was changed at {text(facts.config_changed)}, after the agent read it",
            f"the agent works with what stood there at {read_at}",
            remedies.reload(facts),
        )
    if waiting := facts.section("agent").get("needs_restart"):
        yield CONFIGURATION.warning(
            "restart-needed",
            f"{', '.join(waiting)} of the configuration {'waits' if len(waiting) == 1 else 'wait'} for a restart",
            "the agent goes on with the value that it started with",
            remedies.restart(facts),
        )
    if facts.config.bundle.expect == "required" and facts.config.bundle.trusts_nobody:
        yield CONFIGURATION.error(
            "no-sender-trusted",
            "a bundle is required, and no sender is trusted",
            "every bundle is refused",
            trust(facts),
        )


def trust(facts: Facts) -> str:
    """Return how a sender's key comes to this node: typed at the sender, so that nobody trusts what a bundle claims."""
    there = f"'credagent trust \"$(cat)\" && {remedies.reload(facts).strip('`')}'"
    return f"at the sender: `credagent public-key ~/.config/credagent/sender.key | ssh root@{facts.host} {there}`"


def agent(facts: Facts) -> Iterator[Finding]:
    """Judge whether an agent answers, and if not, why."""
    if facts.agent_state == "T":
        yield AGENT.error(
            "agent-stopped",
            f"the agent (pid {facts.agent_pid}) is stopped by a signal",
            "it answers nobody, and renews nothing",
            f"`kill -CONT {facts.agent_pid}`",
        )
    if facts.hangs:
        yield AGENT.error(
            "agent-hangs",
            f"the agent (pid {facts.agent_pid or 'unknown'}) listens and does not answer",
            "workers that start get nothing, and nothing is renewed",
            remedies.restart(facts),
        )
    elif facts.status is None and facts.silence is not None:
        yield from _silent(facts, facts.silence.code, facts.silence.why)
    failure = facts.start_failure
    if failure is not None and not (failure.code == "port-taken" and facts.port_holders):
        yield AGENT.error(
            "port-taken" if failure.code == "port-taken" else "start-failed",
            f"the agent could not start ({failure.code}): {failure.why}",
            "workers get nothing until it has; it tries again by itself",
            f"{failure.hint}; then {remedies.reload(facts)}",
        )
    for other in facts.other_agents:
        yield AGENT.warning(
            "two-agents",
            f"a second agent (pid {other.pid}) answers at {other.socket}",
            f"processes of {other.user} ask it before this machine's, and get what it holds",
            f"`kill {other.pid}`, or export CREDAGENT_SOCKET where workers start",
            subject=other.socket,
        )


def runtime_folder(facts: Facts) -> Iterator[Finding]:
    """Judge whether the agent may be asked where it is configured to listen."""
    if (refused := facts.folder_refused) is not None:
        elsewhere = remedies.setting(facts, 'agent.runtime_dir = "/run/credagent"')
        yield FOLDER.error(
            refused.code,
            f"nobody was asked at {facts.config.agent.runtime_dir}: {refused.why}",
            "whoever answers there may be a stranger, who hands out credentials of his choice",
            f"{refused.hint}: {elsewhere}",
            subject=facts.config.agent.runtime_dir,
        )


def _silent(facts: Facts, code: str, why: str) -> Iterator[Finding]:
    if code == "not-allowed":
        yield AGENT.error(
            "not-allowed",
            "the agent does not answer this user",
            "it answers root, its own user and those of workers.users",
            "`sudo credagent doctor`",
        )
        return
    unit = facts.units.get(remedies.SERVICE)
    failed = unit is not None and unit.active == "failed"
    last = f"its service failed ({unit.result})" if failed and unit else why
    yield AGENT.error(
        "no-agent",
        f"no agent runs: {last}",
        "workers that start get nothing, and what others hold is not renewed",
        f"{remedies.start(facts)}{'; `systemctl status credagent` says why it failed' if failed else ''}",
    )


def units(facts: Facts) -> Iterator[Finding]:
    """Judge whether systemd would start the agent, now and after the next boot."""
    for name in (remedies.SERVICE, remedies.SOCKET):
        unit = facts.units.get(name)
        if unit is not None and unit.load == "masked":
            yield AGENT.error(
                "unit-masked",
                f"{name} is masked",
                "systemd refuses to start it",
                f"`systemctl unmask {name} && systemctl enable --now credagent`",
                subject=name,
            )
    service = facts.units.get(remedies.SERVICE)
    if service is not None and service.load == "loaded" and service.enabled == "disabled":
        yield AGENT.warning(
            "unit-not-enabled",
            "credagent.service is not enabled",
            "after the next boot there is no agent",
            "`systemctl enable --now credagent`",
        )


def folders(facts: Facts) -> Iterator[Finding]:
    """Judge where the folders are, what room they have, and who may change them."""
    runtime_dir = facts.config.agent.runtime_dir
    for folder in facts.folders:
        is_runtime = folder.path == runtime_dir
        if is_runtime and folder.file_system not in ("tmpfs", "ramfs", ""):
            yield FOLDER.warning(
                "folder-on-disk",
                f"{folder.path} is on {folder.file_system}",
                "worker.env and the token lie there in clear, and a disk keeps what was deleted",
                remedies.runtime_dir_in_memory(facts, folder),
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
        yield FOLDER.error(
            "folder-full",
            f"{folder.path} is full: {left} left in {of}",
            "renewed credentials cannot be written, and no new bundle can be kept",
            f"`du -xah {folder.path} | sort -h | tail` shows what to remove",
            subject=folder.path,
        )


def _mode(found: PathFacts, why: str, command: str) -> Finding:
    return FOLDER.error(
        "folder-mode", f"{found.path} has mode {found.mode:04o}", why, f"`{command}`", subject=found.path
    )


def _owner(facts: Facts, found: PathFacts) -> Finding:
    owner = facts.user(facts.agent_uid or 0)
    return FOLDER.error(
        "wrong-owner",
        f"{found.path} belongs to {facts.user(found.uid)}, and the agent runs as {owner}",
        "whoever owns it can change what workers read there",
        f"`chown {owner} {found.path}`, then {remedies.restart(facts)}",
        subject=found.path,
    )


def files(facts: Facts) -> Iterator[Finding]:
    """Judge the files that workers read: worker.env and the endpoint's token."""
    env_file, runtime_dir = facts.config.workers.env_file, facts.config.agent.runtime_dir
    for path, found in facts.files.items():
        if found is None:
            if facts.status is not None and path == env_file and facts.start_failure is None:
                yield FILE.warning(
                    "env-file-missing",
                    f"{path} does not exist",
                    "units that read it by EnvironmentFile= start without credentials",
                    remedies.log(facts),
                    subject=path,
                )
            continue
        listed = path == f"{runtime_dir}/token"  # its mode's middle digit is the mask of an access control list
        if found.mode & (0o027 if listed else OTHERS_READ_OR_WRITE):
            command = f"setfacl -m mask::r,other::- {path}" if listed else f"chmod 0600 {path}"
            yield FILE.error(
                "file-mode",
                f"{path} has mode {found.mode:04o}",
                "other users of this machine can read or change the credentials in it",
                f"`{command}`, then `credagent renew`",
                subject=path,
            )
        elif facts.agent_uid not in (None, found.uid):
            yield _owner(facts, found)


def ports(facts: Facts) -> Iterator[Finding]:
    """Name who holds a port that the agent wants."""
    for holder in facts.port_holders:
        who = f"{holder.name} (pid {holder.pid}, user {holder.user})" if holder.pid else f"user {holder.user}"
        free = f"`kill {holder.pid}`" if holder.pid else f"`ss -ltnp 'sport = :{holder.address.rpartition(':')[2]}'`"
        yield PORT.error(
            "port-taken",
            f"{holder.address} is held by {who}",
            "the agent does not start beside somebody who would be asked for credentials in its place",
            f"{free}, then {remedies.restart(facts)}; or give endpoint.listen another port",
            subject=holder.address,
        )


def watching(facts: Facts) -> Iterator[Finding]:
    """Judge whether the agent sees new bundles at once."""
    if facts.watches_files is False:
        yield CHANNEL.warning(
            "inotify-exhausted",
            f"the agent watches no folder: user {facts.user(facts.agent_uid or 0)} has no inotify instance left",
            "a bundle that is put there is seen seconds later, by looking",
            "`sysctl fs.inotify.max_user_instances=1024 fs.inotify.max_user_watches=524288`",
        )
