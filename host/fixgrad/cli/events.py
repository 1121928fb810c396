"""TensorBoard event files, written while a run trains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fixgrad.errors import UsageError
from fixgrad.model import State
from fixgrad.quantize import real_parameters

_SCALARS = ("loss", "accuracy", "monitored_loss", "rate_drops", "wsat", "asat", "bsat")


class EventFiles:
    """Writes every epoch's figures, exponents and weights to a folder."""

    def __init__(self, folder: Path) -> None:
        """Begin a file in a folder.

        Raises:
            UsageError: tensorboardX is not installed.
        """
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise UsageError(
                "--tensorboard needs the package tensorboardX; type: "
                "pip install 'fixgrad[tensorboard]'"
            ) from error
        self._writer = SummaryWriter(str(folder))

    def epoch(self, line: Mapping[str, object], state: State) -> None:
        """Take the line of an epoch and the state after it."""
        number = int(str(line["epoch"]))
        for name in _SCALARS:
            if name in line:
                self._writer.add_scalar(f"train/{name}", float(str(line[name])), number)
        weights, biases = real_parameters(state)
        for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
            self._writer.add_histogram(f"weights/layer_{layer}", w, number)
            self._writer.add_histogram(f"biases/layer_{layer}", b, number)
            self._writer.add_scalar(
                f"exponents/weights_of_layer_{layer}", state.weight_exponent[layer], number
            )
            self._writer.add_scalar(
                f"exponents/inputs_of_layer_{layer}", state.activation_exponent[layer], number
            )
        self._writer.flush()

    def close(self) -> None:
        """End the file."""
        self._writer.close()
