"""What operators and their programs see of an agent, and how systemd runs it.

observability: the status document, its readiness, metrics, and the checks of `doctor`
systemd: what the daemon tells the service manager, and the sockets that it holds for the daemon
"""
