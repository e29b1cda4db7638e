"""Keeping libraries' notices, about which a user can do nothing, off the terminal."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr


@contextmanager
def silence_stderr() -> Iterator[None]:
    """Nothing that is written to file descriptor 2 meanwhile, as C and C++ do past Python's own streams, is seen."""
    sys.stderr.flush()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def import_tensorflow(steps: Callable[[str], object] | None = None) -> None:
    """Import TensorFlow, which takes seconds, without the notices that it writes past Python's own streams.

    TensorFlow logs to file descriptor 2 before its log level (`TF_CPP_MIN_LOG_LEVEL`) takes effect. An
    import that fails still raises, with its own message. `steps` (as of `lus.common.progress`) is told that it begins.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if steps is not None:
        steps("loading TensorFlow")
    # Python's own stream too, which may be one that draws bars: its loggers keep what they find.
    with silence_stderr(), redirect_stderr(sys.__stderr__):
        import tensorflow  # noqa: F401


@contextmanager
def allow_optuna_experiments() -> Iterator[None]:
    """Optuna does not warn that what is used meanwhile may change with its next version: the locks pin this one."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
