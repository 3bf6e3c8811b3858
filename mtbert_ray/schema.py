"""The pydantic base that every configuration and record shares."""

from pydantic import BaseModel, ConfigDict


class Schema(BaseModel):
    """Frozen, keyword-only, and closed: a key nobody declared is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FiniteSchema(Schema):
    """A setting of infinity or NaN is a mistake."""

    model_config = ConfigDict(allow_inf_nan=False)
