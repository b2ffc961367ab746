"""`credagent doctor`: checks a node from end to end and says what to do about each finding."""

import argparse
import json
import os
import sys

from credagent.cli.agent_client import ask
from credagent.cli.common_options import add_config, add_json, config
from credagent.cli.process_reading import home_of
from credagent.config import Config
from credagent.errors import CredagentError, Exit
from credagent.handover.unix.caller_access import AccessRules
from credagent.operations.observability.doctor_checks import PRELOAD_VARIABLE, Facts, Finding, findings, healthy

SUMMARY = "check this machine from end to end, with a remedy for each finding"
MARKS = {"ok": "✓", "info": "·", "warning": "!", "error": "✗"}
LONGEST_TABLE_BYTES = 1024 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `doctor` takes."""
    add_config(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Look at everything; 1 where something is wrong."""
    found = findings(collect(config(arguments), arguments.config))
    if arguments.json:
        document = [{name: getattr(one, name) for name in Finding.__struct_fields__} for one in found]
        sys.stdout.write(json.dumps({"version": 1, "healthy": healthy(found), "findings": document}, indent=2) + "\n")
    else:
        for one in found:
            sys.stdout.write(f"{MARKS[one.level]} {one.check:<14}{one.found}\n")
            if one.remedy:
                sys.stdout.write(f"  {'':<14}→ {one.remedy}\n")
    return Exit.DONE if healthy(found) else Exit.CHECK_FAILED


def collect(configured: Config, config_path: str | None) -> Facts:
    """Return what can be seen on this node without changing anything."""
    status, silence = None, ""
    try:
        status = ask({"op": "status"}, config_path=config_path)
    except CredagentError as error:
        silence = error.why
    folders = (configured.agent.runtime_dir, configured.agent.state_dir)
    _, missing = AccessRules.resolve(users=configured.workers.users, groups=configured.workers.groups)
    return Facts(
        config=configured,
        status=status,
        silence=silence,
        file_systems={folder: _file_system(folder) for folder in folders},
        missing=missing,
        env_file_exists=os.path.exists(configured.workers.env_file),
        swap=len(_table("/proc/swaps")) > 1,
        preload=os.environ.get(PRELOAD_VARIABLE, ""),
        home=home_of(os.environ),
    )


def _file_system(folder: str) -> str:
    """Return the kind of file system that `folder` is on, "" where the folder does not exist."""
    if not os.path.isdir(folder):
        return ""
    real, kind, longest = os.path.realpath(folder), "an unknown file system", -1
    for line in _table("/proc/self/mounts"):
        _, mounted, found, *_ = line.split(" ")
        if (real + "/").startswith(mounted.rstrip("/") + "/") and len(mounted) > longest:
            kind, longest = found, len(mounted)
    return kind


def _table(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as table:
            return table.read(LONGEST_TABLE_BYTES).splitlines()
    except OSError:
        return []
