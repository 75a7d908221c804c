from pathlib import Path
from queue import SimpleQueue

import pytest

from agent.config import Config, Paths, PrivateEndpoint, Site, Store, TrainingSection
from agent.errors import Stop, TryLater
from agent.keeper import assemble
from agent.keeper.loop import STOP
from agent.ledger.book import Ledger
from tests.kit.consortium import START, Consortium

OWN = PrivateEndpoint(id="own", name="Own", low=0.0, high=1.0, positive=("yes",))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    state = tmp_path / "state"
    Consortium().enrol(Paths(state))
    (tmp_path / "files").mkdir()
    store = Store(name="files", kind="kmelloddy", path=tmp_path / "files")
    return Config(site=Site(state=state), store=(store,), private=(OWN,))


def _open(config: Config) -> None:
    queue: SimpleQueue[str] = SimpleQueue()
    with assemble.keeper(config, queue, lambda: START) as keeper:
        keeper.step(frozenset())
        queue.put(STOP)
        keeper.run()


def test_an_enrolled_silo_gets_a_keeper(config: Config) -> None:
    _open(config)
    paths = Paths(config.site.state)
    with Ledger(paths.ledger, read_only=True) as ledger:
        assert ledger.counts("store") == {"reached": 1}
    assert b"silo-a" in (paths.status / "keeper.json").read_bytes()


def test_what_a_kill_left_half_written_goes_at_the_start(config: Config) -> None:
    models = Paths(config.site.state).models
    draft = models / ".private.safetensors.4711.tmp"
    draft.write_bytes(b"what was learned")
    kept = models / "private.safetensors"
    kept.write_bytes(b"own")
    _open(config)
    assert (draft.exists(), kept.exists()) == (False, True)


def test_two_keepers_never_share_a_state(config: Config) -> None:
    queue: SimpleQueue[str] = SimpleQueue()
    with assemble.keeper(config, queue, lambda: START), pytest.raises(TryLater):
        _open(config)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("trust/enrolment.json", "not enrolled"),
        ("trust/root.json", "no longer valid"),
        ("trust/roster.json", "no longer valid"),
        ("trust/catalogue.json", "no longer valid"),
        ("keys/sign.key", "Cannot read the key"),
    ],
)
def test_what_enrolment_left_must_be_whole(config: Config, name: str, sentence: str) -> None:
    (config.site.state / name).unlink()
    with pytest.raises(Stop, match=sentence):
        _open(config)


def test_another_root_is_not_believed(config: Config) -> None:
    (config.site.state / "trust" / "root.json").write_bytes(Consortium().root)
    with pytest.raises(Stop, match="wrong_root"):
        _open(config)


def test_a_damaged_note_of_the_enrolment(config: Config) -> None:
    (config.site.state / "trust" / "enrolment.json").write_bytes(b"{}")
    with pytest.raises(Stop, match="not enrolled"):
        _open(config)


def test_where_each_store_is_watched(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    files = Store(name="files", kind="kmelloddy", path=tmp_path / "files")
    lims = Store(
        name="lims",
        kind="database",
        url="sqlite://",
        query="q",
        watermark="w",
        key="k",
        profile=tmp_path / "p.toml",
    )
    assert assemble.source_folder(files, paths) == tmp_path / "files"
    assert assemble.source_folder(lims, paths) == tmp_path / "spool" / "lims"


def test_private_endpoints_are_written_as_the_catalogue_writes_them() -> None:
    (own,) = assemble.private_endpoints(Config(private=(OWN,)))
    assert (own.id, own.positive, own.rules) == ("own", ("yes",), ())


def test_private_endpoints_may_stand_in_the_profiles(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    text = """version = 1
[columns]
structure = "S"
[[assay]]
column = "a"
endpoint = "private:mine"
[[private]]
id = "mine"
name = "Mine"
low = 0.0
high = 1.0
"""
    store = Store(name="lims", kind="table", path=tmp_path, profile=path)
    config = Config(store=(store, store.model_copy(update={"name": "b"})), private=(OWN,))
    assert [e.id for e in assemble.private_endpoints(config)] == ["own"]  # there is no profile yet
    path.write_text(text)
    assert [e.id for e in assemble.private_endpoints(config)] == ["own", "mine"]
    path.write_text(text.replace('"mine"', '"own"'))
    with pytest.raises(Stop, match="own is declared twice"):
        assemble.private_endpoints(config)


def test_training_settings_come_from_the_site() -> None:
    settings = assemble.training_settings(TrainingSection(device="cpu", threads=3, min_labels=7))
    assert (settings.device, settings.threads, settings.min_labels) == ("cpu", 3, 7)
