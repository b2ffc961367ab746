"""`credagent status`: what each slot holds, from where and until when."""

import argparse
import json
import sys
import time
from typing import Any

from credagent.cli.agent_client import ask
from credagent.cli.common_options import add_agents_config
from credagent.cli.terminal_text import printable

SUMMARY = "show what each slot holds, from where and until when"
WATCH_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what `status` takes."""
    add_agents_config(parser)
    parser.add_argument("--json", action="store_true", help="the stable document for programs")
    parser.add_argument("--watch", action="store_true", help="show it again whenever it changes, until Ctrl-C")


def run(arguments: argparse.Namespace) -> int:
    """Show the status; 0 when ready or degraded, else 1."""
    shown = ""
    while True:
        document = ask({"op": "status"}, config_path=arguments.config)
        document.pop("ok", None)
        text = json.dumps(document, indent=2) if arguments.json else readable(document)
        if not arguments.watch:
            sys.stdout.write(text + "\n")
            return 0 if document["state"] in ("ready", "degraded") else 1
        stable = readable(document, volatile=False)
        if stable != shown:
            sys.stdout.write(f"{text}\n\n")
            sys.stdout.flush()
            shown = stable
        time.sleep(WATCH_S)


def readable(document: dict[str, Any], *, volatile: bool = True) -> str:
    """Return the document for people; without what changes by itself where `volatile` is False."""
    lines = [f"{document['state']}, generation {document['generation']}, audience {document['audience'] or '(any)'}"]
    lines += _slots_and_bundle(document)
    shown = {refusal["code"] for refusal in document["bundle"]["refused"]}
    lines += [
        f"problem     {code}: the agent's log says more (journalctl -u credagent)"
        for code in document.get("problems", ())
        if code not in shown
    ]
    lines += [
        f"worker      {one['role']} {one['pid']} (uid {one['uid']}): generation {one['generation']}"
        for one in document["workers"]
    ]
    if document["public_key"]:
        lines.append(f"public key  {document['public_key']}")
    agent = document["agent"]
    if volatile:
        memory = f", {agent['uss_bytes'] / 1e6:.1f} MB private" if agent["uss_bytes"] else ""
        lines.append(f"agent       {agent['version']}, pid {agent['pid']}, up {agent['uptime_s']:.0f} s{memory}")
    return "\n".join(map(printable, lines))


def explained(document: dict[str, Any]) -> str:
    """Return what each slot holds and why, for who resolves once: without what only a daemon has."""
    return "".join(f"{printable(line)}\n" for line in _slots_and_bundle(document))


def _slots_and_bundle(document: dict[str, Any]) -> list[str]:
    lines = [line for name, slot in document["slots"].items() for line in _slot(name, slot)]
    return lines + _bundle(document["bundle"])


def _slot(name: str, slot: dict[str, Any]) -> list[str]:
    parts = [slot["origin"]]
    if slot["principal"]:
        parts.append(slot["principal"])
    if slot["expires_at"]:
        parts.append(f"until {slot['expires_at']}")
    if slot["renew_at"]:
        parts.append(f"renewed at {slot['renew_at']}")
    if slot.get("names"):
        parts.append("names " + ", ".join(slot["names"]))
    parts.append(slot["statement"] or "no bundle")  # `withdrawn` is said of a sender too whom nobody trusts any more
    if slot["required"]:
        parts.append("required")
    if slot["handover"] == "off":
        parts.append("not handed over")
    lines = [f"{name:<11} " + "; ".join(parts)]
    error = slot["last_error"]
    if error:
        lines.append(
            f"            {error['code']}: {error['message']} (at {error['at']}, {error['failures']} in a row)"
        )
        if error["hint"]:
            lines.append(f"            hint: {error['hint']}")
    return lines


def _bundle(bundle: dict[str, Any]) -> list[str]:
    lines = ["bundle      none in force"]
    if bundle["bundle_id"]:
        facts = f"sequence {bundle['sequence']} of {bundle['issued_at']}, until {bundle['not_after']}"
        lines = [f"bundle      {bundle['bundle_id']} by sender {bundle['sender']} over {bundle['channel']}; {facts}"]
    for refusal in bundle["refused"][-3:]:
        lines.append(f"refused     {refusal['code']} on {refusal['channel']} at {refusal['at']}: {refusal['message']}")
        if refusal["hint"]:
            lines.append(f"            hint: {refusal['hint']}")
    return lines
