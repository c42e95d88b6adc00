"""How many threads the environment asks for: its variables, then the CPUs it allows.

What Linux allows is the affinity of the process and the quota of its control groups, of which every
group above it counts too. A group's files are looked for at the places they are mounted by default.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from .errors import describe, value_error

MOST_THREADS = 1024


def default_threads(environment: Mapping[str, str] = os.environ) -> int:
    """Return FASTCONV_NUM_THREADS, else OMP_NUM_THREADS, else the number of CPUs allowed.

    An OMP_NUM_THREADS that makes no sense is passed over, as it belongs to others.

    Raises
    ------
    ValueError
        If FASTCONV_NUM_THREADS is no number of threads.
    """
    own = environment.get("FASTCONV_NUM_THREADS", "").strip()
    if own:
        number = _number(own)
        if number is None or number > MOST_THREADS:
            rule = f"a number of threads from 1 to {MOST_THREADS}"
            raise value_error("fastconv", "FASTCONV_NUM_THREADS", rule, describe(own))
        return number
    # One number for each level of nesting; ours is the first.
    shared = _number(environment.get("OMP_NUM_THREADS", "").split(",")[0].strip())
    return min(shared or allowed_cpus(), MOST_THREADS)


def allowed_cpus() -> int:
    """Return how many CPUs this process may use, at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(cpus, quota_cpus() or cpus)


def quota_cpus(root: str = "/") -> int | None:
    """Return how many CPUs' time the control groups allow, a part of one counted whole.

    `root` is where the file system begins; None if there is no quota.
    """
    quotas = [
        -(-quota // period)
        for quota, period in (*_quotas_v2(root), *_quotas_v1(root))
        if quota > 0 and period > 0
    ]
    return min(quotas, default=None)


def _quotas_v2(root: str) -> Iterator[tuple[int, int]]:
    for controllers, path in _groups(root):
        if not controllers:
            for mount in ("sys/fs/cgroup", "sys/fs/cgroup/unified"):
                for folder in _folders(os.path.join(root, mount), path):
                    yield from _pairs(_read(folder, "cpu.max"))


def _quotas_v1(root: str) -> Iterator[tuple[int, int]]:
    for controllers, path in _groups(root):
        if "cpu" in controllers:
            for mount in ("sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"):
                for folder in _folders(os.path.join(root, mount), path):
                    both = _read(folder, "cpu.cfs_quota_us"), _read(folder, "cpu.cfs_period_us")
                    yield from _pairs(" ".join(both))


def _groups(root: str) -> Iterator[tuple[list[str], str]]:
    """Yield the controllers and the path of each group the process is in."""
    for line in _read(root, "proc/self/cgroup").splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            yield parts[1].split(",") if parts[1] else [], parts[2]


def _folders(mount: str, path: str) -> Iterator[str]:
    """Yield the folder of a group and of every group above it, up to what is mounted.

    In a container the path may be that outside of it: then only the top is there to be read.
    """
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for length in range(len(parts), -1, -1):
        yield os.path.join(mount, *parts[:length])


def _pairs(text: str) -> Iterator[tuple[int, int]]:
    """Yield quota and period, if that is what the text holds ("max" and -1 are no quota)."""
    words = text.split()
    if len(words) == 2:
        quota, period = map(_number, words)
        if quota is not None and period is not None:
            yield quota, period


def _number(text: str) -> int | None:
    """Return the number from 1 that the text holds."""
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        return None
    return int(text) or None


def _read(folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
