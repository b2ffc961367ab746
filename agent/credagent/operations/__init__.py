"""What operators and their programs see of an agent, and how systemd runs it.

observability: the status document, its readiness, metrics, and what a process signs with
doctor: what is wrong with a node, and what to type against it
reference: what every log event, error code and exit status means
systemd: what the daemon tells the service manager, and the sockets that it holds for the daemon
"""
