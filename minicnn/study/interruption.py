"""What ends a study from outside: Ctrl-C, and the signals by which other programs end a process."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP
ALL = [signal.SIGINT, *ENDING]


@contextlib.contextmanager
def orderly() -> Iterator[None]:
    """Let SIGTERM and SIGHUP interrupt what is inside as Ctrl-C does, and raise SystemExit afterwards.

    By default they end a process before it can end its workers and give back the semaphores that it shares with them;
    Python does the latter when it exits. A signal that the program handles or ignores itself, as under nohup, is left
    alone, and so are all outside the main thread, where Python cannot handle any. The second signal ends the process
    at once.
    """
    received: list[int] = []

    def interrupt(number: int, frame: Any) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    handled = [number for number in ENDING if main and signal.getsignal(number) == signal.SIG_DFL]
    for number in handled:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)
        if received:
            raise SystemExit(128 + received[0])  # the status that shells give a process that a signal has ended


def ignored() -> None:
    """Leave signals to the parent: those of a terminal or of `timeout` reach all processes of a group."""
    for number in ALL:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def later() -> Iterator[None]:
    """Start processes that no signal reaches, not even before `ignored`; in this one it arrives afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ALL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
