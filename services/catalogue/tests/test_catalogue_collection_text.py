"""Collections as text are what `present.collection` says, whoever asked before."""

from __future__ import annotations

from typing import Any

import orjson
from bocage_catalogue import collection_text, present
from bocage_kit.identity import Identity, Level
from hypothesis import given
from hypothesis import strategies as st

BASES = ["http://127.0.0.1:8000", "https://hub.example.org/bocage/", 'https://odd.example.org/"quoted"']
CALLERS = [
    Identity(subject="anonymous"),
    Identity(subject="ann", licences={"LicenseRef-Test": Level.ASSET, "CC-BY-4.0": Level.JOB}),
    Identity(subject="admin", scopes=frozenset({"admin"})),
    Identity(subject="service:x", scopes=frozenset({"service:*"})),
]
TEXTS = st.sampled_from(["plain", "é 日本", "\u0001", "\\u0001", '"', "/stac/x", ""])
LINKS = st.lists(
    st.fixed_dictionaries(
        {"rel": st.sampled_from(["about", "self", "license"]), "href": st.sampled_from(["/x", "https://e.org"])}
    ),
    max_size=3,
)
COLLECTIONS = st.fixed_dictionaries(
    {"id": st.sampled_from(["one", "a:b", "\u0001"]), "stac_extensions": st.just([])},
    optional={
        "title": TEXTS,
        "bocage:audience": st.sampled_from(["public", "owner", None, 5, ["public"]]),
        "bocage:licences": st.sampled_from(
            [["CC-BY-4.0"], ["LicenseRef-Test"], ["LicenseRef-Test", "x y"], [], "no list"]
        ),
        "license": st.sampled_from(["CC-BY-4.0", "other"]),
        "links": LINKS,
        "bocage:translations": st.sampled_from([{"fr": {"title": "Le titre"}}, {}, "none"]),
        "auth:schemes": st.sampled_from([{"oidc": {"type": "openIdConnect"}}, "none"]),
        "b": st.dictionaries(TEXTS, TEXTS, max_size=2),
    },
)


@given(COLLECTIONS, st.sampled_from(CALLERS), st.sampled_from(BASES), st.sampled_from(["en", "fr"]), st.booleans())
def test_the_text_is_the_presented_document(
    stored: dict[str, Any], caller: Identity, base: str, tongue: str, long: bool
) -> None:
    if long:
        stored = {**stored, "description": "x" * 40_000}
    identity = caller.model_copy(update={"public_base": base})
    expected = orjson.dumps(present.collection(stored, identity, tongue), option=orjson.OPT_SORT_KEYS)
    for _ in range(2):
        assert collection_text.texts([orjson.dumps(stored)] * 2, identity, tongue) == [expected] * 2
