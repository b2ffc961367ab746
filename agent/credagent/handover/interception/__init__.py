"""Interception: connections of worker users to the clouds' metadata addresses are answered by the agent instead.

A rule of the kernel redirects them to the loopback listener (`systemd/credagent-intercept.service` loads it as root);
the agent itself has no capability. What the listener answers is in `http/`. See ADR-01-interception.md.

- `configured_ruleset`: the ruleset that a configuration means on this machine
- `nftables_rules`: a ruleset as text, and the address at which it can be probed
- `original_destination`: where a redirected connection wanted to go
- `rule_probe`: whether a ruleset is loaded, as far as one can tell without a capability
"""
