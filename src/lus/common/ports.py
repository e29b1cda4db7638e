"""Ports of this machine: whether a server could listen on one."""

from __future__ import annotations

import socket


def explain_taken(host: str, port: int) -> str:
    """Why an address cannot be listened on, in the system's words; empty where it can.

    Args:
        host: name or number of an interface, IPv4 or IPv6.
        port: TCP.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as taker:
        # As servers do: a connection that ended a moment ago does not count.
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taker.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""
