"""What the figures were measured on."""

from __future__ import annotations

import contextlib
import io
import os
import platform
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

import fastconv as fc

from .peers import Peer


def describe(
    peers: dict[str, Peer] | None = None, missing: dict[str, str] | None = None
) -> dict[str, object]:
    """Processor, interpreter, versions, and fastconv's own configuration."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": processor(),
        "cpus": cpus(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "fastconv": configuration(),
        "peers": {name: peer.version for name, peer in (peers or {}).items()},
        "missing": missing or {},
    }


class Neighbours:
    """What others take of the CPUs that this process may use, from now on."""

    def __init__(self) -> None:
        self.start = self._busy(), self._own(), time.perf_counter()

    def share(self) -> float | None:
        """Return the others' share of these CPUs' time since the beginning, None if unknown."""
        busy, own, now = self._busy(), self._own(), time.perf_counter()
        if busy is None or self.start[0] is None:
            return None
        others = busy - self.start[0] - (own - self.start[1])
        return round(max(0.0, others) / (now - self.start[2]) / (cpus() or 1), 3)

    @staticmethod
    def _own() -> float:
        spent = os.times()
        return spent.user + spent.system + spent.children_user + spent.children_system

    @staticmethod
    def _busy() -> float | None:
        """Return seconds of work on these CPUs since the system started, stolen time too."""
        try:
            lines = Path("/proc/stat").read_text().splitlines()
            wanted = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        except (OSError, AttributeError):
            return None
        fields = [line.split() for line in lines]
        ticks = sum(
            int(row[column])
            for row in fields
            if row[0] in wanted
            for column in (1, 2, 3, 6, 7, 8)  # user, nice, system, interrupts, stolen
        )
        return ticks / os.sysconf("SC_CLK_TCK")


def processor() -> str:
    """The processor's name as the system has it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def configuration() -> list[str]:
    """The lines of fastconv.show_config()."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        fc.show_config()
    return text.getvalue().splitlines()


def cpus() -> int | None:
    """How many CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()
