"""Prometheus' own tool reads the metrics, and fires each alert."""

import subprocess

from credagent.operations.observability.prometheus_text import render
from tests.system.images import ROOT
from tests.unit.operations.observability.test_prometheus_text import everything

RULES = ROOT / "packaging" / "monitoring" / "credagent.rules.yml"


def promtool(*words: str, said: str = "") -> str:
    done = subprocess.run(
        ["promtool", *words], input=said, capture_output=True, text=True, check=False, cwd=RULES.parent
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_finds_nothing_to_say_of_the_metrics() -> None:
    assert promtool("check", "metrics", said=render(*everything())) == ""


def test_promtool_fires_every_alert() -> None:
    assert "8 rules found" in promtool("check", "rules", RULES.name)
    assert "SUCCESS" in promtool("test", "rules", "credagent.rules.test.yml")
