"""`make test-deployments`: install what is needed, then type each page's commands against the real programs.

Debian's packages (SLURM, OpenSSH) are installed where they are missing, and said; what comes from PyPI goes into
build/deployments, by Debian's Python, which every user may run: people submit jobs as themselves.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.deployments.person import ACCOUNT

ROOT = Path(__file__).parents[2]
VENV = ROOT / "build" / "deployments"
PYTHON = "/usr/bin/python3"
NEEDED = {  # what shows that it is there → Debian package
    "/usr/sbin/slurmctld": "slurmctld",
    "/usr/sbin/slurmd": "slurmd",
    "/usr/bin/sbatch": "slurm-client",
    "/usr/sbin/munged": "munge",
    "/usr/sbin/sshd": "openssh-server",
    "/usr/bin/ssh": "openssh-client",
    "/usr/sbin/nft": "nftables",
    "/usr/bin/rclone": "rclone",
    "/usr/bin/s3fs": "s3fs",
    "/usr/bin/fusermount": "fuse",
    "/usr/share/python-wheels": "python3-venv",
}


def main(arguments: list[str]) -> int:
    """Prepare, then run pytest; arguments go to it."""
    if os.geteuid() != 0:
        print("hint: run it as root: batch systems and sshd start programs as other users", file=sys.stderr)
        return 77
    _install_packages()
    python = _installed()
    try_it = [python, "-c", "import credagent"]
    if subprocess.run(try_it, user=ACCOUNT, group=ACCOUNT, extra_groups=[], check=False).returncode:
        print(f"hint: {ROOT} must be where every user may read: users of batch systems run it", file=sys.stderr)
        return 77
    shown = ["-v", "-p", "no:cacheprovider", "--durations=5", "-n", "2", "--dist", "loadgroup"]
    run = [python, "-m", "tests.run", "tests/deployments", *shown, *arguments]
    return subprocess.run(run, cwd=ROOT, check=False).returncode


def _install_packages() -> None:
    missing = sorted({package for shown, package in NEEDED.items() if not Path(shown).exists()})
    if not missing:
        return
    print(f"installing Debian packages: {' '.join(missing)}", flush=True)
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-yq", "--no-install-recommends", *missing]
    for command in (["apt-get", "update", "-q"], install):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environ)


def _installed() -> str:
    """Return the Python of a virtual environment that has this project, editable, and what it is tested with."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    made_of = repr((project["dependencies"], project["optional-dependencies"], project["scripts"]))
    stamp = VENV / ".complete"
    python = f"{VENV}/bin/python"
    if not stamp.exists() or stamp.read_text() != made_of:
        print("installing dask-gateway-server, dask-jobqueue and others into build/deployments", flush=True)
        if not VENV.exists():
            subprocess.run([PYTHON, "-m", "venv", VENV], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable"]
        subprocess.run([*install, f"{ROOT}[deployments]"], check=True, umask=0o022)
        stamp.write_text(made_of)
    return python


if __name__ == "__main__":
    shutil.rmtree(ROOT / "build" / "deployment-logs", ignore_errors=True)
    os.environ.setdefault("CREDAGENT_TEST_LOGS", str(ROOT / "build" / "deployment-logs"))
    sys.exit(main(sys.argv[1:]))
