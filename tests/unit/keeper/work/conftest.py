from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.keeper.orders import (
    BaselineOrder,
    FileOrder,
    IngestOrder,
    PartOrder,
    ReleaseOrder,
    RoundOrder,
    Settings,
    SnapshotOrder,
)
from agent.keeper.work.ingest import ingest
from agent.keeper.work.snapshot import freeze
from agent.wire.documents import Endpoint
from tests.kit import measurements
from tests.kit.consortium import Consortium

OWN = Endpoint(id="own", name="Own", group="P", kind="regression", unit="", low=-10.0, high=10.0)
PROFILE = """\
version = 1
[columns]
compound = "ID"
structure = "SMILES"
[[assay]]
column = "sol"
endpoint = "solubility"
unit = "uM"
[[assay]]
column = "own"
endpoint = "private:own"
"""


@dataclass
class Bench:
    """Orders of every kind, and what the workers reported."""

    root: Path
    consortium: Consortium = field(default_factory=Consortium)
    reports: list[str] = field(default_factory=list)
    settings: Settings = field(
        default_factory=lambda: Settings(device="cpu", threads=1, min_labels=5)
    )

    def report(self, stage: str, done: int, total: int) -> None:
        assert 0 <= done <= total
        self.reports.append(stage)

    def folder(self, name: str) -> Path:
        path = self.root / name
        path.mkdir(exist_ok=True)
        return path

    def ingest_order(self, *files: Path, profile: str = "", reader: str = "table") -> IngestOrder:
        (self.root / "wide.toml").write_text(PROFILE)
        return IngestOrder.model_validate(
            {
                "store": "files",
                "reader": reader,
                "profile": profile or str(self.root / "wide.toml"),
                "catalogue": self.consortium.catalogue,
                "private": (OWN,),
                "parts": str(self.folder("parts")),
                "files": tuple(
                    FileOrder(
                        item=f"files/{path.name}",
                        path=str(path),
                        size=path.stat().st_size if path.exists() else 1,
                        mtime_ns=path.stat().st_mtime_ns if path.exists() else 1,
                    )
                    for path in files
                ),
            }
        )

    def table(self, compounds: int = 7) -> Path:
        path = self.root / "a.csv"
        rows = [
            f"{number},{smiles},{10 + abs(value)},{value}"
            for number, smiles, value in measurements.compounds(range(1, compounds + 1))
        ]
        path.write_text("\n".join(["ID,SMILES,sol,own", *rows]))
        return path

    def snapshot_order(self, *parts: Path) -> SnapshotOrder:
        return SnapshotOrder(
            snapshot="s1",
            parts=tuple(PartOrder(store="files", folder=str(part)) for part in parts),
            plan=self.consortium.plan_document(),
            cache=str(self.root / "features.sqlite3"),
            folder=str(self.root / "frozen" / "snapshot"),
        )

    def frozen(self, compounds: int = 7, fold_key: str = "") -> Path:
        """Reads and freezes the table; returns the snapshot."""
        job = self.folder("reading")
        ingest(self.ingest_order(self.table(compounds)), job, self.report)
        (part,) = (job / "parts").iterdir()
        order = self.snapshot_order(part)
        if fold_key:
            plan = order.plan.model_copy(update={"fold_key": fold_key})
            order = order.model_copy(update={"plan": plan})
        freeze(order, self.folder("frozen"), self.report)
        return self.root / "frozen" / "snapshot"

    def baseline_order(self, snapshot: Path) -> BaselineOrder:
        return BaselineOrder(
            snapshot="s1",
            folder=str(snapshot),
            plan=self.consortium.plan_document(),
            catalogue=self.consortium.catalogue,
            private=(OWN,),
            settings=self.settings,
        )

    def round_order(self, snapshot: Path, private_weights: str = "") -> RoundOrder:
        base = self.root / "base.safetensors"
        base.write_bytes(self.consortium.base)
        return RoundOrder(
            **dict(self.baseline_order(snapshot).model_copy(update={"kind": "round"})),
            manifest=self.consortium.round_document(),
            base=str(base),
            private_weights=private_weights,
        )

    def release_order(self, snapshot: Path, active: str = "") -> ReleaseOrder:
        base = self.root / "base.safetensors"
        base.write_bytes(self.consortium.base)
        manifest = self.consortium.release_document()
        return ReleaseOrder(
            **dict(self.baseline_order(snapshot).model_copy(update={"kind": "release"})),
            release_id="r1",
            manifest=manifest,
            container=manifest.to_bytes().decode(),
            weights=str(base),
            active=active,
            private_weights="",
            local_scores=(),
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def make_bench() -> Callable[[Path], Bench]:
    return Bench
