"""What every part of the configuration is made of: a section, its checked kinds of number.

A section is its own documentation: ``config.reference`` makes docs/configuration.md of its
docstring, of the text below each key and of the types here, whose ``title`` says what may stand
there where the bounds of a number don't.
"""

import difflib
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

# The whole numbers of a configuration end up in TensorFlow's int32, in NumPy's seeds and in dates.
LARGEST = 2**31 - 1
_HUNDRED_YEARS = 36_500

Positive = Annotated[int, Field(ge=1, le=LARGEST, strict=True)]
Natural = Annotated[int, Field(ge=0, le=LARGEST, strict=True)]
Days = Annotated[int, Field(ge=1, le=_HUNDRED_YEARS, strict=True)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Separator = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", title="letters, digits, `_`")]
Column = Annotated[str, Field(title="column")]


def nearest(given: str, known) -> str:
    """Returns ``"; did you mean 'x'?"`` for the known name nearest to the given one, or ``""``."""
    name = nearest_name(given, known)
    return "" if name is None else f"; did you mean '{name}'?"


def nearest_name(given: str, known) -> str | None:
    """Returns the known name nearest to the given one, None if none is like it."""
    match = difflib.get_close_matches(given, [str(name) for name in known], n=1)
    return match[0] if match else None


def shown(value) -> str:
    """Returns how a value is shown in a message, at a sane length."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class Section(BaseModel):
    """A part of the configuration: frozen, no unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_is_no_section(cls, values):
        if not isinstance(values, dict | Section):
            keys = list(cls.model_fields)
            raise ValueError(
                f"must be a section, such as {{{keys[0]}: ...}}, got {shown(values)} "
                f"(its keys: {', '.join(keys)})"
            )
        return values

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values):
        if isinstance(values, dict):
            for key in values:
                if key not in cls.model_fields:
                    allowed = ", ".join(sorted(cls.model_fields))
                    hint = nearest(str(key), cls.model_fields)
                    raise ValueError(f"unknown key '{key}'{hint} (allowed: {allowed})")
        return values
