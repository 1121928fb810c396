"""Run files: what is read, what is written back, and the exact line for every mistake."""

import random
from pathlib import Path

import numpy as np
import pytest
from fixgrad.errors import DataError, FixgradError, ModelError, RunFileError
from fixgrad.protocol import Activation, InputFormat
from fixgrad.run import prepare
from fixgrad.rundir import RunFolder, write_atomic
from fixgrad.runfile import format_run, load_run, new_run, parse_run

MINIMAL = '[data]\nsource = "iris"\n[model]\nlayers = [4, 8, 3]\n'
PATH = Path("run.toml")


def refusal(text: str) -> str:
    """Return the one line that a run file is refused with."""
    with pytest.raises(RunFileError) as caught:
        parse_run(text, PATH)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def prepare_refusal(text: str, kind: type[FixgradError]) -> str:
    """Return the one line that preparing a well-formed run is refused with."""
    with pytest.raises(kind) as caught:
        prepare(parse_run(text, PATH))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults_fill_what_is_left_out() -> None:
    run = parse_run(MINIMAL, PATH)
    assert run.seed == 1
    assert run.model.activation == ("relu",)
    assert run.model.activation_bits == (8,)
    assert (run.training.batch_size, run.training.shuffle, run.training.clip) == (8, True, None)


def test_one_activation_serves_all_hidden_layers_and_a_list_each() -> None:
    one = parse_run(MINIMAL.replace("4, 8, 3", "4, 8, 8, 3"), PATH)
    each = parse_run(
        MINIMAL.replace("4, 8, 3", "4, 8, 8, 3") + 'activation = ["tanh", "leaky"]\n', PATH
    )
    assert one.model.activation == ("relu", "relu")
    assert each.model.activation == ("tanh", "leaky")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (MINIMAL + "[training]\nepochs = 0\n",
         "run.toml:6: epochs = 0: out of range; type a whole number from 1 to 1000000, e.g. "
         "epochs = 30"),
        (MINIMAL + '[training]\nepochs = "ten"\n',
         'run.toml:6: epochs = "ten": not a whole number; type one from 1 to 1000000, e.g. '
         "epochs = 30"),
        (MINIMAL + "[training]\nbatch_size = true\n",
         "run.toml:6: batch_size = true: not a whole number; type one from 0 to 65535, e.g. "
         "batch_size = 8"),
        (MINIMAL + "[training]\nlearning_rate = -0.1\n",
         "run.toml:6: learning_rate = -0.1: out of range; type a number above 0, e.g. "
         "learning_rate = 0.1"),
        (MINIMAL + "[training]\nlearning_rate = nan\n",
         "run.toml:6: learning_rate = nan: out of range; type a number above 0, e.g. "
         "learning_rate = 0.1"),
        (MINIMAL + "[training]\nmomentum = 1\n",
         "run.toml:6: momentum = 1: out of range; type 0 (off) or a number from 0.002 to 0.998, "
         "e.g. momentum = 0.9"),
        (MINIMAL + '[training]\nshuffle = "yes"\n',
         'run.toml:6: shuffle = "yes": neither true nor false; type true or false, without '
         "quotes, e.g. shuffle = true"),
        (MINIMAL + 'activation = "rely"\n',
         'run.toml:5: activation = "rely": unknown; type "relu", "leaky", "sigmoid", "tanh" or '
         '"sign", e.g. activation = "relu"'),
        (MINIMAL + 'activation = ["relu", "gelu"]\n',
         'run.toml:5: activation = ["relu", "gelu"]: layer 2, "gelu": unknown; type "relu", '
         '"leaky", "sigmoid", "tanh" or "sign", e.g. activation = "relu"'),
        (MINIMAL + 'activation = ["relu", "tanh"]\n',
         'run.toml:5: activation = ["relu", "tanh"]: 2 entries, but layers = [4, 8, 3] has 1 '
         "hidden layers; type one entry each, or a single value for all"),
        (MINIMAL.replace("[4, 8, 3]", '"4-8-3"'),
         'run.toml:4: layers = "4-8-3": not a list of widths; type one, input first, in square '
         "brackets, e.g. layers = [64, 32, 10]"),
        (MINIMAL.replace("[4, 8, 3]", "[4]"),
         "run.toml:4: layers = [4]: 1 widths; type at least the number of features and the number "
         "of classes, e.g. layers = [64, 32, 10]"),
        (MINIMAL.replace("[4, 8, 3]", "[4, 0, 3]"),
         "run.toml:4: layers = [4, 0, 3]: layer 2 is 0 wide; type whole numbers from 1 to 65535, "
         "e.g. layers = [64, 32, 10]"),
        (MINIMAL.replace("[4, 8, 3]", "[4, 8, 1]"),
         "run.toml:4: layers = [4, 8, 1]: 1 output; softmax needs one output a class, so at least "
         '2; one output works for two classes with loss = "sigmoid_binary_cross_entropy", for '
         'numbers with "squared_error"'),
        (MINIMAL.replace("[4, 8, 3]", "[4, 8, 65]"),
         "run.toml:4: layers = [4, 8, 65]: 65 outputs; the last width is the number of classes, "
         "64 at most, e.g. layers = [64, 32, 10]"),
        (MINIMAL.replace('"iris"', '"iris"\ntest_fraction = 1.0'),
         "run.toml:3: test_fraction = 1.0: out of range; type a number from 0 to below 1, e.g. "
         "test_fraction = 0.2"),
        (MINIMAL.replace('"iris"', '"iris"\nlabel = 0'),
         "run.toml:3: label = 0: not a column; type its name between double quotes, or its place "
         '(1 is the first, -1 the last), e.g. label = "species"'),
        ("seed = 4294967296\n" + MINIMAL,
         "run.toml:1: seed = 4294967296: out of range; type a whole number from 0 to 4294967295, "
         "e.g. seed = 1"),
    ],
)  # fmt: skip
def test_bad_value_is_named_by_file_line_and_key(text: str, line: str) -> None:
    assert refusal(text) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (MINIMAL + "[training]\nepoch = 3\n",
         "run.toml:6: unknown key epoch in [training]; did you mean epochs?"),
        (MINIMAL + "epochs = 3\n",
         "run.toml:5: unknown key epochs in [model]; epochs belongs in [training]"),
        (MINIMAL + "[data.extra]\nx = 1\n",
         "run.toml:5: unknown key extra in [data]; known are source, label, labels, header, "
         "test_fraction, scale, input_bits, targets, target_scale, class_weights, "
         "validation_fraction"),
        (MINIMAL + "[trianing]\nepochs = 3\n",
         "run.toml:5: unknown section [trianing]; did you mean [training]?"),
        ("sed = 3\n" + MINIMAL, "run.toml:1: unknown key sed; did you mean seed?"),
        (MINIMAL + "seed = 3\n",
         "run.toml:5: unknown key seed in [model]; seed belongs at the top, before any section"),
        ("epochs = 3\n" + MINIMAL,
         "run.toml:1: unknown key epochs; epochs belongs in [training]"),
        ("data = 3\n", "run.toml:1: data is a section; type [data] on its own line"),
        ("[data]\n",
         'run.toml:1: key source is missing in [data]; type e.g. source = "digits"'),
        ('[data]\nsource = "iris"\n',
         "run.toml: key layers is missing in [model]; type e.g. layers = [64, 32, 10]"),
        ("", 'run.toml: key source is missing in [data]; type e.g. source = "digits"'),
    ],
)  # fmt: skip
def test_unknown_and_missing_keys_are_named(text: str, line: str) -> None:
    assert refusal(text) == line


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("seed = \n", "run.toml:1: not TOML: invalid value in `seed =`; lines look like "),
        (MINIMAL + "epochs 3\n",
         "run.toml:5: not TOML: expected '=' after a key in a key/value pair in `epochs 3`; "),
        ("[data]\nlayers = [1, 2\n", "run.toml:2: not TOML: unclosed array in `layers = [1, 2`; "),
        ("seed = 1\nseed = 2\n", "run.toml:2: not TOML: cannot overwrite a value in `seed = 2`; "),
    ],
)  # fmt: skip
def test_text_that_is_not_toml_is_shown_with_its_line(text: str, start: str) -> None:
    assert refusal(text).startswith(start)


def test_missing_run_file_says_what_writes_one(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    with pytest.raises(RunFileError) as caught:
        load_run(path)
    assert str(caught.value) == f"no run file {path}; `fixgrad new {path}` writes one"


def test_folder_and_binary_file_are_not_run_files(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes(b"\xff\x00")
    with pytest.raises(RunFileError, match="is not a text file in UTF-8; give a run file"):
        load_run(tmp_path / "run.toml")
    with pytest.raises(RunFileError, match="cannot read the run file .*: Is a directory"):
        load_run(tmp_path)


def test_dotted_and_spaced_keys_keep_their_lines() -> None:
    text = 'data.source = "iris"\nmodel . layers = [4, 3]\ntraining.epochs = 0\n'
    assert refusal(text).startswith("run.toml:3: epochs = 0")


def test_written_run_reads_back_equal() -> None:
    run = new_run(
        PATH,
        source='odd "name" \\ ü.csv',
        layers=(4, 8, 8, 3),
        settings={
            "seed": 7, "label": "a\tb", "header": False, "activation": ["tanh", "relu"],
            "activation_bits": [8, 12], "learning_rate": 1e-3, "clip": -3, "momentum": 0.9,
            "scale": "none", "widen": True,
        },
    )  # fmt: skip
    assert parse_run(format_run(run), PATH) == run


def test_written_run_explains_every_key() -> None:
    text = format_run(parse_run(MINIMAL, PATH))
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if " = " in line and not line.startswith("#"):
            assert lines[number - 1].startswith("# "), line


@pytest.mark.parametrize("seed", range(4))
def test_damaged_run_file_is_read_or_refused_in_one_line(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "run.toml"
    text = format_run(parse_run(MINIMAL, PATH)).encode()
    rng = random.Random(seed)
    for _ in range(60):
        data = bytearray(text)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data))
            if rng.random() < 0.5:
                data[at : at + rng.randint(0, 9)] = bytes(rng.choices(b'="[]{}.,\n#_e9', k=2))
            else:
                data[at] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        try:
            load_run(path)
        except RunFileError as error:
            assert str(error).startswith(str(path))
            assert "\n" not in str(error)


def test_number_too_large_for_any_machine_is_out_of_range() -> None:
    assert "out of range" in refusal(MINIMAL + f"[training]\nlearning_rate = 1{'0' * 400}\n")
    assert refusal(f"seed = 1{'0' * 5000}\n").startswith("run.toml: not TOML: ")


# --- prepare --------------------------------------------------------------------------------------


def test_prepared_digits_are_the_model_of_the_run_file() -> None:
    text = MINIMAL.replace("iris", "digits").replace("4, 8, 3", "64, 32, 10")
    prepared = prepare(parse_run(text + 'activation = "tanh"\n', PATH))
    config = prepared.config
    assert (config.layers, config.batch, config.input_max) == ((64, 32, 10), 8, 255)
    assert (config.input_format, config.activations) == (InputFormat.U8, (Activation.TANH,))
    assert (len(prepared.train), len(prepared.test)) == (1437, 360)
    assert prepared.schedule.steps == 30 * 180
    assert prepared.initial.activation_exponent == [-8, -8]
    assert prepared.class_names == tuple("0123456789")


def test_options_reach_the_model() -> None:
    text = MINIMAL + "activation_bits = 10\n[training]\nmomentum = 0.9\nclip = -3\nwiden = true\n"
    config = prepare(parse_run(text + "adaptive = false\n", PATH)).config
    assert (config.momentum, config.clip_exponent) == (230, -3)
    assert (config.widen, config.adaptive, config.activation_bits) == (True, False, (10,))


def test_scaling_never_sees_the_test_part() -> None:
    prepared = prepare(parse_run(MINIMAL, PATH))
    train = prepared.train.features / 512
    assert np.abs(train.mean(axis=0)).max() < 1e-3
    assert np.abs(prepared.test.features.mean(axis=0) / 512).max() > 1e-3


def test_run_id_names_what_is_trained_and_not_where_it_came_from(tmp_path: Path) -> None:
    def run_id(text: str, path: Path = PATH) -> int:
        return prepare(parse_run(text, path)).run_id

    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("".join(f"{n},{n % 3}\n" for n in range(40)))
    (tmp_path / "c.csv").write_text("".join(f"{n + n // 39},{n % 3}\n" for n in range(40)))
    text = '[data]\nsource = "a.csv"\n[model]\nlayers = [1, 3]\n'
    first = run_id(text, tmp_path / "run.toml")
    assert first != 0
    assert run_id(text.replace("a.csv", "b.csv"), tmp_path / "other.toml") == first
    assert run_id(text.replace("a.csv", "c.csv"), tmp_path / "run.toml") != first
    assert run_id(text + "[training]\nepochs = 31\n", tmp_path / "run.toml") != first
    assert run_id("seed = 2\n" + text, tmp_path / "run.toml") != first


@pytest.mark.parametrize(
    ("text", "kind", "line"),
    [
        (MINIMAL.replace("4, 8, 3", "5, 8, 3"), DataError,
         "run.toml:4: iris has 4 features, but the first layer is 5 wide; type layers = "
         "[4, 8, 3]"),
        (MINIMAL.replace("4, 8, 3", "4, 8, 2"), DataError,
         "run.toml:4: iris has 3 classes, but the last layer has only 2 outputs; type layers = "
         "[4, 8, 3]"),
        (MINIMAL.replace("iris", "diabetes").replace("4, 8, 3", "10, 8, 3"), DataError,
         "run.toml:2: diabetes holds numbers to predict, not classes; softmax_cross_entropy needs "
         'classes: choose another source, or loss = "squared_error"'),
        (MINIMAL + "[training]\nbatch_size = 121\n", RunFileError,
         "run.toml:6: batch_size = 121: larger than the training part of 120 samples; type 120 or "
         "less"),
        (MINIMAL + "[training]\nlearning_rate = 1e30\n", RunFileError,
         "run.toml:6: learning_rate = 1e+30: beyond the exponents of NUMERICS; type e.g. 0.1"),
        (MINIMAL.replace('"iris"', '"iris"\nscale = "none"'), DataError,
         'iris: sample 1, feature 1 is 5.1; scale = "none" takes whole numbers from 0 to 255: '
         'type scale = "minmax" or "standard"'),
    ],
)  # fmt: skip
def test_settings_that_do_not_go_together(text: str, kind: type[FixgradError], line: str) -> None:
    refused = prepare_refusal(text, kind)
    if "feature 1 is" in line:
        refused, line = refused.split("; ", 1)[1], line.split("; ", 1)[1]
    assert refused == line


def test_run_of_too_many_samples_says_how_many_epochs_work(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n % 2}\n" for n in range(8000))
    (tmp_path / "a.csv").write_text(rows)
    text = '[data]\nsource = "a.csv"\n[model]\nlayers = [1, 2]\n[training]\nepochs = 1000000\n'
    with pytest.raises(RunFileError) as caught:
        prepare(parse_run(text, tmp_path / "run.toml"))
    assert str(caught.value).endswith(
        "epochs = 1000000: 1000000 times 6400 samples pass the limit of 2^32 samples a run; type "
        "671088 or less"
    )


def test_model_larger_than_any_board_is_refused_before_its_weights_are_drawn() -> None:
    text = MINIMAL.replace("4, 8, 3", "4, 30000, 30000, 3")
    assert prepare_refusal(text, ModelError) == (
        "run.toml:4: layers = [4, 30000, 30000, 3]: 900,270,003 parameters take more memory than "
        "any board has; type smaller widths"
    )


def test_budget_that_cannot_be_kept_names_the_run_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("".join(f"{n},{n % 2}\n" for n in range(8000)))
    text = '[data]\nsource = "a.csv"\n[model]\nlayers = [1, 2]\n[training]\nbatch_size = 6000\n'
    with pytest.raises(ModelError) as caught:
        prepare(parse_run(text, tmp_path / "run.toml"))
    assert str(caught.value) == (
        f"{tmp_path / 'run.toml'}: update_bits: only 6 bits fit a 32-bit sum, 7 are needed; use a "
        "batch of at most 4130"
    )


# --- run folder -----------------------------------------------------------------------------------

TALLY = {"samples": 3, "loss_sum": 2**40, "correct": 1, "wsat": 0, "asat": 2, "bsat": 0}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "runs" / "iris")
    folder.create(prepare(parse_run(MINIMAL, PATH)))
    return folder


def test_run_folder_gives_back_the_same_run(folder: RunFolder) -> None:
    prepared = prepare(parse_run(MINIMAL, PATH))
    again = prepare(folder.run())
    assert again.run_id == prepared.run_id == folder.run_id()
    assert folder.config() == prepared.config
    assert folder.form() == prepared.form
    assert folder.initial(prepared.config).encode() == prepared.initial.encode()
    assert folder.run().data.scale == "standard"


def test_source_of_a_run_folder_is_found_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("".join(f"{n},{n % 3}\n" for n in range(40)))
    text = '[data]\nsource = "a.csv"\n[model]\nlayers = [1, 3]\n'
    folder = RunFolder(tmp_path / "elsewhere" / "run")
    folder.create(prepare(parse_run(text, tmp_path / "run.toml")))
    assert folder.run().data.source == str(tmp_path / "a.csv")


def test_checkpoint_gives_back_state_position_and_tally(folder: RunFolder) -> None:
    prepared = prepare(parse_run(MINIMAL + "[training]\nmomentum = 0.5\n", PATH))
    folder.create(prepared)
    assert folder.checkpoint(prepared.config) is None
    state = prepared.initial.copy()
    state.prng, state.step, state.low = 2**32 - 1, 17, [255]
    state.velocities[0][0, 0] = -32767
    folder.save_checkpoint(prepared.config, state, 2**32 - 1, TALLY)
    saved = folder.checkpoint(prepared.config)
    assert saved is not None
    assert saved.state.encode() == state.encode()
    assert (saved.position, saved.tally) == (2**32 - 1, TALLY)


def test_new_run_forgets_the_checkpoint_and_metrics_of_the_old_one(folder: RunFolder) -> None:
    prepared = prepare(parse_run(MINIMAL, PATH))
    folder.save_checkpoint(prepared.config, prepared.initial, 8, TALLY)
    folder.append_metrics({"epoch": 1})
    folder.create(prepared)
    assert folder.checkpoint(prepared.config) is None
    assert folder.metrics() == []


def test_metrics_of_epochs_that_come_again_are_dropped(folder: RunFolder) -> None:
    for epoch in (1, 2, 3):
        folder.append_metrics({"epoch": epoch})
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 4, "lo')
    folder.keep_metrics(2)
    assert folder.metrics() == [{"epoch": 1}, {"epoch": 2}]


def test_untrained_run_says_how_to_finish_it(folder: RunFolder) -> None:
    with pytest.raises(RunFileError) as caught:
        folder.final(folder.config())
    assert str(caught.value) == (
        f"{folder.path} holds no trained parameters yet (final.npz is missing); finish the run: "
        f"fixgrad train --resume {folder.path} --port URL"
    )


@pytest.mark.parametrize("keep", [0, 10, 400, 900])
def test_damaged_parameters_are_refused(folder: RunFolder, keep: int) -> None:
    config = folder.config()
    folder.save_final(config, folder.initial(config))
    path = folder.path / "final.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RunFileError) as caught:
        folder.final(config)
    assert str(caught.value) == f"{path} is damaged; train the run again"


@pytest.mark.parametrize("keep", [0, 10, 400, 2000])
def test_damaged_samples_are_refused(folder: RunFolder, keep: int) -> None:
    path = folder.path / "samples.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RunFileError) as caught:
        folder.reopen()
    assert str(caught.value) == f"{path} is damaged; train the run again"


def test_samples_of_another_run_are_refused(folder: RunFolder, tmp_path: Path) -> None:
    other = RunFolder(tmp_path / "other")
    other.create(prepare(parse_run("seed = 5\n" + MINIMAL, PATH)))
    path = folder.path / "samples.npz"
    path.write_bytes((other.path / "samples.npz").read_bytes())
    with pytest.raises(RunFileError, match=r"samples\.npz is damaged; train the run again"):
        folder.reopen()


def test_folder_alone_gives_the_run_again(folder: RunFolder) -> None:
    made, read = prepare(folder.run()), folder.reopen()
    assert read.run_id == made.run_id
    assert read.train.wire(read.config).tobytes() == made.train.wire(made.config).tobytes()
    assert read.test.wire(read.config).tobytes() == made.test.wire(made.config).tobytes()
    assert (read.test_targets == made.test_targets).all()
    assert read.initial.encode() == made.initial.encode()


def test_parameters_of_another_model_are_refused(folder: RunFolder) -> None:
    config = folder.config()
    folder.save_final(config, folder.initial(config))
    other = prepare(parse_run(MINIMAL.replace("4, 8, 3", "4, 9, 3"), PATH))
    with pytest.raises(RunFileError, match=r"belongs to another model than .*run\.toml"):
        folder.final(other.config)


@pytest.mark.parametrize("text", ["", "{}", '{"name": 1}', "[]"])
def test_damaged_names_and_scaling_are_refused(folder: RunFolder, text: str) -> None:
    path = folder.path / "data.json"
    path.write_text(text)
    with pytest.raises(RunFileError) as caught:
        folder.form()
    assert str(caught.value) == f"{path} is damaged; train the run again"


def test_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    with pytest.raises(TypeError):
        write_atomic(path, "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
