"""`credagent doctor`: checks a node from end to end, and says what to type about each finding."""

import argparse
import json
import os
import sys
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

from credagent import config as configuration
from credagent.cli.common_options import add_config, add_json
from credagent.cli.terminal_text import printable
from credagent.errors import CredagentError, Exit, UsageError

if TYPE_CHECKING:
    from credagent.operations.doctor.facts import Facts
    from credagent.operations.doctor.findings import Finding, Note

SUMMARY = "check this machine from end to end, with a remedy for each finding"
EPILOG = """\
Exit status: 0 where nothing is wrong (a warning says what soon may be), 1 where something is.
It changes nothing, and answers within three seconds, also where the agent hangs. As root it sees
more: what workers started with, who holds a port, containers.

Whether this machine's cloud would vouch for its key, step by step (asks the cloud):
  credagent doctor --attest

From your own machine, over Dask, what each machine of a cluster would answer:
  credagent doctor --from laptop --scheduler tls://10.0.0.1:8786
"""
MARKS = {"warning": "!", "error": "✗"}
SILENT, SOUND = "·", "✓"
INDENT = 17  # columns before what was found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `doctor` takes."""
    add_config(parser)
    add_json(parser)
    parser.add_argument(
        "--from", dest="place", choices=("node", "laptop"), default="node", help="where you are (default: node)"
    )
    parser.add_argument(
        "--attest", action="store_true", help="have this machine's cloud vouch for a key, and show each step"
    )
    parser.add_argument("--scheduler", metavar="ADDRESS", help="with --from laptop: the cluster's scheduler")
    for option, what in (
        ("--tls-ca-file", "the cluster's CA"),
        ("--tls-cert", "your certificate"),
        ("--tls-key", "its key"),
    ):
        parser.add_argument(option, metavar="F", help=f"with --from laptop: {what}")


def run(arguments: argparse.Namespace) -> int:
    """Look at everything; 1 where something is wrong."""
    if arguments.attest:
        return _attest(as_json=arguments.json)
    if arguments.place == "laptop":
        return _show(*_from_laptop(arguments), as_json=arguments.json)
    if arguments.scheduler:
        raise UsageError("usage", "--scheduler is for --from laptop", hint="see `credagent doctor --help`")
    from credagent.operations.doctor.diagnosis import diagnose, notes

    facts = look(arguments.config)
    return _show(diagnose(facts), list(notes(facts)), as_json=arguments.json)


def _attest(*, as_json: bool) -> int:
    from credagent.cli.attest_probe import steps

    found = []
    for step in steps():
        found.append(step)
        if not as_json:
            sys.stdout.write(
                f"{SOUND if step.ok else MARKS['error']} {step.step:<{INDENT + 12}}{printable(step.answer)}\n"
            )
            if step.remedy:
                sys.stdout.write(f"{' ' * (INDENT - 2)}→ {printable(step.remedy)}\n")
            sys.stdout.flush()
    sound = any(step.ok for step in found) and all(step.ok for step in found if step.step == "for another key")
    if as_json:
        plain = [{name: getattr(one, name) for name in one.__struct_fields__} for one in found]
        sys.stdout.write(json.dumps({"version": 1, "healthy": sound, "steps": plain}, indent=2) + "\n")
    return Exit.DONE if sound else Exit.CHECK_FAILED


def look(path: str | None) -> "Facts":
    """Return what is seen of this node, with the configuration at `path`, or as much of it as can be read."""
    from credagent.cli.node_probes.collection import collect
    from credagent.operations.doctor.facts import ReportedError

    error = None
    try:
        loaded = configuration.load(path, os.environ)
    except CredagentError as refused:
        error = ReportedError(code=refused.code, why=str(refused), hint=refused.hint)
        loaded = configuration.load_what_can_be(path, os.environ)
    try:
        sockets, folder_refused = configuration.agent_sockets(loaded, os.environ, os.geteuid()), None
    except CredagentError as refused:
        sockets, folder_refused = (), ReportedError(code=refused.code, why=refused.why, hint=refused.hint)
    return collect(loaded, sockets, error, folder_refused)


def _from_laptop(arguments: argparse.Namespace) -> "tuple[list[Finding], list[Note]]":
    if not arguments.scheduler:
        hint = "add --scheduler tls://HOST:8786, as for `credagent forward`"
        raise UsageError("usage", "--from laptop needs a scheduler", hint=hint)
    from credagent.cli import cluster_probe
    from credagent.operations.doctor import cluster_checks

    answers = cluster_probe.look(arguments.scheduler, cluster_probe.context_of(arguments))
    found = cluster_checks.diagnose(answers, arguments.scheduler, cluster_probe.own_key_id())
    return found, list(cluster_checks.notes(answers))


def _show(found: "list[Finding]", notes: "list[Note]", *, as_json: bool) -> int:
    from credagent.operations.doctor.findings import healthy

    sound = healthy(found)
    if as_json:
        document = {"version": 1, "healthy": sound, "findings": _plain(found), "notes": _plain(notes)}
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in readable(found, notes, _width())))
    return Exit.DONE if sound else Exit.CHECK_FAILED


def readable(found: "list[Finding]", notes: "list[Note]", width: int) -> list[str]:
    """Return everything for people: findings first; remedies are not broken, so that they can be copied."""
    lines: list[str] = []
    for one in found:
        first, *rest = _wrapped(one.found, width)
        lines.append(f"{MARKS[one.level]} {one.check:<{INDENT - 2}}{first}")
        lines += [" " * INDENT + line for line in (*rest, *_wrapped(one.why, width))]
        lines += [f"{' ' * (INDENT - 2)}→ {printable(one.remedy)}", ""]
    lines += [f"{SILENT} {one.check:<{INDENT - 2}}{printable(one.found)}" for one in notes]
    errors = sum(one.level == "error" for one in found)
    counts = [
        f"{count} {what}{'' if count == 1 else 's'}"
        for count, what in ((errors, "error"), (len(found) - errors, "warning"))
        if count
    ]
    return [
        *lines,
        "",
        f"{MARKS['error'] if errors else MARKS['warning']} {', '.join(counts)}"
        if found
        else f"{SOUND} nothing wrong was found",
    ]


def _wrapped(sentence: str, width: int) -> list[str]:
    return textwrap.wrap(printable(sentence), width - INDENT, break_long_words=False, break_on_hyphens=False) or [""]


def _plain(values: "Iterable[Finding | Note]") -> list[dict[str, object]]:
    return [{name: getattr(one, name) for name in one.__struct_fields__} for one in values]


def _width() -> int:
    try:
        return max(os.get_terminal_size(1).columns, 60)
    except OSError:
        return 10_000  # a pipe: one line for one sentence
