"""`make pictures`: draws what README and pages show of the demo, `status` and `doctor`, in a real terminal (tmux).

They end in packaging/documentation/pictures. The node that `status` and `doctor` describe is the demo's: a simulated
cloud, an agent, a Dask cluster, the session of a person on a laptop. Its folders are shown as an installed agent's.
"""

import contextlib
import io
import itertools
import os
import shutil
import sys
import tempfile
from pathlib import Path

from msgspec.structs import replace

from tests.demo import play
from tests.demo.account import Account
from tests.demo.stage import BIN, ROOT, Stage, clean_environment
from tests.pictures.terminal import Terminal

PICTURES = ROOT / "packaging" / "documentation" / "pictures"
DEMO_COLUMNS, DEMO_ROWS = 100, 24
WIDTHS = (80, 200)
SESSION_S = 12 * 3600


def main(names: list[str]) -> int:
    """Draw the pictures of these names, all without any; exit 69 where there is no tmux."""
    if shutil.which("tmux") is None:
        print("hint: needs tmux: apt-get install tmux", file=sys.stderr)
        return 69
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
    """Draw what a person sees who asks a node that serves a session."""
    with Stage(folder) as stage, contextlib.redirect_stdout(io.StringIO()):
        acting = play.Play(stage, Account())
        person = play._set_up(acting)
        acting.cloud.expire_after("sts", SESSION_S)
        with play._cluster(acting) as client:
            play._forward(acting, person, client)
            environ = {**clean_environment(), **acting.cloud_environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
            environ |= {"LANG": "C.UTF-8", "CREDAGENT_SOCKET": acting.socket, "HOME": str(folder)}
            # What /etc/credagent/config.toml says on a machine of its own.
            environ |= {"CREDAGENT_AGENT_RUNTIME_DIR": str(acting.run_dir), "CREDAGENT_GOOGLE_HANDOVER": "off"}
            environ |= {"CREDAGENT_AGENT_STATE_DIR": str(acting.state_dir), "CREDAGENT_AGENT_AUDIENCE": play.AUDIENCE}
            environ |= {"CREDAGENT_WORKERS_USERS": "root", "CREDAGENT_WORKERS_GROUPS": ""}
            environ |= {"CREDAGENT_BUNDLE_TRUSTED_SENDERS": f"file:{person.public_key}"}
            there = {str(acting.run_dir): "/run/credagent", str(acting.state_dir): "/var/lib/credagent"}
            for command, columns in itertools.product(("status", "doctor"), WIDTHS):
                with Terminal(folder, columns, environ) as terminal:
                    recording = terminal.record(f"credagent {command}")
                for here, installed in there.items():
                    recording = replace(recording, text=recording.text.replace(here, installed))
                _write(f"{command}-{columns}", recording.svg(command))


def _write(name: str, svg: str) -> None:
    (PICTURES / f"{name}.svg").write_text(svg, encoding="utf-8")
    print(f"{PICTURES / name}.svg", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
