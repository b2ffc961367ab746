"""No test of the configuration reads this machine's own."""

from pathlib import Path

import pytest

from credagent import configuration_file


@pytest.fixture(autouse=True)
def _no_machine_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(configuration_file, "MACHINES_FILE", str(tmp_path / "default.toml"))


def written(tmp_path: Path, text: str, mode: int = 0o644) -> str:
    """Return the path of a configuration file that says `text`."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    path.chmod(mode)
    return str(path)
