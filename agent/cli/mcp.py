"""`onggi mcp`: lets an assistant on this computer ask the endpoint, by the Model Context Protocol.

It speaks over standard input and output, opens no port and keeps nothing. What the assistant asks
goes to the endpoint, and what it answers goes to the assistant: whether a model elsewhere may see
structures is for the company to say before it is set up.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agent.cli.predict import CA_FILE, TOKEN_FILE, URL, own_url, read_token
from agent.config import load
from agent.errors import Stop

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from onggi.client import Client

T = TypeVar("T")
MOST = 200  # structures of one question: an assistant that has more is to use a file
_TOLD = (
    "Predicts ADMET endpoints of small molecules with the model of this company's own Onggi. "
    "Report the interval with every value, say when a compound is outside of the model's domain, "
    "and never take a prediction for a measurement: only `measured` is one."
)


@click.command()
@URL
@TOKEN_FILE
@CA_FILE
@click.pass_obj
def mcp(config_path: Path, url: str, token_file: Path | None, ca_file: Path | None) -> None:
    """Let an assistant on this computer ask the endpoint (MCP over standard input and output)."""
    from onggi.client import Client

    url = url or own_url(load(config_path).serve)
    server(Client(url, read_token(token_file), ca_file)).run("stdio")


def server(client: "Client") -> "MCPServer[Any]":
    """Returns the server with its tools.

    Args:
        client: Of the endpoint.

    Raises:
        Stop: The package that speaks the protocol is not installed.
    """
    try:
        from mcp.server.mcpserver import MCPServer
    except ImportError as error:
        raise Stop(
            "The package mcp is not installed; add it with `pip install onggi[mcp]`."
        ) from error
    logging.getLogger("mcp").setLevel("WARNING")  # below it, its lines may quote what was asked
    made: MCPServer[Any] = MCPServer("onggi", instructions=_TOLD, log_level="WARNING")
    for tool in _tools(client):
        made.tool()(tool)
    return made


def _tools(client: "Client") -> list[Callable[..., dict[str, Any]]]:
    """Returns the tools; their docstrings are what an assistant reads of them."""
    from mcp.server.mcpserver.exceptions import ToolError

    def predict(smiles: list[str]) -> dict[str, Any]:
        """Predict every ADMET endpoint for up to 200 SMILES, in order.

        Each endpoint has a value in its unit, a 90 % interval, and whether the compound lies inside
        the model's domain (with the similarity to the nearest measured compound). A structure that
        cannot be read has an error in its place.
        """
        if len(smiles) > MOST:
            raise ToolError(f"Ask for {MOST} structures at most; use `onggi predict` for files.")
        return _said(lambda: client.post("/v1/predict", {"smiles": smiles}))

    def explain(smiles: str, endpoint: str) -> dict[str, Any]:
        """Tell what each atom contributes to one endpoint, in the order of the atoms in `smiles`.

        A contribution is how much the prediction falls without the atom, on the model's scale.
        """
        answer = _said(lambda: client.explain(smiles, endpoint))
        return {name: part for name, part in answer.items() if name != "svg"}

    def neighbours(smiles: str, endpoint: str | None = None, most: int = 10) -> dict[str, Any]:
        """Find the most similar compounds that this company has measured, with their values."""
        return _said(lambda: client.neighbours(smiles, endpoint, most))

    def model() -> dict[str, Any]:
        """Describe the model: its endpoints with units, and how well each did on new compounds."""
        return _said(client.model)

    return [predict, explain, neighbours, model]


def _said(ask: Callable[[], T]) -> T:
    from mcp.server.mcpserver.exceptions import ToolError

    from onggi.client import OnggiAway, OnggiRefused

    try:
        return ask()
    except OnggiRefused as refused:
        raise ToolError(refused.detail) from None
    except OnggiAway as away:
        raise ToolError(f"{away} Start it with `onggi serve`.") from None
