"""Asks each process of a Dask cluster what its machine's agent says, for `doctor --from laptop`. Installs nothing."""

import argparse
import asyncio
import os
import ssl
from typing import TYPE_CHECKING

from credagent.errors import CredagentError, Unavailable
from credagent.operations.doctor.cluster_checks import ProcessAnswer

if TYPE_CHECKING:
    from credagent.dask_cluster.scheduler_client import SchedulerClient

ASK_S = 10.0  # all of them beside each other: a worker whose task holds the GIL takes long


def look(scheduler: str, context: ssl.SSLContext | None) -> list[ProcessAnswer]:
    """Return what every worker and the scheduler answer. Raises Unavailable where there is no scheduler."""
    from credagent.dask_cluster import scheduler_address
    from credagent.dask_cluster.answer_limits import NoAnswer
    from credagent.dask_cluster.scheduler_client import SchedulerClient

    async def ask_all() -> list[ProcessAnswer]:
        client = SchedulerClient(scheduler_address.parse(scheduler, context), f"credagent-doctor-{os.urandom(6).hex()}")
        try:
            workers = sorted(await client.workers())
            return list(await asyncio.gather(*(_ask(client, address) for address in ("scheduler", *workers))))
        except NoAnswer as error:
            hint = "is this the address of a Dask scheduler, and does it run?"
            raise Unavailable(error.code, error.why, what=scheduler, hint=hint) from error
        finally:
            client.close()

    return asyncio.run(ask_all())


async def _ask(client: "SchedulerClient", address: str) -> ProcessAnswer:
    from credagent.dask_cluster.answer_limits import NoAnswer

    try:
        async with asyncio.timeout(ASK_S):
            report = await client.report(address)
    except TimeoutError:
        return ProcessAnswer(address=address, host=address, fault="silent")
    except NoAnswer as error:  # Dask answers by an error of its own, or hangs up, where nobody knows the question
        return ProcessAnswer(address=address, host=address, fault="silent" if error.code == "silent" else "no-plugin")
    if report is None:
        return ProcessAnswer(address=address, host=address, fault="no-plugin")
    return ProcessAnswer(
        address=address,
        host=report.host,
        fault=report.fault,
        hint=report.hint,
        state=report.state,
        trouble=tuple(code for code in report.trouble.split(", ") if code),
        sender=report.sender,
        bundle_id=report.bundle_id,
        forwarder_ended=report.forwarder_ended,
    )


def own_key_id() -> str:
    """Return the id of this user's signing key, "" where there is none."""
    from credagent.sender import signing_key

    try:
        return signing_key.load(signing_key.default_path(os.environ)).public_key.key_id
    except CredagentError:
        return ""


def context_of(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    """Return the TLS context that the options describe, as `forward` reads them."""
    from credagent.cli.commands import forward

    return forward.tls_context(arguments)
