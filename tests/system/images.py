"""The packages, and the file trees that machines start from: plain Debians, and one with Dask and the package in it.

Made once into build/system, and again when what they are made of has changed.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "system"

BUILD = ROOT / "packaging" / "build"
SUITE = "bookworm"
OTHER_SUITES = ("bullseye", "trixie", "sid")  # without any Python: what is installed there brings its own
NEWEST_PYTHON = "sid"
OLDER = "0.0.9"
LAUNCHERS = "dask-cloudprovider[aws,azure,digitalocean,gcp,hetzner]>=2025.9"
IN_DASK = ("distributed", "boto3", "google-auth", "requests")
PACKAGES = "systemd,systemd-sysv,dbus,iproute2,procps"
MORE_PACKAGES = "python3,man-db,nftables,curl,s3cmd"
NEEDED = {  # command → Debian package
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "podman": "podman",
    "runc": "runc",
    "mmdebstrap": "mmdebstrap",
    "rpmbuild": "rpm",
    "objdump": "binutils",
    "lintian": "lintian",
    "piuparts": "piuparts",
    "ip": "iproute2",
    "man": "man-db",
    "nft": "nftables",
    "promtool": "prometheus",
    "strace": "strace",
}


KINDS = {  # what `make package` builds → what it is called in dist/
    "wheel": "credagent-[0-9]*.whl",
    "sdist": "credagent-[0-9]*[0-9].tar.gz",
    "deb": "credagent_*.deb",
    "rpm": "credagent-*.rpm",
    "tarball": "credagent-*-linux-*.tar.gz",
}


def install_what_is_needed() -> None:
    """Install Debian's packages that these tests need, and say so."""
    missing = sorted({package for command, package in NEEDED.items() if shutil.which(command) is None})
    if missing:
        print(f"installing Debian packages: {' '.join(missing)}", flush=True)
        environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "env": environ}
        subprocess.run(["apt-get", "update", "-q"], check=True, **quiet)
        apt = ["apt-get", "install", "-yq", "--no-install-recommends", *missing]
        subprocess.run(apt, check=True, **quiet)


def plain(suite: str = SUITE) -> Path:
    """Return a Debian with systemd, and SUITE's with Debian's Python and manuals."""
    return _debian(suite, suite, f"{PACKAGES},{MORE_PACKAGES}" if suite == SUITE else PACKAGES)


def with_newest_python() -> Path:
    """Return a Debian with the newest Python that Debian has as its own, and nothing else that the others have."""
    return _debian("newest-python", NEWEST_PYTHON, "python3,procps")


def _debian(name: str, suite: str, packages: str) -> Path:
    root = FOLDER / name
    if not (root / ".complete").exists() or (root / ".complete").read_text() != packages:
        print(f"making a Debian {suite} with debootstrap (about a minute)", flush=True)
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        with (FOLDER / f"{name}.log").open("w") as log:
            # In a mount namespace of its own: killed, it would leave this machine's /proc mounted in a tree that the
            # next run removes.
            command = [
                "unshare",
                "--mount",
                "debootstrap",
                "--variant=minbase",
                f"--include={packages}",
                suite,
                str(root),
            ]
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
        (root / ".complete").write_text(packages)
    return root


def with_dask() -> Path:
    """Return the plain one, with a Dask of the user's own in /opt/dask and a user `dask`."""
    root = FOLDER / "with-dask"
    made_of = " ".join(IN_DASK)
    if not (root / ".complete").exists() or (root / ".complete").read_text() != made_of:
        shutil.rmtree(root, ignore_errors=True)
        _copy(plain(), root)
        in_root(root, "useradd", "--system", "--create-home", "dask")
        in_root(root, "/usr/bin/python3", "-m", "venv", "--without-pip", "/opt/dask")
        (root / "opt/dask/bin/python3").unlink()
        (root / "opt/dask/bin/python3").symlink_to("/usr/bin/python3.11")
        print("installing Dask into it", flush=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--python-version=3.11", "--only-binary=:all:"]
        target = root / "opt/dask/lib/python3.11/site-packages"
        subprocess.run([*command, f"--target={target}", *IN_DASK], check=True)
        (root / "opt/dask/bin/dask").write_text(_DASK)
        (root / "opt/dask/bin/dask").chmod(0o755)
        (root / "usr/local/bin/dask").symlink_to("/opt/dask/bin/dask")
        (root / ".complete").write_text(made_of)
    return root


def with_package(deb: Path) -> Path:
    """Return the one with Dask, and `deb` installed in it by dpkg."""
    root = FOLDER / "with-package"
    made_of = f"{deb.name} {deb.stat().st_mtime_ns}"
    if not (root / ".complete").exists() or (root / ".complete").read_text() != made_of:
        shutil.rmtree(root, ignore_errors=True)
        _copy(with_dask(), root)
        shutil.copy(deb, root / "root" / deb.name)
        in_root(root, "dpkg", "-i", f"/root/{deb.name}")
        (root / ".complete").write_text(made_of)
    return root


def with_cloud_init(deb: Path) -> Path:
    """Return the one with the package, and Debian's cloud-init, which takes the user data that a test has put there."""
    root = FOLDER / "with-cloud-init"
    made_of = (with_package(deb) / ".complete").read_text()
    if not (root / ".complete").exists() or (root / ".complete").read_text() != made_of:
        print("installing cloud-init into it", flush=True)
        shutil.rmtree(root, ignore_errors=True)
        _copy(with_package(deb), root)
        environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-q"], ["install", "-yq", "--no-install-recommends", "cloud-init"]):
            apt = ["unshare", "--mount", f"--root={root}", "apt-get", *command]
            subprocess.run(apt, check=True, stdout=subprocess.DEVNULL, env=environ)
        where = root / "etc/cloud/cloud.cfg.d/90-test.cfg"
        where.write_text("datasource_list: [NoCloud]\nnetwork: {config: disabled}\n")
        (root / ".complete").write_text(made_of)
    return root


def with_launchers() -> Path:
    """Return a Python that has dask-cloudprovider with the SDKs of the clouds that are tried."""
    venv = FOLDER / "launchers"
    python = venv / "bin" / "python"
    if not (venv / ".complete").exists() or (venv / ".complete").read_text() != LAUNCHERS:
        print("installing dask-cloudprovider with the SDKs of five clouds", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", LAUNCHERS], check=True)
        (venv / ".complete").write_text(LAUNCHERS)
    return python


def deb() -> Path:
    """Return the package; CREDAGENT_TEST_DEB names one that is built already."""
    if given := os.environ.get("CREDAGENT_TEST_DEB"):
        return Path(given)
    return built()["deb"]


def built() -> dict[str, Path]:
    """Return what `make package` puts into dist/, by its kind, built now where its sources are newer."""
    found = _built()
    if len(found) < len(KINDS) or min(map(_made, found.values())) < _newest_source():
        subprocess.run([BUILD, "wheel", "worker", "deb", "rpm", "tarball"], check=True, stdout=subprocess.DEVNULL)
        found = _built()
    return found


def older(kind: str = "deb") -> Path:
    """Return a package of the same sources that calls itself, and the agent in it, OLDER; `kind` is deb or tarball."""
    folder = FOLDER / "packages"
    tree = FOLDER / "older" / "tree"
    built()
    if not folder.exists() or min(map(_made, folder.iterdir()), default=0) < _newest_source():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(tree, ignore_errors=True)
        tree.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", "--reflink=auto", ROOT / "build/tree", tree], check=True)
        library = tree / "usr/lib/credagent/lib/python3.13"
        version = library / "credagent" / "__init__.py"
        text = re.sub(r"^__version__ = .*", f'__version__ = "{OLDER}"', version.read_text(), flags=re.MULTILINE)
        version.write_text(text)
        # What was compiled of it is compiled anew, as packaging/tree does.
        python = (tree / "usr/lib/credagent/bin/python3", "-IBS")
        how = ("-q", "-f", "--invalidation-mode", "checked-hash", "-s", tree)
        subprocess.run([*python, "-m", "compileall", *how, version], check=True)
        subprocess.run([*python, library / "code_archive.py", library], check=True)
        environ = os.environ | {"VERSION": OLDER, "SOURCE_DATE_EPOCH": "1750000000", "LC_ALL": "C.UTF-8", "LEVEL": "1"}
        for builder in ("deb", "tarball"):
            command = [ROOT / "packaging" / builder / "build", tree, folder]
            subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.deb" if kind == "deb" else "*.tar.gz"))


def _built() -> dict[str, Path]:
    found = {kind: sorted((ROOT / "dist").glob(pattern), key=_made) for kind, pattern in KINDS.items()}
    return {kind: paths[-1] for kind, paths in found.items() if paths}


def _newest_source() -> float:
    folders = (ROOT / where for where in ("agent", "systemd", "packaging"))
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return max(_made(path) for path in files if path.suffix != ".pyc")


def _made(path: Path) -> float:
    return path.stat().st_mtime


def in_root(root: Path, *command: str) -> str:
    """Run a command in a tree that is not booted: without network, with its own mounts and processes."""
    unshared = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", f"--root={root}"]
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run([*unshared, *command], capture_output=True, text=True, env=environ, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", "--reflink=auto", source, target], check=True)
    (target / ".complete").unlink()


_DASK = """\
#!/opt/dask/bin/python3
from dask.__main__ import main
if __name__ == "__main__":
    main()
"""
