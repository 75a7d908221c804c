"""Mapping profiles: which column of a store means what, as a small TOML file.

No reader is imported here: the keeper checks profiles and stays small.
"""

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from agent.config import PrivateEndpoint
from agent.errors import Stop
from agent.files import sha256_bytes
from agent.records import Structure
from agent.wire import strict_json
from agent.wire.documents import Endpoint

ColumnName = Annotated[str, Field(min_length=1, max_length=200)]
EndpointId = Annotated[str, Field(pattern=r"^((private:)?[a-z0-9][a-z0-9_.-]{0,62})?$")]

Number = Annotated[float, Field(strict=False, allow_inf_nan=False)]
Words = Annotated[tuple[str, ...], Field(strict=False)]

_MAX_BYTES = 1 << 20
_SOME_DAY = datetime(2013, 2, 1, tzinfo=UTC)


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
        retracted: Holds one of the profile's `retracted_words` where the row no longer counts.
        assay: The assay's name, as `[[map]]` lists it; long form only.
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
    retracted: ColumnName | None = None
    assay: ColumnName | None = None
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
    *("assay", "value", "unit", "qualifier"),
    *("test", "test_type", "subject", "readout", "condition"),
    *("concentration", "temperature", "dose", "route", "sex", "formulation", "label"),
    *("value_a_to_b", "value_b_to_a"),
)


class Meaning(_Part):
    """What the numbers of one assay mean. Limits are on the scale on which the file is written.

    Attributes:
        endpoint: An id of the catalogue, `private:` and the id of a private endpoint, or empty:
            then the catalogue's rules decide from `test` to `condition`.
        unit: Unit of the numbers, after `factor`; a row's own unit comes first.
        floor, ceiling: The assay's limits; a value exactly there without a qualifier is censored.
        missing: Words and numbers that say that nothing was measured.
        below: Words and numbers that say "below quantification"; they are read as `< limit`.
        limit: The limit of quantification; without it such values are set aside.
        factor: What the written numbers are multiplied with (a logarithm is shifted).
        factor_reason: Where the factor comes from.
        transform: The scale on which `onggi evaluate` models and scores it; empty: as written
            where the unit is a logarithm or none, else `log10_plus_1`. A silo's own training
            follows the catalogue.
        test, test_type, subject, readout, condition: What was measured, in the standard's words.
    """

    endpoint: EndpointId = ""
    unit: str = ""
    floor: Number | None = None
    ceiling: Number | None = None
    missing: Words = ()
    below: Words = ()
    limit: Number | None = None
    factor: Annotated[float, Field(strict=False, gt=0, allow_inf_nan=False)] | None = None
    factor_reason: str = ""
    transform: Literal["", "identity", "log10", "log10_plus_1", "neg_log10_molar"] = ""
    test: str = ""
    test_type: str = ""
    subject: str = ""
    readout: str = ""
    condition: str = ""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        words = (self.test, self.test_type, self.subject, self.readout, self.condition)
        _refuse(
            {
                "name an endpoint, or test, test_type ... for the catalogue's rules": not (
                    self.endpoint or any(words)
                ),
                "floor must lie below ceiling": (
                    self.floor is not None
                    and self.ceiling is not None
                    and self.floor >= self.ceiling
                ),
                "limit says what the words of below mean; give both": (
                    self.limit is not None and not self.below
                ),
                "factor and factor_reason go together": (self.factor is None)
                == bool(self.factor_reason.strip()),
            }
        )
        return self


class AssayColumn(Meaning):
    """One column of a wide table.

    Attributes:
        column: Its header.
        qualifier_column, unit_column: Columns that hold these for each row.
    """

    column: ColumnName
    qualifier_column: ColumnName | None = None
    unit_column: ColumnName | None = None

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if self.factor is not None and self.unit_column:
            raise ValueError("a factor needs one unit; leave out unit_column")
        return self


class AssayName(Meaning):
    """One assay of a long table.

    Attributes:
        assay: What `columns.assay` holds for it; case and blanks do not count.
    """

    assay: Annotated[str, Field(min_length=1, max_length=500)]


def plain_name(text: str) -> str:
    """Returns an assay's name without case and needless blanks, as `[[map]]` compares it."""
    return " ".join(text.split()).casefold()


def _refuse(faults: dict[str, bool]) -> None:
    found = [sentence for sentence, wrong in faults.items() if wrong]
    if found:
        raise ValueError("; ".join(found))


def _reads_back(date_format: str) -> bool:
    try:
        text = _SOME_DAY.strftime(date_format)
        return datetime.strptime(text, date_format).replace(tzinfo=UTC).year == _SOME_DAY.year
    except ValueError:
        return False


class Profile(_Part):
    """What a store's columns mean. Long form names `columns.value`; wide form lists `assay`.

    Attributes:
        version: Counts the profile's editions; it is kept with what was read through it.
        reviewed: False in a suggestion; nothing is read before a person has set it.
        structure_format: How `columns.structure` is written.
        sheet: The sheet of a workbook, where it has several.
        header_row: The row of the header as a person counts it; else the first that is not blank.
        date_format: How dates are written, in the signs of C's strptime; else year first.
        missing: As in `Meaning`, for every assay.
        retracted_words: What `columns.retracted` holds in a row that no longer counts.
        order: A column whose digits sort the rows by time where there is no date, such as a
            registration number; for `onggi evaluate`.
        columns: Headers by meaning.
        assay: The columns that hold numbers, in wide form.
        map: The assays by name, in long form; without it the catalogue's rules decide.
        private: Endpoints of this silo alone that its entries name, as in the configuration; the
            same one may stand in both.
    """

    version: Annotated[int, Field(ge=1)]
    reviewed: bool = True
    structure_format: Structure = "smiles"
    sheet: Annotated[str, Field(max_length=200)] = ""
    header_row: Annotated[int, Field(ge=1, le=1000)] | None = None
    date_format: Annotated[str, Field(max_length=40)] = ""
    missing: Words = ()
    retracted_words: Words = ("y", "yes", "true", "1", "x", "retracted", "withdrawn", "철회")
    order: Annotated[str, Field(max_length=200)] = ""
    columns: Columns = Columns()
    assay: Annotated[tuple[AssayColumn, ...], Field(strict=False)] = ()
    map: Annotated[tuple[AssayName, ...], Field(strict=False)] = ()
    private: Annotated[tuple[PrivateEndpoint, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        stray = [name for name in LONG_ONLY if self.assay and getattr(self.columns, name)]
        columns = [entry.column for entry in self.assay]
        names = [plain_name(entry.assay) for entry in self.map]
        own = [entry.id for entry in self.private]
        _refuse(
            {
                "name columns.value (long form) or list [[assay]] (wide form), not both": (
                    (self.columns.value is None) == (not self.assay)
                ),
                f"{', '.join(f'columns.{name}' for name in stray)} belongs to the long form; "
                "this profile is wide": bool(stray),
                "two [[assay]] entries name one column": len(set(columns)) != len(columns),
                "two [[map]] entries name one assay": len(set(names)) != len(names),
                "two [[private]] entries have one id": len(set(own)) != len(own),
                "[[map]] and columns.assay go together, in long form": (
                    bool(self.map) != bool(self.columns.assay)
                ),
                "a factor in [[map]] needs one unit; leave out columns.unit": bool(
                    self.columns.unit and any(entry.factor for entry in self.map)
                ),
            }
        )
        return self

    @field_validator("date_format")
    @classmethod
    def _readable(cls, text: str) -> str:
        if text and not _reads_back(text):
            raise ValueError("it must hold a year (%Y) and only signs that strptime knows")
        return text

    @property
    def shape(self) -> Literal["long", "wide"]:
        """Whether a row is one measurement or one compound."""
        return "wide" if self.assay else "long"

    @property
    def sha256(self) -> str:
        """The SHA-256 of what the profile says, whatever its file's layout and comments."""
        # Without private endpoints it says what it said before a profile could have any: nothing
        # need be read again.
        unsaid = None if self.private else {"private"}
        return sha256_bytes(strict_json.dumps(self.model_dump(mode="json", exclude=unsaid)))

    @property
    def own_endpoints(self) -> tuple[Endpoint, ...]:
        """Its private endpoints as the catalogue writes endpoints."""
        return tuple(Endpoint.model_validate(own.model_dump()) for own in self.private)


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
        Stop: The file cannot be read, is no TOML, or says something wrong (every fault is
            listed with its path), or it is a suggestion that no person has checked yet.
    """
    profile = _checked(_raw(path), path)
    if not profile.reviewed:
        raise Stop(
            f"The profile {path} was only suggested; check each column and unit in it, then set "
            "reviewed = true."
        )
    return profile


def _raw(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as handle:
            content = handle.read(_MAX_BYTES)
        return tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        raise Stop(f"The profile {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # covers TOMLDecodeError and UnicodeDecodeError
        raise Stop(f"The profile {path} is no valid TOML: {error}.") from error


def _checked(raw: dict[str, object], path: Path) -> Profile:
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
