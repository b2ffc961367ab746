"""The page Credentials of a real scheduler's dashboard, read by a plain HTTP client as anybody may who reaches it."""

import json
import urllib.request
from collections.abc import Callable
from typing import Any

from credagent.bundle.key_pairs import SenderPrivateKey
from tests.integration.forwarder.play import SECRET, client_of
from tests.integration.forwarder.stage import Stage, within
from tests.patience import scaled
from tests.ports import free_port


def get(address: str) -> tuple[str, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=scaled(30)) as answer:
        return answer.read().decode(), answer.headers


def test_the_dashboard_shows_each_machine_below_its_prefix_and_as_json(
    stage: Stage, key: SenderPrivateKey, forward: Callable[..., Any]
) -> None:
    """The scheduler's machine has no agent of its own, and nothing of credagent is configured for its process."""
    machine = stage.machine("a", key.public_key.line)
    bare = stage.machine("bare", agent=False)
    port = free_port()
    options = ("--dashboard-address", f"127.0.0.1:{port}", "--dashboard-prefix", "/of/lab")
    stage.start_scheduler(bare, *options, dashboard=True)
    stage.start_worker(machine, "a1")
    pages = f"http://127.0.0.1:{port}/of/lab"
    with client_of(stage, 1), forward():

        def shown() -> Any:
            found = json.loads(get(f"{pages}/credentials.json")[0])
            served = [one for one in found["machines"] if one["slots"]]
            in_place = [one for one in served if one["processes"][0]["generation"] == one["generation"]]
            return found if in_place else None

        document = within(30, shown, "the worker has its set in place")
        (served,) = [one for one in document["machines"] if one["slots"]]
        (slot,) = [one for one in served["slots"] if one["slot"] == "environment"]
        assert (slot["origin"], slot["identity"]) == ("bundle", f"sender {key.public_key.key_id}")
        assert [process["name"] for process in served["processes"]] == ["a1"]
        (absent,) = [one for one in document["machines"] if not one["slots"]]
        assert absent["fault"]["code"] == "no-agent"
        page, headers = get(f"{pages}/credentials")
        assert "environment" in page
        assert "a1: " in page
        assert "script" not in page
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert SECRET not in page + json.dumps(document)

    def away() -> Any:
        forwarder = json.loads(get(f"{pages}/credentials.json")[0])["forwarder"]
        return forwarder if forwarder["away_since"] else None

    assert within(30, away, "it is not connected any more")["ended"] == "ended"
    assert "nobody has forwarded since" in get(f"{pages}/credentials")[0]
