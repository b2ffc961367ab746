"""How programs beside Python read from S3: each is started by a task and gets that process's environment.

A row whose "object" is a program that goes on running reads with it by a line on its standard input; the other programs
are started for each read. Where such a program is not installed the row is skipped, and `missing` says why.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.matrix.rows import OBJECT, Make, Read, Rows, bucket, nothing, s3, s3_host

HERE = Path(__file__).parent
INSTALLED = HERE.parents[1] / "build" / "matrix"
JAVASCRIPT, JAVA = INSTALLED / "javascript", INSTALLED / "java"
TABLE, REPOSITORY, PASSWORD = "data.csv", "repository", "matrix"
READ_S = 60.0


def _run(command: list[str], more: Mapping[str, str] | None = None) -> bytes:
    environ = {**os.environ, **(more or {})}
    done = subprocess.run(command, env=environ, capture_output=True, check=False, timeout=READ_S)
    if done.returncode:
        raise OSError(done.stderr.decode(errors="replace").strip())
    return done.stdout


def _awscli_read(_: None) -> bytes:
    return _run([sys.executable, "-m", "awscli", "s3", "cp", f"s3://{bucket('awscli')}/{OBJECT}", "-"])


def _gdal_read(_: None) -> bytes:
    settings = {"AWS_S3_ENDPOINT": s3_host(), "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE"}
    return _run(["ogrinfo", "-q", "-ro", f"/vsis3/{bucket('GDAL 3.6')}/{TABLE}"], settings)


def _s3cmd_read(_: None) -> bytes:
    where = [f"--host={s3_host()}", f"--host-bucket={s3_host()}", "--no-ssl"]
    return _run(["s3cmd", "-c", os.devnull, *where, "-q", "get", f"s3://{bucket('s3cmd')}/{OBJECT}", "-"])


def _restic_read(_: None) -> bytes:
    where = ["-r", f"s3:{s3()}/{bucket('restic')}/{REPOSITORY}"]
    return _run(["restic", "--no-lock", "--no-cache", *where, "cat", "config"], {"RESTIC_PASSWORD": PASSWORD})


def _running(*command: str) -> Make:
    """Return what starts a program that reads whenever it gets a line, and ends with its standard input."""

    def start() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
        )

    return start


def _read_by(row: str) -> Read:
    """Return what lets such a program read, and raises what it says."""

    def read(program: "subprocess.Popen[str]") -> str:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(f"{bucket(row)} {OBJECT}\n")
        answer = program.stdout.readline().strip()
        if answer != "ok":
            raise OSError(answer or f"{row} has ended")
        return answer

    return read


PROGRAMS: Rows = {
    "awscli": (nothing, _awscli_read),
    "GDAL 3.6": (nothing, _gdal_read),
    "s3cmd": (nothing, _s3cmd_read),
    "restic": (nothing, _restic_read),
    "SDK for JavaScript": (_running("node", str(JAVASCRIPT / "read.mjs")), _read_by("SDK for JavaScript")),
    "SDK for Java": (
        _running("java", "-XX:TieredStopAtLevel=1", "-cp", f"{JAVA}:{JAVA}/*", "Read"),
        _read_by("SDK for Java"),
    ),
}

NEEDED: dict[str, tuple[str, str]] = {
    "GDAL 3.6": ("ogrinfo", "Debian's package gdal-bin"),
    "s3cmd": ("s3cmd", "Debian's package s3cmd"),
    "restic": ("restic", "Debian's package restic"),
    "SDK for JavaScript": (str(JAVASCRIPT / ".installed"), "npm, for @aws-sdk/client-s3"),
    "SDK for Java": (str(JAVA / ".installed"), "a JDK and Maven, for software.amazon.awssdk:s3"),
}


CHOSEN = frozenset(filter(None, os.environ.get("CREDAGENT_TEST_ROWS", "").split(",")))
"""The only rows to measure, while somebody works at one; all where the variable is not set."""


def missing(row: str) -> str:
    """Return why a row is not measured on this machine; empty: it is."""
    if CHOSEN and row not in CHOSEN:
        return f"{row} is not chosen"
    what, package = NEEDED.get(row, ("", ""))
    there = not what or shutil.which(what) or Path(what).exists()
    return "" if there else f"{row} needs {package}: `python -m tests.matrix.install`"
