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


class Person:
    """An ordinary user; what he types runs in his home, with his environment and nobody else's."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.account = pwd.getpwnam(ACCOUNT)
        self.home = folder / "home"
        self.home.mkdir()
        self.own(self.home)
        self.home.chmod(0o700)
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
        become = ("setpriv", f"--reuid={self.account.pw_uid}", f"--regid={self.account.pw_gid}", "--clear-groups")
        return subprocess.Popen(
            [*become, "bash", "-c", line],
            env={**self.environ, **(environ or {})},
            cwd=self.home,
            text=True,
            umask=0o022,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            **how,
        )
