"""The act on Google Cloud: a machine of its own, its data-access service account, then a forwarded token."""

import json

from distributed import Client

from tests.demo import tasks
from tests.demo.account import Account
from tests.demo.person import Person
from tests.demo.stage import BIN, Stage, clean_environment, start_worker, status, worker_environment
from tests.simulator.remote import Remote

AUDIENCE = "demo-google"
DATA = b"the private data on Google Cloud"


def show_google(stage: Stage, account: Account, cloud: Remote, addresses: dict[str, str], client: Client) -> None:
    """Read with the machine's account, then with a forwarded token."""
    account.step("A Google machine: its data-access service account reads, then a forwarded token does")
    folder = stage.folder / "google"
    folder.mkdir()
    cloud.create_bucket(tasks.BUCKET, store="gcs")
    cloud.put_object(tasks.BUCKET, tasks.KEY, DATA.decode(), store="gcs")
    person, socket = _machine(stage, cloud, addresses, account)
    start_worker(stage, "worker-google", worker_environment(stage, socket), "--resources", "google=1")
    account.wait("its worker is there", lambda: "worker-google" in _names(client), 40)
    origin = status(socket)["slots"]["google"]
    account.require(
        _read(cloud, addresses, client, account).startswith("google-metadata"), f"origin {origin['origin']}"
    )
    person.put(person.seal("--aws", "none", "--google", "local"))
    account.wait("the forwarded token is in force", lambda: status(socket)["slots"]["google"]["origin"] == "bundle", 10)
    principal = status(socket)["slots"]["google"]["principal"]
    used = _read(cloud, addresses, client, account)
    account.require(used.startswith("oauth"), f"origin bundle: {principal}")


def _machine(stage: Stage, cloud: Remote, addresses: dict[str, str], account: Account) -> tuple[Person, str]:
    folder = stage.folder / "google"
    key = folder / "ana.json"
    key.write_text(json.dumps({**cloud.create_service_account_key("ana"), "token_uri": f"{addresses['oauth']}/token"}))
    laptop = {**clean_environment(), "HOME": str(folder), "GOOGLE_APPLICATION_CREDENTIALS": str(key)}
    run_dir = folder / "run"
    person = Person(folder / "laptop", laptop, audience=AUDIENCE, inbox=run_dir / "inbox" / "bundle")
    config = folder / "config.toml"
    config.write_text(
        f'[agent]\naudience = "{AUDIENCE}"\nruntime_dir = "{run_dir}"\nstate_dir = "{folder}/state"\n'
        f'[bundle]\ntrusted_senders = ["file:{person.public_key}"]\n[endpoint]\nlisten = ["127.0.0.1:0"]\n'
    )
    host = addresses["google-metadata"].removeprefix("http://")
    metadata = dict.fromkeys(("GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"), host)
    machine = {**clean_environment(), **metadata, "GCE_METADATA_MTLS_MODE": "none"}
    del machine["NO_GCE_CHECK"]
    stage.start("agent-google", [str(BIN / "credagent"), "run", "--config", str(config)], machine)
    socket = str(run_dir / "agent.sock")
    account.wait("its agent has tried every slot", lambda: status(socket).get("state") in ("ready", "degraded"), 15)
    person.recipient = status(socket)["public_key"]
    return person, socket


def _read(cloud: Remote, addresses: dict[str, str], client: Client, account: Account) -> str:
    since = cloud.last_seq()
    content = client.submit(tasks.read_blob, addresses["gcs"], pure=False, resources={"google": 1}).result(timeout=60)
    account.require(content == DATA, "read_blob returned the private data")
    used = cloud.ids_used("gcs", since=since)
    account.require(used, f"the identity behind the read: {', '.join(used)}")
    return str(used[-1])


def _names(client: Client) -> set[str]:
    return {str(worker["name"]) for worker in client.scheduler_info()["workers"].values()}
