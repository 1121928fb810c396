"""Learning rates: the formulas of each schedule, by hand."""

import pytest
from fixgrad.errors import ModelError
from fixgrad.schedules import RateSchedule


def _rates(kind: str, **more: object) -> list[float]:
    schedule = RateSchedule(kind, 0.8, 4, steps_per_epoch=2, epochs=4, **more)  # type: ignore[arg-type]
    return [round(schedule.rate(step), 6) for step in range(8)]


def test_constant_never_changes() -> None:
    assert _rates("constant") == [0.8] * 8


def test_step_drops_after_the_named_epochs() -> None:
    assert _rates("step", factor=0.25, drop_epochs=(1, 3)) == [
        0.8, 0.8, 0.2, 0.2, 0.2, 0.2, 0.05, 0.05,
    ]  # fmt: skip


def test_exponential_multiplies_every_epoch() -> None:
    assert _rates("exponential", factor=0.5) == [0.8, 0.8, 0.4, 0.4, 0.2, 0.2, 0.1, 0.1]


def test_cosine_is_half_a_wave() -> None:
    assert _rates("cosine") == [
        0.8, 0.769552, 0.682843, 0.553073, 0.4, 0.246927, 0.117157, 0.030448,
    ]  # fmt: skip


def test_cosine_ends_above_its_final_share() -> None:
    rates = _rates("cosine", final=0.5)
    assert rates[0] == 0.8
    assert rates[4] == 0.6
    assert min(rates) > 0.4


def test_warmup_grows_linearly_to_the_schedule() -> None:
    assert _rates("constant", warmup_epochs=2) == [0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8, 0.8]


def test_plateau_drops_where_it_was_decided() -> None:
    assert _rates("plateau", factor=0.5, drops=(2,)) == [0.8] * 4 + [0.4] * 4


def test_a_call_gives_the_pair_of_the_rate_over_the_batch() -> None:
    schedule = RateSchedule("exponential", 0.8, 4, 1, 3, factor=0.5)
    assert [m * 2.0**e for m, e in map(schedule, range(3))] == pytest.approx(
        [0.2, 0.1, 0.05], rel=1 / 256
    )


def test_a_vanishing_rate_stays_sayable() -> None:
    mantissa, exponent = RateSchedule("exponential", 1.0, 8, 1, 500, factor=0.5)(499)
    assert (mantissa, exponent) == (128, -64)


def test_a_base_rate_beyond_the_exponents_is_refused() -> None:
    with pytest.raises(ModelError, match="exponent"):
        RateSchedule("constant", 1e30, 1, 1, 1).check()
