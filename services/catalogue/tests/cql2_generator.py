"""Items with all that is awkward in them, and conditions upon them: right ones, and ones wrong in one place."""

from __future__ import annotations

import copy
import random
from typing import Any

TEXTS = [
    "",
    "alpha",
    "Alpha",
    "ALPHA",
    "béta",
    "Béta",
    "beta",
    "Ünï",
    "uni",
    "50%",
    "a_b",
    "a\\b",
    "it's",
    'q"q',
    "日本",
    "10",
]
NUMBERS: list[Any] = [-3, -1, 0, 1, 2, 3, 10, 99, 0.1, 0.25, 2.5, -0.5, 1e-7, 123456789012, 1e15]
WHENS = [
    "2023-12-31T23:59:59Z", "2024-01-01T00:00:00Z", "2024-01-01T12:30:00.5Z", "2024-01-02T00:00:00+02:00",
    "2024-02-29T10:00:00Z", "2024-06-30T23:59:59.999999Z", "2025-01-01T00:00:00-05:00", "1969-07-20T20:17:40Z",
]  # fmt: skip
DAYS = ["2024-01-01", "2024-02-29", "2024-06-30", "2023-12-31"]
TAGS = ["red", "green", "blue", "é"]


def _shape(dice: random.Random) -> dict[str, Any]:
    """On a coarse grid, so that shapes often touch, equal or contain each other; some at the antimeridian."""
    x, y = dice.choice([-180, -179, -2, -1, 0, 1, 2, 3, 178, 179]), dice.randint(-2, 2)
    w, h = dice.randint(1, 2), dice.randint(1, 2)
    e, n = min(x + w, 180), y + h
    kind = dice.choice(["Point", "Polygon", "Polygon", "Polygon", "LineString", "MultiPoint", "MultiPolygon"])
    ring = [[x, y], [e, y], [e, n], [x, n], [x, y]]
    return {
        "Point": {"type": "Point", "coordinates": [x, y]},
        "Polygon": {"type": "Polygon", "coordinates": [ring]},
        "LineString": {"type": "LineString", "coordinates": [[x, y], [e, n]]},
        "MultiPoint": {"type": "MultiPoint", "coordinates": [[x, y], [e, n]]},
        "MultiPolygon": {"type": "MultiPolygon", "coordinates": [[ring], [[[50, 50], [51, 50], [51, 51], [50, 50]]]]},
    }[kind]


def items(count: int, seed: int = 1) -> list[dict[str, Any]]:
    dice = random.Random(seed)
    made = []
    for number in range(count):
        properties: dict[str, Any] = {"datetime": dice.choice(WHENS)}
        if number % 5 == 0:
            first, last = sorted(
                dice.sample(["2024-01-01T00:00:00Z", "2024-02-29T10:00:00Z", "2024-07-01T00:00:00Z"], 2)
            )
            properties = {"datetime": None, "start_datetime": first, "end_datetime": last}
        for name, values in {
            "n": NUMBERS, "m": NUMBERS, "s": TEXTS, "t": TEXTS, "b": [True, False],
            "when": [*WHENS, *DAYS, "2024-02-30T00:00:00Z", "soon"], "created": [*WHENS, "never"],
            "tags": [[], ["red"], ["red", "green"], ["green", "red"], ["blue", "é", "red"]],
            "codes": [[], [1], [1, 2.5], [2.5, 1], ["red", 1, True]],
            "mixed": [1, "alpha", True, ["red"], 2.5, "10", {"a": 1}],
        }.items():  # fmt: skip
            chance = dice.random()
            if chance < 0.75:
                properties[name] = dice.choice(values)
            elif chance < 0.82:
                properties[name] = None
        geometry = _shape(dice)
        made.append(
            {
                "type": "Feature",
                "stac_version": "1.1.0",
                "stac_extensions": [],
                "id": f"i{number // 2}",
                "collection": ("scenes", "others")[number % 2],
                "geometry": geometry,
                "bbox": [-180, -90, 180, 90],
                "links": [],
                "assets": {},
                "properties": properties,
            }
        )
    return made


def p(name: str) -> dict[str, Any]:
    return {"property": name}


class Generator:
    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def pick(self, values: Any) -> Any:
        return copy.deepcopy(self.dice.choice(list(values)))

    # -- conditions that make sense ------------------------------------------------------------------------------

    def valid(self, depth: int = 0) -> Any:
        if depth < 3 and self.dice.random() < 0.45:
            operator = self.pick(["and", "or", "not"])
            count = 1 if operator == "not" else self.dice.randint(2, 3)
            return {"op": operator, "args": [self.valid(depth + 1) for _ in range(count)]}
        return self.pick_one()

    def pick_one(self) -> Any:
        makers = [
            self.numbers, self.texts, self.booleans, self.times, self.spans, self.shapes, self.shapes, self.lists,
            self.nulls, self.members, self.likes, self.betweens, self.mixed,
        ]  # fmt: skip
        return self.dice.choice(makers)()

    def sign(self) -> str:
        return str(self.pick(["=", "<>", "<", "<=", ">", ">="]))

    def number(self, depth: int = 0) -> Any:
        chance = self.dice.random()
        if chance < 0.4:
            return p(self.pick(["n", "m", "properties.n"]))
        if chance < 0.75 or depth > 1:
            return self.pick(NUMBERS)
        operator = self.pick(["+", "-", "*"])
        return {"op": operator, "args": [self.number(depth + 1), self.number(depth + 1)]}

    def numbers(self) -> Any:
        if self.dice.random() < 0.25:  # what need not come out even stands alone
            operator = self.pick(["/", "%", "div", "^"])
            by = self.pick([-1, 0, 1, 2, 3]) if operator == "^" else self.pick([0, 1, 2, 4, 5, -3, 0.5])
            subject = self.pick([p("n"), 2, 10]) if operator == "^" else self.number()
            left: Any = {"op": operator, "args": [subject, by]}
            return {"op": self.sign(), "args": [left, self.pick([-2, 0, 1, 2.5, 3, 5, 100])]}
        return {"op": self.sign(), "args": [self.number(), self.number()]}

    def text(self, depth: int = 0) -> Any:
        chance = self.dice.random()
        if chance < 0.45:
            return p(self.pick(["s", "t", "id", "collection"]))
        if chance < 0.75 or depth > 1:
            return self.pick([*TEXTS, "i1", "scenes"])
        return {"op": self.pick(["casei", "accenti"]), "args": [self.text(depth + 1)]}

    def texts(self) -> Any:
        return {"op": self.sign(), "args": [self.text(), self.text()]}

    def booleans(self) -> Any:
        return self.pick(
            [p("b"), True, False, {"op": "=", "args": [p("b"), True]}, {"op": "<>", "args": [False, p("b")]},
             {"op": "not", "args": [p("b")]}, {"op": "=", "args": [p("b"), {"op": "<", "args": [p("n"), 2]}]}]
        )  # fmt: skip

    def instant(self) -> Any:
        return self.pick(
            [p("datetime"), p("created"), p("start_datetime"), p("end_datetime"), p("properties.updated"),
             {"timestamp": self.pick(WHENS)}, {"timestamp": self.pick(WHENS)}, {"date": self.pick(DAYS)}]
        )  # fmt: skip

    def times(self) -> Any:
        left = self.pick([p("datetime"), p("created"), p("start_datetime"), p("end_datetime")])
        right = self.pick([self.instant(), self.pick(WHENS), self.pick(DAYS), p("when")])
        if self.dice.random() < 0.3:
            left, right = p("when"), self.pick([{"timestamp": self.pick(WHENS)}, {"date": self.pick(DAYS)}])
        return {"op": self.sign(), "args": self.pick([[left, right], [right, left]])}

    def span(self) -> Any:
        if self.dice.random() < 0.35:
            return self.instant()
        low, high = sorted(self.dice.sample(["2023-06-01", "2024-01-01", "2024-02-29", "2024-06-30", "2025-03-01"], 2))
        ends = [self.pick([low, f"{low}T00:00:00Z", "..", p("start_datetime")]),
                self.pick([high, f"{high}T00:00:00Z", "..", p("end_datetime")])]  # fmt: skip
        return {"interval": ends}

    def spans(self) -> Any:
        operator = self.pick(
            ["after", "before", "contains", "disjoint", "during", "equals", "finishedby", "finishes", "intersects",
             "meets", "metby", "overlappedby", "overlaps", "startedby", "starts"]
        )  # fmt: skip
        return {"op": f"t_{operator}", "args": [self.span(), self.span()]}

    def shapes(self) -> Any:
        operator = self.pick(
            ["intersects", "intersects", "disjoint", "contains", "within", "equals", "touches", "crosses", "overlaps"]
        )
        literal: Any = _shape(self.dice)
        if self.dice.random() < 0.4:
            west, south = self.pick([-180, -179, -1, 0, 1, 170, 179]), self.dice.randint(-3, 2)
            literal = {"bbox": [west, south, self.pick([-179, -178, 0, 2, 3, 180]), south + self.dice.randint(1, 3)]}
            if operator in ("intersects", "disjoint") and self.dice.random() < 0.3:
                literal = {"bbox": [1, south, 0, 1, south, 9]}
        sides = [p("geometry"), literal]
        if self.dice.random() < 0.3:
            sides.reverse()
        return {"op": f"s_{operator}", "args": sides}

    def lists(self) -> Any:
        operator = self.pick(["a_contains", "a_containedby", "a_equals", "a_overlaps"])
        literal: Any = self.dice.sample(TAGS, self.dice.randint(0, 3))
        other: Any = self.dice.sample([1, 2.5, "red", True], self.dice.randint(0, 3))
        subject = self.pick(["tags", "codes"])
        sides = [p(subject), self.pick([literal, other, p("tags"), p("codes")])]
        if self.dice.random() < 0.3:
            sides.reverse()
        return {"op": operator, "args": sides}

    def nulls(self) -> Any:
        name = self.pick(
            ["n", "s", "b", "when", "tags", "mixed", "created", "start_datetime", "id", "geometry", "datetime"]
        )
        return {"op": "isNull", "args": [self.pick([p(name), p(name), {"op": "+", "args": [p("n"), 1]}])]}

    def members(self) -> Any:
        name, values = self.pick(
            [("n", NUMBERS), ("s", TEXTS), ("mixed", [1, "alpha", True, "10"]), ("id", ["i1", "i2", "x"]),
             ("created", WHENS), ("b", [True, False])]
        )  # fmt: skip
        return {"op": "in", "args": [p(name), self.dice.sample(values, self.dice.randint(1, min(4, len(values))))]}

    def likes(self) -> Any:
        pattern = self.pick(
            ["%", "a%", "A%", "%a", "_lpha", "%é%", "50\\%", "a\\_b", "a\\\\b", "i1%", "%'%", "beta", ""]
        )
        subject: Any = p(self.pick(["s", "t", "id", "when"]))
        wrapped = self.pick([None, "casei", "accenti"])
        if wrapped:
            return {"op": "like", "args": [{"op": wrapped, "args": [subject]}, {"op": wrapped, "args": [pattern]}]}
        return {"op": "like", "args": [subject, pattern]}

    def betweens(self) -> Any:
        kind = self.pick(["number", "text", "time"])
        if kind == "number":
            return {"op": "between", "args": [self.number(), self.number(), self.number()]}
        if kind == "text":
            return {"op": "between", "args": [self.text(), self.text(), self.text()]}
        return {"op": "between", "args": [p("datetime"), self.instant(), self.instant()]}

    def mixed(self) -> Any:
        """A property that is of several kinds is compared as what it is compared with."""
        return self.pick(
            [{"op": self.sign(), "args": [p("mixed"), self.pick([1, 2, "alpha", "z", 2.5])]},
             {"op": "=", "args": [p("mixed"), self.pick([p("n"), p("s"), p("mixed"), True])]}]
        )  # fmt: skip

    # -- conditions that are wrong in one place --------------------------------------------------------------------

    def invalid(self) -> Any:
        wrong = self.pick(
            [
                {"op": "=", "args": [p("nn"), 1]}, {"op": "<", "args": [p("n"), "alpha"]},
                {"op": ">", "args": [p("s"), 3]}, {"op": "=", "args": [p("n")]}, {"op": "==", "args": [p("n"), 1]},
                {"op": "not", "args": [True, False]}, {"op": "and", "args": []}, {"op": "in", "args": [p("n"), []]},
                {"op": "in", "args": [p("n"), 3]}, {"op": "=", "args": [p("n"), None]},
                {"op": "<", "args": [p("b"), True]},
                {"op": "like", "args": [p("s"), "a\\"]}, {"op": "like", "args": [p("n"), "a%"]},
                {"op": "like", "args": [p("s"), p("t")]}, {"op": "like", "args": ["alpha", 4]},
                {"op": ">", "args": [p("datetime"), {"timestamp": "2024-13-01T00:00:00Z"}]},
                {"op": ">", "args": [p("datetime"), "soon"]}, {"op": ">", "args": [p("datetime"), 2024]},
                {"op": "=", "args": [p("datetime"), {"date": "2023-02-29"}]},
                {"op": "t_during", "args": [p("datetime"), {"interval": ["2024-02-01", "2024-01-01"]}]},
                {"op": "t_during", "args": [p("datetime"), {"interval": ["2024-02-01"]}]},
                {"op": "t_after", "args": [p("n"), {"timestamp": WHENS[0]}]},
                {"op": "s_intersects", "args": [p("geometry"), {
                    "type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1]]]}]},
                {"op": "s_within", "args": [p("geometry"), {
                    "type": "Polygon", "coordinates": [[[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]]}]},
                {"op": "s_intersects", "args": [p("geometry"), {"bbox": [0, 2, 1, 1]}]},
                {"op": "s_intersects", "args": [p("geometry"), {"bbox": [0, 0, 181, 1]}]},
                {"op": "s_intersects", "args": [p("geometry"), {"type": "Point", "coordinates": [0, 91]}]},
                {"op": "s_intersects", "args": [p("n"), {"type": "Point", "coordinates": [0, 1]}]},
                {"op": "s_touches", "args": [p("geometry"), "POINT(0 0)"]},
                {"op": "a_contains", "args": [p("n"), ["red"]]}, {"op": "a_contains", "args": [p("tags"), "red"]},
                {"op": "a_equals", "args": [p("tags"), [{"property": "s"}]]},
                {"op": ">", "args": [{"op": "+", "args": [p("n"), "1"]}, 3]},
                {"op": ">", "args": [{"op": "+", "args": [p("n"), 1, 2]}, 3]},
                {"op": "=", "args": [{"op": "casei", "args": [p("n")]}, "a"]},
                {"op": "between", "args": [p("n"), 1]}, {"op": "between", "args": [p("n"), "a", "b"]},
                {"op": "=", "args": [p("s"), "a\u0000b"]}, {"op": "+", "args": [p("n"), 1]}, p("n"), "alpha", 3, {}, [],
                {"op": "=", "args": [p("bocage:shared_with"), "x"]}, {"op": "=", "args": [{"property": 3}, 1]},
                {"op": "=", "args": {"a": 1}}, {"op": "isNull", "args": []}, {"op": "=", "args": [[1], [1]]},
            ]
        )  # fmt: skip
        around: Any = self.valid(2)
        for _ in range(self.dice.randint(1, 2)):
            wrong = {"op": self.pick(["and", "or"]), "args": self.pick([[around, wrong], [wrong, around]])}
        return wrong
