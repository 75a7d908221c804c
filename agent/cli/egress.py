"""`onggi egress`: what left, with proofs that anybody can check."""

import json
from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.asking import BY, ask_keeper
from agent.cli.setup import JSON
from agent.config import Paths, load
from agent.errors import Refused
from agent.files import sha256_bytes, write_atomic
from agent.ledger import egress as book
from agent.ledger.book import Item, Ledger
from agent.wire import merkle
from agent.wire.statements import Proof, prove, verify_proof

_WHOLE = "[green]✓[/] "


@click.group(invoke_without_command=True)
@click.option("--verify", is_flag=True, help="Check the log and the courier's log, too.")
@JSON
@click.pass_context
def egress(ctx: click.Context, verify: bool, as_json: bool) -> None:
    """What left this silo, what was held and what was refused.

    Alone it lists them; --verify checks that log, and the courier's log of every request.
    """
    if ctx.invoked_subcommand is None:
        _list(ctx.obj, verify=verify, as_json=as_json)


@egress.command("list")
@JSON
@click.pass_obj
def list_leaves(config_path: Path, as_json: bool) -> None:
    """List every decision: when, what, to whom, how large, by whom."""
    _list(config_path, verify=False, as_json=as_json)


def _list(config_path: Path, *, verify: bool, as_json: bool) -> None:
    paths = Paths(load(config_path).site.state)
    with Ledger(paths.ledger, read_only=True) as ledger:
        checked = book.verify(ledger) if verify else None
        rows = [_row(line) for line in book.lines(ledger)]
        head = book.egress_head(ledger)
    carried = _carried(paths.courier / "transport.ndjson") if verify else None
    if as_json:
        fields = {"lines": rows, "root": head, "verified": checked, "carried": carried}
        click.echo(json.dumps(fields, indent=1))
        return
    console = Console()
    console.print(_table(rows))
    if checked is not None:
        console.print(f"{_WHOLE}All {checked} line(s) of the log are whole; their root is {head}.")
    if carried is not None:
        console.print(
            f"{_WHOLE}The courier's own log is whole, too: {carried['requests']} requests, "
            f"{carried['bytes_up']:,} bytes of bodies up, {carried['bytes_down']:,} down."
        )


def _row(line: book.Line) -> dict[str, Any]:
    fields = line.leaf.model_dump(exclude={"header"})
    return {"seq": line.seq, **fields, "leaf_hash": merkle.leaf_hash(line.content).hex()}


def _table(rows: list[dict[str, Any]]) -> Table:
    title = "Left this silo, or did not"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("#", "when (UTC)", "what", "about", "decision", "bytes", "envelope"):
        justify: Literal["left", "right"] = "right" if heading in {"#", "bytes"} else "left"
        table.add_column(heading, justify=justify, no_wrap=heading != "decision")
    for row in rows:
        when = str(row["at"])[:16].replace("T", " ")
        who = "" if row["by"] == "policy" else f" by {escape(row['by'])}"
        cells = (row["seq"], when, row["kind"], row["about"], f"{row['decision']}{who}")
        table.add_row(*map(str, cells), f"{row['bytes']:,}", row["envelope_id"][:12])
    return table


def _carried(path: Path) -> dict[str, int] | None:
    from agent.exchange.transport_log import verify as verify_log

    if not path.exists():
        return None
    totals = verify_log(path)
    counts = {"bytes_up": totals.bytes_up, "bytes_down": totals.bytes_down}
    return {"requests": totals.requests, **counts}


@egress.command("prove")
@click.argument("envelope")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Default: stdout.")
@click.pass_obj
def prove_leaf(config_path: Path, envelope: str, output: Path | None) -> None:
    """Prove the last decision about an envelope (the start of its id is enough) to anybody.

    The proof is one JSON file: the leaf, its place, the path to a root that this silo signed, and
    the aggregator's receipt for that root if it came.
    """
    with Ledger(Paths(load(config_path).site.state).ledger, read_only=True) as ledger:
        proof = _prove(ledger, envelope)
    text = json.dumps(proof.model_dump(mode="json"), indent=1)
    if output is None:
        click.echo(text)
        return
    output.write_text(text + "\n", encoding="utf-8")
    click.echo(f"{output}: leaf {proof.index + 1}. Check it with `onggi egress verify {output}`.")


def _prove(ledger: Ledger, start: str) -> Proof:
    lines = book.lines(ledger)
    found = [line for line in lines if start and line.leaf.envelope_id.startswith(start)]
    if len({line.leaf.envelope_id for line in found}) != 1:
        raise Refused("unknown_envelope", f"Not one envelope's id begins with {start!r}.")
    seq = found[-1].seq
    covering = [item for item in _roots(ledger) if int(str(item.detail["size"])) >= seq]
    if not covering:
        raise Refused(
            "no_root",
            "No signed root covers it yet: the keeper signs one a day. `onggi egress root --now` "
            "asks for one at once.",
        )
    # One that the aggregator countersigned says more than a newer one of this silo alone.
    signed = [item for item in covering if item.state == "acknowledged"] or covering
    root = signed[0]
    contents = [line.content for line in lines[: int(str(root.detail["size"]))]]
    receipt = ledger.document("receipt", root.id) or b""
    return prove(contents, seq - 1, ledger.document("statement", root.id) or b"", receipt)


def _roots(ledger: Ledger) -> list[Item]:
    from agent.keeper.statements import roots

    return roots(ledger)


@egress.command("verify")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--key", default="", help="The silo's public signing key; default: this silo's own.")
@JSON
@click.pass_obj
def verify_file(config_path: Path, file: Path | None, key: str, as_json: bool) -> None:
    """Check a proof, offline. Without a file: check this silo's whole log.

    With --key no silo is needed; the aggregator's receipt is then not checked.
    """
    if file is None:
        _list(config_path, verify=True, as_json=as_json)
        return
    from agent.cli.proofs import check_receipt, own_key, read_proof

    proof = read_proof(file)
    leaf, root = verify_proof(proof, key or own_key(config_path))
    countersigned = not key and bool(proof.receipt) and check_receipt(config_path, proof)
    if as_json:
        fields = {**leaf.model_dump(exclude={"header"}), "index": proof.index, "root": root.root}
        fields |= {"silo": root.silo, "signed": root.created, "countersigned": countersigned}
        click.echo(json.dumps(fields, indent=1))
        return
    by = " The aggregator countersigned that root." if countersigned else ""
    click.echo(
        f"It is true: {root.silo}'s log has leaf {proof.index + 1} of {root.size} under the root "
        f"that it signed at {root.created}.{by}\n"
        f"{leaf.kind} {leaf.about}, envelope {leaf.envelope_id}: {leaf.decision} by {leaf.by} at "
        f"{leaf.at}, {leaf.bytes:,} bytes to {leaf.to}."
    )


@egress.command("root")
@click.option("--now", "at_once", is_flag=True, help="Let the keeper sign one now.")
@JSON
@click.pass_obj
def show_root(config_path: Path, at_once: bool, as_json: bool) -> None:
    """Show the log's root, and every root that was signed, with the aggregator's answer."""
    paths = Paths(load(config_path).site.state)
    if at_once:
        ask_keeper(paths, "root")
    with Ledger(paths.ledger, read_only=True) as ledger:
        head, size = book.egress_head(ledger), book.size(ledger)
        signed = [
            {
                "day": item.detail["about"],
                "size": item.detail["size"],
                "root": item.detail["root"],
                "state": "countersigned" if item.state == "acknowledged" else item.state,
                "why": item.why,
                "envelope_id": item.id,
            }
            for item in _roots(ledger)
        ]
    if as_json:
        click.echo(json.dumps({"size": size, "root": head, "signed": signed}, indent=1))
        return
    click.echo(f"{head}  {size} leaves, now")
    for one in signed:
        click.echo(
            f"{one['root']}  {one['size']} leaves, {one['day']}, {one['state']} {one['why']}"
        )


@egress.command()
@click.option("--settle", is_flag=True, help="You have looked: end the alarm.")
@BY
@JSON
@click.pass_obj
def reconcile(config_path: Path, settle: bool, by: str, as_json: bool) -> None:
    """Compare the courier's log of every request with what was let out, from the first line on."""
    from agent.audit.reconcile import Progress
    from agent.keeper.auditing import account

    paths = Paths(load(config_path).site.state)
    if settle:
        ask_keeper(paths, "settle", by=by)
        click.echo("The alarm has ended; the next comparison is tomorrow's, or this command's.")
        return
    with Ledger(paths.ledger, read_only=True) as ledger:
        found = account(ledger, paths.courier / "transport.ndjson", Progress())
    fields = {
        "requests": found.totals.requests,
        "bytes_up": found.totals.bytes_up,
        "envelopes": found.envelopes,
        "otherwise": found.otherwise,
        "faults": list(found.faults),
    }
    if as_json:
        click.echo(json.dumps(fields, indent=1))
    if found.faults:
        raise Refused("egress_differs", "\n".join(found.faults))
    if not as_json:
        click.echo(
            f"They agree: {found.totals.requests} requests with {found.totals.bytes_up:,} bytes "
            f"carried {found.envelopes} envelope(s), each let out and no byte more. "
            f"{found.otherwise} went by another carrier."
        )


@egress.command("answer")
@click.argument("challenge", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="For the auditor."
)
@click.pass_obj
def answer_audit(config_path: Path, challenge: Path, out: Path) -> None:
    """Answer an auditor's challenge: what this silo signed in the masked rounds that a coin chose.

    Nothing in the answer is secret, and none of it opens this silo's update.
    """
    from agent.cli.proofs import answered

    found = answered(config_path, challenge)
    write_atomic(out, found.to_bytes())
    click.echo(f"{out}: {len(found.answers)} round(s); hand it to the auditor.")


@egress.command("figures")
@click.argument("release")
@click.option(
    "--for", "public", type=click.Path(path_type=Path), required=True, help="Whose key opens sums."
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True)
@BY
@click.pass_obj
def let_figures_out(config_path: Path, release: str, public: Path, out: Path, by: str) -> None:
    """Write what the gate measured of RELEASE, encrypted, into a file for the consortium.

    Only where the signed policy has `leave.figures = "encrypted"`. The keeper books the file first.
    The holder of the key could open this very file: it goes to the aggregator, and never to him.
    """
    from agent.cli.figures import encrypted_figures

    paths = Paths(load(config_path).site.state)
    content = encrypted_figures(paths, release, public)
    sha256 = sha256_bytes(content)
    ask_keeper(paths, "figures", sha256, by, (release, len(content)))
    with Ledger(paths.ledger, read_only=True) as ledger:
        if not book.of_envelope(ledger, sha256):
            raise Refused("not_booked", "The keeper has not let it out; its log says why.")
    write_atomic(out, content)
    click.echo(f"{out}: {len(content):,} bytes, booked as {sha256[:12]}, for the aggregator.")
