"""Orderly ends of a study: after Ctrl-C, and after the signals by which other programs end a process."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from minicnn.optional import need

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP
ALL = [signal.SIGINT, *ENDING]


@contextlib.contextmanager
def signals_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP interrupt what is inside as Ctrl-C does, and raise SystemExit afterwards.

    By default they end a process before it can end its workers and release the semaphores that it shares with them;
    Python does the latter when it exits. A signal that the program handles or ignores itself, as under nohup, is left
    alone. Outside the main thread all signals are left alone, because Python cannot handle any there. After the first
    of these signals the next one ends the process at once. An error of what is inside is raised as it is.
    """
    received: list[int] = []
    main = threading.current_thread() is threading.main_thread()
    handled = [number for number in ENDING if main and signal.getsignal(number) == signal.SIG_DFL]

    def interrupt(number: int, frame: Any) -> None:
        received.append(number)
        _handle(handled, signal.SIG_DFL)
        raise KeyboardInterrupt

    try:
        try:
            _handle(handled, interrupt)
            yield
        finally:
            _handle(handled, signal.SIG_DFL)
    except KeyboardInterrupt:
        if not received:
            raise
    if received:
        raise SystemExit(128 + received[0])  # the status that shells give a process that a signal has ended


def ignore_signals() -> None:
    """Leave signals to the parent: those of a terminal or of `timeout` reach all processes of a group."""
    _handle(ALL, signal.SIG_IGN)


def _handle(numbers: Iterable[int], how: Any) -> None:
    for number in numbers:
        signal.signal(number, how)


@contextlib.contextmanager
def signals_blocked() -> Iterator[None]:
    """Start processes with all these signals blocked, so that none ends a worker before `ignore_signals` runs there.

    In this process they are blocked for the calling thread alone. The system may give a signal of the whole process to
    another thread; Python then handles it in the main thread, as it does all signals.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # Starting one of these processes unblocks SIGINT and SIGTERM, so it must not happen below.
    for name in ("multiprocessing", "joblib.externals.loky.backend"):
        need(f"{name}.resource_tracker").ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ALL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
