"""What is shipped beside the code says the same as the code: defaults in the manual, units, example configuration."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from credagent import config
from credagent.bundle.key_pairs import SenderPrivateKey
from credagent.config.keys import KEYS
from tests import pages

ROOT = Path(__file__).parents[2]
DEFAULTS = ROOT / "packaging" / "documentation" / "defaults.toml"
UNITS = sorted([*(ROOT / "systemd").glob("*.service"), *(ROOT / "systemd").glob("*.socket")])


def test_the_manual_shows_every_key_with_its_default() -> None:
    shown = {f"{section}.{key}" for section, keys in tomllib.loads(DEFAULTS.read_text()).items() for key in keys}
    assert shown == set(KEYS)
    written, default = (config.describe(config.load(path, {})) for path in (str(DEFAULTS), None))
    assert {one.key: one.value for one in written} == {one.key: one.value for one in default}


def test_the_example_configuration_says_what_is_so_without_it() -> None:
    text = (ROOT / "packaging" / "examples" / "config.toml").read_text()
    shown = tomllib.loads(re.sub(r"^# (?=\w+ *= )", "", text, flags=re.MULTILINE))
    assert {f"{section}.{key}" for section, keys in shown.items() for key in keys} <= set(KEYS)
    assert not any(tomllib.loads(text).values())


def test_the_configurations_that_pages_show_are_read(tmp_path: Path) -> None:
    """FORWARDING's, INTERCEPTION's, a README's; a key that a page leaves to its reader is one that has been made."""
    key = SenderPrivateKey.generate().public_key.line
    for page in (path for room in ("agent", "packaging") for path in (ROOT / room).rglob("*.md")):
        for block in pages.run_by(__file__, str(page.relative_to(ROOT))):
            path = tmp_path / "config.toml"
            path.write_text(block.text.replace("credagent-sender:ed25519:…", key))
            shown = {f"{section}.{name}" for section, keys in tomllib.loads(path.read_text()).items() for name in keys}
            assert shown == {one.key for one in config.describe(config.load(str(path), {})) if one.origin != "default"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_every_directive_is_explained(unit: Path) -> None:
    paragraphs = re.split(r"\n\s*\n|^\[.*\]$", unit.read_text(), flags=re.MULTILINE)
    plain = ("Description=", "Documentation=", "WantedBy=", "Also=", "Wants=", "After=", "Type=exec", "User=dask")
    for paragraph in paragraphs:
        explained = False
        for line in paragraph.splitlines():
            explained = explained or line.startswith("#")
            assert explained or not line.strip() or line.startswith(plain), f"{unit.name}: {line}"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_units_exposure_is_at_most_13_tenths() -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=13", "systemd/credagent.service"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:]


def test_the_sockets_ports_are_the_configurations() -> None:
    listened = re.findall(r"^ListenStream=(.*)$", (ROOT / "systemd" / "credagent.socket").read_text(), re.MULTILINE)
    assert listened == [str(address) for address in config.EndpointSection().listen]


def test_no_number_of_crashes_ends_the_service_or_closes_its_ports() -> None:
    """A limit of systemd's ends a service for good, and its socket with it; prevented statuses do not bind a socket."""
    directives = {path.name: re.findall(r"^(\w+=.*)$", path.read_text(), re.MULTILINE) for path in UNITS}
    service, ports = directives["credagent.service"], directives["credagent.socket"]
    assert "StartLimitIntervalSec=0" in service
    assert "Restart=always" in service
    assert not [one for one in service if one.startswith(("RestartPreventExitStatus=", "StartLimitBurst="))]
    assert "TriggerLimitIntervalSec=0" in ports
    text = (ROOT / "systemd" / "credagent.service").read_text()
    assert text.index("StartLimitIntervalSec=") < text.index("[Service]"), "systemd reads it in [Unit] only"


def test_decision_records_are_numbered_and_named_as_they_are_referred_to() -> None:
    records = sorted(path for room in ("agent", "packaging") for path in (ROOT / room).rglob("ADR-*.md"))
    for folder in {record.parent for record in records}:
        here = [record.name for record in records if record.parent == folder]
        assert [name[4:6] for name in here] == [f"{number:02}" for number in range(1, len(here) + 1)]
    for record in records:
        assert record.read_text().startswith(f"# ADR {record.name[4:6]}: ")
    for module in (ROOT / "agent").rglob("*.py"):
        named = re.findall(r"[\w/]*ADR-[\w-]+\.md", module.read_text())  # with its folder where that is another
        homes = (module.parent, ROOT / "agent" / "credagent")
        assert all(any((home / name).exists() for home in homes) for name in named), module


def test_every_link_of_the_documents_that_are_shipped_leads_somewhere(tmp_path: Path) -> None:
    command = [sys.executable, "packaging/documentation/documents.py", str(ROOT), str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    shipped = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {"README.md", "SECURITY.md", "CHANGELOG.md", "packaging/examples/cloud-init-ec2.yaml"} <= shipped
    pages_here = {
        str(path.relative_to(ROOT)) for room in ("agent", "packaging") for path in (ROOT / room).rglob("*.md")
    }
    unlinked = {path for path in pages_here - shipped if not path.rpartition("/")[2].startswith("ADR-")}
    assert unlinked == {"packaging/credagent-worker/README.md"}, "a page to which no other leads"
