"""Interrupt kernels, training steps and evaluations at random moments, thousands of times: what is broken after it?

    python tests/stress_interrupts.py --interrupts 5000 --by timer      # or: --by process, which sends SIGINT

A child process works and is interrupted; after each interruption it checks one result to the last byte, and that all
threads take part. A child that is silent for `--patience` seconds counts as a hang and is killed. Prints the counts as
JSON. tests/test_interrupts.py runs a few hundred.
"""

import argparse
import gc
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time

import numpy as np

LONGEST = 0.002
"""Seconds until an interruption at most: a few kernel calls, about one training step."""


def jobs():
    """Functions without arguments whose results are the same each time."""
    from minicnn import data, optim, train
    from minicnn.geometry import Geometry
    from minicnn.kernels import compiled
    from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D, ReLU, Sequential

    rng = np.random.default_rng(0)
    how = Geometry((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), (9, 9)), 1
    x, kernel, bias = rng.standard_normal((16, 9, 9, 4)), rng.standard_normal((3, 3, 4, 8)), rng.standard_normal(8)
    g = rng.standard_normal((16, 9, 9, 8))
    net = Sequential([Conv2D(8, 3, padding="same"), ReLU(), MaxPooling2D(2), Flatten(), Dense(10)])
    images, labels = rng.random((32, 8, 8, 1), np.float32), rng.integers(0, 10, 32)
    params, optimizer = net.init(rng, (8, 8, 1)), optim.SGD(0.1, momentum=0.9)
    state = optimizer.init(params)

    def step():
        return train.train_step(net, optimizer, params, state, images, labels, rng=np.random.default_rng(0))

    return {
        "conv2d": lambda: compiled.conv2d(x, kernel, bias, *how),
        "conv2d_weight_grads": lambda: compiled.conv2d_weight_grads(g, x, kernel.shape, *how),
        "train_step": step,
        "evaluate": lambda: train.evaluate(net, params, data.Split(images, labels)),
    }


def content(result):
    """The bytes of all that a job returns."""
    if isinstance(result, dict):
        return {name: content(part) for name, part in result.items()}
    if isinstance(result, (tuple, list)):
        return [content(part) for part in result]
    return result.tobytes() if isinstance(result, np.ndarray) else repr(result)


class Interrupts:
    """Raises KeyboardInterrupt at a random moment inside a call, once or a few times in close sequence."""

    def __init__(self, by, rng):
        self.rng, self.left, self.count = rng, 0, 0
        self.helper = None
        if by == "process":
            self.helper = subprocess.Popen(
                [sys.executable, __file__, "--send", str(os.getpid())], stdin=subprocess.PIPE
            )
        signal.signal(signal.SIGALRM, self.handle)
        signal.signal(signal.SIGINT, self.handle)

    def handle(self, number, frame):
        while frame is not None and frame.f_code is not Interrupts.work.__code__:
            frame = frame.f_back
        if frame is None:  # between two calls: a little later
            signal.setitimer(signal.ITIMER_REAL, 1e-5)
            return
        self.left, self.count = self.left - 1, self.count + 1
        if self.left:
            signal.setitimer(signal.ITIMER_REAL, self.rng.random() * 3e-5 + 1e-6)
        raise KeyboardInterrupt

    def work(self, job):
        while True:
            job()

    def hit(self, job):
        """Interrupt `job` and return the exception, which still refers to all frames."""
        self.left = int(self.rng.choice([1, 1, 1, 2, 3]))
        delay = self.rng.random() * LONGEST
        if self.helper:
            self.helper.stdin.write(f"{delay}\n".encode())
            self.helper.stdin.flush()
        else:
            signal.setitimer(signal.ITIMER_REAL, delay + 1e-6)
        last = None
        while self.left:
            try:
                self.work(job)
            except KeyboardInterrupt as error:
                last = error
        return last


def send(process):
    """Send SIGINT after each delay that comes in."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        time.sleep(float(line))
        os.kill(process, signal.SIGINT)


def take_part():
    """How many threads share a call."""
    from minicnn.kernels import cores

    def part(first, last):
        time.sleep(0.0005)
        return threading.get_ident()

    return len(set(cores.in_parallel(part, 8, 10**9)))


def threads():
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else threading.active_count()


def child(interrupts, by, seed):
    rng = np.random.default_rng(seed)
    todo = jobs()
    expected = {name: content(job()) for name, job in todo.items()}
    sharing, before, most = take_part(), threads(), 0
    source = Interrupts(by, rng)
    last = None
    while source.count < interrupts:
        last = source.hit(todo[rng.choice(list(todo))])  # the newest traceback stays alive, as at a prompt
        name = rng.choice(list(todo))
        right = content(todo[name]()) == expected[name]
        all_share = take_part() == sharing
        most = max(most, threads() - before)
        print(source.count, int(right), int(all_share), most, flush=True)
        if not all_share:
            os._exit(3)
    del last
    gc.collect()  # tracebacks and frames refer to each other
    end = time.monotonic() + 10
    while threads() > before and time.monotonic() < end:
        time.sleep(0.01)
    print(source.count, 1, 1, most, threads() - before, flush=True)
    os._exit(0)


def run(interrupts, by, seed, patience):
    """Start children until there have been as many interrupts, and count what went wrong."""
    found = {"interrupts": 0, "hangs": 0, "wrong": 0, "stuck": 0, "crashes": 0, "most_threads": 0, "threads_left": 0}
    while found["interrupts"] < interrupts:
        left = interrupts - found["interrupts"]
        command = [sys.executable, __file__, "--child", "--interrupts", str(left), "--by", by, "--seed", str(seed)]
        seed += 1
        with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "MINICNN_THREADS": "2"}) as process:
            count = follow(process, found, patience)
        found["interrupts"] += count
        if not count:
            break
    return found


def follow(process, found, patience):
    """Read a child's lines; return how many interrupts it has had."""
    count, text, end = 0, b"", 300.0  # the first line takes longest: kernels are compiled
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(end):
                found["hangs"] += 1
                process.kill()
                return count
            part = os.read(process.stdout.fileno(), 65536)
            if not part:
                code = process.wait()
                found["stuck"] += code == 3
                found["crashes"] += code not in (0, 3)
                return count
            *lines, text = (text + part).split(b"\n")
            for line in lines:
                count, right, _, most, *left = map(int, line.split())
                found["wrong"] += not right
                found["most_threads"] = max(found["most_threads"], most)
                found["threads_left"] += sum(left)
            end = patience


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interrupts", type=int, default=5000)
    parser.add_argument("--by", choices=["timer", "process"], default="timer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patience", type=float, default=20)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--send", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        send(options.send)
    elif options.child:
        child(options.interrupts, options.by, options.seed)
    else:
        print(json.dumps(run(options.interrupts, options.by, options.seed, options.patience)))
