from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from agent.errors import Refused, TryLater
from agent.releases.attempts import MAX_ATTEMPTS, Attempts
from agent.releases.card import ModelCard
from agent.releases.folder import MODEL, activate
from agent.serving.answers import Answering
from agent.serving.predictor import Predictor
from agent.serving.swap import MAX_STRIKES, TRIAL_S, Models, Serving

Build = Callable[..., ModelCard]
LOAD = partial(Predictor.load, threads=1)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    path.mkdir()
    return path


def _models(releases: Path, state: Path) -> Models:
    return Models(releases, Attempts(state), LOAD, retry_wait_s=2.0)


def _break(releases: Path, release_id: str) -> None:
    model = releases / release_id / MODEL
    model.unlink()
    model.write_bytes(b"no graph")


def _steps(models: Models, until_s: float) -> None:
    for tick in range(int(until_s * 2)):
        models.step(tick / 2)


def test_nothing_is_served_before_the_first_release(releases: Path, state: Path) -> None:
    models = _models(releases, state)
    models.step(0.0)
    assert models.current() is None
    assert models.serving() == Serving(None, None, None, "No release is active yet.")


def test_a_release_folder_that_is_not_there_yet_is_no_fault(state: Path) -> None:
    models = _models(state / "later", state)
    models.step(0.0)
    assert models.current() is None


def test_it_follows_what_is_active(install: Build, releases: Path, state: Path) -> None:
    models = _models(releases, state)
    for version, name in enumerate(("r1", "r2"), start=1):
        install(name, version)
        activate(releases, name)
        models.step(float(version))
        assert models.serving() == Serving(name, version, name, "")
        assert Attempts(state).account(name).loaded
    activate(releases, "r1")
    models.step(3.0)
    assert models.serving().release == "r1"


def test_a_loaded_release_is_not_loaded_again(install: Build, releases: Path, state: Path) -> None:
    install("r1", 1)
    activate(releases, "r1")
    models = _models(releases, state)
    models.step(0.0)
    first = models.current()
    _steps(models, 5)
    assert models.current() is first


def test_a_failing_release_is_tried_three_times_while_the_old_one_answers(
    install: Build, releases: Path, state: Path
) -> None:
    install("r1", 1)
    install("r2", 2)
    activate(releases, "r1")
    models = _models(releases, state)
    models.step(0.0)
    _break(releases, "r2")
    activate(releases, "r2")
    models.step(0.5)
    assert Attempts(state).account("r2").begun == 1
    models.step(1.0)
    assert Attempts(state).account("r2").begun == 1  # left alone for a while
    assert models.serving().problem == (
        "r2 is not loaded yet and r1 answers instead. model.onnx is no graph; build it again."
    )
    _steps(models, 60)
    assert Attempts(state).account("r2").begun == MAX_ATTEMPTS
    assert models.serving() == Serving(
        "r1",
        1,
        "r2",
        "r2 failed to load 3 times and r1 answers instead. model.onnx is no graph; build it again.",
    )


def test_after_a_crash_loop_the_last_good_release_answers(
    install: Build, releases: Path, state: Path
) -> None:
    for version, name in enumerate(("r1", "r2", "r3"), start=1):
        install(name, version)
    for name in ("r1", "r2"):
        activate(releases, name)
        _models(releases, state).step(0.0)
    activate(releases, "r3")

    def crash(folder: Path) -> Predictor:
        if folder.name == "r3":
            raise KeyboardInterrupt  # passes every boundary, as the end of the process would
        return LOAD(folder)

    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(KeyboardInterrupt):
            Models(releases, Attempts(state), crash).step(0.0)
    models = Models(releases, Attempts(state), crash)
    models.step(0.0)
    assert models.serving().release == "r2"
    assert models.serving().problem == (
        "r3 failed to load 3 times and r2 answers instead. The process ended while it loaded."
    )


def test_a_fallback_that_fails_gives_way_to_the_one_before(
    install: Build, releases: Path, state: Path
) -> None:
    for version, name in enumerate(("r1", "r2", "r3"), start=1):
        install(name, version)
    for name in ("r1", "r2"):
        activate(releases, name)
        _models(releases, state).step(0.0)
    _break(releases, "r2")
    _break(releases, "r3")
    activate(releases, "r3")
    models = _models(releases, state)
    _steps(models, 30)
    assert models.serving().release == "r1"


def test_with_no_good_release_it_says_that_nothing_answers(
    install: Build, releases: Path, state: Path
) -> None:
    install("r1", 1)
    _break(releases, "r1")
    activate(releases, "r1")
    models = _models(releases, state)
    _steps(models, 30)
    assert models.current() is None
    assert "3 times and nothing answers" in models.serving().problem


def test_a_release_that_answers_no_number_is_not_taken(
    install: Build, releases: Path, state: Path
) -> None:
    install("r1", 1, level=-1e6)
    activate(releases, "r1")
    models = _models(releases, state)
    models.step(0.0)
    assert models.current() is None
    assert "no finite number" in models.serving().problem


def test_an_unforeseen_error_of_a_load_is_a_failed_attempt(
    install: Build, releases: Path, state: Path
) -> None:
    def load(folder: Path) -> Predictor:
        raise MemoryError(str(folder))

    install("r1", 1)
    activate(releases, "r1")
    models = Models(releases, Attempts(state), load)
    models.step(0.0)
    assert Attempts(state).account("r1").reason == "Loading it raised MemoryError; see the log."


def test_a_release_that_never_loaded_is_tried_by_another_process_first(
    install: Build, releases: Path, state: Path
) -> None:
    tried: list[str] = []
    models = Models(releases, Attempts(state), LOAD, rehearse=lambda path: tried.append(path.name))
    for version, name in enumerate(("r1", "r2"), start=1):
        install(name, version)
        activate(releases, name)
        models.step(float(version))
    activate(releases, "r1")
    models.step(3.0)
    assert models.serving().release == "r1"
    assert tried == ["r1", "r2"]  # r1 had loaded before


def test_one_that_crashes_there_is_given_up_while_the_old_one_answers(
    install: Build, releases: Path, state: Path
) -> None:
    def crash(path: Path) -> None:
        if path.name == "r2":
            raise Refused("does_not_load", "The process that tried it was ended by signal 9.")

    models = Models(releases, Attempts(state), LOAD, rehearse=crash)
    for version, name in enumerate(("r1", "r2"), start=1):
        install(name, version)
        activate(releases, name)
        models.step(0.0)
    _steps(models, 30)
    assert Attempts(state).exhausted("r2")
    assert models.serving().release == "r1"
    assert "failed to load 3 times" in models.serving().problem
    assert "signal 9" in models.serving().problem


def test_a_rehearsal_that_was_called_off_is_no_attempt(
    install: Build, releases: Path, state: Path
) -> None:
    def call_off(_: Path) -> None:
        raise TryLater("Predict ends.")

    install("r1", 1)
    activate(releases, "r1")
    with pytest.raises(TryLater):
        Models(releases, Attempts(state), LOAD, rehearse=call_off).step(0.0)
    assert Attempts(state).account("r1").begun == 0


def _on_trial(install: Build, releases: Path, state: Path) -> tuple[Models, Answering, Answering]:
    """Models that went from r1 to r2 at second 1."""
    models, found = _models(releases, state), []
    for version, name in enumerate(("r1", "r2")):
        install(name, version + 1)
        activate(releases, name)
        models.step(float(version))
        found.append(models.current())
    old, new = found
    assert old is not None
    assert new is not None
    return models, old, new


def test_the_release_before_stands_in_during_the_trial(
    install: Build, releases: Path, state: Path
) -> None:
    models, old, new = _on_trial(install, releases, state)
    assert models.stand_in(new) is old
    assert models.stand_in(old) is None
    models.step(TRIAL_S)
    assert models.stand_in(new) is old
    models.step(TRIAL_S + 1)
    assert models.stand_in(new) is None
    assert models.current() is new


def test_requests_that_only_the_new_one_fails_end_its_trial(
    install: Build, releases: Path, state: Path
) -> None:
    models, old, new = _on_trial(install, releases, state)
    models.strike(old)  # of a call that began before the swap
    for number in range(MAX_STRIKES):
        models.step(2.0 + number)
        assert models.current() is new
        models.strike(new)
    models.step(9.0)
    assert models.current() is old
    assert Attempts(state).exhausted("r2")
    assert models.serving().problem == (
        "r2 was given up and r1 answers instead. It failed 3 requests that r1 answers."
    )
    _steps(models, 10)
    assert models.current() is old
    models.strike(new)  # of a call that ended after it
    again = _models(releases, state)
    again.step(0.0)
    assert again.serving().release == "r1"  # also after a restart


def test_what_is_given_up_is_so_on_disk_first(
    install: Build, releases: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, old, new = _on_trial(install, releases, state)
    for _ in range(MAX_STRIKES):
        models.strike(new)
    with monkeypatch.context() as patch:
        patch.setattr(Attempts, "_write", _full_disk)
        with pytest.raises(OSError, match="full"):
            models.step(2.0)
    assert models.current() is new
    assert models.stand_in(new) is old  # which still answers what the new one fails
    models.step(3.0)
    assert models.current() is old


def _full_disk(*_: object) -> None:
    raise OSError("full")


def test_an_attempt_that_cannot_be_counted_does_not_begin(
    install: Build, releases: Path, state: Path
) -> None:
    loads: list[Path] = []

    def load(folder: Path) -> Predictor:
        loads.append(folder)
        raise Refused("x", "x")

    install("r1", 1)
    activate(releases, "r1")
    state.rmdir()
    with pytest.raises(OSError, match="attempts"):
        Models(releases, Attempts(state), load).step(0.0)
    assert loads == []
