"""Settings that do not go together: refused with the line, the value and what would work."""

from pathlib import Path

import pytest
from fixgrad.errors import DataError, FixgradError, ModelError, RunFileError
from fixgrad.run import decay_of, prepare
from fixgrad.runfile import parse_run

PATH = Path("run.toml")


def _text(
    data: str = "",
    model: str = "",
    training: str = "",
    layers: str = "[4, 8, 3]",
    source: str = "iris",
) -> str:
    return (
        f'[data]\nsource = "{source}"\n{data}\n[model]\nlayers = {layers}\n{model}\n'
        f"[training]\n{training}\n"
    )


BINARY = 'loss = "sigmoid_binary_cross_entropy"'
CASES = {
    "one softmax output": (_text(layers="[4, 8, 1]"), "run.toml:5: layers", "at least 2"),
    "values for softmax": (
        _text(data='targets = "values"'),
        "run.toml:3: targets",
        'loss = "squared_error"',
    ),
    "label columns for softmax": (
        _text(data="label = [1, 2]"),
        "run.toml:3: label",
        'loss = "squared_error"',
    ),
    "label columns as classes": (
        _text(data='label = [1, 2]\ntargets = "classes"', model=BINARY),
        "run.toml:4: targets",
        'targets = "auto"',
    ),
    "16 bits unscaled": (
        _text(data='scale = "none"\ninput_bits = 16'),
        "run.toml:4: input_bits",
        "input_bits = 8",
    ),
    "init without its file": (
        _text(model='init = "file"'),
        "run.toml:6: init",
        'init_file = "weights.npz"',
    ),
    "all layers frozen": (
        _text(model="frozen_layers = 2"),
        "run.toml:6: frozen_layers",
        "nothing to train of 2 layers of weights; type 1 or less",
    ),
    "file without init": (
        _text(model='init_file = "a.npz"'),
        "run.toml:6: init_file",
        'init = "file"',
    ),
    "scaled zeros": (
        _text(model='init = "zeros"\ninit_scale = 2.0', layers="[4, 3]"),
        "run.toml:7: init_scale",
        "leave it away",
    ),
    "hidden zeros": (_text(model='init = "zeros"'), "run.toml:6: init", 'init = "he"'),
    "drops without step": (
        _text(training="drop_epochs = [2]"),
        "run.toml:8: drop_epochs",
        'schedule = "step"',
    ),
    "step without drops": (
        _text(training='schedule = "step"'),
        "run.toml:8: schedule",
        "drop_epochs = [10, 15]",
    ),
    "drop after the end": (
        _text(training='schedule = "step"\ndrop_epochs = [2, 9]\nepochs = 9'),
        "run.toml:9: drop_epochs",
        "1 to 8",
    ),
    "final rate without cosine": (
        _text(training="final_rate = 0.1"),
        "run.toml:8: final_rate",
        'schedule = "cosine"',
    ),
    "plateau without patience": (
        _text(training='schedule = "plateau"'),
        "run.toml:8: schedule",
        "plateau_patience = 5",
    ),
    "patience without plateau": (
        _text(training="plateau_patience = 5"),
        "run.toml:8: plateau_patience",
        'schedule = "plateau"',
    ),
    "warm-up longer than the run": (
        _text(training="epochs = 3\nwarmup_epochs = 3"),
        "run.toml:9: warmup_epochs",
        "type 2 or less",
    ),
    "patience without validation": (
        _text(training="patience = 3"),
        "run.toml:8: patience",
        "validation_fraction = 0.1",
    ),
    "validation for nothing": (
        _text(data="validation_fraction = 0.2"),
        "run.toml:3: validation_fraction",
        "patience = 10",
    ),
    "improvement for nothing": (
        _text(training="min_improvement = 0.2"),
        "run.toml:8: min_improvement",
        "leave it away",
    ),
    "velocity without momentum": (
        _text(training="velocity_bits = 5"),
        "run.toml:8: velocity_bits",
        "momentum = 0.9",
    ),
    "clip that never acts": (_text(training="clip = 1"), "run.toml:8: clip", "type 0 or less"),
    "decay of everything": (
        _text(training="weight_decay = 0.6\nlearning_rate = 1"),
        "run.toml:8: weight_decay",
        "type less than 0.5",
    ),
    "momentum of 1": (_text(training="momentum = 1.0"), "run.toml:8: momentum", "0.998"),
    "falling drop epochs": (
        _text(training='schedule = "step"\ndrop_epochs = [3, 3]'),
        "run.toml:9: drop_epochs",
        "rising",
    ),
    "12-bit inputs": (_text(data="input_bits = 12"), "run.toml:3: input_bits", "type 8 or 16"),
    "clip beyond a byte": (_text(training="clip = -129"), "run.toml:8: clip", "-128"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_contradiction_is_refused_with_its_line_and_a_way_out(name: str) -> None:
    text, where, remedy = CASES[name]
    with pytest.raises(RunFileError) as caught:
        parse_run(text, PATH)
    message = str(caught.value)
    assert message.startswith(where), message
    assert remedy in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "kind", "remedy"),
    [
        (_text(training="batch_size = 200"), RunFileError, "type 120 or less"),
        (_text(data="class_weights = [1, 2]"), RunFileError, "iris has 3 classes"),
        (_text(source="diabetes", layers="[10, 1]", model='loss = "squared_error"',
               data='class_weights = "balanced"'), RunFileError, "not classes"),
        (_text(source="diabetes", layers="[10, 2]", model='loss = "squared_error"'), DataError,
         "type layers = [10, 1]"),
        (_text(source="diabetes", layers="[10, 1]", model=BINARY), DataError,
         'type target_scale = "minmax"'),
        (_text(data='target_scale = "standard"'), DataError, 'type target_scale = "auto"'),
        (_text(data="input_bits = 16", training="batch_size = 120\nepochs = 1",
               model="activation_bits = 15"), None, ""),
        (_text(source="digits", layers="[64, 1000, 10]", model="activation_bits = 15"),
         ModelError, "at most 448 inputs of up to 32767"),
        (_text(source="digits", layers="[64, 8, 10]", data="input_bits = 16",
               training="batch_size = 1000"), ModelError, "a batch of at most 258"),
        (_text(training="batch_size = 0"), None, ""),
        (_text(training="learning_rate = 1e-20"), RunFileError, "beyond the exponents"),
    ],
)  # fmt: skip
def test_what_does_not_suit_the_data_is_refused(
    text: str, kind: type[FixgradError] | None, remedy: str
) -> None:
    run = parse_run(text, PATH)
    if kind is None:
        prepare(run)
        return
    with pytest.raises(kind) as caught:
        prepare(run)
    assert remedy in str(caught.value)


def test_a_batch_size_of_zero_is_the_whole_training_part() -> None:
    prepared = prepare(parse_run(_text(training="batch_size = 0"), PATH))
    assert prepared.config.batch == len(prepared.train) == 120
    assert prepared.run.training.batch_size == 120
    assert prepared.schedule.steps_per_epoch == 1


def test_every_option_of_numerics_reaches_the_model() -> None:
    config = prepare(
        parse_run(
            _text(
                layers="[4, 8, 8, 3]",
                model='activation = ["leaky", "sign"]\nactivation_bits = [12, 4]',
                training="momentum = 0.9\nvelocity_bits = 5\nclip = -3\nwiden = true\n"
                "adaptive = false\nweight_decay = 0.01",
                data="input_bits = 8",
            ),
            PATH,
        )
    ).config
    assert [a.name for a in config.activations] == ["LEAKY", "SIGN"]
    assert config.activation_bits == (12, 4)
    assert (config.momentum, config.velocity_bits) == (230, 5)
    assert (config.clip_exponent, config.widen, config.adaptive) == (-3, True, False)
    assert (config.input_format.name, config.input_max) == ("I8", 127)
    # 0.01 * 0.1 = 0.001 a step is nearly 2**-9 every other step.
    assert (config.decay_every, config.decay_shift) == (2, 9)


@pytest.mark.parametrize("share", [1e-9, 1e-5, 9e-4, 2**-10, 0.003, 0.02, 0.4])
def test_weight_decay_takes_about_its_share_a_step(share: float) -> None:
    every, shift = decay_of(share)
    assert 1 <= shift <= 16
    assert every >= 1
    assert 2.0**-shift / every == pytest.approx(share, rel=0.5)


def test_no_weight_decay_is_off() -> None:
    assert decay_of(0)[0] == 0
