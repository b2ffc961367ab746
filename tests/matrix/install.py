"""`python -m tests.matrix.install`: the programs that the matrix reads with and pip does not bring.

Debian's packages where this is root on such a system, the rest into `build/matrix`. What is not to be had is said, and
its rows are skipped with that reason.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable

from tests.matrix.programs import HERE, JAVA, JAVASCRIPT, NEEDED, missing

DEBIAN = {"ogrinfo": "gdal-bin", "s3cmd": "s3cmd", "restic": "restic", "nft": "nftables", "setpriv": "util-linux"}


def main() -> None:
    """Install what is missing; say what still is."""
    for attempt in (_debian, _javascript, _java):
        _try(attempt)
    for reason in filter(None, map(missing, NEEDED)):
        sys.stderr.write(f"not measured: {reason}\n")


def _try(attempt: Callable[[], None]) -> None:
    try:
        attempt()
    except (OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{error}\n")


def _debian() -> None:
    packages = sorted({package for command, package in DEBIAN.items() if shutil.which(command) is None})
    if not packages or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    sys.stderr.write(f"installing Debian packages: {' '.join(packages)}\n")
    _run("apt-get", "update", "-q")
    _run("apt-get", "install", "-yq", "--no-install-recommends", *packages)


def _javascript() -> None:
    """Install the client beside the program: modules are looked for in the program's own folder."""
    if shutil.which("npm") is None or (JAVASCRIPT / ".installed").exists():
        return
    shutil.copytree(HERE / "javascript", JAVASCRIPT, dirs_exist_ok=True)
    _run("npm", "install", "--prefix", str(JAVASCRIPT), "--no-audit", "--no-fund", "--ignore-scripts")
    (JAVASCRIPT / ".installed").touch()


def _java() -> None:
    if shutil.which("mvn") is None or shutil.which("javac") is None or (JAVA / ".installed").exists():
        return
    JAVA.mkdir(parents=True, exist_ok=True)
    pom = str(HERE / "java" / "pom.xml")
    _run("mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={JAVA}")
    _run("javac", "-cp", f"{JAVA}/*", "-d", str(JAVA), str(HERE / "java" / "Read.java"))
    (JAVA / ".installed").touch()


def _run(*command: str) -> None:
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
