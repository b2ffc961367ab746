"""`credagent worker-path`: a folder from which the worker's side can be imported by any Python."""

import subprocess
import sys

import pytest

from credagent.cli.main import main


def test_it_holds_the_module_and_nothing_of_credagent(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker-path"]) == 0
    folder = capsys.readouterr().out.strip()
    script = "import credagent_worker, sys; print('credagent' in sys.modules)"
    command = [sys.executable, "-S", "-c", script]
    ended = subprocess.run(command, env={"PYTHONPATH": folder}, capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"
