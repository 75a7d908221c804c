"""Mapping profiles: which column of a store means what, as a small TOML file.

No reader is imported here: the keeper checks profiles and stays small.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent.errors import Stop
from agent.files import sha256_bytes
from agent.records import Structure
from agent.wire import strict_json

ColumnName = Annotated[str, Field(min_length=1, max_length=200)]
EndpointId = Annotated[str, Field(pattern=r"^(private:)?[a-z0-9][a-z0-9_.-]{0,62}$")]

_MAX_BYTES = 1 << 20


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Columns(_Part):
    """Headers of a store's columns; `None` where the store has no such column.

    Attributes:
        compound: The silo's own compound number; an SDF without it gives the record's title.
        structure: The structure; an SDF without it gives the molblock.
        salt: The structure as registered; it serves where `structure` is empty.
        date: When it was measured.
        measurement_id: The silo's number for the measurement (long) or the row (wide).
        value, unit, qualifier: Long form only.
        test, test_type, subject, readout, condition: What was measured; long form only.
        concentration (uM where the cell names no unit), temperature (degrees Celsius), dose,
            route, sex, formulation: Further conditions; long form only.
        label: A class word, which is the measurement where no value is given; long form only.
        value_a_to_b, value_b_to_a: Permeability by direction; long form only.
    """

    compound: ColumnName | None = None
    structure: ColumnName | None = None
    salt: ColumnName | None = None
    date: ColumnName | None = None
    measurement_id: ColumnName | None = None
    value: ColumnName | None = None
    unit: ColumnName | None = None
    qualifier: ColumnName | None = None
    test: ColumnName | None = None
    test_type: ColumnName | None = None
    subject: ColumnName | None = None
    readout: ColumnName | None = None
    condition: ColumnName | None = None
    concentration: ColumnName | None = None
    temperature: ColumnName | None = None
    dose: ColumnName | None = None
    route: ColumnName | None = None
    sex: ColumnName | None = None
    formulation: ColumnName | None = None
    label: ColumnName | None = None
    value_a_to_b: ColumnName | None = None
    value_b_to_a: ColumnName | None = None


LONG_ONLY = (
    *("value", "unit", "qualifier", "test", "test_type", "subject", "readout", "condition"),
    *("concentration", "temperature", "dose", "route", "sex", "formulation", "label"),
    *("value_a_to_b", "value_b_to_a"),
)


class AssayColumn(_Part):
    """One column of a wide table: the endpoint it holds and the unit of its numbers."""

    column: ColumnName
    endpoint: EndpointId
    unit: str = ""
    qualifier_column: ColumnName | None = None


class Profile(_Part):
    """What a store's columns mean. Long form names `columns.value`; wide form lists `assay`.

    Attributes:
        version: Counts the profile's editions; it is kept with what was read through it.
        structure_format: How `columns.structure` is written.
        columns: Headers by meaning.
        assay: The columns that hold numbers, in wide form.
    """

    version: Annotated[int, Field(ge=1)]
    structure_format: Structure = "smiles"
    columns: Columns = Columns()
    assay: Annotated[tuple[AssayColumn, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if (self.columns.value is None) == (not self.assay):
            raise ValueError(
                "name columns.value (long form) or list [[assay]] (wide form), not both"
            )
        stray = [name for name in LONG_ONLY if self.assay and getattr(self.columns, name)]
        if stray:
            raise ValueError(f"columns.{stray[0]} belongs to the long form; this profile is wide")
        names = [entry.column for entry in self.assay]
        if len(set(names)) != len(names):
            raise ValueError("two [[assay]] entries name one column")
        return self

    @property
    def shape(self) -> Literal["long", "wide"]:
        """Whether a row is one measurement or one compound."""
        return "wide" if self.assay else "long"

    @property
    def sha256(self) -> str:
        """The SHA-256 of what the profile says, whatever its file's layout and comments."""
        return sha256_bytes(strict_json.dumps(self.model_dump(mode="json")))


KMELLODDY = Profile(
    version=2,
    columns=Columns(
        compound="Chemical ID",
        structure="SMILES_Structure_Parent",
        salt="SMILES_Salt",
        value="Measurement_Value",
        unit="Measurement_Unit",
        qualifier="Measurement_Relation",
        test="Test",
        test_type="Test_Type",
        subject="Test_Subject",
        readout="Measurement_Type",
        condition="Measurement_Condition",
        concentration="Measurement_Conc",
        temperature="Measurement_Temp",
        dose="Test_Dose",
        route="Measurement_Route",
        sex="Measurement_Sex",
        formulation="Measurement_Formulation",
        label="Measurement_Class",
        value_a_to_b="Measurement_Value(AtoB)",
        value_b_to_a="Measurement_Value(BtoA)",
    ),
)
"""The K-MELLODDY standard format, template V2 and long format v4.6."""


def load_profile(path: Path) -> Profile:
    """Reads and checks a profile.

    Raises:
        Stop: The file cannot be read, is no TOML, or says something wrong; every fault is
            listed with its path.
    """
    try:
        with path.open("rb") as handle:
            content = handle.read(_MAX_BYTES)
        raw = tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        raise Stop(f"The profile {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # covers TOMLDecodeError and UnicodeDecodeError
        raise Stop(f"The profile {path} is no valid TOML: {error}.") from error
    try:
        return Profile.model_validate(raw)
    except ValidationError as error:
        raise Stop(f"The profile {path} has faults to correct:\n{_faults(error)}") from error


def _faults(error: ValidationError) -> str:
    lines = []
    for fault in error.errors(include_url=False, include_input=False):
        where = ".".join(str(part) for part in fault["loc"]) or "profile"
        lines.append(f"  {where}: {fault['msg']}")
    return "\n".join(lines)
