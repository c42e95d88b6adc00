"""The networks of examples/ in PyTorch: the same layers and weights, trained by its eager step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from fastconv import layers, models, optimizers


class Network(nn.Module):
    """A Sequential model of ours, channels first as PyTorch is fastest."""

    def __init__(self, model: models.Sequential) -> None:
        super().__init__()
        steps: list[Any] = []
        shape: tuple[int, ...] | None = None  # what was flattened: height, width, channels
        for layer in model.layers:
            if isinstance(layer, layers.Conv2D):
                steps += _conv(layer)
            elif isinstance(layer, layers.MaxPooling2D):
                steps.append(nn.MaxPool2d(layer.pool_size, layer.strides))
            elif isinstance(layer, layers.Flatten):
                shape = layer.input.shape[1:]
                steps.append(nn.Flatten())
            elif isinstance(layer, layers.Dense):
                steps += _dense(layer, shape)
                shape = None
            elif isinstance(layer, layers.Dropout):
                steps.append(nn.Dropout(layer.rate))
            else:
                raise TypeError(f"no PyTorch layer is known for {type(layer).__name__}")
        self.steps = nn.Sequential(*steps)
        self.binary = model.output_shape[-1] == 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return self.steps(x)

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean of a batch."""
        if self.binary:
            return functional.binary_cross_entropy_with_logits(logits, labels)
        return functional.cross_entropy(logits, labels)


def _fill(module: nn.Module, kernel: np.ndarray, bias: np.ndarray) -> None:
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel)))
        module.bias.copy_(torch.from_numpy(bias.copy()))


def _activation(layer: Any) -> list[nn.Module]:
    # softmax and sigmoid belong to the loss
    return [nn.ReLU()] if layer.get_config()["activation"] == "relu" else []


def _conv(layer: layers.Conv2D) -> list[nn.Module]:
    kernel, bias = layer.get_weights()
    height, width, channels, filters = kernel.shape
    conv = nn.Conv2d(channels, filters, (height, width), layer.strides, padding=layer.padding)
    _fill(conv, kernel.transpose(3, 2, 0, 1), bias)
    return [conv, *_activation(layer)]


def _dense(layer: layers.Dense, shape: tuple[int, ...] | None) -> list[nn.Module]:
    kernel, bias = layer.get_weights()
    if shape is not None:  # the rows of the kernel are in our order
        kernel = kernel.reshape(*shape, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
    dense = nn.Linear(*kernel.shape)
    _fill(dense, kernel.T, bias)
    return [dense, *_activation(layer)]


class Trainer:
    """Trains like `Model.fit` does: batches in order, RMSprop, the share of right answers."""

    def __init__(self, model: models.Sequential, optimizer: optimizers.RMSprop) -> None:
        self.network = Network(model)
        self.optimizer = torch.optim.RMSprop(
            self.network.parameters(),
            lr=float(optimizer.learning_rate),
            alpha=optimizer.rho,
            eps=optimizer.epsilon,
        )

    def fit(self, x: np.ndarray, y: np.ndarray, batch_size: int, **_: Any) -> float:
        """Train one epoch; return the last batch's loss."""
        self.network.train()
        right = torch.zeros(())
        loss = torch.zeros(())
        for start in range(0, len(x), batch_size):
            images = torch.from_numpy(x[start : start + batch_size])
            labels = torch.from_numpy(y[start : start + batch_size].astype(np.float32))
            logits = self.network(images)
            loss = self.network.loss(logits, labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            with torch.no_grad():
                if self.network.binary:
                    right += ((logits > 0) == (labels > 0.5)).sum()
                else:
                    right += (logits.argmax(1) == labels.argmax(1)).sum()
        return float(loss)
