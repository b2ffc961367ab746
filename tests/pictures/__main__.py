"""`make pictures`: draws what README and pages show of the demo, `status` and `doctor`, in a real terminal (tmux).

They end in packaging/documentation/pictures. The node that `status` and `doctor` describe is the demo's: a simulated
cloud, an agent, a Dask cluster, the session of a person on a laptop. Its folders are shown as an installed agent's.
"""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from msgspec.structs import replace

from tests.demo import play
from tests.demo.account import Account
from tests.demo.person import Person
from tests.demo.stage import BIN, ROOT, Stage, clean_environment, status
from tests.patience import scaled
from tests.pictures.terminal import Terminal

PICTURES = ROOT / "packaging" / "documentation" / "pictures"
DEMO_COLUMNS, DEMO_ROWS = 100, 24
WIDTHS = (80, 200)
SESSION_S = 12 * 3600


# A machine that nothing else runs on: `doctor` looks at all processes.
NODE = ("unshare", "--pid", "--fork", "--mount-proc", "--net", "--uts")
_ALONE = 'ip link set lo up && hostname node-1 && exec "$@"'


def main(names: list[str]) -> int:
    """Draw the pictures of these names, all without any. Exit 69 where there is no tmux, 77 for who is not root."""
    if shutil.which("tmux") is None:
        print("hint: needs tmux: apt-get install tmux", file=sys.stderr)
        return 69
    if os.geteuid() != 0:
        print("hint: run it as root: the node is a machine of its own, by namespaces", file=sys.stderr)
        return 77
    if os.uname().nodename != "node-1":
        again = (sys.executable, "-m", "tests.pictures", *names)
        return subprocess.run([*NODE, "sh", "-c", _ALONE, "sh", *again], cwd=ROOT, check=False).returncode
    with tempfile.TemporaryDirectory(prefix="ca-", dir="/dev/shm") as name:
        if "demo" in names or not names:
            _draw_demo(Path(name))
        if {"status", "doctor"} & set(names) or not names:
            _draw_node(Path(name))
    return 0


def _draw_demo(folder: Path) -> None:
    environ = {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(folder), "LANG": "C.UTF-8"}
    with Terminal(folder, DEMO_COLUMNS, environ, DEMO_ROWS) as terminal:
        recording = terminal.record("python -m tests.demo")
    recording = replace(recording, text=recording.text.replace("python -m tests.demo", "make demo", 1))
    _write("demo", recording.svg("demo", DEMO_ROWS))


def _draw_node(folder: Path) -> None:
    """Draw what a person sees who asks a node that serves a session, and then one that was brought a stranger's."""
    with Stage(folder) as stage, contextlib.redirect_stdout(io.StringIO()):
        acting = play.Play(stage, Account())
        person = play._set_up(acting)
        acting.cloud.expire_after("sts", SESSION_S)
        person.public_key.write_text(f"{person.public_key.read_text().strip()} ana\n")
        stage.running["agent"].send_signal(signal.SIGHUP)
        with play._cluster(acting) as client:
            play._forward(acting, person, client)
            _draw(acting, person, "status")
            person.leave()  # who would put the next session over the stranger's
            colleague = Person(folder / "bea", person.environ, audience=play.AUDIENCE, inbox=person.inbox)
            colleague.recipient = person.recipient
            colleague.put(colleague.seal())
            acting.account.wait("it is refused", lambda: status(acting.socket)["state"] != "ready", scaled(10))
            _draw(acting, person, "doctor")


def _draw(acting: play.Play, person: Person, command: str) -> None:
    """Draw a command in each width. Its environment says what /etc/credagent/config.toml says on a machine."""
    folders = {str(acting.run_dir): "/run/credagent", str(acting.state_dir): "/var/lib/credagent"}
    environ = {
        **clean_environment(),
        **acting.cloud_environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "LANG": "C.UTF-8",
        "HOME": str(acting.stage.folder),
        "CREDAGENT_AGENT_AUDIENCE": play.AUDIENCE,
        "CREDAGENT_AGENT_RUNTIME_DIR": str(acting.run_dir),
        "CREDAGENT_AGENT_STATE_DIR": str(acting.state_dir),
        "CREDAGENT_BUNDLE_TRUSTED_SENDERS": f"file:{person.public_key}",
        "CREDAGENT_GOOGLE_HANDOVER": "off",
        "CREDAGENT_WORKERS_GROUPS": "",
        "CREDAGENT_WORKERS_USERS": "root",
    }
    for columns in WIDTHS:
        with Terminal(acting.stage.folder, columns, environ) as terminal:
            recording = terminal.record(f"credagent {command}")
        for here, installed in folders.items():
            recording = replace(recording, text=recording.text.replace(here, installed))
        _write(f"{command}-{columns}", recording.svg(command))


def _write(name: str, svg: str) -> None:
    (PICTURES / f"{name}.svg").write_text(svg, encoding="utf-8")
    print(f"{PICTURES / name}.svg", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
