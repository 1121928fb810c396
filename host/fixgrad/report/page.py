"""What the page of a run shows, and the page."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fixgrad import __version__
from fixgrad.digest import state_digest
from fixgrad.doctor import Fact, Finding
from fixgrad.health import Examined, diagnose
from fixgrad.history import HELD_MAX, TRAIN_MAX
from fixgrad.metrics import Outputs, measure, read_outputs, summary, wilson_interval
from fixgrad.model import State
from fixgrad.planner import plan
from fixgrad.protocol import NUMERICS_VERSION, PROTOCOL_VERSION
from fixgrad.quantize import real_parameters
from fixgrad.reference import Reference
from fixgrad.report import figures
from fixgrad.report.drawing import PAGE, Palette, inline_svg, picture
from fixgrad.report.templates import fill
from fixgrad.run import DataForm
from fixgrad.runfile import format_run

_WRONG_MAX = 24
_FEATURES_MAX = 6
_CLASSES_MAX = 30


@dataclass(frozen=True)
class Page:
    """A run, as its page shows it.

    Attributes:
        folder: its folder, as it is typed.
        run: the run and what happened inside it.
        final: the state that it ended with, or its last checkpoint.
        metrics: the recorded line of every epoch.
        sha256: of its samples.
        result: what `fixgrad train --json` told; None where the run has not ended.
    """

    folder: str
    run: Examined
    final: State
    metrics: Sequence[Mapping[str, Any]]
    sha256: str
    result: Mapping[str, Any] | None
    outputs: Outputs = field(init=False)

    def __post_init__(self) -> None:
        """Compute the outputs for the test part: the reference's, bit for bit the device's."""
        prepared, state = self.run.prepared, self.final
        reference = Reference(prepared.config, state)
        logits = reference.logits(prepared.test.features)
        predictions = reference.predict(prepared.test.features)
        exponent = state.weight_exponent[-1] + state.activation_exponent[-1]
        outputs = read_outputs(
            prepared.form.target, prepared.config.loss, predictions, logits, exponent
        )
        object.__setattr__(self, "outputs", outputs)

    def figures(self, palette: Palette) -> dict[str, Figure]:
        """Return the figures that suit the run, by name."""
        prepared, history = self.run.prepared, self.run.history
        drawn = {
            "learning": figures.learning_curves(history, self.run.held, palette),
            "numbers": figures.numbers(history, palette),
            "distributions": figures.distributions(history, prepared.config, palette),
        }
        names = prepared.form.target.names
        if self.outputs.classes is not None and len(names) <= _CLASSES_MAX:
            matrix = self._measured()["confusion"]
            drawn["confusion"] = figures.confusion(matrix, names, palette)
        elif self.outputs.values is not None and self.outputs.probabilities is None:
            truth = prepared.test_targets.reshape(len(prepared.test), -1).astype(np.float64)
            drawn["predicted"] = figures.predicted(truth, self.outputs.values, names, palette)
        shape = image_shape(prepared.form)
        if shape is not None:
            weights = real_parameters(self.final)[0][0]
            drawn["first_weights"] = figures.first_weights(weights, shape, palette)
        return drawn

    def _measured(self) -> dict[str, Any]:
        prepared = self.run.prepared
        return measure(prepared.form.target, self.outputs, prepared.test_targets)

    def context(self, *, following: bool = False) -> dict[str, Any]:
        """Return what the template is filled with; `following` a run that trains."""
        prepared, reports = self.run.prepared, list(diagnose(self.run))
        drawn = self.figures(PAGE)
        labels = {
            "learning": "learning curves", "numbers": "clamps, updates and exponents by epoch",
            "distributions": "weights and activations by epoch", "confusion": "confusion matrix",
            "predicted": "predictions over the truth", "first_weights": "first-layer weights",
        }
        config = prepared.config
        measured = self._measured()
        return {
            "title": prepared.run.path.parent.name or prepared.form.name,
            "subtitle": self._subtitle(following),
            "tiles": self._tiles(measured),
            "figures": {
                name: inline_svg(drawn[name], name, label) if name in drawn else ""
                for name, label in labels.items()
            },
            "train_max": f"{TRAIN_MAX:,}",
            "held_max": f"{HELD_MAX:,}",
            "held": self.run.held,
            "test_count": f"{len(prepared.test):,}",
            "test_summary": summary(measured),
            "test_tables": self._test_tables(measured),
            "wrong": self._wrong(),
            "findings": [r for r in reports if isinstance(r, Finding)],
            "facts": [r for r in reports if isinstance(r, Fact)],
            "memory": self._memory(),
            "link": self._link(),
            "proof": self._proof(),
            "folder": self.folder,
            "run_file": format_run(prepared.run),
            "layers": config.layers,
        }

    def _subtitle(self, following: bool) -> str:
        prepared = self.run.prepared
        layers = "-".join(map(str, prepared.config.layers))
        where = f", trained on {self.result['board']}" if self.result else ""
        whole = self.result or following
        unfinished = "" if whole else "; not finished, the page shows its last checkpoint"
        return f"{prepared.form.name}, {layers}, seed {prepared.run.seed}{where}{unfinished}"

    def _tiles(self, measured: Mapping[str, Any]) -> list[dict[str, str]]:
        config, count = self.run.prepared.config, len(self.run.prepared.test)
        tiles = []
        if "accuracy" in measured:
            share = float(measured["accuracy"])
            low, high = wilson_interval(round(share * count), count)
            tiles.append(
                _tile(
                    f"{100 * share:.2f} %",
                    f"test accuracy, 95 %: {100 * low:.1f} to {100 * high:.1f}",
                )
            )
        else:
            tiles.append(_tile(f"{measured['rmse']:.4g}", "test RMSE"))
        return [
            *tiles,
            _tile(f"{config.parameter_count:,}", "parameters"),
            _tile(f"{plan(config).arena_bytes:,} B", "RAM of the model"),
            _tile(f"{self.final.step:,}", f"steps, {self.run.history.epochs} epochs"),
            _tile(f"{state_digest(self.final):08x}", "digest"),
        ]

    def _test_tables(self, measured: Mapping[str, Any]) -> list[dict[str, Any]]:
        names = self.run.prepared.form.target.names
        if self.outputs.classes is not None:
            return [_per_class(np.array(measured["confusion"]), names)]
        if "label_accuracy" in measured:
            rows = [
                [name, *(f"{value:,}" for value in np.array(matrix).ravel())]
                for name, matrix in zip(names, measured["confusion"], strict=True)
            ]
            return [_table(["label", "right 0", "wrong 1", "wrong 0", "right 1"], rows)]
        by_output = measured.get("by_output") or {names[0]: measured}
        rows = [
            [name, *(f"{values[key]:.4g}" for key in ("rmse", "mae", "r2"))]
            for name, values in by_output.items()
        ]
        return [_table(["output", "RMSE", "MAE", "R²"], rows)]

    def _wrong(self) -> dict[str, Any] | None:
        """Return the samples of which the device is surest and yet wrong."""
        prepared, classes = self.run.prepared, self.outputs.classes
        if classes is None:
            return None
        truth = prepared.test_targets.astype(np.int64).reshape(-1)
        places = np.flatnonzero(classes != truth)
        if not len(places):
            return None
        shares = self.outputs.probabilities
        if shares is not None:
            places = places[np.argsort(-shares[places].max(axis=1), kind="stable")]
        shown = places[:_WRONG_MAX]
        names, shape = prepared.form.target.names, image_shape(prepared.form)
        note = f"{len(places)} of {len(truth)}"
        if len(places) > len(shown):
            note += f"; the {len(shown)} it is surest of"
        share = [f"{100 * shares[i].max():.0f} %" if shares is not None else "" for i in shown]
        if shape is not None:
            pictures = [
                {
                    "image": picture(
                        prepared.test.features[i].reshape(shape), 0, prepared.config.input_max
                    ),
                    "index": int(i), "truth": names[truth[i]], "said": names[classes[i]],
                    "share": f" ({text})" if text else "",
                }
                for i, text in zip(shown, share, strict=True)
            ]
            return {"note": note, "pictures": pictures, "table": None}
        features = _unscaled(prepared.form, prepared.test.features[shown])[:, :_FEATURES_MAX]
        rows = [
            [f"#{i}", names[truth[i]], names[classes[i]], text, *(f"{v:.4g}" for v in values)]
            for i, text, values in zip(shown, share, features, strict=True)
        ]
        columns = ["sample", "is", "said", "sure", *prepared.form.feature_names[:_FEATURES_MAX]]
        return {"note": note, "pictures": None, "table": _table(columns, rows)}

    def _memory(self) -> dict[str, Any]:
        laid_out = plan(self.run.prepared.config).parts()
        parts = {name: size for name, size in laid_out.items() if size}
        total = sum(parts.values())
        arena = self.result.get("arena_bytes") if self.result else None
        return {
            "total": f"{total:,}",
            "of": f" of {arena:,} on {self.result['board']}" if self.result and arena else "",
            "parts": [
                {
                    "name": name.replace("_", " "), "bytes": f"{size:,}",
                    "share": f"{100 * size / total:.2f}",
                    "colour": f"var(--series-{i % 6 + 1})" if i < 6 else
                    f"color-mix(in srgb, var(--series-{i % 6 + 1}) 50%, var(--ground))",
                }
                for i, (name, size) in enumerate(parts.items())
            ],
        }

    def _link(self) -> dict[str, Any] | None:
        if not self.result:
            return None
        link = self.result["link"]
        rows = [
            ["port", str(self.result["port"])],
            ["time of training", f"{self.result['seconds']:.1f} s"],
            ["samples kept by the board", "yes" if link["cached"] else "no, sent in every epoch"],
            ["bytes sent", f"{link['wire_bytes']:,}"],
            ["of them samples", f"{100 * link['efficiency']:.1f} %"],
            ["sent again", f"{link['retransmitted_bytes']:,} bytes"],
            ["repetitions asked for, timer expired", f"{link['go_backs']}, {link['timeouts']}"],
            ["round trip", f"{link['round_trip_ms']:.1f} ms"],
            ["nothing outstanding", f"{100 * link['idle_share']:.1f} % of the time"],
        ]
        return _table(None, rows)

    def _proof(self) -> dict[str, Any]:
        history, recorded, run = self.run.history, self.run.recorded, self.run.prepared
        ours = history.digests.tolist()
        equal = ours == list(recorded)
        rows = []
        for number, (line, mine) in enumerate(zip(self.metrics, ours, strict=False), 1):
            theirs = recorded[number - 1]
            accuracy = f"{100 * line['accuracy']:.2f} %" if "accuracy" in line else ""
            loss = f"{line['loss']:.4f}" if "loss" in line else "not counted"
            rows.append(
                [str(number), loss, accuracy, f"{theirs:08x}", f"{mine:08x}",
                 "equal" if mine == theirs else "DIFFERENT"]
            )
        text = (
            f"All {len(ours)} digests that the device reported are those of the NumPy reference: "
            "every weight, bias and exponent is the same, bit for bit."
            if equal
            else "The reference does not have the digests that are recorded: a board computed a "
            "step wrongly, or the folder was changed."
        )
        device = self.result or {}
        identity = [
            ["run id", f"{run.run_id:08x}"],
            ["SHA-256 of the samples", self.sha256],
            ["seed", str(run.run.seed)],
            ["numerics, protocol", f"{NUMERICS_VERSION}, {PROTOCOL_VERSION}"],
            ["fixgrad, NumPy", f"{__version__}, {np.__version__}"],
            ["Python", platform.python_version()],
        ]
        if "firmware" in device:
            identity.insert(
                0, ["board", f"{device['board']} ({device['core']}), firmware {device['firmware']}"]
            )
        columns = ["epoch", "loss while training", "accuracy", "device", "reference", ""]
        return {
            "equal": equal, "text": text, "identity": _table(None, identity),
            "epochs": _table(columns, rows),
        }


@dataclass(frozen=True)
class Live:
    """What a page that is served tells of the run and to its own script.

    Attributes:
        stage: "training" while later pages come, else "ended" or "stopped".
        text: the same for people.
        version: of the page.
    """

    stage: str
    text: str
    version: int


def render(page: Page, *lives: Live | None) -> tuple[str, ...]:
    """Return the page of a run, each time one HTML text with everything in it.

    Args:
        page: the run.
        lives: one a text: of a page that a server replaces, or None for one that stays as it is.
    """
    context = page.context(following=None not in lives)
    return tuple(fill("page.html.jinja", {**context, "live": live}) for live in lives)


def render_waiting(title: str, live: Live) -> str:
    """Return the page of a run of which no epoch is done."""
    return fill("waiting.html.jinja", {"title": title, "live": live})


def image_shape(form: DataForm) -> tuple[int, int] | None:
    """Return (rows, columns) where features are the pixels of a square image, else None."""
    width = len(form.scaling.offset)
    side = math.isqrt(width)
    scaling = form.scaling
    common = len(set(scaling.offset)) == 1 and len(set(scaling.factor)) == 1
    named = all(name.startswith(("pixel", "x")) for name in form.feature_names)
    if side * side != width or side < 4 or scaling.method == "standard" or not (common and named):
        return None
    return side, side


def _unscaled(form: DataForm, features: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return features in the unit of the data set, as far as their resolution goes."""
    factor = np.array(form.scaling.factor)
    values: NDArray[np.float64] = features / np.where(factor == 0, 1, factor)
    values += np.array(form.scaling.offset)
    return values


def _per_class(matrix: NDArray[np.int64], names: Sequence[str]) -> dict[str, Any]:
    right = matrix.diagonal()
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = right / matrix.sum(axis=0), right / matrix.sum(axis=1)
        f1 = 2 * right / (matrix.sum(axis=0) + matrix.sum(axis=1))
    rows = [
        [name, *("–" if np.isnan(v) else f"{100 * v:.1f} %" for v in values), f"{count:,}"]
        for name, *values, count in zip(
            names, precision, recall, f1, matrix.sum(axis=1), strict=True
        )
    ]
    return _table(["class", "precision", "recall", "F1", "samples"], rows)


def _table(head: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    return {"head": head, "rows": rows, "caption": ""}


def _tile(value: str, name: str) -> dict[str, str]:
    return {"value": value, "name": name}
