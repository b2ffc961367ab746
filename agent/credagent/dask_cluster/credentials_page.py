"""The page *Credentials* in Dask's dashboard, and the same as JSON: what each machine's agent holds, and until when.

This file travels as source with the scheduler's plugin (see `plugin_pickle`): standard library, distributed and its
tornado only, Python 3.9 and later. Dask's pages have no login. So the page holds no secret, and names whose credentials
they are only where the scheduler's Dask configuration says so (`PRINCIPALS`). Every text comes from a worker, which may
say anything: it is cut here and escaped in HTML.
"""

# ruff: noqa: ANN401  Dask's servers and what workers answer have no types here

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import time
from datetime import datetime, timezone
from html import escape
from typing import Any, Iterable, Mapping  # noqa: UP035  evaluated by the oldest Python that Dask supports

VERSION = 1
STATUS = "credagent-status"  # what workers and the scheduler answer, see `dask_plugins`
OWN_PROCESS = "own-process"  # as there: no fault
PRINCIPALS = "credagent.dashboard.principals"  # in Dask's configuration, on the scheduler
PAGE, DOCUMENT = "credentials", "credentials.json"
# Below any --dashboard-prefix, which the scheduler does not keep; not among the workers' pages, which it proxies.
ROUTE = r"/(?!proxy/)(?:.*/)?"
AT_ONCE = 32  # workers that are asked together
ANSWER_S = 5.0
KEPT_S = 5.0  # answers are shown this long, so that nobody makes a scheduler ask more often by reloading
REFRESH_S = 15
LONGEST_TEXT = 300
UTC = timezone.utc  # noqa: UP017  datetime.UTC is of Python 3.11
NAMES = re.compile(r"arn:[^\s\"'`,;]+|[\w.+-]+@[\w.-]+|\b\d{12}\b")  # roles and users, e-mail addresses, accounts
NO_PLUGIN = {"fault": "no-plugin", "hint": "forwarding is not installed there: see its log"}
# What is left of a ground where no names are shown: the key and the machine, without account, project, role or person.
GROUND = re.compile(
    r"(?:AWS|Google) says that key [0-9a-f]{1,64} belongs to "
    r"(?:i-[0-9a-f]{8,17}(?= in account \d{12}$)|[a-z][a-z0-9-]{0,62} \(\d{1,20}\)(?= in project ))?"
)
KEY_ID = re.compile(r"\b([0-9a-f]{16})[0-9a-f]{16}\b")  # shown as its fingerprint, `bundle/fingerprint`

FORWARDER = ("sender", "ended", "away_since")
HEADINGS = ("machine", "slot", "identity", "origin", "expires in", "generation of workers", "last error", "what to do")
GROUNDS_BY = ", the forwarder, why it believes their keys"
HEADINGS_ATTESTED = (*HEADINGS, "believed because")
STYLE = (
    "body{font:14px sans-serif;margin:1.5em;color:#222}a{color:#0b62a4}table{border-collapse:collapse;margin-top:1em}"
    "th,td{border-bottom:1px solid #ddd;padding:.4em .8em;text-align:left;vertical-align:top}"
    "th{background:#f4f4f4}td:nth-child(-n+5){white-space:nowrap}"
    "tr.wrong td{background:#fff3e6}small{color:#666}"
)


def overview(
    answers: Iterable[Mapping[str, Any]], forwarder: Mapping[str, Any], now: datetime, *, principals: bool
) -> dict[str, Any]:
    """Return the JSON document: the machines, each with its slots and processes, what is wrong first.

    `answers`: what processes said (`ForwardingPlugin.status`), or `address` and `fault` where they said nothing.
    `forwarder`: its `sender`, how it `ended`, since when it is not connected (`away_since`), and the `grounds` on
    which it believes keys, each under its `claim`.
    """
    grounds = _mapping(forwarder.get("grounds"))
    machines: dict[str, dict[str, Any]] = {}
    for answer in answers:
        agent = _mapping(answer.get("agent"))
        host = _text(answer.get("host")) or _text(answer.get("address"))
        key = _text(agent.get("public_key")) or f"{host} {_text(answer.get('boot'))} {_text(answer.get('fault'))}"
        machine = machines.setdefault(key, _machine(host, answer, agent, now, principals=principals))
        machine["ground"] = machine["ground"] or _ground(grounds.get(_claim_of(agent, answer)), principals=principals)
        process = {name: _text(answer.get(name)) for name in ("address", "name")}
        machine["processes"].append({**process, "generation": _number(answer.get("generation"))})
    return {
        "version": VERSION,
        "at": _written(now),
        "forwarder": {name: _text(forwarder.get(name)) for name in FORWARDER},
        "machines": sorted(machines.values(), key=lambda one: (not _is_wrong(one), one["host"])),
    }


def claim(machine: str) -> str:
    """Return the name of a ground, by `AgentReport.machine`: a key, which is long, and from where it is claimed."""
    return hashlib.sha256(machine.encode()).hexdigest()


def as_html(document: Mapping[str, Any]) -> str:
    """Return the page. It loads nothing from anywhere."""
    attested = any(machine["ground"] for machine in document["machines"])
    headings = HEADINGS_ATTESTED if attested else HEADINGS
    rows = "".join(_rows(machine, attested=attested) for machine in document["machines"])
    head = "".join(f"<th>{escape(name)}</th>" for name in headings)
    who, count = _who_forwards(document["forwarder"]), len(document["machines"])
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="{REFRESH_S}">'
        f'<title>Credentials</title><style>{STYLE}</style></head><body><p><a href="status">Dask</a></p>'
        f"<h1>Credentials</h1><p>{count} machine{'' if count == 1 else 's'}, {escape(who)}; "
        f'as of {escape(document["at"])}, as <a href="{DOCUMENT}">JSON</a></p>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        f"<p><small>The agents say this of themselves{GROUNDS_BY if attested else ''}; no secret is on this page."
        "</small></p></body></html>"
    )


def add_to(scheduler: Any, status: Any) -> None:
    """Add the page to a scheduler's dashboard; nothing where it serves no HTTP. `status` asks the scheduler's own side.

    The page stays as long as the HTTP server. A second call for the same server adds nothing.
    """
    application = getattr(scheduler, "http_application", None)
    if application is None or hasattr(application, "credagent_answers"):
        return
    from distributed.http.utils import RequestHandler  # noqa: PLC0415  there, not here

    answers = application.credagent_answers = _Answers(scheduler, status)

    class CredentialsDocument(RequestHandler):
        async def get(self) -> None:
            self.set_header("Content-Type", "application/json")
            self.set_header("Cache-Control", "no-store")
            self.set_header("X-Content-Type-Options", "nosniff")
            self.write(json.dumps(await answers.document(), indent=1))

    class CredentialsPage(RequestHandler):
        async def get(self) -> None:
            self.set_header("Cache-Control", "no-store")
            self.set_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
            self.write(as_html(await answers.document()))

    routes = [(ROUTE + PAGE, CredentialsPage), (ROUTE + re.escape(DOCUMENT), CredentialsDocument)]
    application.add_handlers(r".*", [(path, kind, {"dask_server": scheduler}) for path, kind in routes])
    with contextlib.suppress(ImportError):  # a scheduler without Bokeh has no other pages
        from distributed.dashboard.scheduler import template_variables  # noqa: PLC0415  there, not here

        template_variables(scheduler)["pages"].append(PAGE)


class _Answers:
    """What all processes of a cluster said last; they are asked when somebody looks, and once for all who look."""

    def __init__(self, scheduler: Any, status: Any) -> None:
        self._scheduler, self._status = scheduler, status
        self._begun = float("-inf")
        self._asking: Any = None

    async def document(self) -> dict[str, Any]:
        from dask import config  # noqa: PLC0415  there, not here

        if self._asking is None or (self._asking.done() and time.monotonic() - self._begun > KEPT_S):
            self._begun = time.monotonic()
            self._asking = asyncio.ensure_future(self._ask())
        answers = await asyncio.shield(self._asking)
        forwarder = {name: answers[0].get(f"forwarder_{name}") for name in FORWARDER}
        forwarder["grounds"] = answers[0].get("grounds")
        shows_principals = config.get(PRINCIPALS, False) is True
        return overview(answers, forwarder, datetime.now(UTC), principals=shows_principals)

    async def _ask(self) -> list[Mapping[str, Any]]:
        free = asyncio.Semaphore(AT_ONCE)

        async def ask(address: str, name: object) -> Mapping[str, Any]:
            async with free:
                try:
                    said = await asyncio.wait_for(self._broadcast(address), ANSWER_S)
                except (asyncio.TimeoutError, OSError):  # noqa: UP041  two classes before Python 3.11
                    said = {"fault": "silent", "hint": "it does not answer: see its log"}
            return {**(_mapping(said) or NO_PLUGIN), "address": address, "name": str(name)}

        own = {**await self._status(), "name": "scheduler"}
        workers = [(address, state.name) for address, state in self._scheduler.workers.items()]
        return [own, *await asyncio.gather(*(ask(*worker) for worker in workers))]

    async def _broadcast(self, address: str) -> Any:
        answers = await self._scheduler.broadcast(msg={"op": STATUS}, workers=[address], on_error="return")
        return answers.get(address)


def _who_forwards(forwarder: Mapping[str, Any]) -> str:
    if not forwarder["sender"]:
        return "nobody forwards"
    sender = f"sender {_abbreviated(forwarder['sender'])}"
    ended = f" (which has {forwarder['ended']})" if forwarder["ended"] else ""
    if since := forwarder["away_since"]:
        return f"nobody has forwarded since {since}; until then it was {sender}{ended}"
    return f"forwarded by {sender}{ended}"


def _machine(
    host: str, answer: Mapping[str, Any], agent: Mapping[str, Any], now: datetime, *, principals: bool
) -> dict[str, Any]:
    bundle = _mapping(agent.get("bundle"))
    slots = [
        _slot(str(name), _mapping(slot), bundle, now, principals=principals)
        for name, slot in _mapping(agent.get("slots")).items()
    ]
    refused = bundle.get("refused")
    last = _mapping(refused[-1]) if isinstance(refused, (list, tuple)) and refused else {}
    if _text(last.get("at")) < _text(bundle.get("issued_at")):
        last = {}  # a bundle that was taken later settles it
    fault = _text(answer.get("fault"))
    return {
        "host": host,
        "state": _text(agent.get("state")) or fault,
        "generation": _number(agent.get("generation")),
        "fault": _error(answer, principals=principals) if fault not in ("", OWN_PROCESS) else None,
        "refused": _error(last, principals=principals),
        "ground": "",
        "slots": [slot for slot in slots if slot["origin"] != "none" or slot["required"] or slot["last_error"]],
        "processes": [],
    }


def _slot(
    name: str, slot: Mapping[str, Any], bundle: Mapping[str, Any], now: datetime, *, principals: bool
) -> dict[str, Any]:
    origin = _text(slot.get("origin")) or "none"
    ends = _moment(slot.get("expires_at"))
    principal = _text(slot.get("principal")) if principals else ""
    whose = f"sender {_text(bundle.get('sender'))}" if origin == "bundle" else "the machine's"
    return {
        "slot": _text(name),
        "identity": principal or (whose if origin != "none" else ""),
        "origin": origin,
        "required": slot.get("required") is True,
        "expires_at": _written(ends) if ends else None,
        "expires_in_s": int((ends - now).total_seconds()) if ends else None,
        "last_error": _error(_mapping(slot.get("last_error")), principals=principals),
    }


def _claim_of(agent: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    key, address = agent.get("public_key"), _text(answer.get("address"))
    return claim(f"{key} {address.rpartition(':')[0] or address}") if isinstance(key, str) else ""


def _ground(ground: object, *, principals: bool) -> str:
    told = _text(ground)
    if principals or not told:
        return told
    kept = GROUND.match(told)
    return f"{kept.group()}…" if kept is not None else "…"


def _error(error: Mapping[str, Any], *, principals: bool) -> dict[str, str] | None:
    """Return an error's code and remedy. Its message is left out: clouds write in it who was refused."""
    if not error:
        return None
    return {
        "code": _text(error.get("code") or error.get("fault")),
        "hint": _shown(error.get("hint"), principals=principals),
        "at": _text(error.get("at")),
    }


def _rows(machine: Mapping[str, Any], *, attested: bool) -> str:
    """Return a row for each slot, and one for a machine that has none to show."""
    troubles = [machine["fault"], machine["refused"]]
    common = [trouble for trouble in troubles if trouble]
    processes = sorted(machine["processes"], key=lambda one: one["name"])
    workers = ", ".join(_process(process, machine["generation"]) for process in processes)
    rows = []
    for slot in machine["slots"] or [{}]:
        errors = [error for error in (slot.get("last_error"), *common) if error]
        cells = (
            machine["host"],
            slot.get("slot", ""),
            _abbreviated(slot.get("identity", "")),
            slot.get("origin", ""),
            _remaining(slot.get("expires_in_s")),
            workers,
            ", ".join(error["code"] for error in errors),
            "; ".join(error["hint"] for error in errors if error["hint"]),
            *([machine["ground"]] if attested else []),
        )
        wrong = ' class="wrong"' if errors or _is_wrong(machine) else ""
        rows.append(f"<tr{wrong}>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>")
    return "".join(rows)


def _process(process: Mapping[str, Any], newest: int | None) -> str:
    generation = process["generation"]
    shown = "none" if generation is None else str(generation)
    behind = f" of {newest}" if newest is not None and generation != newest else ""
    return f"{process['name'] or process['address']}: {shown}{behind}"


def _abbreviated(identity: str) -> str:
    """Return an identity with the id of a key as its fingerprint."""
    return KEY_ID.sub(r"\1", identity)


def _remaining(seconds: int | None) -> str:
    if seconds is None:
        return ""
    if seconds <= 0:
        return "expired"
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds} s"


def _is_wrong(machine: Mapping[str, Any]) -> bool:
    return bool(machine["fault"] or machine["refused"] or any(slot["last_error"] for slot in machine["slots"]))


def _shown(hint: object, *, principals: bool) -> str:
    return _text(hint) if principals else NAMES.sub("…", _text(hint))


def _text(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return "".join(character for character in value[:LONGEST_TEXT] if character.isprintable())


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _moment(value: object) -> datetime | None:
    try:
        return datetime.strptime(_text(value), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
