"""What every document of the protocol is built on: a strict model, and the types of its fields."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.errors import Refused
from agent.wire import strict_json

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
KeyHex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# Public keys of the hybrid profile: ML-KEM-768 (1184 bytes) and ML-DSA-65 (1952 bytes).
KemKeyHex = Annotated[str, Field(pattern=r"^[0-9a-f]{2368}$")]
PqKeyHex = Annotated[str, Field(pattern=r"^[0-9a-f]{3904}$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
# [0-9], for \d also means the digits of other scripts.
Moment = Annotated[
    str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z$")
]
Finite = Annotated[float, Field(allow_inf_nan=False)]
# Bounded: a version of 2**63 would be a floor that no later document passes, nor SQLite keeps.
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]


class Document(BaseModel):
    """A frozen model that forbids unknown fields and never coerces a type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def to_bytes(self) -> bytes:
        """Writes the document as the bytes that get signed."""
        return strict_json.dumps(self.model_dump(mode="json"))

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Reads the document from bytes whose signature was checked.

        Raises:
            Refused: `malformed`, or a code of `strict_json.loads`.
        """
        strict_json.loads(content)  # refuses what pydantic's parser would let pass
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in fault["loc"])
            raise Refused(
                "malformed", f"{cls.__name__} is malformed at {where or 'its top'}: {fault['msg']}."
            ) from error
