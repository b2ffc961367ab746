"""The nftables ruleset of interception as text, and the address at which it can be probed. Pure; it loads nothing.

See nft(8), and ADR-01-interception.md for why each line is as it is.
"""

import hashlib
from collections.abc import Iterable

from msgspec import Struct

from credagent.handover.interception.original_destination import METADATA_IPV4, METADATA_IPV6, METADATA_PORT

TABLE = "inet credagent_intercept"
ROOT = 0
SERVICE_PORTS = (METADATA_PORT, 443, 8080)  # 443 (with TLS) and 8080 are Google's
_TO_IPV4 = f"ip daddr {METADATA_IPV4}"
_TO_IPV6 = f"ip6 daddr {{ {', '.join(METADATA_IPV6)} }}"


class Ruleset(Struct, frozen=True, kw_only=True):
    """Whose connections to the metadata addresses are redirected, and to which loopback ports.

    `groups` count where they are a process's primary group. `subordinate_users` are ranges, first to last, of uids that
    these users can become in user namespaces of theirs. `agent` is the uid of the agent itself. `rejects_others`:
    everybody else, and what is forwarded for containers, is refused there.
    """

    agent: int
    users: frozenset[int]
    subordinate_users: tuple[tuple[int, int], ...] = ()
    groups: frozenset[int]
    port: int
    port_ipv6: int
    rejects_others: bool = False

    @property
    def redirected_users(self) -> frozenset[int]:
        """Users without root, which administers the machine, and the agent, which asks the real service."""
        return self.users - {ROOT, self.agent}


def as_text(ruleset: Ruleset) -> str:
    """Return what `nft -f` loads in one step, in place of what was loaded before.

    Port 53 of the same address is Google's name server, and is not touched. Ports at which the service answers beside
    80 are refused.
    """
    probe, probe_port = probe_address(ruleset)
    users, groups = ruleset.redirected_users, ruleset.groups
    who = [f"meta skuid {_set(users, ruleset.subordinate_users)}"] if users else []
    who += [f"meta skgid {_set(groups)}"] if groups else []
    to_ports = ((_TO_IPV4, ruleset.port), (_TO_IPV6, ruleset.port_ipv6))
    exempt = f"meta skuid {_set({ROOT, ruleset.agent})}"
    rest = [""] if ruleset.rejects_others else [f"{one} " for one in who]
    other_ports = f"tcp dport {_set(SERVICE_PORTS)} reject with tcp reset"
    rejected = [f"{one}{to} {other_ports}" for one in rest for to in (_TO_IPV4, _TO_IPV6)]
    chains = [
        _chain(
            "output",
            "type nat hook output priority -100; policy accept;",
            "# A loopback address that nobody uses: there the agent asks whether exactly this ruleset is loaded.",
            f"ip daddr {probe} tcp dport {probe_port} redirect to :{ruleset.port}",
            "# Root, and the agent's own user, reach the real service.",
            f"{exempt} return",
            "# Workers reach the agent.",
            *(f"{one} {to} tcp dport {METADATA_PORT} redirect to :{port}" for one in who for to, port in to_ports),
        ),
        _chain(
            "rest",
            "type filter hook output priority 0; policy accept;",
            f"{exempt} return",
            "# What still goes there was not redirected: other ports, connections older than these rules, other users.",
            *rejected,
        ),
    ]
    if ruleset.rejects_others:
        forwarded = "# Containers on a bridge: a forwarded packet has no user, so that all of them are refused."
        policy = "type filter hook forward priority 0; policy accept;"
        chains.append(_chain("forwarded", policy, forwarded, *rejected))
    return f"table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n" + "".join(chains) + "}\n"


def _chain(name: str, *lines: str) -> str:
    return f"\tchain {name} {{\n" + "".join(f"\t\t{line}\n" for line in lines) + "\t}\n"


def probe_address(ruleset: Ruleset) -> tuple[str, int]:
    """Return an address of 127.128.0.0/9 that stands for exactly this ruleset.

    A ruleset of another configuration redirects another address, so that a stale one is found as a missing one is.
    """
    users, groups, ports = sorted(ruleset.users), sorted(ruleset.groups), (ruleset.port, ruleset.port_ipv6)
    meant = f"{ruleset.agent} {users} {ruleset.subordinate_users} {groups} {ports} {ruleset.rejects_others}"
    first, second, third = hashlib.sha256(meant.encode()).digest()[:3]
    return f"127.{first | 0x80}.{second}.{third}", METADATA_PORT


def _set(numbers: Iterable[int], ranges: Iterable[tuple[int, int]] = ()) -> str:
    """Return a set of nft's; it refuses numbers and ranges that overlap, so that these are joined."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted([*((number, number) for number in numbers), *ranges]):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return "{ " + ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in joined) + " }"
