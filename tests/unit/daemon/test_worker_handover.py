"""What workers read is put only into folders that nobody else can change."""

from pathlib import Path

from credagent import config as configuration
from credagent.daemon import runtime_folders
from credagent.daemon.agent import Agent


def test_nothing_is_put_into_a_folder_that_has_become_open_to_others(tmp_path: Path) -> None:
    environ = {f"CREDAGENT_AGENT_{name.upper()}_DIR": str(tmp_path / name) for name in ("runtime", "state")}
    config = configuration.load(None, environ)
    runtime_folders.prepare(config)
    agent = Agent(config, environ)
    env_file = Path(config.workers.env_file)
    agent.handover.write(agent.resolver.store.current)
    written = env_file.stat().st_ino
    (tmp_path / "runtime").chmod(0o777)
    assert code_after_writing(agent) == "folder-mode"
    assert env_file.stat().st_ino == written
    (tmp_path / "runtime").chmod(0o751)
    assert code_after_writing(agent) == ""
    assert env_file.stat().st_ino != written


def code_after_writing(agent: Agent) -> str:
    agent.handover.write(agent.resolver.store.current)
    return agent.handover.error.code if agent.handover.error is not None else ""
