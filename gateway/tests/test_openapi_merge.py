"""One document out of several, with all the trouble that real ones bring."""

import copy
import json
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import pytest
from bocage_gateway import snapshot
from bocage_gateway.openapi_merge import MergeError, merge
from bocage_gateway.provider import oauth2_flows
from fastapi import FastAPI, Query, Security
from fastapi.security import APIKeyHeader
from openapi_spec_validator import validate
from pydantic import BaseModel, Field, create_model

pytestmark = pytest.mark.filterwarnings("ignore:Duplicate Operation ID")  # one of the troubles, made on purpose
INFO = {"title": "All", "version": "1"}
T = TypeVar("T")


def catalogue() -> FastAPI:
    link = create_model("Link", href=(str, ...), rel=(str, ...))
    page = create_model("Page", links=(list[link], ...), title=(str, Field(title="Called title")))
    shared = create_model("Bounds", west=(float, ...))
    app = FastAPI(title="Catalogue")

    @app.get("/stac/search", response_model=page, operation_id="search", tags=["Search"])
    def search(token: str | None = None) -> Any: ...

    @app.post("/stac/search", response_model=shared, operation_id="search")
    def search_by_body(body: shared) -> Any: ...

    @app.get("/conformance", operation_id="conformance")
    def conformance() -> Any: ...

    return app


class Point(BaseModel):
    type: Literal["Point"]


class Line(BaseModel):
    type: Literal["Line"]


class Wrapped(BaseModel, Generic[T]):
    value: T


class Drawn(BaseModel):
    geometry: Point | Line = Field(discriminator="type")
    mapping: str = "a property that is called mapping"
    example: Point


def tiles() -> FastAPI:
    link = create_model("Link", url=(str, ...))
    page = create_model("Page", links=(list[link], ...), title=(str, Field(title="Called title")))
    shared = create_model("Bounds", west=(float, ...))
    app = FastAPI(title="Tiles")
    key = APIKeyHeader(name="X-API-Key")

    @app.get("/tiles/{z}/{x}.{format}", response_model=page, operation_id="a b/c(d)")
    def tile(z: int, x: int, format: str, scale: int = Query(1, openapi_examples={"one": {"value": 1}})) -> Any: ...

    @app.post("/tiles/draw", response_model=Drawn, operation_id="x" * 150)
    def draw(body: Wrapped[dict[str, list[dict[str, list[dict[str, shared]]]]]]) -> Any: ...

    @app.delete("/tiles/searches", dependencies=[Security(key)], operation_id="search")
    def delete() -> Any: ...

    @app.get("/identity")
    def identity() -> Any: ...

    return app


def mangled_tiles() -> dict[str, Any]:
    """What libraries make of their documents."""
    document = copy.deepcopy(tiles().openapi())
    operation = document["paths"]["/tiles/{z}/{x}.{format}"]["get"]
    z = next(parameter for parameter in operation["parameters"] if parameter["name"] == "z")
    z["schema"] = {"anyOf": [{"type": "integer"}, {"type": "null"}], "title": "Z"}
    z["examples"] = [1, 2]
    operation["parameters"] = [parameter for parameter in operation["parameters"] if parameter["name"] != "x"]
    document["components"]["schemas"]["Point"]["exemples"] = [{"type": "Point"}]
    document["paths"]["/tiles/any/{path:path}"] = {"get": {"operationId": "any", "responses": {}}}
    document["paths"]["/tiles/any/{path:path}"]["get"]["responses"]["200"] = {"description": "ok"}
    return document


def merged() -> dict[str, Any]:
    return merge({"catalogue": catalogue().openapi(), "tiles": mangled_tiles()}, info=INFO)


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for item in document["paths"].values() for operation in item.values()]


def test_summaries_are_words_where_there_are_some() -> None:
    document = mangled_tiles()
    document["paths"]["/tiles/draw"]["post"]["description"] = "Endpoint."
    document["paths"]["/tiles/searches"]["delete"]["description"] = "What it is, in\nwords. And more."
    paths = merge({"catalogue": catalogue().openapi(), "tiles": document}, info=INFO)["paths"]
    said = paths["/tiles/searches"]["delete"]
    assert said["summary"] == "What it is, in words"
    assert said["description"].endswith("And more.")
    assert "description" not in paths["/tiles/draw"]["post"]
    assert paths["/tiles/draw"]["post"]["summary"] == "Draw"


def test_it_is_valid() -> None:
    validate(merged())


def test_the_documents_are_not_changed() -> None:
    documents = {"catalogue": catalogue().openapi(), "tiles": mangled_tiles()}
    before = copy.deepcopy(documents)
    merge(documents, info=INFO)
    assert documents == before


def test_only_routed_paths_are_taken() -> None:
    assert set(merged()["paths"]) == {
        "/stac/search",
        "/tiles/{z}/{x}.{format}",
        "/tiles/draw",
        "/tiles/searches",
        "/tiles/any/{path}",
    }


def test_names_that_mean_two_things_are_parted_and_equal_ones_shared() -> None:
    schemas = merged()["components"]["schemas"]
    assert schemas["Catalogue_Link"]["properties"].keys() == {"href", "rel"}
    assert schemas["Tiles_Link"]["properties"].keys() == {"url"}
    # The two pages have the same text, but not the same links.
    assert schemas["Catalogue_Page"]["properties"]["links"]["items"]["$ref"].endswith("/Catalogue_Link")
    assert schemas["Tiles_Page"]["properties"]["links"]["items"]["$ref"].endswith("/Tiles_Link")
    assert "Bounds" in schemas


def test_titles_are_the_names() -> None:
    for name, schema in merged()["components"]["schemas"].items():
        assert schema["title"] == name
        assert len(name) <= 60
        assert all("title" not in field for field in schema.get("properties", {}).values())
    assert "title" in merged()["components"]["schemas"]["Tiles_Page"]["properties"]


def test_discriminators_point_to_the_new_names() -> None:
    document = {"catalogue": catalogue().openapi(), "tiles": mangled_tiles()}
    document["catalogue"]["components"]["schemas"]["Point"] = {"type": "object", "title": "Point"}
    document["catalogue"]["components"]["schemas"]["Bounds"]["properties"]["p"] = {"$ref": "#/components/schemas/Point"}
    result = merge(document, info=INFO)
    drawn = result["components"]["schemas"]["Drawn"]["properties"]
    assert drawn["geometry"]["discriminator"]["mapping"]["Point"] == "#/components/schemas/Tiles_Point"
    assert drawn["example"] == {"$ref": "#/components/schemas/Tiles_Point"}
    assert drawn["mapping"]["type"] == "string"
    validate(result)


def test_operation_ids_are_unique_and_plain() -> None:
    found = [operation["operationId"] for operation in operations(merged())]
    assert len(found) == len(set(found)) == 6
    assert all(name.replace("_", "").isalnum() and len(name) <= 100 for name in found)
    assert {"catalogue_search", "catalogue_search_post", "tiles_search", "tiles_a_b_c_d"} <= set(found)


def test_parameters_are_mended() -> None:
    tile = merged()["paths"]["/tiles/{z}/{x}.{format}"]["get"]
    parameters = {parameter["name"]: parameter for parameter in tile["parameters"]}
    assert parameters["z"]["schema"]["type"] == "integer"
    assert "anyOf" not in parameters["z"]["schema"]
    assert parameters["z"]["schema"]["examples"] == [1, 2]
    assert parameters["x"] == {"name": "x", "in": "path", "required": True, "schema": {"type": "string"}}


def test_every_operation_declares_its_problems() -> None:
    document = merged()
    for operation in operations(document):
        assert {"401", "403", "429"} <= set(operation["responses"])
        if "422" in operation["responses"]:
            schema = operation["responses"]["422"]["content"]["application/problem+json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}
    assert "HTTPValidationError" not in json.dumps(document)


def test_security_is_the_gateways_own() -> None:
    document = merged()
    assert set(document["components"]["securitySchemes"]) == {"ApiKey", "TileToken"}
    assert document["security"] == [{"ApiKey": []}, {}]
    assert document["paths"]["/tiles/searches"]["delete"]["security"] == [{"ApiKey": []}]
    assert {"TileToken": []} in document["paths"]["/tiles/any/{path}"]["get"]["security"]
    url = "https://id.example/.well-known/openid-configuration"
    configured = merge({"catalogue": catalogue().openapi()}, info=INFO, openid_configuration=url)
    assert configured["components"]["securitySchemes"]["OpenIdConnect"]["openIdConnectUrl"] == url
    assert {"OpenIdConnect": []} in configured["security"]
    validate(configured)
    told = {"token_endpoint": "https://id.example/token", "authorization_endpoint": "https://id.example/auth"}
    flows = oauth2_flows(told)
    configured = merge({"catalogue": catalogue().openapi()}, info=INFO, openid_configuration=url, oauth2_flows=flows)
    scheme = configured["components"]["securitySchemes"]["OAuth2PasswordBearer"]
    assert scheme["flows"]["password"]["tokenUrl"] == "https://id.example/token"
    validate(configured)
    assert oauth2_flows({"token_endpoint": 7}) == {}


def test_older_documents_are_refused() -> None:
    with pytest.raises(MergeError, match=r"3\.0"):
        merge({"tiles": tiles().openapi() | {"openapi": "3.0.3"}}, info=INFO)


def test_a_dangling_reference_is_refused() -> None:
    document = tiles().openapi()
    del document["components"]["schemas"]["Point"]
    with pytest.raises(MergeError, match="Point"):
        merge({"tiles": document}, info=INFO)


def test_recursive_schemas_end() -> None:
    tree = {"type": "object", "properties": {"children": {"$ref": "#/components/schemas/Tree"}}}
    other = {**tree, "required": ["children"]}

    def document(prefix: str, schema: dict[str, Any]) -> dict[str, Any]:
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/Tree"}}}
        answer = {"get": {"responses": {"200": {"description": "ok", "content": content}}}}
        return {
            "openapi": "3.1.0",
            "info": INFO,
            "paths": {f"/{prefix}/tree": answer},
            "components": {"schemas": {"Tree": schema}},
        }

    same = merge({"catalogue": document("stac", tree), "tiles": document("tiles", tree)}, info=INFO)
    assert "Tree" in same["components"]["schemas"]
    different = merge({"catalogue": document("stac", tree), "tiles": document("tiles", other)}, info=INFO)
    assert {"Catalogue_Tree", "Tiles_Tree"} <= set(different["components"]["schemas"])


def test_the_snapshot_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "tiles.json", tmp_path / "bocage.json"
    source.write_text(json.dumps(tiles().openapi()))
    arguments = ["--out", str(out), f"tiles={source}"]
    assert snapshot.main([*arguments, "--check"]) == 1
    assert snapshot.main(arguments) == 0
    validate(json.loads(out.read_text()))
    assert snapshot.main([*arguments, "--check"]) == 0
    out.write_text(out.read_text().replace("3.1.0", "3.1.1"))
    assert snapshot.main([*arguments, "--check"]) == 1
    assert "without --check" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        snapshot.main(["--out", str(out), f"insitu={source}"])
