"""Calls where threads can't be started: run in a process of its own, prints what became of them.

    python limited.py KIND SEVERAL

Children are forked before anything computed, one a limit; a child computes on eight threads what
its parent, which has no limit, computes last.
"""

import json
import os
import resource
import signal
import sys

import numpy as np

import fastconv as fc
from fastconv._core import runtime

THREADS = 8
UNUSED = 54321  # of a user who has no process
generator = np.random.default_rng(1)
x = generator.standard_normal((8, 16, 24, 24), dtype=np.float32)
w = generator.standard_normal((32, 16, 3, 3), dtype=np.float32)


def work():
    out = fc.conv2d(x, w)
    return [out, fc.conv2d_grad_w(out, x, w.shape), fc.max_pool2d(x, 2)]


def threads_now():
    return len(os.listdir("/proc/self/task"))


def limit_processes(more):
    """Let a user have so many threads more than this process; one who is bound by it."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(UNUSED)
        os.setuid(UNUSED)
    number = threads_now() + more
    resource.setrlimit(resource.RLIMIT_NPROC, (number, number))


def limit_memory(megabytes):
    """Let the process map so much more."""
    with open("/proc/self/statm", encoding="ascii") as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    number = mapped + (megabytes << 20)
    resource.setrlimit(resource.RLIMIT_AS, (number, number))


def result_of_child(limit, amount):
    """The digest of what a child computes, or what became of it, by a pipe."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(60)
        try:
            os.write(write, child_says(limit, amount).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return said if said and code == 0 else f"ended with {code}"


def child_says(limit, amount):
    try:
        limit(amount)
    except (OSError, ValueError) as error:
        return f"no limit: {error}"
    try:
        return digest(work()) + f" {threads_now()}"
    except MemoryError:
        return "MemoryError"


def digest(results):
    return "".join(format(hash(array.tobytes()), "x") for array in results)


def main(kind, several):
    fc.set_num_threads(THREADS)
    runtime.always_use_threads(True)
    sys.modules["fastconv.threads"].WORK_OF_A_THREAD = 1
    if kind == "processes":
        limit, amounts = limit_processes, range(0, THREADS + 3, 1 if several else 3)
    else:
        limit, amounts = limit_memory, range(4, 200, 1 if several else 24)
    said = {amount: result_of_child(limit, amount) for amount in amounts}
    print(json.dumps({"want": digest(work()), "said": said}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "several")
