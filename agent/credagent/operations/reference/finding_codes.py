"""Codes of `doctor`'s findings that are no error's: what each means, and what to do.

`doctor` itself says more: it fills in the process, the user, the file and the instance that it has seen.
"""

from collections.abc import Mapping

from credagent.operations.reference.error_codes import Explanation

_WORKERS_START = "where workers start, and restart them"

FINDINGS: Mapping[str, Explanation] = {
    "configuration-broken": Explanation(
        "the configuration cannot be read; an agent that runs goes on, and could not start again",
        "`credagent check-config`",
    ),
    "configuration-not-loaded": Explanation(
        "the configuration is newer than what the agent has read", "`systemctl reload credagent`"
    ),
    "restart-needed": Explanation(
        "keys of the configuration were changed that are read at a start", "`systemctl restart credagent`"
    ),
    "no-sender-trusted": Explanation("a bundle is required, and no sender is trusted", "`credagent trust PUB`"),
    "agent-hangs": Explanation("the agent listens and does not answer", "`systemctl restart credagent`"),
    "agent-stopped": Explanation("the agent was stopped by a signal", "`kill -CONT PID`"),
    "two-agents": Explanation("a second agent answers where workers look first", "`kill PID`, or set CREDAGENT_SOCKET"),
    "unit-masked": Explanation("systemd refuses to start the unit", "`systemctl unmask credagent.service`"),
    "unit-not-enabled": Explanation("after the next boot there is no agent", "`systemctl enable --now credagent`"),
    "start-failed": Explanation("the agent is there, and could not start", "follow the hint; it tries again by itself"),
    "folder-on-disk": Explanation("credentials in clear lie on a disk", "put agent.runtime_dir on a tmpfs"),
    "folder-full": Explanation("nothing can be written there any more", "`du -xah FOLDER | sort -h | tail`"),
    "wrong-owner": Explanation("a file or folder is not the agent's", "`chown credagent FILE`"),
    "env-file-missing": Explanation(
        "worker.env is not there: units that read it start without credentials", "`journalctl -u credagent -p warning`"
    ),
    "inotify-exhausted": Explanation(
        "no inotify instance is left: bundles are seen by looking", "`sysctl fs.inotify.max_user_instances=1024`"
    ),
    "clock-ahead": Explanation(
        "this clock is ahead of the cloud's: sessions look expired", "`timedatectl set-ntp true`"
    ),
    "clock-behind": Explanation(
        "this clock is behind the cloud's: bundles seem to come from the future", "`timedatectl set-ntp true`"
    ),
    "bundle-missing": Explanation("a bundle is required, and none is in force", "`credagent forward` at the sender"),
    "region-missing": Explanation("workers get AWS credentials and no region", "set aws.region"),
    "session-ending": Explanation(
        "more than half of a session's life is over, and its sender has sent no other",
        "`credagent forward` again: is the laptop asleep, or its login over?",
    ),
    "worker-without-preload": Explanation(
        "a Dask process takes nothing from the agent", "start it by `credagent exec -- dask worker …`"
    ),
    "worker-stopped": Explanation("a Dask process was stopped by a signal", "`kill -CONT PID`"),
    "worker-behind": Explanation(
        "a process has not applied the newest generation: a task holds Python's GIL", "`py-spy dump --pid PID`"
    ),
    "variable-shadows": Explanation(
        "a variable stands before what the agent hands over", f"`unset NAME` {_WORKERS_START}"
    ),
    "file-shadows": Explanation("a file at home stands before what the agent hands over", "move it away"),
    "proxy-catches-loopback": Explanation(
        "a proxy gets what is meant for the agent", f"`export NO_PROXY=localhost,127.0.0.1` {_WORKERS_START}"
    ),
    "botocore-old": Explanation(
        "botocore does not heed AWS_EC2_METADATA_DISABLED", f"`pip install --upgrade boto3` {_WORKERS_START}"
    ),
    "worker-module-version": Explanation(
        "credagent_worker in a process is not of the agent's version",
        f"`export PYTHONPATH=$(credagent worker-path)` {_WORKERS_START}",
    ),
    "caller-refused": Explanation("a user asked who may not", "`usermod -aG dask USER`, if its tasks should"),
    "caller-nobody": Explanation(
        "a caller of another user namespace was refused: nobody can tell who it is", "run an agent in that container"
    ),
    "container-reaches-metadata": Explanation(
        "processes of a container have the machine's own role",
        "`aws ec2 modify-instance-metadata-options --instance-id ID --http-put-response-hop-limit 1`",
    ),
    "no-plugin": Explanation("nobody forwards to that process of a cluster", "`credagent forward --scheduler ADDRESS`"),
    "agent-troubled": Explanation("the agent of that machine is degraded or unavailable", "`credagent doctor` there"),
    "another-sender": Explanation(
        "the bundle in force on that machine is another sender's", "`credagent forward`, if yours should win"
    ),
    "forwarder-ended": Explanation(
        "the forwarder has ended, and nobody renews what it brought", "`credagent forward --scheduler ADDRESS`"
    ),
}
