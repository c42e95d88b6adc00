"""Calls in processes of their own: what crashes or hangs one is a line in a table, and no more.

`python isolated.py MODULE [--skip N --every N] [--timeout SECONDS]` imports MODULE, which has a
function `rows` that returns (name, check) pairs, and runs every check in a fork of its own: the
interpreter is started once. A check returns None, or what is wrong. Printed is one line of JSON for
each row that is not right, and the counts at last. Nothing computes before the forks: a child of a
process that has would compute on one thread.
"""

import argparse
import collections
import importlib
import itertools
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).parent
OUTCOMES = ("right", "crash", "hang", "wrong")
BESIDE_EACH_OTHER = 3
MOST_MEMORY = 1 << 30  # bytes that a row may take beside what the process has


def run(module, timeout, skip=0, every=1, row_timeout=20, environment=None):
    """Return the counts of outcomes, and the rows that are not right, of a module's rows."""
    command = [sys.executable, "-X", "faulthandler", __file__, module]
    command += ["--skip", str(skip), "--every", str(every), "--timeout", str(row_timeout)]
    process = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    if process.returncode:
        raise RuntimeError(process.stderr[-2000:])
    *bad, counts = map(json.loads, process.stdout.splitlines())
    return counts, bad


class Child:
    """A row's process, and the pipe on which it tells what came of it."""

    def __init__(self, name, check, timeout):
        self.name, self.until = name, time.monotonic() + timeout
        self.end, writing = os.pipe()
        self.process = os.fork()
        if not self.process:
            os.close(self.end)
            _be_the_child(check, writing)
        os.close(writing)

    def outcome(self):
        """Wait for the end of the process, and return the outcome and the text."""
        said = b""
        while True:
            left = self.until - time.monotonic()
            if left <= 0 or not select.select([self.end], [], [], left)[0]:
                os.kill(self.process, signal.SIGKILL)
                os.waitpid(self.process, 0)
                os.close(self.end)
                return "hang", ""
            if not (part := os.read(self.end, 1 << 16)):
                break
            said += part
        os.close(self.end)
        status = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        text = said.decode(errors="replace")
        if status:
            return "crash", f"exit code {status} {text}"
        return ("right", "") if text == "right" else ("wrong", text)


def _be_the_child(check, writing):
    limit_memory()
    try:
        text = check() or "right"
    except BaseException:
        text = "the check itself: " + traceback.format_exc()[-1500:]
    os.write(writing, text[:4000].encode())
    os._exit(0)


def limit_memory(more=MOST_MEMORY):
    """Let the address space grow by `more` bytes alone, if this system can say how large it is."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, most))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("module")
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=20)
    options = parser.parse_args()
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    rows = list(importlib.import_module(options.module).rows())
    counts = collections.Counter(dict.fromkeys(OUTCOMES, 0))
    started = collections.deque()
    rows = iter(rows[options.skip :: options.every])
    while True:
        for name, check in itertools.islice(rows, BESIDE_EACH_OTHER - len(started)):
            started.append(Child(name, check, options.timeout))
        if not started:
            break
        child = started.popleft()
        outcome, text = child.outcome()
        counts[outcome] += 1
        if outcome != "right":
            print(json.dumps({"row": child.name, "outcome": outcome, "text": text}), flush=True)
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
