"""The libraries that are timed, ours first: one file each, behind base.Peer."""

from __future__ import annotations

from .base import Contender, Peer, Unsupported
from .ncnn_peer import Ncnn
from .numpy_peer import MemoryCopy, SlidingWindow
from .onnxruntime_peer import OnnxRuntime
from .opencv_peer import OpenCV
from .ours import Fastconv, FastconvChannelsLast
from .scipy_peers import ScipyCorrelate, ScipyFft, ScipyNdimage, ScipyOverlapAdd
from .skimage_peer import ScikitImage
from .torch_peer import Torch

OURS = "fastconv"
PEERS: tuple[type[Peer], ...] = (
    Fastconv,
    Torch,
    OnnxRuntime,
    Ncnn,
    OpenCV,
    ScipyCorrelate,
    ScipyFft,
    ScipyOverlapAdd,
    ScipyNdimage,
    ScikitImage,
    SlidingWindow,
    FastconvChannelsLast,
    MemoryCopy,
)


def installed(names: str = "*") -> tuple[dict[str, Peer], dict[str, str]]:
    """The peers among the comma-separated `names` (and ours), and why the others are missing."""
    wanted = {name.strip() for name in names.split(",")}
    known = {kind.name for kind in PEERS}
    if unknown := wanted - known - {"*"}:
        raise SystemExit(f"unknown peers {sorted(unknown)}; there are {sorted(known)}")
    peers: dict[str, Peer] = {}
    missing: dict[str, str] = {}
    for kind in PEERS:
        if kind.name == OURS or "*" in wanted or kind.name in wanted:
            try:
                peers[kind.name] = kind()
            except ImportError as error:
                missing[kind.name] = str(error)
    return peers, missing


__all__ = ["OURS", "PEERS", "Contender", "Peer", "Unsupported", "installed"]
