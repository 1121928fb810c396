"""`fixgrad import`: a network that another program trained, as a run's initial weights."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import click

from fixgrad.cli.options import PATH, json_option, spell_layers
from fixgrad.cli.output import new_table, print_json, print_line, print_table
from fixgrad.errors import UsageError
from fixgrad.importing import FloatNetwork, Imported, adapt, read_network
from fixgrad.initial import FROM_FILE
from fixgrad.metrics import summary
from fixgrad.run import PreparedRun, prepare
from fixgrad.runfile import RunFile, load_run


@click.command("import", short_help="Take the weights of PyTorch, Keras, ONNX, scikit-learn.")
@click.argument("model", metavar="MODEL", type=PATH)
@click.argument("run_file", metavar="RUN.toml", type=PATH)
@click.option(
    "--scaled", is_flag=True,
    help="The network was trained on data scaled as the run scales it, not on the data as it is.",
)
@click.option("--trust", is_flag=True, help="Read a pickle (.joblib), which can run any code.")
@json_option
def import_network(
    model: Path, run_file: Path, scaled: bool, trust: bool, as_json: bool
) -> None:
    """Write the weights of MODEL as the initial weights of RUN.toml, and tell what rounding costs.

    MODEL is a .pt file with a state_dict, an .onnx file, an .npz file (Keras: np.savez("net.npz",
    *model.get_weights())) or a scikit-learn estimator as .joblib. RUN.toml says init = "file" and
    names in init_file the .npz file that is written.
    """
    run = load_run(run_file)
    out = _destination(run)
    network = read_network(model, trusted=trust)
    prepared = prepare(
        dataclasses.replace(run, model=dataclasses.replace(run.model, init="he", init_file=None))
    )
    imported = adapt(network, prepared, scaled=scaled)
    imported.write(out)
    if as_json:
        print_json(_report(network, imported, out))
    else:
        _print(network, imported, prepared, run, out)


def _destination(run: RunFile) -> Path:
    if run.model.init != FROM_FILE or run.model.init_file is None:
        place = run.where("model", "init")
        raise UsageError(
            f'{place}: init = "{run.model.init}" reads no file; type init = "file" and '
            'init_file = "weights.npz" in [model]'
        )
    out = run.path.parent / run.model.init_file
    if out.suffix != ".npz":
        place = run.where("model", "init_file")
        raise UsageError(f"{place}: init_file = \"{run.model.init_file}\" is written by this "
                         "command; give it a name that ends in .npz")
    return out


def _report(network: FloatNetwork, imported: Imported, out: Path) -> dict[str, object]:
    return {
        "layers": network.layers,
        "out": str(out),
        "quantisation": [dataclasses.asdict(error) for error in imported.errors],
        "hidden_exponents": imported.hidden_exponents,
        "test_samples": imported.samples,
        "same_predictions": imported.same,
        "floating_point": imported.before,
        "fixed_point": imported.after,
    }


def _print(
    network: FloatNetwork, imported: Imported, prepared: PreparedRun, run: RunFile, out: Path
) -> None:
    print_line(f"{network.name}: {spell_layers(network.layers)}")
    columns = ("layer", "step", "largest error", "RMS error", "of the weights")
    table = new_table(*columns, right=columns)
    for layer, error in enumerate(imported.errors):
        table.add_row(
            str(layer), f"{error.step:.3g}", f"{error.worst:.3g}", f"{error.rms:.3g}",
            f"{100 * error.relative:.3f} %",
        )
    print_table(table)
    print_line(f"test part in floating point: {summary(imported.before)}")
    print_line(f"test part in fixed point:    {summary(imported.after)}")
    if imported.same is not None:
        print_line(f"the same class for {imported.same} of {imported.samples} samples")
    print_line(
        f"wrote {out}; fine-tune it with: fixgrad train {shlex.quote(str(run.path))} --port URL"
    )
