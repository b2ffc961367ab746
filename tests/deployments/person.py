"""Somebody who is no administrator: a home, an AWS identity in it, and a shell that takes the lines of a page."""

import os
import pwd
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.patience import scaled

ACCOUNT = "games"  # an ordinary user whom every Debian has; `nobody` is the kernel's own name for strangers
BIN = Path(sys.executable).parent
TYPED_S = 240.0
# What a program begins with that reads on all workers. `keeps_reading`: until each of them has another session.
READS_EVERYWHERE = """
import time

def read():
    import boto3, os
    boto3.client("s3").get_object(Bucket="my-bucket", Key="private.csv")
    return os.getpid()

def die():
    import os
    os._exit(1)

def everywhere(client, number):
    found = set()
    while len(found) != number:
        time.sleep(0.2)
        found = {pid for pid in client.run(read, on_error="ignore").values() if isinstance(pid, int)}
    return found

def loses_one(client, number):
    before = everywhere(client, number)
    client.run(die, workers=list(client.scheduler_info(n_workers=-1)["workers"])[:1], on_error="ignore")
    while len(everywhere(client, number) - before) != 1:
        time.sleep(0.2)

def session():
    import os
    return os.environ["AWS_SESSION_TOKEN"]

def keeps_reading(client):
    first = set(client.run(session).values())
    while first & set(client.run(session).values()):
        client.run(read)
        time.sleep(0.5)
    client.run(read)
"""


class Person:
    """An ordinary user; what he types runs in his home, with his environment and nobody else's."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.account = pwd.getpwnam(ACCOUNT)
        self.home = folder / "home"
        self.home.mkdir()
        self.own(self.home)
        self.home.chmod(0o700)
        self.hosts: Path | None = None  # in place of /etc/hosts for what he types
        self.environ = {
            "HOME": str(self.home),
            "USER": ACCOUNT,
            "LOGNAME": ACCOUNT,
            "LANG": "C.UTF-8",
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PIP_NO_INDEX": "1",  # what a page installs is installed here already, and pip says so
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            **environ,
        }

    def own(self, path: Path) -> None:
        """Make `path` his."""
        os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def write(self, name: str, text: str, mode: int = 0o600) -> Path:
        """Write a file into his home, with the folders above it."""
        path = self.home / name
        for parent in reversed(path.relative_to(self.home).parents):
            if not (self.home / parent).exists():
                (self.home / parent).mkdir(mode=0o700)
                self.own(self.home / parent)
        path.touch(mode=mode)
        path.write_text(text)
        self.own(path)
        return path

    def has_identity(self, access_key: str, secret_key: str) -> None:
        """Put a long-term key where boto3 finds it."""
        lines = ["[default]", f"aws_access_key_id = {access_key}", f"aws_secret_access_key = {secret_key}", ""]
        self.write(".aws/credentials", "\n".join(lines))

    def types(self, line: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Type a line, and wait until it ends. What it said is printed, for whoever reads why a test failed."""
        process = self.starts(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, environ=more)
        try:
            out, err = process.communicate(timeout=scaled(TYPED_S))
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        print(f"$ {line}\n{out}{err}[{process.returncode}]")
        return subprocess.CompletedProcess(line, process.returncode, out, err)

    def starts(self, line: str, *, environ: Mapping[str, str] | None = None, **how: Any) -> "subprocess.Popen[str]":
        """Type a line that goes on."""
        named = ("unshare", "--mount", "sh", "-c", f'mount --bind {self.hosts} /etc/hosts && exec "$@"', "sh")
        become = ("setpriv", f"--reuid={self.account.pw_uid}", f"--regid={self.account.pw_gid}", "--clear-groups")
        return subprocess.Popen(
            [*(named if self.hosts is not None else ()), *become, "bash", "-c", line],
            env={**self.environ, **(environ or {})},
            cwd=self.home,
            text=True,
            umask=0o022,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            **how,
        )
