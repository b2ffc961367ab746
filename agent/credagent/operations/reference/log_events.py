"""Events in the log: what has happened, and what to do. A test finds every event in the tree and demands it here."""

from collections.abc import Mapping

from credagent.operations.reference.error_codes import Explanation

_NOTHING = "nothing to do"
_DEFECT = "this is a defect of credagent: report it, with the lines around it"

EVENTS: Mapping[str, Explanation] = {
    "agent_started": Explanation("the agent runs; slots are being tried", _NOTHING),
    "agent_stopped": Explanation("the agent was told to stop, and has", _NOTHING),
    "start_failed": Explanation(
        "the agent cannot start, and answers 503 until it can",
        "`credagent explain` with the line's `code`; it tries again",
    ),
    "state_changed": Explanation("ready, degraded or unavailable begins", "where it is not ready: `credagent status`"),
    "configuration_reloaded": Explanation("a reload is in force; keys in `after_restart` wait for a restart", _NOTHING),
    "reload_failed": Explanation(
        "the configuration on disk is broken, and the one before stays",
        "`credagent check-config`, mend it, reload again",
    ),
    "service_links_left_aside": Explanation(
        "variables that Kubernetes writes for a Service called credagent were ignored", "enableServiceLinks: false"
    ),
    "users_or_groups_missing": Explanation("[workers] names users or groups that this machine does not have", _NOTHING),
    "not_settled": Explanation(
        "the time of agent.settle is over, and not every slot was tried", "`credagent status SLOT`"
    ),
    "bundle_admitted": Explanation("a bundle is in force", _NOTHING),
    "bundle_refused": Explanation("a bundle is not used", "`credagent explain` with the line's `code`"),
    "bundle_in_force_withheld": Explanation(
        "the bundle that was in force is not used any more", "`credagent explain` with the line's `code`"
    ),
    "earlier_bundle_withheld": Explanation(
        "the bundle behind an unavailable slot is not used any more", "let its sender deliver a new one"
    ),
    "sender_in_force_changed": Explanation(
        "another trusted sender's bundle is newer, and in force now", "are both meant?"
    ),
    "withdrawal_not_kept": Explanation(
        "a withdrawal is in force and could not be saved: a restart now would forget it", "make room in agent.state_dir"
    ),
    "credentials_replaced": Explanation("workers have a new generation", _NOTHING),
    "origin_changed": Explanation(
        "a slot's credentials come from somewhere else now", "`credagent status SLOT` says why"
    ),
    "credentials_lost": Explanation(
        "a slot does not hold what was meant for it", "`credagent status SLOT`; follow the hint"
    ),
    "credentials_noted": Explanation(
        "credentials were obtained, and something about them is worth knowing", "read `why`"
    ),
    "renewal_failed": Explanation(
        "an attempt failed; what is held stays valid, and it is tried again", "`credagent explain CODE`"
    ),
    "session_not_renewed": Explanation(
        "half, three quarters or nine tenths of a session's life are over, and its sender has sent no other",
        "is the sender's machine asleep, or its login over? forward again",
    ),
    "clock_is_wrong": Explanation("this machine's clock is not the cloud's", "set it: chrony, or systemd-timesyncd"),
    "handover_not_written": Explanation(
        "worker.env or the generation cannot be written", "make room in agent.runtime_dir"
    ),
    "variables_left_out_of_env_file": Explanation(
        "worker.env cannot carry these variables", "start workers by `credagent exec`, which can"
    ),
    "former_env_file_stays": Explanation(
        "worker.env has another place now, and the old one cannot be removed", "remove it"
    ),
    "token_not_readable_by_workers": Explanation(
        "workers cannot read the endpoint's token", "look at [workers] groups"
    ),
    "address_missing": Explanation("one of endpoint.listen does not exist here (no IPv6?)", _NOTHING),
    "callers_unknown": Explanation(
        "the kernel does not say whose connections are whose", "leave the sandbox, or use environment"
    ),
    "caller_unknown": Explanation("one connection's user could not be told", _NOTHING),
    "caller_refused": Explanation("a user who may not ask did", "if workers run as that user: [workers] users"),
    "answer_failed": Explanation("an answer over HTTP failed", _DEFECT),
    "request_failed": Explanation("an answer on the socket failed", _DEFECT),
    "callback_failed": Explanation("something failed that nobody waited for", _DEFECT),
    "out_of_descriptors": Explanation("the agent has no file descriptor left", "raise LimitNOFILE="),
    "interception_in_place": Explanation("workers' metadata requests come to the agent", _NOTHING),
    "interception_off": Explanation("interception is not configured, and no rule is in force", _NOTHING),
    "interception_not_in_place": Explanation(
        "workers' metadata requests do not come to the agent", "systemctl enable --now credagent-intercept"
    ),
    "channel_absent": Explanation("a channel holds no bundle for this machine", _NOTHING),
    "channel_unreadable": Explanation("a channel could not be read; it is tried again", "`credagent explain CODE`"),
    "channel_read_again": Explanation("a channel can be read again", _NOTHING),
    "channel_failed": Explanation("following a channel failed; it is begun again", _DEFECT),
    "file_not_watched": Explanation(
        "the kernel does not watch a file's folder; it is looked at now and then", "raise fs.inotify limits"
    ),
    "folders_lost": Explanation("a folder of the agent is gone or closed", "who removed it? the agent makes it anew"),
    "folders_restored": Explanation("folders that were gone are back, with what was in them", _NOTHING),
    "socket_bound_again": Explanation("agent.sock was gone, and is there again", "who removes it?"),
    "attestation_made": Explanation("the cloud has vouched for this machine's key", _NOTHING),
    "attestation_failed": Explanation("the cloud does not vouch for this machine's key", "`credagent explain CODE`"),
    "sender_attested": Explanation("the cloud has vouched for a sender that is trusted by identity", _NOTHING),
    "machine_key_made": Explanation("this machine has a key", "`credagent public-key`: give it to senders"),
    "machine_key_replaced": Explanation(
        "the key was another machine's (a cloned disk), and this one has a new one", "give the new one to senders"
    ),
    "machine_key_restored": Explanation("the key file was gone or damaged, and was written again", "who removed it?"),
    "machine_id_missing": Explanation("this machine has no id; its key is kept", "systemd-machine-id-setup"),
    "previous_machine_key_removed": Explanation("a key of an earlier rotation is no longer needed", _NOTHING),
    "service_manager_unreachable": Explanation("systemd could not be told", "look at NOTIFY_SOCKET"),
    "daemon_runs": Explanation("an agent runs here, and a single resolution writes nothing", _NOTHING),
    # exec.
    "agent_of_another_found": Explanation("an `exec` of the same user runs an agent, and this one uses it", _NOTHING),
    "agent_of_another_ended": Explanation(
        "the `exec` that ran the agent ended, and this one goes on with it", _NOTHING
    ),
    "agent_connection_lost": Explanation("the agent does not answer at the moment", _NOTHING),
    "agent_ended": Explanation("the agent beside the program ended", "read the lines before; the program goes on"),
    "stand_by_began": Explanation("another `exec` will go on with this agent when this one ends", _NOTHING),
    "waits_for_agent": Explanation("the program waits for an agent that restarts", _NOTHING),
    "started_without_agent": Explanation(
        "no agent answered in time, and the program was started", "`credagent doctor`"
    ),
    "started_before_settled": Explanation(
        "not every slot was tried in time, and the program was started", "`credagent status`"
    ),
    "tasks_share_uid": Explanation(
        "agent and program are one user, which can read the keys", "run as root with --user"
    ),
    "program_killed": Explanation("the program did not end in time, and was killed", "give it more time to end"),
    "program_restarted": Explanation("the program was started again with renewed credentials", _NOTHING),
    "restart_planned": Explanation("the program will be started again with renewed credentials", _NOTHING),
    "renewal_signalled": Explanation("the program was told of a renewal by a signal", _NOTHING),
}
