"""The search for the canary finds what it should find, or it would prove nothing."""

import base64
from pathlib import Path

import pytest

from tests.canary import CANARY, leaks, main


@pytest.mark.parametrize(
    "line",
    [
        f"secret={CANARY}",
        CANARY.encode().hex(),
        base64.b64encode(f"{{'k': '{CANARY}'}}".encode()).decode(),
        base64.b64encode(f"{{'kk': '{CANARY}'}}".encode()).decode(),
        base64.urlsafe_b64encode(f"{{'kkk': '{CANARY}'}}".encode()).decode(),
        CANARY[:30],
    ],
)
def test_a_leaked_canary_is_found_however_it_is_spelt(tmp_path: Path, line: str) -> None:
    (tmp_path / "some.log").write_text(f"first line\n{line}\n")
    assert leaks(tmp_path)


def test_a_clean_log_is_clean(tmp_path: Path) -> None:
    (tmp_path / "some.log").write_text("credentials_replaced generation=4 origin=bundle expires_in_s=2710\n")
    assert leaks(tmp_path) == []


def test_a_folder_without_logs_proves_nothing_and_fails(tmp_path: Path) -> None:
    assert main([str(tmp_path / "missing")]) == 1
