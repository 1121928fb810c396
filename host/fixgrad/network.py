"""A trained network: what a device, an export or an estimator needs to use it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fixgrad.datasets.dataset import Features
from fixgrad.device import Device, Inference
from fixgrad.digest import state_digest
from fixgrad.metrics import Outputs, read_outputs
from fixgrad.model import ModelConfig, State
from fixgrad.protocol import Loss
from fixgrad.quantize import real_parameters
from fixgrad.run import DataForm
from fixgrad.rundir import RunFolder
from fixgrad.stream import Samples
from fixgrad.targets import VALUES

Arrays = list[NDArray[np.float64]]


@dataclass(frozen=True)
class Network:
    """A model with its parameters, and how data becomes its inputs and its outputs become answers.

    Attributes:
        config: the model.
        state: its parameters.
        form: names and scaling of features and targets.
    """

    config: ModelConfig
    state: State
    form: DataForm

    @staticmethod
    def open(folder: str | Path) -> Network:
        """Read the trained network of a run's folder.

        Args:
            folder: what `fixgrad train` wrote.

        Raises:
            RunFileError: there is no finished run, or it is damaged.
        """
        run = RunFolder(Path(folder))
        config = run.config()
        return Network(config, run.final(config), run.form())

    @property
    def digest(self) -> int:
        """The digest of the parameters (NUMERICS section 9)."""
        return state_digest(self.state)

    @property
    def logit_exponent(self) -> int:
        """The power of two of a logit's unit."""
        return self.state.weight_exponent[-1] + self.state.activation_exponent[-1]

    def mantissas(self, features: Features, name: str = "data") -> NDArray[np.integer]:
        """Return features [N, n] as the inputs of the model.

        Raises:
            DataError: a value that the scaling does not take.
        """
        return self.form.scaling.apply(features, name)

    def outputs(self, result: Inference) -> Outputs:
        """Return what a device's answer means."""
        return read_outputs(
            self.form.target, self.config.loss, result.predictions, result.logits,
            self.logit_exponent,
        )

    def infer(self, device: Device, mantissas: NDArray[np.integer]) -> Inference:
        """Return the outputs of a device that holds the network.

        Args:
            device: the device.
            mantissas: [N, n], what `mantissas` gave.

        Raises:
            LinkError: the device stopped answering.
        """
        samples = Samples(mantissas, np.zeros(len(mantissas), np.int32))
        return device.infer(self.config, samples.feature_wire(self.config))

    def hold(self, device: Device) -> None:
        """Make a device hold the network to be used, not trained: it stays at position 0.

        Raises:
            DoesNotFitError: the device has too little memory.
            LinkError: the device stopped answering.
        """
        config, state = self.config.encode(), self.state.encode()
        identity = zlib.crc32(state, zlib.crc32(config, zlib.crc32(b"use"))) or 1
        if device.hello().run_id != identity:
            device.load(self.config, self.state, identity, 0)

    def real_parameters(self) -> tuple[Arrays, Arrays]:
        """Return weights [n_out, n_in] and biases [n_out] for data as it comes, not scaled.

        The scaling of features is part of the first layer, that of predicted numbers of the last:
        a network of real numbers with these parameters computes the same but for rounding and for
        the limits of the fixed-point inputs.
        """
        weights, biases = real_parameters(self.state)
        scaling, target = self.form.scaling, self.form.target
        weights[0] = weights[0] * np.ldexp(np.array(scaling.factor), scaling.exponent)
        biases[0] = biases[0] - weights[0] @ np.array(scaling.offset)
        if target.kind == VALUES and self.config.loss == Loss.SQUARED_ERROR:
            factor = np.array(target.factor)
            factor = np.where(factor == 0, 1, factor)
            weights[-1] = weights[-1] / factor[:, np.newaxis]
            biases[-1] = biases[-1] / factor + np.array(target.offset)
        return weights, biases
