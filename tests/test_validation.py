"""What `validate` says when device and reference part: a planted difference is found exactly."""

from collections.abc import Iterator

import pytest
from fixgrad import validation
from fixgrad.device import Device, Progress
from fixgrad.reference import Reference, StepResult
from fixgrad.stream import ListedSchedule
from fixgrad.validation import Difference, StepAgreed, Verdict, validate
from fixgrad.vectors import Case, load_case, packaged_vectors

PLANTED_STEP = 7
PLANTED_ELEMENT = (2, 5)


@pytest.fixture(scope="module")
def case() -> Case:
    return load_case(next(p for p in packaged_vectors() if p.stem == "digits_clip"))


@pytest.fixture
def device() -> Iterator[Device]:
    with Device.open("sim://") as opened:
        yield opened


def run(device: Device, case: Case, steps: int = 20) -> tuple[list[StepAgreed], Verdict]:
    schedule = ListedSchedule(case.samples_per_step, case.learning_rates)
    *agreed, verdict = validate(
        device, case.config, case.initial, 9, case.samples, schedule, steps=steps
    )
    assert isinstance(verdict, Verdict)
    return [e for e in agreed if isinstance(e, StepAgreed)], verdict


class WrongReference(Reference):
    """Adds 3 to one weight of layer 1 in one step."""

    def step(self, *arguments: object) -> StepResult:
        result = super().step(*arguments)  # type: ignore[arg-type]
        if self.state.step == PLANTED_STEP:
            self.state.weights[1][PLANTED_ELEMENT] += 3
        return result


def test_agreement_is_reported_for_every_step(device: Device, case: Case) -> None:
    agreed, verdict = run(device, case)
    assert [e.digest for e in agreed] == list(case.digests[:20])
    assert [e.loss for e in agreed] == list(case.losses[:20])
    assert verdict == Verdict(20, case.config.parameter_count, case.digests[19], None)


def test_first_difference_is_named_with_both_integers(
    device: Device, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "Reference", WrongReference)
    agreed, verdict = run(device, case)
    assert len(agreed) == PLANTED_STEP - 1
    found = verdict.difference
    assert found is not None
    assert (found.step, found.tensor, found.layer) == (PLANTED_STEP, "weights", 1)
    assert found.element == PLANTED_ELEMENT
    assert found.reference == found.device + 3
    assert (found.differing, found.repeatable) == (1, True)
    assert str(found) == (
        f"first difference at step 7, weights of layer 1[2, 5]: device {found.device}, "
        f"reference {found.reference} (1 values differ)"
    )


class ForgetfulDevice:
    """A device some of whose answers are lost."""

    def __init__(self, device: Device, lost: set[int]) -> None:
        self._device, self._lost = device, lost

    def __getattr__(self, name: str) -> object:
        return getattr(self._device, name)

    def train(self, *arguments: object) -> Iterator[Progress]:
        for progress in self._device.train(*arguments):  # type: ignore[arg-type]
            if progress.step not in self._lost:
                yield progress


def test_a_lost_answer_is_no_difference(device: Device, case: Case) -> None:
    agreed, verdict = run(ForgetfulDevice(device, {3, 4}), case)  # type: ignore[arg-type]
    assert [e.step for e in agreed] == [1, 2, 5, *range(6, 21)]
    assert verdict.difference is None


def test_first_difference_is_found_behind_a_lost_answer(
    device: Device, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "Reference", WrongReference)
    lost = {PLANTED_STEP - 1, PLANTED_STEP}
    _, verdict = run(ForgetfulDevice(device, lost), case)  # type: ignore[arg-type]
    assert verdict.difference is not None
    assert verdict.difference.step == PLANTED_STEP
    assert verdict.difference.element == PLANTED_ELEMENT


class GlitchingDevice(ForgetfulDevice):
    """A device whose digest is wrong once."""

    def train(self, *arguments: object) -> Iterator[Progress]:
        for progress in self._device.train(*arguments):  # type: ignore[arg-type]
            if progress.step in self._lost:
                self._lost.clear()
                progress = progress._replace(digest=progress.digest ^ 1)
            yield progress


def test_a_difference_that_does_not_repeat_is_told_apart(device: Device, case: Case) -> None:
    _, verdict = run(GlitchingDevice(device, {5}), case)  # type: ignore[arg-type]
    digest = case.digests[4]
    expected = Difference(5, "digest", None, (), digest ^ 1, digest, 1, False)
    assert verdict.difference == expected
    assert "suspect memory or supply" in str(expected)


def test_states_of_equal_bits_do_not_differ(case: Case) -> None:
    assert validation.compare_states(case.initial, case.initial.copy(), 1) is None


def test_a_differing_exponent_is_named(case: Case) -> None:
    other = case.initial.copy()
    other.activation_exponent[1] += 1
    other.step += 1
    found = validation.compare_states(case.initial, other, 1)
    assert found is not None
    assert (found.tensor, found.layer, found.differing) == ("activation_exponent", 1, 2)
    assert found.reference - found.device == 1
