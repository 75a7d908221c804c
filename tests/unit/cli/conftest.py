import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agent.cli.main import onggi
from agent.config import Paths
from agent.errors import OnggiError
from tests.kit.consortium import Consortium

Run = Callable[..., Result]


class Home:
    """A configuration file and a state folder, enrolled or not."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = Paths(root / "state")
        self.config = root / "onggi.toml"
        self.store = root / "files"
        self.store.mkdir()
        self.profile = root / "wide.toml"
        self.config.write_text(
            f'[site]\nstate = "{self.paths.state}"\n'
            f'[[store]]\nname = "files"\nkind = "table"\npath = "{self.store}"\n'
            f'profile = "{self.profile}"\n'
        )
        self.profile.write_text(
            'version = 1\n[columns]\ncompound = "ID"\nstructure = "SMILES"\n'
            '[[assay]]\ncolumn = "sol"\nendpoint = "solubility"\nunit = "uM"\n'
        )

    def enrol(self) -> None:
        Consortium().enrol(self.paths)

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(onggi, ["--config", str(self.config), *arguments])

    def said(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments: str) -> Any:  # noqa: ANN401 - whatever JSON the command prints
        return json.loads(self.said(*arguments, "--json"))

    def error(self, *arguments: str) -> OnggiError:
        error = self.run(*arguments).exception
        assert isinstance(error, OnggiError)
        return error


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)
