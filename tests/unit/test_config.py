from pathlib import Path

import pytest

from agent.config import Config, Paths, load
from agent.errors import Stop


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "onggi.toml"


def _faults(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Stop) as stop:
        load(path)
    return str(stop.value)


def test_an_empty_file_gives_the_defaults(path: Path) -> None:
    path.write_text("")
    assert load(path) == Config()


def test_a_whole_configuration(path: Path) -> None:
    path.write_text(
        """
[site]
state = "/srv/onggi"
legal_entity = "한국제약"
[keeper]
sweep_s = 30
[serve]
port = 9000
[[store]]
name = "lims"
kind = "database"
url = "sqlite:////srv/lims.db"
query = "SELECT 1"
watermark = "updated_at"
key = "id"
profile = "/etc/onggi/lims.toml"
[[store]]
name = "files"
kind = "kmelloddy"
path = "/srv/files"
[[private]]
id = "hydration"
name = "Hydration free energy"
low = -30
high = 10
positive = ["yes"]
""",
        encoding="utf-8",
    )
    config = load(path)
    assert config.site.state == Path("/srv/onggi")
    assert config.site.legal_entity == "한국제약"
    assert config.keeper.sweep_s == 30.0
    assert [store.name for store in config.store] == ["lims", "files"]
    assert config.store[0].profile == Path("/etc/onggi/lims.toml")
    assert config.private[0].positive == ("yes",)


def test_every_fault_is_told_at_once_with_its_path(path: Path) -> None:
    text = _faults(
        path,
        """
colour = "blue"
[site]
state = "relative/folder"
[keeper]
attempts = 0
sweep_s = -1
[serve]
port = "8600"
host_name = "x"
[courier]
poll_s = nan
[[store]]
name = "Files!"
kind = "kmelloddy"
path = "/srv"
[[store]]
name = "b"
kind = "parquet"
""",
    )
    assert f"{path} has 9 fault(s):" in text
    for line in (
        "  colour: unknown key; see config_templates/onggi.toml",
        "  site.state: must be an absolute path, because services start in /",
        "  keeper.attempts:",
        "  keeper.sweep_s:",
        "  serve.port:",
        "  serve.host_name: unknown key",
        "  courier.poll_s:",
        "  store[0].name:",
        "  store[1].kind:",
    ):
        assert line in text, line


@pytest.mark.parametrize(
    ("store", "fault"),
    [
        ('kind = "kmelloddy"', "a store of kind 'kmelloddy' needs path"),
        ('kind = "table"', "a store of kind 'table' needs path, profile"),
        ('kind = "sdf"\npath = "/s"', "a store of kind 'sdf' needs profile"),
        (
            'kind = "database"',
            "a store of kind 'database' needs url, query, watermark, key, profile",
        ),
        (
            'kind = "database"\nurl = "x"\nquery = "q"\nwatermark = "w"\nkey = "k"\n'
            'profile = "/p"\npath = "/s"',
            "a store of kind 'database' has no path",
        ),
    ],
)
def test_what_each_kind_of_store_needs(path: Path, store: str, fault: str) -> None:
    assert f"store[0]: {fault}" in _faults(path, f'[[store]]\nname = "a"\n{store}\n')


@pytest.mark.parametrize(
    ("section", "entry"),
    [
        ("store", 'name = "a"\nkind = "kmelloddy"\npath = "/s"'),
        ("private", 'id = "a"\nname = "A"\nlow = 0\nhigh = 1'),
    ],
)
def test_names_are_unique(path: Path, section: str, entry: str) -> None:
    text = _faults(path, f"[[{section}]]\n{entry}\n" * 2)
    assert f"  {section}: two entries are named 'a'" in text


def test_a_fault_of_one_field_hides_no_other(path: Path) -> None:
    text = _faults(
        path,
        '[site]\nfoo = 1\n[[store]]\nname = "a"\nkind = "table"\nbar = 2\n'
        '[[store]]\nname = "a"\nkind = "sdf"\npath = "/s"\n',
    )
    assert "has 5 fault(s)" in text
    for line in ("site.foo:", "store[0].bar:", "store[0]: a store of kind 'table' needs path"):
        assert line in text
    assert "store[1]: a store of kind 'sdf' needs profile" in text
    assert "store: two entries are named 'a'" in text


def test_a_wrong_shape_is_a_fault_and_no_crash(path: Path) -> None:
    assert "site:" in _faults(path, "site = 3\n")
    assert "site.state:" in _faults(path, "[site]\nstate = 3\n")
    assert "store:" in _faults(path, 'store = "a"\n')


def test_a_file_that_cannot_be_read(path: Path) -> None:
    with pytest.raises(Stop, match=r"Cannot read .*--config"):
        load(path)


@pytest.mark.parametrize("content", [b"site = ", b"\xff\xfe\x00"])
def test_a_file_that_is_no_toml(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(Stop, match="not valid TOML"):
        load(path)


def test_the_folders_of_the_state(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "state")
    paths.create()
    paths.create()
    made = {str(p.relative_to(paths.state)) for p in paths.state.rglob("*")}
    assert made == {
        *("keys", "trust", "outbox", "inbox", "inbox/objects", "parts", "spool", "snapshots"),
        *("models", "jobs", "releases", "reference", "status", "requests", "courier"),
        "predict",
    }
    assert paths.ledger == paths.state / "ledger.sqlite3"


@pytest.mark.parametrize("hours", ["18", "18-25", "24-07", "7-18", "always"])
def test_hours_are_two_hours_of_a_day(path: Path, hours: str) -> None:
    assert "training.hours: must be two hours" in _faults(path, f'[training]\nhours = "{hours}"')


def test_hours_may_be_left_out(path: Path) -> None:
    for hours in ("", "18-07", "00-24"):
        path.write_text(f'[training]\nhours = "{hours}"')
        assert load(path).training.hours == hours


def test_a_silo_by_folder_names_it_or_leaves_it_to_a_person(tmp_path: Path) -> None:
    path = tmp_path / "onggi.toml"
    path.write_text('[exchange]\ncarrier = "folder"\nfolder = "/media/stick"\nca_file = ""\n')
    section = load(path).exchange
    assert (section.folder, section.ca_file) == (Path("/media/stick"), None)
    path.write_text('[exchange]\ncarrier = "pigeon"\nfolder = "stick"\n')
    with pytest.raises(Stop, match=r"(?s)exchange\.carrier.*exchange\.folder: must be an absolute"):
        load(path)
