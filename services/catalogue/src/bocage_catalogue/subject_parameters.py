"""The filters by what collections are about, as parameters of GET and members of POST."""

# Annotations stay as they are: FastAPI reads those of SubjectParameters where their names mean nothing.
from typing import Annotated, Any

import attr
from fastapi import FastAPI, Query
from pydantic import BaseModel, Field
from stac_fastapi.types.extension import ApiExtension
from stac_fastapi.types.search import APIRequest

from bocage_catalogue.subjects import FILTERS, MOST

_LONGEST = 5000


def _about(name: str) -> str:
    return f"Ids of /stac/vocabulary/{FILTERS[name]}, by commas: any of them, or what is narrower; {MOST} at most."


@attr.s
class SubjectParameters(APIRequest):
    """The parameters of GET."""

    variable: Annotated[str | None, Query(max_length=_LONGEST, description=_about("variable"), examples=["albedo"])] = (
        attr.ib(default=None)
    )
    theme: Annotated[str | None, Query(max_length=_LONGEST, description=_about("theme"))] = attr.ib(default=None)
    cds: Annotated[str | None, Query(max_length=_LONGEST, description=_about("cds"))] = attr.ib(default=None)
    ces: Annotated[str | None, Query(max_length=_LONGEST, description=_about("ces"))] = attr.ib(default=None)
    art: Annotated[str | None, Query(max_length=_LONGEST, description=_about("art"))] = attr.ib(default=None)
    portal: Annotated[str | None, Query(max_length=_LONGEST, description=_about("portal"))] = attr.ib(default=None)

    def given(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in FILTERS}


class SubjectMembers(BaseModel):
    """The members of POST."""

    variable: str | list[str] | None = Field(None, description=_about("variable"))
    theme: str | list[str] | None = Field(None, description=_about("theme"))
    cds: str | list[str] | None = Field(None, description=_about("cds"))
    ces: str | list[str] | None = Field(None, description=_about("ces"))
    art: str | list[str] | None = Field(None, description=_about("art"))
    portal: str | list[str] | None = Field(None, description=_about("portal"))


@attr.s
class SubjectExtension(ApiExtension):
    """Declares the filters where searches are declared."""

    GET = SubjectParameters
    POST = SubjectMembers

    def register(self, app: FastAPI) -> None:
        """Nothing beside the searches."""
