"""The one kind of error that a user is meant to read."""

from __future__ import annotations


class BadInput(Exception):
    """Something given from outside is not usable.

    The message is one sentence that names what was found, what was expected and what to do. The command
    line prints it alone and exits with status 2; the service answers it with a 4xx.
    """
