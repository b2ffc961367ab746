"""The protocol between the daemon and systemd; silent where no service manager listens.

notify: sd_notify(3), from the daemon to the service manager
sockets: sd_listen_fds(3), ports that the service manager holds across restarts
"""
