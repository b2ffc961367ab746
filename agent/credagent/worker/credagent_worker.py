"""The worker's side: keeps the environment of a Dask worker or scheduler supplied by the agent on its machine.

Loaded as a Dask preload, or carried by value in a WorkerPlugin. Standard library only, Python 3.9 and later, one file:
nothing has to be installed where it runs, so nothing of credagent may be imported here. Names are logged, never values.
"""
# ruff: noqa: INP001  alone in its folder, which is no package, since the folder is put on PYTHONPATH

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import socket
import stat
import struct
import sys
import time
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from typing import Any, Iterable, Mapping  # noqa: UP035  as the oldest Python that Dask supports has them

VERSION = "0.1.0"  # the agent's

SYSTEM_FOLDER = "/run/credagent"

ANSWER_BYTES = 1024 * 1024  # the agent sends no longer line
ANSWER_S = 10.0  # answers come from memory; for a renewal, which does not, the caller gives a longer time
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0  # between attempts to connect
REFUSED_PAUSE_S = 60.0  # somebody has to change the agent's configuration first

EXPIRATION = "AWS_CREDENTIAL_EXPIRATION"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
NEAR_S = 14 * 60  # botocore reads again where less than 15 minutes remain
TURNS, TURN_S = 10, 0.005
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h

CLOUD_PREFIXES = ("AWS_", "GOOGLE_", "GCE_", "CPL_", "CLOUDSDK_")
CLOUD_NAMES = ("BOTO_CONFIG", "NO_GCE_CHECK", "STORAGE_EMULATOR_HOST", *PROXIES, *map(str.upper, PROXIES))
OFF = ("", "false", "0", "no")
LIBRARIES = ("botocore", "google-auth", "distributed")
MOST_REPORTED, LONGEST_REPORTED = 64, 48  # names, characters
LOOK_S = 10.0  # between two looks at the environment: a task may change it


class AgentAbsent(Exception):
    """No agent answered. The text names paths and reasons only."""


class AgentRefused(Exception):
    """The agent answered that it will not. `code` is stable, `hint` may be empty."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        """Keep the parts apart."""
        super().__init__(message)
        self.code, self.hint = code, hint


def _logger() -> logging.Logger:
    """Return Dask's logger for this. The command line uses this file as a client, and waits for no logging."""
    import logging  # noqa: PLC0415  the command line waits for no logging

    return logging.getLogger("distributed.credagent")


def socket_paths(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return where an agent may listen: only where CREDAGENT_SOCKET says, else in one of `runtime_folders`."""
    named = environ.get("CREDAGENT_SOCKET")
    return [named] if named else [f"{folder}/agent.sock" for folder in runtime_folders(environ, os.geteuid())]


def runtime_folders(environ: Mapping[str, str], uid: int) -> list[str]:
    """Return where an agent that was told no folder may be: this user's own folders, then the machine's.

    The one list of them: an agent takes the first that it may write, the machine's before its own.
    A folder that somebody else could change is left out, for who listens there could answer with credentials of his
    choice. Below /tmp anybody can take a name first: then the next one is this user's.
    """
    if uid == 0:
        return [SYSTEM_FOLDER]
    login = environ.get("XDG_RUNTIME_DIR", "")
    of_login = [f"{login}/credagent"] if login.startswith("/") else []
    first = f"/tmp/credagent-{uid}"  # noqa: S108  judged below, and again when it is made
    below_tmp = [first, *(f"{first}-{number}" for number in range(2, 100))]
    mine = [folder for folder in below_tmp if _owner(folder) == uid]
    free = [folder for folder in below_tmp if _owner(folder) is None]
    own = [folder for folder in of_login if _owner(folder) in (None, uid)] + [*mine, *free][:1]
    return [*own, SYSTEM_FOLDER]


def _owner(folder: str) -> int | None:
    """Return who alone can change a folder, None where nothing is there, -1 for what is no folder or open to others."""
    try:
        found = os.lstat(folder)
    except FileNotFoundError:
        return None
    except OSError:
        return -1
    return found.st_uid if stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o022 else -1


def refuse_stranger(sock: socket.socket, path: str) -> None:
    """Raise PermissionError where `sock` has reached a stranger in a folder that anybody could have made.

    Judging the folder first is not enough: until the connection is made, anybody may rename a folder of his own to a
    name below /tmp that was free. Who listens is what the kernel noted when he began to (SO_PEERCRED, unix(7)).
    A path that somebody has named by CREDAGENT_SOCKET is believed, but for a name of `runtime_folders`.
    """
    folder = os.path.dirname(path)
    default = folder.startswith(f"/tmp/credagent-{os.geteuid()}")  # noqa: S108  who listens there is judged below
    named = path == os.environ.get("CREDAGENT_SOCKET")
    if not default and (named or not os.stat(os.path.dirname(folder) or ".").st_mode & stat.S_IWOTH):
        return
    _, listener, _ = struct.unpack("=iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if listener not in (0, os.geteuid()):
        raise PermissionError(errno.EACCES, f"user {listener} listens there")


class AgentConnection:
    """A connection to the agent: lines of JSON, blocking. Whoever made it closes `sock`."""

    def __init__(self, path: str | None = None) -> None:
        """Connect to `path`, or to the first of `socket_paths` where somebody listens. Raises AgentAbsent."""
        self._received = bytearray()
        reasons = []
        for candidate in [path] if path else socket_paths():
            try:
                self.sock = socket.socket(socket.AF_UNIX)
                self.sock.settimeout(ANSWER_S)
                self.sock.connect(candidate)
                refuse_stranger(self.sock, candidate)
            except OSError as error:
                with contextlib.suppress(AttributeError):  # the process has no file left for a socket
                    self.sock.close()
                reasons.append(f"{candidate}: {(error.strerror or 'does not answer').lower()}")
            else:
                return
        raise AgentAbsent("; ".join(reasons))

    def send(self, request: Mapping[str, object]) -> None:
        """Send one request."""
        with contextlib.suppress(OSError):  # `receive` will find out, and often the agent's reason too
            self.sock.sendall(json.dumps(request).encode() + b"\n")

    def has_news(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; tell whether something has come or the connection has ended."""
        if self._received:
            return True
        ready = select.poll()
        ready.register(self.sock, select.POLLIN)
        return bool(ready.poll(timeout * 1000))

    def receive(self, timeout: float | None = ANSWER_S) -> dict[str, Any]:
        """Return one answer; None waits for ever. Raises AgentAbsent, or AgentRefused where it says no."""
        while b"\n" not in self._received:
            try:
                self.sock.settimeout(timeout)
                some = self.sock.recv(65536)
            except OSError as error:
                raise AgentAbsent(error.strerror or "does not answer in time") from None
            if not some or len(self._received) > ANSWER_BYTES:
                raise AgentAbsent("answers more than it may" if some else "closed the connection")
            self._received += some
        line, _, self._received = self._received.partition(b"\n")
        try:
            answer: dict[str, Any] = json.loads(line)
            if answer["ok"]:
                return answer
        except (ValueError, TypeError, KeyError):
            raise AgentAbsent("what answers is not an agent") from None
        raise AgentRefused(str(answer.get("code")), str(answer.get("message")), str(answer.get("hint") or ""))


def ask(request: Mapping[str, object], path: str | None = None, timeout: float = ANSWER_S) -> dict[str, Any]:
    """Return the answer to one request. Raises AgentAbsent or AgentRefused."""
    connection = AgentConnection(path)
    with connection.sock:
        connection.send(request)
        return connection.receive(timeout)


def _process() -> Any:  # noqa: ANN401  a module made up on the spot
    """Return what all copies of this module in a process share: a preload and a plugin are two of them."""
    import threading  # noqa: PLC0415  Dask has it; a client of one question does without

    shared: Any = sys.modules.setdefault("_credagent_process", types.ModuleType("_credagent_process"))
    if getattr(shared, "pid", None) != os.getpid():  # new, or a fork's: threads do not survive a fork
        shared.pid, shared.session, shared.is_sender, shared.lock = os.getpid(), None, False, threading.Lock()
    return shared


def mark_sender() -> None:
    """Say that this process is itself a sender: its environment is the user's own and is never changed."""
    _process().is_sender = True


def start(role: str) -> Session | None:
    """Begin to supply this process, once; return its session, None in a sender's process. Does not wait."""
    process = _process()
    with process.lock:
        if process.is_sender:
            return None
        process.session = session = process.session or Session(role)
        session.users += 1
    return session


def report(handed_out: Mapping[str, str], no_proxy: Iterable[str]) -> dict[str, Any]:
    """Return what explains a request of this process that a cloud refused: names of its variables, and no value.

    `names`: set, of those that clouds' libraries read. `changed`: not as `handed_out`. `proxied`: a proxy would get
    what is meant for loopback.
    """
    environ = {name: os.environ.get(name, "") for name in list(os.environ)}
    read = sorted(name for name in environ if name.startswith(CLOUD_PREFIXES) or name in CLOUD_NAMES)
    read = [name for name in read if name.isascii() and len(name) <= LONGEST_REPORTED][:MOST_REPORTED]
    excepted = past_proxies(environ, no_proxy)
    return {
        "names": [name for name in read if environ[name].lower() not in OFF],
        "changed": [
            name for name in read if name != EXPIRATION and handed_out.get(name, environ[name]) != environ[name]
        ],
        "proxied": any(environ.get(name) != value for name, value in excepted.items()),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python, of this module and of what signs requests here."""
    found = {"python": ".".join(map(str, sys.version_info[:3])), "credagent_worker": VERSION}
    for library in LIBRARIES:
        with contextlib.suppress(Exception):  # not there, or cannot be read by the user that this process has become
            from importlib.metadata import version  # noqa: PLC0415  not needed by the command line, a client by this file

            found[library] = ascii(version(library))[1:-1][:LONGEST_REPORTED]
    return found


class Session:
    """The subscription of this process, followed by a thread of its own until the last user calls `stop`."""

    def __init__(self, role: str) -> None:
        """Start the thread. Nothing is put into place before `wait`."""
        import threading  # noqa: PLC0415  Dask has it; a client of one question does without

        self.role, self.users = role, 0
        self.generation: int | None = None
        self.standing = "no agent answered"  # what is wrong, for people; empty where nothing is
        self._document: dict[str, Any] | None = None
        self._connection: Any = None  # the AgentConnection, once there was one
        self._reported: dict[str, Any] = {}  # to this connection
        self._versions: dict[str, str] = {}
        self._complete = self._begun = False
        self._pause_s = 0.0
        self._lock = threading.Lock()
        self._decided, self._stopped = threading.Event(), threading.Event()
        # Or the agent would take a child that outlives this process for this process.
        os.register_at_fork(after_in_child=lambda: self._connection and self._connection.sock.close())
        threading.Thread(target=self._run, name="credagent", daemon=True).start()

    def wait(self, wait_s: float | None = None) -> bool:
        """Wait for a complete set, then put into place what there is, before the first task. Say whether it was.

        Complete: every slot was tried once and, in a worker, the required ones are filled (a scheduler has to run
        first, for Dask itself may deliver). An agent that refuses this user is not waited for.
        """
        self._decided.wait(configured_wait_s() if wait_s is None else wait_s)
        with self._lock:
            if not self._begun and self._document and self._connection:
                self._apply(self._document, first=True)
                self._tell(self._connection, self._document)
            self._begun = True
        return self._complete

    def stop(self) -> None:
        """End the subscription; what is in place stays."""
        self.users -= 1
        if self.users > 0:
            return
        self._stopped.set()
        _process().session = None
        with contextlib.suppress(AttributeError, OSError):  # there was none yet, or it is closed
            self._connection.sock.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        import logging  # noqa: PLC0415  the command line waits for no logging
        import random  # noqa: PLC0415  a client of one question does without

        # Jitter, so that a node's 64 processes do not come back in one instant.
        while not self._stopped.wait(self._pause_s * random.uniform(0.5, 1.5)):  # noqa: S311  it spreads load, and hides nothing
            self._pause_s = min(max(SHORTEST_PAUSE_S, 2 * self._pause_s), LONGEST_PAUSE_S)
            try:
                self._follow()
            except AgentRefused as refusal:
                self._say(logging.WARNING, f"the agent refuses this process: {refusal}. {refusal.hint}")
                if refusal.code == "not-allowed":
                    self._pause_s = REFUSED_PAUSE_S
                    self._decided.set()
            except AgentAbsent as absence:
                self._say(logging.INFO, f"no agent: {absence}")
            except Exception as error:  # noqa: BLE001  nobody else tries again: this thread must not end
                self._say(logging.ERROR, f"the agent cannot be followed ({type(error).__name__})")

    def _follow(self) -> None:
        connection = self._connection = AgentConnection()
        self._reported = {}
        with connection.sock:
            connection.send({"op": "subscribe", "role": self.role})
            while not self._stopped.is_set():
                document = self._receive(connection)
                self._take(document, connection)
                self._pause_s = SHORTEST_PAUSE_S  # when it goes now, it restarts
                if "again_s" in document:  # it has no place for one more subscriber
                    self._pause_s = float(document["again_s"])
                    return

    def _receive(self, connection: AgentConnection) -> dict[str, Any]:
        """Return the next set, united where it came in parts; what is taken back is in place as soon as it is known."""
        while not connection.has_news(LOOK_S):
            self._look(connection)
        document = connection.receive(None)
        overwrite, scrub = dict(document["overwrite"]), list(document["scrub"])
        while document.get("more"):
            with self._lock:
                if self._begun and document["settled"]:
                    _set({name: value for name, value in document["overwrite"].items() if name in os.environ})
            document = connection.receive()
            overwrite.update(document["overwrite"])
            scrub += document["scrub"]
        return {**document, "overwrite": overwrite, "scrub": scrub}

    def _look(self, connection: AgentConnection) -> None:
        """Tell the agent where something in this process has changed the environment since."""
        with self._lock:
            document = self._document
            if self._begun and document and document["settled"] and self._report(document) != self._reported:
                self._tell(connection, document)

    def _tell(self, connection: AgentConnection, document: Mapping[str, Any]) -> None:
        """Say which generation is in place, and to an agent that takes it, what else is true of this process."""
        applied: dict[str, Any] = {"op": "applied", "generation": self.generation}
        if document.get("takes_reports"):
            self._reported = applied["process"] = self._report(document)
        connection.send(applied)

    def _report(self, document: Mapping[str, Any]) -> dict[str, Any]:
        self._versions = self._versions or versions()
        handed_out = {**document["environment"], **document["overwrite"]}
        return {**report(handed_out, document.get("no_proxy", ())), "versions": self._versions}

    def _say(self, level: int, text: str) -> None:
        """Log what is new: an agent that is away for a day is one line."""
        if text != self.standing and not self._stopped.is_set():
            _logger().log(level, "%s", text)
        self.standing = text

    def _take(self, document: dict[str, Any], connection: AgentConnection) -> None:
        empty = [name for name, slot in document["slots"].items() if slot["required"] and not slot["filled"]]
        with self._lock:
            self._document = document
            if document["settled"] and (not empty or self.role != "worker"):
                self._complete, self.standing = True, ""
                self._decided.set()
            else:
                self.standing = f"required but empty: {', '.join(empty) or 'not every slot was tried yet'}"
            if not self._begun or not document["settled"]:
                return  # an agent that has not tried every slot yet knows less than this process has
            real = self._apply(document, first=False)
        self._tell(connection, document)
        if real is not None:
            for _ in range(TURNS):  # each lets threads run that wait for the GIL
                time.sleep(TURN_S)
            _set({EXPIRATION: real})

    def _apply(self, document: dict[str, Any], *, first: bool) -> str | None:
        """Put `document` into the environment; return the expiration that is still to be set."""
        values = dict(document["environment"])
        for name in set(document["scrub"]).difference(values) if first else ():
            os.environ.pop(name, None)
        if first:
            values.update(past_proxies({**os.environ, **values}, document.get("no_proxy", ())))
        values.update({name: value for name, value in document["overwrite"].items() if name in os.environ})
        changes = {name: value for name, value in values.items() if os.environ.get(name) != value}
        self.generation = document["generation"]
        _logger().info("generation %s is in place: %s", self.generation, ", ".join(changes) or "nothing changed")
        if first or EXPIRATION not in values or changes.keys().isdisjoint(KEYS):
            _set(changes)
            return None
        return _replace_keys(changes, values[EXPIRATION])


def past_proxies(environ: Mapping[str, str], hosts: Iterable[str]) -> dict[str, str]:
    """Return NO_PROXY and no_proxy extended by `hosts`, for an environment that names a proxy; else nothing.

    Clients that follow the proxy's variables for loopback would send the endpoint's token to it. Both spellings are
    read, by one client or another, so both are written.
    """
    hosts = list(hosts)
    if not hosts or not any(environ.get(name) or environ.get(name.upper()) for name in PROXIES):
        return {}
    present = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    names = [name.strip() for name in present.split(",") if name.strip()]
    if "*" in names:
        return {}  # no proxy at all; beside other names it would mean a host called "*"
    extended = ",".join(dict.fromkeys([*names, *hosts]))
    return {"NO_PROXY": extended, "no_proxy": extended}


def _replace_keys(changes: Mapping[str, str], real: str) -> str | None:
    """Replace keys under running readers; return the expiration to set once all of them have passed.

    botocore reads key, secret and token one after the other, and the expiration last. A reader that this burst
    interrupts between two of them holds a mixed set. The next that it reads is an expiration so near that it reads
    again at its next request; the real one follows when such a reader has long passed. Otherwise it would keep the
    mixed set until shortly before the real expiration, and every request until then would be refused.
    """
    near = min(real, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + NEAR_S)))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1.0)  # nobody takes the GIL in the middle of the burst
    try:
        _set({EXPIRATION: near, **{name: value for name, value in changes.items() if name != EXPIRATION}})
    finally:
        sys.setswitchinterval(interval)
    return real if real != near else None


def _set(values: Mapping[str, str]) -> None:
    # Replacing a value does not move glibc's environment array; adding one may, under a C thread that reads it.
    for name, value in values.items():
        try:
            os.environ[name] = value
        except ValueError:
            _logger().warning("%s cannot be an environment variable here and is left out", name)


def known_generation(session: Any) -> int:  # noqa: ANN401  perhaps of another version of this module
    """Return the generation of the newest set that the agent has sent to this process, 0 for none."""
    return int((session._document or {}).get("generation", 0))  # noqa: SLF001  every version of this module has it


def configured_wait_s() -> float:
    """Return how long a worker waits at its start."""
    text = os.environ.get("CREDAGENT_WORKER_WAIT", "30s")
    unit_s = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(text[-1:])
    if unit_s and text[:-1].isdecimal():
        return float(int(text[:-1]) * unit_s)
    _logger().warning("CREDAGENT_WORKER_WAIT is no duration such as 30s, and is not used")
    return 30.0


def role_of(server: object) -> str | None:
    """Return the role of a Dask server, None for one whose process is not ours to change."""
    names = {kind.__name__ for kind in type(server).__mro__}
    if str(getattr(server, "address", "")).startswith("inproc:"):
        return None  # LocalCluster(processes=False): the user's own process
    return "worker" if "Worker" in names else "scheduler" if "Scheduler" in names else None


async def dask_setup(server: object) -> None:
    """Supply this process before its first task. Raises SystemExit where CREDAGENT_WORKER_MISSING says `exit`."""
    role = role_of(server)
    session = start(role) if role else None
    if session is None:
        return
    import asyncio  # noqa: PLC0415  Dask has it; the command line, which uses this file as a client, does not need it

    if await asyncio.get_running_loop().run_in_executor(None, session.wait):
        return
    _logger().warning("this process has not got what it should from the agent: %s", session.standing)
    if os.environ.get("CREDAGENT_WORKER_MISSING") == "exit":
        raise SystemExit(UNAVAILABLE)


def dask_teardown(server: object) -> None:
    """End what `dask_setup` began for this server."""
    session = _process().session
    if session is not None and role_of(server):
        session.stop()
