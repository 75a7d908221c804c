import sys

import pytest

from agent.cli.mcp import server
from agent.errors import Stop
from onggi.client import Client


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    with pytest.raises(Stop, match=r"pip install onggi\[mcp\]"):
        server(Client("http://127.0.0.1:9"))
