"""Codes of errors: why there is one, and what to do. `lookup` adds the tables that stand where codes are made.

A test finds every code in the tree and demands it here or in one of those tables, and nothing here that is not made.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Explanation(NamedTuple):
    """Why something is said, and what to do about it, for somebody who meets it for the first time."""

    cause: str
    remedy: str


_DEFECT = "this is a defect of credagent: report it, with the command and `credagent --version`"
_USAGE = "`credagent COMMAND --help` lists what it takes"
_NOTHING = "nothing to do"

ERRORS: Mapping[str, Explanation] = {
    # Commands, and asking the agent.
    "usage": Explanation("the command line is not one that the command takes", _USAGE),
    "unknown-command": Explanation("there is no command of that name", "`credagent` alone lists them"),
    "bad-option": Explanation(
        "an option of `attest` is not known, or has no list of texts", "name one of those listed"
    ),
    "no-agent": Explanation(
        "no agent answers where one was looked for",
        "`systemctl start credagent`, or `credagent run`; or name it: --config",
    ),
    "busy": Explanation("the agent has too much to do for this user, or at all", "try again in a moment"),
    "bad-request": Explanation("what asks speaks another version of the socket's protocol", "update the client"),
    "not-allowed": Explanation(
        "this user may not ask, or not for that", "add the user to [workers] users, or to one of its groups, and reload"
    ),
    "no-push-channel": Explanation(
        "the agent takes no deliveries over its socket", 'add "socket" to bundle.channels of this machine'
    ),
    "no-daemon": Explanation("nothing runs that could take a delivery", "start the agent: `credagent run`"),
    "no-credentials": Explanation("the slot is empty", "`credagent status SLOT` says why"),
    "answer-too-large": Explanation("an answer is larger than its readers take", _DEFECT),
    "internal": Explanation("credagent met something that it does not expect", _DEFECT),
    "agent-ended": Explanation(
        "the agent beside an `exec` was killed before it was ready", "is memory short? see dmesg"
    ),
    "not-taken-over": Explanation("only an agent that an `exec` runs is taken over by another `exec`", _NOTHING),
    "no-process": Explanation("there is no process of that number", "`credagent status` lists those that are supplied"),
    "no-worker": Explanation("the agent supplies no process", "start workers by `credagent exec -- …`"),
    "not-readable": Explanation("this user may not look into that process", "ask as root, or as its user"),
    # Configuration.
    "not-toml": Explanation("a configuration file is not TOML", "mend the line that is named"),
    "unknown-key": Explanation("a key of the configuration is not known", "did you mean the one that is named?"),
    "wrong-type": Explanation("a value of the configuration has another type", "write it as the README's table has it"),
    "wrong-value": Explanation("a value of the configuration is not possible", "choose one of those that are named"),
    "wrong-channel": Explanation(
        "a channel's address cannot be understood", "`credagent check-config` explains channels"
    ),
    "no-senders": Explanation(
        "launched machines would trust nobody", "name `trusted_identities` (`credagent whoami`) or `trusted_senders`"
    ),
    "no-audience": Explanation(
        "a key that several machines hold needs an audience", "set agent.audience on these machines"
    ),
    "no-address": Explanation("none of endpoint.listen exists on this machine", "name 127.0.0.1:9817"),
    "not-loopback": Explanation("an address to listen at is not on loopback", "name 127.0.0.1 or [::1]"),
    "port-taken": Explanation(
        "another process has the port", "`ss -ltnp` shows which; end it, or choose another port in endpoint.listen"
    ),
    "not-bound": Explanation("an address cannot be listened at", "look at the reason that is named"),
    "no-such-user": Explanation("there is no user of that name here", "name one of /etc/passwd"),
    "interception-off": Explanation("interception is not configured", "set workers.intercept = true"),
    "interception-port": Explanation(
        "interception needs a fixed port in both families", 'endpoint.listen = ["127.0.0.1:9817", "[::1]:9817"]'
    ),
    "interception-of-nobody": Explanation(
        "[workers] names no user that could be intercepted", "name users of this machine; root is never redirected"
    ),
    "interception-missing": Explanation(
        "the rule that redirects workers to the agent is not in force",
        "systemctl enable --now credagent-intercept; restart it after a change of [workers]",
    ),
    "callers-unknown": Explanation(
        "the kernel does not say whose connections are whose, so the endpoint refuses everybody",
        "use the environment handover, or run the agent outside this sandbox",
    ),
    "reload-failed": Explanation(
        "the configuration on disk is broken, and the agent goes on with the one before",
        "`credagent check-config`, mend it, then systemctl reload credagent",
    ),
    "bad-address": Explanation(
        "an address of a scheduler cannot be understood", "name tcp://HOST:PORT or tls://HOST:PORT"
    ),
    # Files and folders.
    "file-missing": Explanation("a file that is named is not there", "look at the path, or make it"),
    "file-mode": Explanation(
        "others may write a file that decides whom to trust, or read a key", "chmod go-w FILE; a key: 0600"
    ),
    "file-owner": Explanation(
        "a file that decides whom to trust belongs to another user", "chown it to root, or to the agent's user"
    ),
    "file-not-regular": Explanation("what is named is no ordinary file", "name a file"),
    "file-too-large": Explanation("a file is larger than it may be", "is this the right file?"),
    "file-unreadable": Explanation("a file cannot be read", "look at its mode and its owner"),
    "folder-link": Explanation("a folder of the agent is a symbolic link", "name the folder itself"),
    "folder-mode": Explanation("others may write a folder of the agent", "chmod go-w FOLDER"),
    "folder-not": Explanation("what should be a folder is none", "move it away"),
    "folder-owner": Explanation("a folder of the agent belongs to another user", "remove it, or choose another one"),
    "cannot-remove": Explanation("an old key cannot be removed", "look at the mode of agent.state_dir"),
    "exists": Explanation(
        "the file is there already, and nothing is overwritten", "move it away, or choose another folder"
    ),
    "not-written": Explanation("a file cannot be written", "is the disk full, or mounted read-only?"),
    "state-damaged": Explanation(
        "the state file cannot be understood", "move it away: the next bundle has to be delivered anew"
    ),
    "state-in-use": Explanation("another agent uses that state folder", "end it, or give this one a folder of its own"),
    "already-running": Explanation("another agent runs in that folder", "`credagent status` shows it"),
    "socket-in-use": Explanation(
        "an agent answers on that socket already", "end it, or choose another agent.runtime_dir"
    ),
    "socket-not": Explanation("what lies at the socket's path is no socket", "move it away"),
    "socket-path": Explanation(
        "the path of the socket is too long for the kernel", "choose a shorter agent.runtime_dir"
    ),
    "not-ours": Explanation("a file was not written by credagent, and is left alone", "move it away"),
    # Keys and trust.
    "wrong-key": Explanation("what is named is no key of that kind", "name what `credagent keygen` made"),
    "no-key": Explanation("there is no key that could be used", "`credagent keygen`, or name its file"),
    "no-credential": Explanation(
        "the service manager has passed no such credential", "LoadCredential=NAME:PATH in the unit"
    ),
    "no-trust-file": Explanation("there is no file to add a sender to", "add the key to bundle.trusted_senders"),
    "wrong-recipients": Explanation("an envelope has 1 to 64 different recipients", "make an envelope for each group"),
    "sequence-range": Explanation("this machine's clock is out of range", "set the clock (NTP)"),
    "sequence-locked": Explanation("another sealing holds the number file for long", "end it, and try again"),
    "sequence-unreadable": Explanation(
        "the file with the last bundle's number is damaged", "remove it: the clock gives the next"
    ),
    # Slots.
    "expired": Explanation("the credentials ended before they were renewed", "let the sender deliver a new bundle"),
    "not-after": Explanation("the bundle's own end has come", "let the sender deliver a new bundle"),
    "expired-on-arrival": Explanation(
        "credentials had expired when they came", "is this machine's clock right? timedatectl"
    ),
    "content-refused": Explanation(
        "what a channel holds now is refused, and the slot held nothing before",
        "`credagent status` shows the refused bundle",
    ),
    "not-granted": Explanation("the sender has nothing for the slot at the moment", "let it forward again"),
    "not-opened-yet": Explanation(
        "a key service has yet to open the bundle that was in force", "wait, or see its error in the log"
    ),
    "not-attested-yet": Explanation(
        "a bundle's sender is trusted by identity, and its cloud has yet to be asked",
        "wait, or see its error in the log",
    ),
    "role-not-listed": Explanation(
        "this machine's identity may not assume that role", "list it in [aws] assumable_roles"
    ),
    "account-not-listed": Explanation(
        "this machine's identity may not impersonate that account", "list it in [google] impersonable"
    ),
    "required-slot-empty": Explanation(
        "a slot that the configuration requires is empty", "`credagent status SLOT` says why"
    ),
    "no-bundle": Explanation(
        'bundle.expect is "required", and no bundle is in force', "deliver one: `credagent seal`, then `deliver`"
    ),
    "principal-unknown": Explanation("the cloud did not say whose the credentials are", _NOTHING),
    "duration-shortened": Explanation("the role allows shorter sessions than were asked for", _NOTHING),
    "expiry-far": Explanation(
        "credentials name an end beyond any that the service gives, and are asked for again before", _NOTHING
    ),
    "expiry-unknown": Explanation(
        "nobody knows when the local session ends: 15 minutes are assumed", "say it: --duration"
    ),
    # The helper process.
    "timed-out": Explanation("a cloud did not answer in time", "look at network, name servers and HTTPS_PROXY"),
    "helper-slow": Explanation(
        "the helper did not begin in time: this machine is very busy", "give the agent more processor"
    ),
    "helper-crashed": Explanation(
        "the helper process ended without an answer", "is memory short? see dmesg; else report it"
    ),
    "helper-not-started": Explanation("no process can be started", "look at the limits of processes and memory"),
    "helper-answer": Explanation("the helper answered something else", _DEFECT),
    "nothing-to-fetch": Explanation("a grant that carries its credentials was asked for", _DEFECT),
    "request-too-large": Explanation("a question to the helper is too large", "seal fewer variables"),
    # Sealing and forwarding.
    "env-file": Explanation("a file of variables has a line that is none", "write NAME=VALUE a line"),
    "env-name": Explanation("that is no name of a variable", "use letters, digits and underscores"),
    "env-not-utf8": Explanation("a variable's value is not UTF-8", "leave it out, or encode it in base64"),
    "env-unset": Explanation("the environment has no such variable", "export it first, so that it is not in argv"),
    "env-value": Explanation(
        "a value stands on the command line, where others can read it", "export it, and name it: --env NAME"
    ),
    "variable-too-large": Explanation(
        "a variable is larger than an agent takes", "at most 32 KiB, all together 96 KiB"
    ),
    "variable-taken": Explanation("a variable is one that credagent sets", "leave it out"),
    "variable-secret": Explanation("a secret would stand in user data in clear", "forward it: --env NAME"),
    "variable-unfit": Explanation("a variable does not survive user data", "leave it out"),
    "value-unfit": Explanation(
        "a value does not survive every batch system's quoting", "put it into a file on the nodes"
    ),
    "several-roles": Explanation("one role is assumed at a time", "name --assume-role once"),
    "not-a-target": Explanation("nothing can be delivered there", "`credagent deliver --help` lists targets"),
    "not-a-cluster": Explanation(
        "that is neither a Dask client nor a cluster", "pass a Client, a cluster or an address"
    ),
    "no-cluster": Explanation(
        "the gateway has no scheduler for that cluster: it has ended, or the gateway is just coming back",
        "if Gateway().list_clusters() does not list it, start another cluster and forward to that",
    ),
    "no-tls": Explanation("an address says tls:// and no certificates are known", "name --tls-ca-file, or security="),
    "no-ca": Explanation("no authority says whose certificates are good", "name --tls-ca-file"),
    "tls-files": Explanation("a file of certificates cannot be read", "look at --tls-ca-file, --tls-cert, --tls-key"),
    "no-trust": Explanation(
        "nothing vouches for the keys that machines announce", "choose one of --recipient, tls://, --trust"
    ),
    "trust-twice": Explanation("keys were named, and a way to trust others", "leave one of the two out"),
    "trust-for-all": Explanation("a way to trust would hold for all clusters", "name the cluster: --scheduler ADDRESS"),
    "pin-needed": Explanation(
        "a credential that outlives the session goes to keys that you name only", "add --recipient"
    ),
    "bad-audience": Explanation("a machine names an audience that cannot be one", "set agent.audience there"),
    "other-audience": Explanation(
        "a machine's audience is another", "seal with its audience, or set agent.audience there"
    ),
    "attestation-pending": Explanation("a machine's attestation is being made", "ask again in a moment"),
    "not-attested": Explanation(
        "a machine's cloud has not vouched for its key yet", "wait, or see the agent's log there"
    ),
    "no-cloud": Explanation("a machine is on no cloud that could vouch for it", "name its key: --recipient"),
    "agent-too-old": Explanation("a machine's agent knows no attestation", "update credagent there, or name its key"),
    "key-changed": Explanation("a machine's key changed since forwarding began", "if you replaced it, forward again"),
    "joined-later": Explanation(
        "a machine joined after forwarding began, and trust was for those of that moment",
        "forward again, or name a cluster key",
    ),
    "connection-lost": Explanation("the scheduler's connection ended", "nothing to do: it is made anew"),
    "silent": Explanation("the scheduler does not answer", "does it hang? nothing else to do: it is tried again"),
    "not-dask": Explanation("what answers there is no Dask scheduler", "look at the address"),
    "preload-taken": Explanation(
        "Dask's client preload is somebody else's already", "move its entries, or forward by hand"
    ),
    # exec.
    "not-root": Explanation("only root may become another user", "run it as root, or leave --user out"),
    "unknown-user": Explanation("there is no user of that name here", "name one of /etc/passwd"),
    "on-renewal": Explanation("--on-renewal knows none, signal:SIG and restart", "choose one"),
    "unknown-signal": Explanation("there is no signal of that name", "`kill -l` lists them"),
    "not-executable": Explanation("the program cannot be executed", "chmod +x, or look at its first line"),
    "stdin-unfinished": Explanation("the bundle on standard input is not whole", "write the one line, and close it"),
    "stdin-unreadable": Explanation("standard input cannot be read", "redirect it from a file"),
    # Answers over HTTP.
    "withdrawn": Explanation("the slot's credentials were taken back", "ask its sender"),
    "long-term": Explanation(
        "the slot holds a key without an end, which an endpoint cannot serve", "use the environment handover"
    ),
    "wrong-ttl": Explanation("a session token was asked for with an impossible life", "1 to 21600 seconds"),
    "not-for-workers": Explanation("that part of instance metadata is not served to workers", _NOTHING),
    "not-intercepted": Explanation(
        "a connection was redirected here that was not meant for metadata", "look at the nftables rules"
    ),
    "too-many-connections": Explanation("the listener has no room for one more", "close idle connections"),
    "too-slow": Explanation("a request did not arrive in time", "ask again"),
    "forwarded": Explanation("a request came through a proxy", "set NO_PROXY for 127.0.0.1 and ::1"),
    "wrong-host": Explanation(
        "a request names another host than the endpoint's", "use the address of the variables as it is"
    ),
    "method": Explanation("that method is not answered", "use GET"),
    "wrong-token": Explanation(
        "the endpoint's token is missing or another", "restart the worker: its environment is old"
    ),
    "no-session-token": Explanation("a metadata request has no session token", "use a client that knows IMDSv2"),
    "wrong-session-token": Explanation("a session token is old or another user's", "ask for a new one"),
    "no-metadata-flavor": Explanation("a request lacks the header Metadata-Flavor: Google", "use Google's libraries"),
}
