"""Items for tests of what the database keeps finished, and whether it keeps what it should."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from bocage_catalogue import packing, present
from hypothesis import strategies as st

WORDS = [
    "plain", "with \u0001 mark", "\\u0002", '", "auth:refs": ["\\u0002"]', "é ü 日本 𒍟※", "/path", "EPSG:32631", "",
]  # fmt: skip
COMMON = {
    "image": {"type": "image/tiff", "roles": ["data"], "bands": [{"name": "a"}, {"name": "b"}], "gsd": 10},
    "never-there": {"type": "text/plain"},
}
# All that pgSTAC holds and the table does not say alike, and all that the table says of nothing. Rows that were entered
# before their content was the properties alone have more in it, which nobody asks for.
ASTRAY = """
select i.collection, i.id from pgstac.items i
cross join lateral catalogue.entered(i) e cross join lateral catalogue.laid(i) l
left join catalogue.finished_item f on f.collection = i.collection and f.id = i.id
where (to_jsonb(e) || to_jsonb(l)) - '{revision,hrefs,body}'::text[]
    is distinct from to_jsonb(f) - '{revision,hrefs,body}'::text[]
        || jsonb_build_object('content', catalogue.searched(f.content))
union all
select f.collection, f.id from catalogue.finished_item f
where not exists (select from pgstac.items i where i.collection = f.collection and i.id = f.id)
"""
# Of each item what is kept packed, too.
TEXTS = """
select f.*, l.body as laid, l.hrefs as laid_hrefs
from catalogue.finished_item f cross join lateral catalogue.laid_now(f.collection, f.id, f.datetime) l
"""


def kept(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """The finished items by id; none of them may be astray, nor any be left over."""
    deadline = time.monotonic() + 10
    while connection.execute("select catalogue.finish_more(3) as n").fetchone() != {"n": 0} or (
        # Another finisher may hold what is left.
        connection.execute("select from catalogue.waiting limit 1").fetchall() and time.monotonic() < deadline
    ):
        pass
    assert connection.execute(ASTRAY).fetchall() == []
    dictionaries = connection.execute("select digest, text from catalogue.dictionary").fetchall()
    readers = {b"\0" + row["digest"]: packing.reader(row["text"]) for row in dictionaries}
    rows = {row["id"]: row for row in connection.execute(TEXTS)}
    for row in rows.values():
        assert packing.plain(row["body"], readers) == row["laid"]
        hrefs = packing.pieces(row["body"], readers)[1].decode() or row["hrefs"] or row["laid_hrefs"]
        assert hrefs == row["laid_hrefs"]
    return rows


EXTENSIONS = [present.PROJECTION, present.PROJECTION_WITH_EPSG, "https://example.org/x"]
ODD_EXTENSIONS = [*EXTENSIONS, present.AUTHENTICATION, present.STORAGE]
HREFS = ["store:collections/scenes/x/image", "https://example.org/x.tif", "s3:bucket:collections/a", "s3://b/k"]
EASY_WORDS = ["plain", "é ü 日本", "/path", "EPSG:32631", '", "auth:refs": ["', ""]
ASSET = {
    "type": st.sampled_from(["image/tiff", "image/png"]),
    "roles": st.sampled_from([["data"], ["overview"], [], None]),
    "bands": st.sampled_from([[{"name": "a"}, {"name": "c"}], [{"name": "a", "x": {"y": 1}}], []]),
    "gsd": st.sampled_from([10, 20.50, None]),
    "proj:code": st.sampled_from(["EPSG:32631", "epsg:4326", "IGNF:X", "EPSG:", None]),
}
ODD_ASSET = {
    "bocage:licences": st.sampled_from([["CC-BY-4.0"], ["LicenseRef-Test", "LicenseRef-Other"], [], None]),
    "license": st.sampled_from(["CC-BY-4.0", "other", "cc0-1.0"]),
    "auth:refs": st.sampled_from([["apiKey"], ["oidc"]]),
    "storage:refs": st.just(["elsewhere"]),
}
PROPERTIES = {
    "nested": st.sampled_from([{"a": [1, 2.50, None, {"b": None}]}, 1e30, 12345678901234567890, None]),
    "bocage:audience": st.sampled_from(["public", "organisation", "owner", None]),
    "bocage:owner": st.sampled_from(["ann", "bob"]),
    "bocage:licences": st.sampled_from([["CC-BY-4.0"], ["LicenseRef-Test"], [], None]),
    "license": st.sampled_from(["CC-BY-4.0", "other"]),
    "proj:code": st.sampled_from(["EPSG:32631", "nothing"]),
}
ODD_PROPERTIES = {
    "bocage:shared_with": st.sampled_from([["person:ann"], "person:ann", None]),
    "auth:schemes": st.just({"oidc": {"type": "openIdConnect"}}),
    "storage:schemes": st.just({"elsewhere": {"type": "x", "platform": "https://example.org"}}),
    "themes": st.sampled_from([[{"scheme": "vocabulary/cds", "concepts": [{"id": "grenoble"}, 1]}, 2], "none"]),
    "bocage:translations": st.sampled_from([{"fr": {"title": "Le titre"}}, {"fr": {}}, {}]),
}


def items_(odd: bool) -> st.SearchStrategy[dict[str, Any]]:
    """Items as they mostly are, or with what the database leaves to the reader."""
    texts = st.sampled_from(WORDS if odd else EASY_WORDS)
    nothing = st.none() if odd else st.nothing()
    asset = st.fixed_dictionaries(
        {"href": st.sampled_from(HREFS)}, optional=ASSET | {"title": texts} | (ODD_ASSET if odd else {})
    )
    links = st.fixed_dictionaries(
        {
            "rel": st.sampled_from(["self", "derived_from", "root", "license", "item"]),
            "href": st.sampled_from(["/stac/x", "https://example.org"]),
        },
        optional={"title": texts},
    )
    names = ["image", "data-2_x.y~z", "a:b(c)"] + (["B 01", "é", "a/b"] if odd else [])
    return st.fixed_dictionaries(
        {
            "id": st.sampled_from(["one", "a:b(c)", *(["with space", "é", "100%"] if odd else [])]),
            "assets": st.dictionaries(st.sampled_from(names), asset, max_size=3),
            "stac_extensions": nothing
            | st.lists(st.sampled_from(ODD_EXTENSIONS if odd else EXTENSIONS), max_size=3, unique=True),
            "links": st.none() | st.lists(links, max_size=3),
            "properties": st.fixed_dictionaries(
                {}, optional=PROPERTIES | {"title": texts} | (ODD_PROPERTIES if odd else {})
            ),
        }
    )
