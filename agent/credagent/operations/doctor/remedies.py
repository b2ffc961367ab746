"""Commands to be typed on this node, made from what was seen of it. Each stands in backticks."""

from credagent.operations.doctor.facts import Facts, PathFacts

SERVICE, SOCKET, INTERCEPTION = "credagent.service", "credagent.socket", "credagent-intercept.service"
SET_CLOCK = "`timedatectl set-ntp true`, or `chronyc makestep` where chrony keeps the time"


def is_a_service(facts: Facts) -> bool:
    """Tell whether the agent is, or would be, systemd's to start."""
    unit = facts.units.get(SERVICE)
    return unit is not None and unit.load != "not-found" and facts.agent_pid in (0, unit.main_pid)


def start(facts: Facts) -> str:
    """Return how the agent is started."""
    if is_a_service(facts):
        return "`systemctl start credagent`"
    return f"`credagent run --config {facts.config.path}`" if facts.config.path else "`credagent run`"


def restart(facts: Facts) -> str:
    """Return how the agent is started anew; one that stands still is ended first."""
    if is_a_service(facts):
        return "`systemctl restart credagent`"
    return f"`kill -KILL {facts.agent_pid}`, then {start(facts)}" if facts.agent_pid else start(facts)


def reload(facts: Facts) -> str:
    """Return how the agent is made to read its configuration again; one that does not run is started."""
    if not facts.agent_pid:
        return start(facts)
    return "`systemctl reload credagent`" if is_a_service(facts) else f"`kill -HUP {facts.agent_pid}`"


def setting(facts: Facts, line: str) -> str:
    """Return how a key of the configuration is changed."""
    return f"{_written(facts, line)}, then {reload(facts)}"


def runtime_dir_in_memory(facts: Facts, folder: PathFacts) -> str:
    """Return how the runtime folder comes to lie in memory: by a mount, or for who cannot mount in another place."""
    if folder.uid == 0 or is_a_service(facts):
        mount = f"mount -t tmpfs -o mode=0751,uid={folder.uid},size=16m tmpfs {folder.path}"
        return f"`{mount}`, then {restart(facts)}"
    line = f'agent.runtime_dir = "/dev/shm/credagent-{folder.uid}"'
    return f"{_written(facts, line)}, then {restart(facts)}"


def _written(facts: Facts, line: str) -> str:
    own = facts.agent_uid and not is_a_service(facts)
    path = facts.config.path or f"{'~/.config' if own else '/etc'}/credagent/config.toml"
    return f"write `{line}` in {path}"


def log(facts: Facts) -> str:
    """Return how the agent's latest warnings are read."""
    if is_a_service(facts):
        return "`journalctl -u credagent -p warning -n 20` says more"
    return "read the agent's own output, or `credagent status`"


def instance_option(facts: Facts, option: str) -> str:
    """Return how an option of this instance's metadata service is changed, from a machine that may."""
    region = f" --region {facts.machine.region}" if facts.machine.region else ""
    instance = facts.machine.instance_id or "$(cat /var/lib/cloud/data/instance-id)"
    return f"`aws ec2 modify-instance-metadata-options{region} --instance-id {instance} {option}`"
