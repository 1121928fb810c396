"""What the end of an epoch decides: a smaller learning rate, the best weights, the end of the run.

Decisions follow from integers that the device counts over one part of the data, so every port and
every resumed run decides the same. What was decided is a `Course`, kept with the checkpoint.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass

from fixgrad.errors import RunFileError
from fixgrad.protocol import Loss
from fixgrad.schedules import RateSchedule
from fixgrad.stream import EpochSchedule, Samples

PATIENCE, TARGET = "patience", "target"


@dataclass(frozen=True)
class Course:
    """Decisions so far.

    Attributes:
        drops: epochs (counted from 1) after which the learning rate fell.
        best_loss: smallest reported loss of the monitored part, summed; None before the first.
        best_epoch: the epoch it stood after; 0 before the first.
        ended: why the run ended before its last epoch: "patience" or "target"; else empty.
    """

    drops: tuple[int, ...] = ()
    best_loss: int | None = None
    best_epoch: int = 0
    ended: str = ""

    def to_json(self) -> str:
        """Return the text form."""
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_json(text: str, name: str) -> Course:
        """Read the text form.

        Args:
            text: what `to_json` gave.
            name: the file, for messages.

        Raises:
            RunFileError: it is damaged.
        """
        try:
            value = json.loads(text)
            best = value["best_loss"]
            return Course(
                tuple(int(epoch) for epoch in value["drops"]),
                None if best is None else int(best),
                int(value["best_epoch"]),
                str(value["ended"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise RunFileError(f"{name} is damaged; train the run again") from error


def loss_unit(kind: Loss) -> float:
    """Return the value of one unit of a reported loss (NUMERICS section 4).

    Nats for softmax and cross-entropy, else squared errors summed over the outputs.
    """
    return math.log(2) / 1024 if kind == Loss.SOFTMAX_CROSS_ENTROPY else 1 / 65536


@dataclass(frozen=True)
class Monitor:
    """Decides at the end of every epoch from the loss of one part of the data.

    Attributes:
        samples: the part: validation samples, or the training samples themselves.
        loss: the model's loss.
        rates: the learning rates before any drop.
        drop_patience: epochs without improvement before the rate falls; None: it never does.
        patience: epochs without improvement before the run ends with the best weights; None: off.
        target_loss: mean loss that ends the run; None: off.
        min_improvement: by how much a mean loss must fall to count as better.
    """

    samples: Samples
    loss: Loss
    rates: RateSchedule
    drop_patience: int | None = None
    patience: int | None = None
    target_loss: float | None = None
    min_improvement: float = 0.0

    @property
    def restores_best(self) -> bool:
        """Whether the run ends with the weights of its best epoch instead of its last."""
        return self.patience is not None

    def mean(self, loss_sum: int) -> float:
        """Return a reported sum over the part as mean loss a sample."""
        return loss_sum * loss_unit(self.loss) / len(self.samples)

    def observe(self, course: Course, epoch: int, loss_sum: int) -> Course:
        """Return the course after an epoch.

        Args:
            course: before it.
            epoch: the epoch that ended, counted from 1.
            loss_sum: reported loss of the part after it, summed.
        """
        if course.best_loss is None or self._better(loss_sum, course.best_loss):
            course = dataclasses.replace(course, best_loss=loss_sum, best_epoch=epoch)
        if self.target_loss is not None and self.mean(loss_sum) <= self.target_loss:
            return dataclasses.replace(course, ended=TARGET)
        if self.patience is not None and epoch - course.best_epoch >= self.patience:
            return dataclasses.replace(course, ended=PATIENCE)
        since = max(course.best_epoch, *course.drops, 0)
        if self.drop_patience is not None and epoch - since >= self.drop_patience:
            return dataclasses.replace(course, drops=(*course.drops, epoch))
        return course

    def schedule(self, schedule: EpochSchedule, course: Course) -> EpochSchedule:
        """Return a schedule with the learning rates that a course leads to."""
        rates = dataclasses.replace(self.rates, drops=course.drops)
        return dataclasses.replace(schedule, rate=rates)

    def _better(self, loss_sum: int, best: int) -> bool:
        if not self.min_improvement:
            return loss_sum < best
        return self.mean(loss_sum) < self.mean(best) - self.min_improvement
