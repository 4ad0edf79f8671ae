"""Values that go beside a statement, never into it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

_GEOMETRY = "f.geometry"
# Which the driver takes for the infinities.
_ENDS = {
    datetime.min.replace(tzinfo=UTC): "0001-01-01T00:00:00Z",
    datetime.max.replace(tzinfo=UTC): "9999-12-31T23:59:59.999999Z",
}


class Arguments:
    """Collects them in order; each is known in the statement by its number and its type."""

    def __init__(self, *given: Any) -> None:
        self.careful = False
        # Whether `f` is an item, of which there is an outline to look at first.
        self.outlined = True
        self.values: list[Any] = list(given)
        self.areas: list[tuple[str, str]] = []

    def meet(self, one: str, other: str) -> str:
        """Whether two geometries meet; carefully, when there are such as the fast way fails on."""
        if self.careful:
            return f"({self.near(one, other)} and catalogue.related('s_intersects', {one}, {other}))"
        if one != _GEOMETRY or not self.outlined:
            return f"public.st_intersects({one}, {other})"
        return (
            f"({self.near(one, other)} and case when f.outlined"
            f" then catalogue.shape_meets(f.collection, f.id, {other}) else catalogue.meets(f.outline, {other}) end)"
        )

    def near(self, one: str, other: str) -> str:
        """Whether the boxes of two geometries meet: what an index tells."""
        found = "f.outline" if one == _GEOMETRY and self.outlined else one
        return f"{found} operator(public.&&) {other}"

    def box(self, west: float, south: float, east: float, north: float) -> str:
        """A box that has width and height."""
        sides = ", ".join(self.add(float(side), "float8") for side in (west, south, east, north))
        return f"public.st_makeenvelope({sides}, 4326)"

    def area(self, geojson: str, at: str, *, plain: bool = False) -> str:
        """A geometry, and where it was asked for; one that is not `plain` may cross itself, which is to be checked."""
        if not plain:
            self.areas.append((geojson, at))
        return f"catalogue.area({self.add(geojson, 'text')}, {self.add(at, 'text')})"

    def add(self, value: Any, type_: str) -> str:
        """The place of a value in the statement, such as `$3::text`."""
        if type_ == "timestamptz" and value in _ENDS:
            return f"'{_ENDS[value]}'::timestamptz"
        self.values.append(value)
        return f"${len(self.values)}::{type_}"
