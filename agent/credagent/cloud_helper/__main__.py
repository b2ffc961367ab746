"""The helper process: reads one request from stdin, writes one reply to stdout, and ends. Started by `helper_call`.

It is non-dumpable before a secret arrives. An SDK is imported by the one job that needs it.
"""

import os
import select
import signal
import sys

from credagent.cloud_helper import progress
from credagent.system import process_control

MAX_REQUEST_BYTES = 64 * 1024
# A helper that uses two SDKs at once has 60 MB. The agent's 45 MB and this fit into the unit's MemoryMax: an answer
# without end costs its helper an attempt, and not the agent its life.
MAX_MEMORY_BYTES = 160 * 1024 * 1024


def main() -> int:
    """Serve one request. The exit status says nothing that the reply does not."""
    # Whoever stops a whole group of processes (a batch system, a service manager) stops the agent too, which ends its
    # helpers itself: a helper that ended first would be a failure in its log. Programs that it starts have the default.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    process_control.die_with_parent()
    if _nobody_waits():  # whoever started us ended before the kernel was asked to tell
        return 1
    process_control.make_non_dumpable()
    os.write(1, progress.READY)
    document = sys.stdin.buffer.read(MAX_REQUEST_BYTES + 1)
    answer = _private_answer_pipe()

    from credagent.cloud_helper.helper_protocol import decode_job, encode_reply, is_local

    progress.report_to(answer)
    job = decode_job(document)
    if not is_local(job.request):  # a program of the user's own profile may need more
        process_control.bound_memory(MAX_MEMORY_BYTES)
    # The caller kills at the deadline; should it be dead itself, the kernel's alarm does. The default action of
    # SIGALRM needs no interpreter, so that a name server that hangs in C does not hold it up.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, job.lives_s)

    from credagent.cloud_helper.job_dispatch import run

    reply = encode_reply(run(job))
    with os.fdopen(answer, "wb") as pipe:
        pipe.write(reply)
    os._exit(0)  # a thread that still hangs on the network is not waited for


def _nobody_waits() -> bool:
    """Tell whether the other end of the answer's pipe is closed."""
    poll = select.poll()
    poll.register(1, select.POLLERR)
    return bool(poll.poll(0))


def _private_answer_pipe() -> int:
    """Keep the answer's pipe from the SDKs and from what they start, and give them empty standard streams."""
    answer = os.dup(1)  # not inheritable
    empty = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(empty, standard)
    os.close(empty)
    return answer


if __name__ == "__main__":
    sys.exit(main())
