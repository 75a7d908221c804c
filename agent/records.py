"""What a measurement is, from the row as read to the value that trains.

What occurs once a row is a named tuple: a frozen dataclass takes five times as long to make.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Qualifier = Literal["=", "<", ">"]
Structure = Literal["smiles", "molblock"]
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class Place(NamedTuple):
    """Where in a file something stands, as a person who opens it would say it.

    Attributes:
        row: The row number as the file's own program shows it (header rows count); for an
            SDF the number of the record; for a SQL batch the number of the row in it.
        sheet: The workbook's sheet, or an empty text.
        column: The column's header, or an empty text where the whole row is meant.
    """

    row: int
    sheet: str = ""
    column: str = ""


class Assay(NamedTuple):
    """What was measured, in the words of the K-MELLODDY standard format.

    A profile that maps columns fills in what it knows and leaves the rest empty.

    Attributes:
        test, test_type, subject, readout: As written, the conditions hidden in them taken out.
        condition: Canonical: `key=value` terms sorted by key and joined by "; ", with the keys of
            `agent.stores.conditions`, so that equal conditions are equal texts.
    """

    test: str = ""
    test_type: str = ""
    subject: str = ""
    readout: str = ""
    condition: str = ""

    def label(self) -> str:
        """Returns the parts that are known, as one line for reports."""
        parts = (self.test, self.test_type, self.subject, self.readout, self.condition)
        return " / ".join(part for part in parts if part) or "(unnamed assay)"


class Reading(NamedTuple):
    """One measurement as a store gives it: nothing is interpreted yet.

    Attributes:
        compound_id: The silo's own compound number.
        structure: The structure as given.
        structure_format: How to parse `structure`.
        assay: What was measured.
        endpoint: The endpoint id that the profile declares, or an empty text: then the
            catalogue's rules decide from `assay`.
        qualifier: As written, or empty.
        value: As written.
        unit: As written, or empty.
        date: As written, or empty.
        measurement_id: The silo's number for the measurement, or empty; a later reading with
            the same number replaces this one.
        place: Where it stands in its file.
        derived: Computed from other measurements of its row (an efflux ratio from its two
            directions); it counts only where an endpoint takes it.
        retracted: Whether the store marks it as withdrawn; it then takes an earlier one with its
            number along.
    """

    compound_id: str
    structure: str
    structure_format: Structure
    assay: Assay
    endpoint: str
    qualifier: str
    value: str
    unit: str
    date: str
    measurement_id: str
    place: Place
    derived: bool = False
    retracted: bool = False


@dataclass(frozen=True, slots=True)
class SetAside:
    """A measurement that could not be used, with the reason a person can act on.

    Attributes:
        place: Where it stands in its file.
        code: A stable snake_case word.
        reason: A sentence for people.
        compound_id: The silo's own compound number, where it was read.
        measurement_id: The silo's number for the measurement, or empty. An earlier measurement
            with the same number is withdrawn: what it said has been corrected, if badly.
        item: How many items of the file came before it.
    """

    place: Place
    code: str
    reason: str
    compound_id: str = ""
    measurement_id: str = ""
    item: int = 0


@dataclass(frozen=True, slots=True)
class Blank:
    """A cell or row that holds no measurement; it is counted and otherwise ignored.

    Attributes:
        place: Where it stands in its file.
        measurement_id: As in `Reading`: a number whose value was emptied withdraws the earlier
            measurement.
    """

    place: Place
    measurement_id: str = ""


@dataclass(frozen=True, slots=True)
class InvalidStructure:
    """A structure that could not be used, with the step that refused it and why."""

    step: str
    cause: str


class Compound(NamedTuple):
    """A structure after identity standardization.

    Attributes:
        key: Stereo-aware identity (a hash); equal keys are the same compound, everywhere.
        flat_key: The same without stereochemistry; folds follow it.
        smiles: The standardized parent as canonical SMILES.
        weight_g_mol: The parent's molecular weight in g/mol.
        fold_group: What decides its fold: its scaffold, or its flat key where it has no ring;
            empty where that was not worked out.
    """

    key: str
    flat_key: str
    smiles: str
    weight_g_mol: float
    fold_group: str = ""


class Measurement(NamedTuple):
    """A reading that can train: its compound identified, its unit canonical.

    Attributes:
        compound: The compound after standardization.
        compound_id: The silo's own compound number.
        task: The head's column: a catalogue endpoint's id, or `private:NAME`.
        qualifier: On the transformed scale ("<" and ">" are flipped under -log10).
        value: On the endpoint's transformed scale; 0.0 or 1.0 for a class.
        native: In the endpoint's canonical unit.
        assay: What was measured.
        date: ISO date, or empty.
        measurement_id: The silo's number for the measurement, or empty.
        place: Where it stands in its file.
        unit: As written.
        native_qualifier: As `qualifier`, on the scale of `native`.
        item: How many items of the file came before it.
    """

    compound: Compound
    compound_id: str
    task: str
    qualifier: Qualifier
    value: float
    native: float
    assay: Assay
    date: str
    measurement_id: str
    place: Place
    unit: str = ""
    native_qualifier: Qualifier = "="
    item: int = 0
