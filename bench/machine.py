"""What the figures were measured on."""

from __future__ import annotations

import contextlib
import io
import os
import platform
import sys
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

import fastconv as fc

from .peers import Peer


def describe(peers: dict[str, Peer], missing: dict[str, str]) -> dict[str, object]:
    """Processor, interpreter, versions, and fastconv's own configuration."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": processor(),
        "cpus": cpus(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "fastconv": configuration(),
        "peers": {name: peer.version for name, peer in peers.items()},
        "missing": missing,
    }


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
