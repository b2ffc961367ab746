"""All probes at once, each with its time: an answer comes within three seconds, also of an agent that hangs."""

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import structs

from credagent.cli.node_probes import machine, paths, processes, system
from credagent.cli.node_probes.agent_answers import AgentAnswers, ask_agent
from credagent.cli.node_probes.deadlines import within
from credagent.config import Config
from credagent.config.channel_grammar import FileChannelSpec
from credagent.handover.unix.caller_access import AccessRules
from credagent.operations.doctor.facts import Facts, PathFacts, ReportedError

AGENT_S, ALL_S = 1.3, 2.7  # the start of an interpreter takes the rest of three seconds
TOKEN = "token"  # noqa: S105  the name of a file


def collect(
    config: Config,
    sockets: Sequence[str],
    error: ReportedError | None = None,
    folder_refused: ReportedError | None = None,
) -> Facts:
    """Return what can be seen of this node. `error`: the configuration cannot be read, and `config` holds defaults.

    `folder_refused`: why the runtime folder is not to be trusted; `sockets` is empty then.
    """
    began = time.monotonic()
    asked = within(AGENT_S, {"agent": lambda: ask_agent(sockets)})
    answers: AgentAnswers = asked.get("agent") or AgentAnswers(hangs=True)
    if error is not None:
        config = _as_it_runs(config, answers)
    rules, missing = AccessRules.resolve(users=config.workers.users, groups=config.workers.groups, own_uid=answers.uid)
    uids = {int(one["uid"]) for one in answers.processes}
    refused = {one["uid"] for one in (answers.status or {}).get("refused_callers", ())}
    users = processes.user_names(uids | rules.users)
    found = within(
        ALL_S - (time.monotonic() - began),
        {
            "units": system.units,
            "workers": lambda: processes.worker_facts(answers),
            "dask": lambda: processes.dask_processes(rules),
            "homes": lambda: processes.worker_homes(config, uids, os.geteuid()),
            # An agent that is not asked may be the holder.
            "port_holders": lambda: () if folder_refused else _port_holders(config, answers),
            "other_agents": lambda: system.other_agents(users, asked=answers.socket, asked_pid=answers.pid),
            "watches_files": lambda: _watches_files(config, answers),
            "containers": system.containers,
            "machine": lambda: machine.machine_facts(machine.agents_environment(answers.pid), config.aws.region),
        },
    )
    changed = paths.changed_at(config.path) if config.path else None
    folders = [paths.folder_facts(folder) for folder in (config.agent.runtime_dir, config.agent.state_dir)]
    return Facts(
        now=datetime.now(UTC),
        host=system.host(),
        config=config,
        config_error=error,
        config_changed=None if changed is None else datetime.fromtimestamp(changed, UTC),
        status=answers.status,
        silence=None if folder_refused else answers.silence,
        folder_refused=folder_refused,
        hangs=answers.hangs,
        agent_pid=answers.pid,
        agent_uid=answers.uid,
        agent_state=processes.state_and_parent(answers.pid)[0] if answers.pid else "",
        start_failure=answers.start_failure,
        handed_out=answers.handed_out,
        folders=tuple(one for one in folders if one is not None),
        files=_files(config),
        missing_accounts=missing,
        swap=len(paths.table("/proc/swaps")) > 1,
        user_names=processes.user_names({*uids, *refused, *_owners(folders), *_of_dask(found), *_agents(answers)}),
        **found,
    )


def _as_it_runs(config: Config, answers: AgentAnswers) -> Config:
    """Return the configuration with what the running agent says of itself, where its file cannot be read."""
    slots = (answers.status or {}).get("slots", {})
    if not slots:
        return config
    aws = structs.replace(config.aws, handover=slots["aws"]["handover"])
    google = structs.replace(config.google, handover=slots["google"]["handover"])
    audience = (answers.status or {}).get("audience", "")
    return structs.replace(config, aws=aws, google=google, agent=structs.replace(config.agent, audience=audience))


def _files(config: Config) -> dict[str, PathFacts | None]:
    files = [config.workers.env_file] if config.workers.env_file else []
    if config.aws.handover == "endpoint":
        files.append(f"{config.agent.runtime_dir}/{TOKEN}")
    return {path: paths.file_facts(path) for path in files}


def _port_holders(config: Config, answers: AgentAnswers) -> tuple[Any, ...]:
    needed = config.aws.handover == "endpoint" or config.google.handover == "metadata" or config.workers.intercept
    started = answers.status is not None and answers.start_failure is None
    return () if started or not needed else system.port_holders(config.endpoint.listen, [answers.pid])


def _watches_files(config: Config, answers: AgentAnswers) -> bool | None:
    follows = any(isinstance(channel, FileChannelSpec) for channel in config.bundle.channels)
    runs = answers.status is not None and answers.start_failure is None
    return system.watches_files(answers.pid) if follows and runs else None


def _owners(folders: Sequence[PathFacts | None]) -> set[int]:
    return {one.uid for one in folders if one is not None}


def _of_dask(found: dict[str, Any]) -> set[int]:
    return {one.uid for one in found.get("dask", ())}


def _agents(answers: AgentAnswers) -> set[int]:
    return set() if answers.uid is None else {answers.uid}
