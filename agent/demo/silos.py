"""Each silo's folders, configuration, and the moment when its files are dropped."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.demo import layout
from agent.demo.data import Fact
from agent.keys import new_signing
from agent.policy.signing import sign_off, signature_path

_CONFIG = """\
# Made by `onggi demo`.
[site]
state = "{state}"
legal_entity = "{entity}"

[keeper]
sweep_s = 5.0
settle_s = 1.0

[courier]
poll_s = 5.0

[training]
threads = 1

[policy]
file = "{policy}"
officer = "{officer}"

[serve]
port = {port}
threads = 1
"""
_BY_FOLDER = """
[exchange]
carrier = "folder"
"""
_POLICY = """\
# Made by `onggi demo`, and signed off with officer.key beside it.
version = 1

[ask]
endpoints = ["logbb", "bbb_class", "solubility"]
max_parameters = 10000000
max_rounds_per_week = 100

[peers]
min_participants = 3
"""
_ENTITIES = (
    *("Alpha Pharma", "Beta Bio", "Gamma Therapeutics"),
    *("Delta Labs", "Epsilon Chemie", "Zeta Sciences"),
)
_HYDRATION = """
[[private]]
id = "hydration_free_energy"
name = "Hydration free energy"
unit = "kcal/mol"
low = -40.0
high = 20.0
"""
_DATABASE = """
[[store]]
name = "lims"
kind = "database"
profile = "{profile}"
url = "sqlite:///{folder}/stores/lims/lims.sqlite"
query = "SELECT * FROM measurement"
watermark = "updated_at"
key = "id"
poll_s = 5.0
"""


@dataclass(frozen=True, slots=True)
class Silo:
    """One silo of the demo: where it is, and the files that wait to be dropped."""

    name: str
    entity: str
    folder: Path
    port: int

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "onggi.toml"

    @property
    def policy(self) -> Path:
        """The site's policy."""
        return self.folder / "policy.toml"

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.folder / "state"

    def drop(self) -> None:
        """Moves what the silo measured into the folders that its agent watches."""
        waiting = self.folder / "measured"
        for path in sorted(p for p in waiting.rglob("*") if p.is_file()):
            final = self.folder / "stores" / path.relative_to(waiting)
            if not final.exists():
                hidden = final.with_name(f".{final.name}.tmp")
                shutil.copyfile(path, hidden)
                hidden.rename(final)


def lay_out(
    folder: Path,
    shares: dict[str, list[Fact]],
    ports: Sequence[int],
    at: str,
    by_folder: str | None = None,
) -> list[Silo]:
    """Writes each silo's data, its configuration, and its policy, signed off.

    Args:
        folder: Of all parties.
        shares: What each silo measured.
        ports: Where the silos' endpoints listen.
        at: When the policies are signed off.
        by_folder: The silo that has no connection, or None.
    """
    makers = (_silo_a, _silo_b, _silo_c, _silo_a, _silo_c, _silo_a)[: len(shares)]
    entities = _ENTITIES[: len(shares)]
    silos = []
    for (name, facts), make, entity, port in zip(
        shares.items(), makers, entities, ports, strict=True
    ):
        silo = Silo(name, entity, folder / name, port)
        (silo.folder / "measured").mkdir(parents=True)
        text = _CONFIG.format(
            state=silo.state,
            entity=entity,
            port=port,
            policy=silo.policy,
            officer=_sign_off(silo, at),
        )
        text += _BY_FOLDER if name == by_folder else ""
        silo.config.write_text(text + make(silo, facts), encoding="utf-8")
        silos.append(silo)
    return silos


def _sign_off(silo: Silo, at: str) -> str:
    """Writes the policy and its signature; returns the officer's public key."""
    officer = new_signing("officer")
    officer.save(silo.folder / "officer.key")
    content = _POLICY.encode()
    silo.policy.write_bytes(content)
    signed = sign_off(content, 1, officer, f"{silo.entity}, information security", at)
    signature_path(silo.policy).write_bytes(signed)
    return officer.public_hex


def _silo_a(silo: Silo, facts: list[Fact]) -> str:
    _folders(silo, "assays")
    layout.workbook(silo.folder / "measured/assays/ADMET_v4.6.xlsx", facts)
    return _store("assays", "kmelloddy", silo)


def _silo_b(silo: Silo, facts: list[Fact]) -> str:
    by = {name: [f for f in facts if f.property == name] for name in ("logbb", "bbb", "hydration")}
    columns = {
        "logbb": ("logBB", "logbb", ""),
        "bbb": ("BBB+/BBB-", "bbb_class", ""),
        "hydration": ("expt (kcal/mol)", "private:hydration_free_energy", "kcal/mol"),
    }
    text = _HYDRATION
    for name, (column, endpoint, unit) in columns.items():
        _folders(silo, name)
        layout.wide_csv(silo.folder / f"measured/{name}/{name}.csv", column, by[name])
        profile = layout.WIDE_PROFILE.format(column=column, endpoint=endpoint, unit=unit)
        text += _store(name, "table", silo, profile)
    _folders(silo, "solubility")
    solubility = [fact for fact in facts if fact.property == "log_s"]
    layout.sdf(silo.folder / "measured/solubility/solubility.sdf", solubility)
    return text + _store("solubility", "sdf", silo, layout.SDF_PROFILE)


def _silo_c(silo: Silo, facts: list[Fact]) -> str:
    _folders(silo, "lims")
    layout.database(silo.folder / "measured/lims/lims.sqlite", facts)
    profile = silo.folder / "lims.profile.toml"
    profile.write_text(layout.LONG_PROFILE, encoding="utf-8")
    return _DATABASE.format(profile=profile, folder=silo.folder)


def _folders(silo: Silo, store: str) -> None:
    for place in ("measured", "stores"):
        (silo.folder / place / store).mkdir(parents=True, exist_ok=True)


def _store(name: str, kind: str, silo: Silo, profile: str = "") -> str:
    text = f'\n[[store]]\nname = "{name}"\nkind = "{kind}"\npath = "{silo.folder}/stores/{name}"\n'
    if profile:
        path = silo.folder / f"{name}.profile.toml"
        path.write_text(profile, encoding="utf-8")
        text += f'profile = "{path}"\n'
    return text
