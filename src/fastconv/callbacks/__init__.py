"""Callbacks: Keras 3's names, arguments and rules."""

from __future__ import annotations

from .base import Callback, CallbackList, History, LambdaCallback
from .monitor import EarlyStopping, ModelCheckpoint, MonitorCallback, ReduceLROnPlateau
from .progress import ProgbarLogger
from .simple import CSVLogger, LearningRateScheduler, TerminateOnNaN

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "MonitorCallback",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]
