"""What every part of the configuration is made of: a section, its checked kinds of number."""

import difflib
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


def nearest(given: str, known) -> str:
    """Returns ``"; did you mean 'x'?"`` for the known name nearest to the given one, or ``""``."""
    match = difflib.get_close_matches(given, [str(name) for name in known], n=1)
    return f"; did you mean '{match[0]}'?" if match else ""


class Section(BaseModel):
    """A part of the configuration: frozen, no unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values):
        if isinstance(values, dict):
            known = {field.alias or name for name, field in cls.model_fields.items()}
            for key in values:
                if key not in known and key not in cls.model_fields:
                    allowed = ", ".join(sorted(known))
                    raise ValueError(
                        f"unknown key '{key}'{nearest(str(key), known)} (allowed: {allowed})"
                    )
        return values
