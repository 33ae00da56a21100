"""A port for a server of a test's own."""

import random
import socket
from contextlib import ExitStack

LOWEST, HIGHEST = 10_000, 30_000
"""Below those that the system gives to whoever connects: one of these may be taken again while the server is down."""


def free_port() -> int:
    """Return a port of this machine that nobody uses, neither for TCP nor for UDP."""
    while True:
        port = random.SystemRandom().randint(LOWEST, HIGHEST)
        with ExitStack() as tried:
            try:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    tried.enter_context(socket.socket(socket.AF_INET, kind)).bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
