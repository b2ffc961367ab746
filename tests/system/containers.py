"""Containers by podman with runc, without network: the image as packaging builds it, a store of their own."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.system import images

CONFIGURATION = """\
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=1000:1000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{folder}/state"
"""

FOLDER = images.FOLDER / "podman"
AGENT, STOCK = "localhost/credagent:test", "localhost/stock-dask"
BASE, SOMEBODYS = "localhost/somebodys-base", "localhost/somebodys-dask"
_SCRIPT = r"""#!/bin/bash\necho prepared\nexec "$@"\n"""
PREPARE = f"RUN printf '{_SCRIPT}' >/usr/bin/prepare.sh && chmod 755 /usr/bin/prepare.sh"

# As the stock image of Dask starts: a shell script that becomes its arguments.
_STOCK = f"""\
FROM {AGENT}
USER 0
{PREPARE}
USER 9817:9817
ENTRYPOINT ["credagent", "exec", "--", "/usr/bin/prepare.sh"]
"""


def podman(*words: str, check: bool = True, timeout_s: float = 120, given: bytes | None = None) -> str:
    """Run podman and return what it printed."""
    done = run(*words, timeout_s=timeout_s, given=given)
    assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def run(*words: str, timeout_s: float = 120, given: bytes | None = None) -> "subprocess.CompletedProcess[str]":
    """Run podman to its end."""
    return subprocess.run(
        command(*words),
        capture_output=True,
        text=True,
        env=environ(),
        timeout=timeout_s,
        input=None if given is None else given.decode(),
        check=False,
    )


def command(*words: str) -> list[str]:
    """Return the command line for podman with our own store."""
    return ["podman", "--root", str(FOLDER / "store"), "--runroot", str(FOLDER / "run"), *words]


def environ() -> Mapping[str, str]:
    """Return podman's environment, after writing its configuration."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "containers.conf").write_text(CONFIGURATION.format(folder=FOLDER))
    own = {"CONTAINERS_CONF": str(FOLDER / "containers.conf"), "HOME": str(FOLDER), "TMPDIR": "/var/tmp"}
    return {"PATH": os.environ["PATH"], **own}


def build(deb: Path) -> None:
    """Build the agent's image as `make package` does, and one that starts as the stock image of Dask does."""
    script = images.ROOT / "packaging" / "container" / "build"
    subprocess.run([script, deb, AGENT], check=True, env={**environ(), "PODMAN": " ".join(command())})
    (FOLDER / "Stock").write_text(_STOCK)
    podman("build", "--network=none", "--tag", STOCK, "--file", str(FOLDER / "Stock"), str(FOLDER / "run"))


def build_somebodys(root: Path, tarball: Path, recipe: str) -> None:
    """Build an image of somebody's own: `root`, which starts by a script, and the lines of `recipe`."""
    context = FOLDER / "somebodys"
    context.mkdir(parents=True, exist_ok=True)
    (context / tarball.name).write_bytes(tarball.read_bytes())
    (context / "Containerfile").write_text(f"FROM {BASE}\n{PREPARE}\n{recipe}")
    with subprocess.Popen(["tar", "--create", "--directory", root, "."], stdout=subprocess.PIPE) as packed:
        subprocess.run(command("import", "--quiet", "-", BASE), stdin=packed.stdout, env=environ(), check=True)
    podman("build", "--network=none", "--tag", SOMEBODYS, str(context), timeout_s=300)
