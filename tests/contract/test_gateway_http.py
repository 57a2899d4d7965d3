"""What HTTP adds to a call: types, ids, compression, other origins, other methods, and the one form of errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.contract.test_gateway_paths import SUITE
from tests.support.coordinator import RunningCoordinator, coordinator_config, running
from tests.support.rest import Rest, rest_of


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "application/merge-patch+json", "Application/JSON"],
)
async def test_json_is_taken_under_its_names(rest: Rest, content_type: str) -> None:
    answer = await rest.ask("POST", "/suites", data=json.dumps(SUITE), headers={"Content-Type": content_type})
    assert answer.status == 200


async def test_json_is_taken_as_curl_sends_it_and_without_a_name(rest: Rest) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await rest.ask("POST", "/suites", data=json.dumps(SUITE), headers=form)).status == 200
    nameless = await rest.ask("POST", "/suites", data=json.dumps(SUITE), skip_auto_headers=["Content-Type"])
    assert nameless.status == 200


@pytest.mark.parametrize(
    "content_type", ["text/plain", "multipart/form-data; boundary=x", "application/json; charset=utf-16"]
)
async def test_other_types_are_refused(rest: Rest, content_type: str) -> None:
    answer = await rest.ask("POST", "/suites", data=b"{}", headers={"Content-Type": content_type})
    assert (answer.status, answer.error["reason"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert content_type in answer.error["message"]


REFUSED: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("/suites", {"nmae": "x"}, {"nmae": "given an unknown field; accepts auto_close_timeout_seconds"}),
    ("/suites", {**SUITE, "priority": "1"}, {"priority": 'given "1"; accepts a whole number'}),
    ("/suites", {**SUITE, "name": None}, {"name": "given null; accepts a string"}),
    ("/suites", {**SUITE, "tags": "gpu"}, {"tags": 'given "gpu"; accepts a list'}),
    ("/suites", {**SUITE, "worker_schedule": {"stratgy": 1}}, {"worker_schedule.stratgy": "given an unknown field"}),
    ("/suites", {**SUITE, "worker_schedule": {"strategy": "fixed"}}, {"worker_schedule.strategy": "Proportional"}),
    ("/suites", {**SUITE, "name": ""}, {"name": "1 to 255 characters"}),
    (
        "/tasks",
        {"task_spec": {"payload": {}, "batch": 1}},
        {"task_spec.batch": "given an unknown field beside payload"},
    ),
    ("/tasks/batch", {"tasks": [{}, {"x": 1}]}, {"tasks[1].x": "given an unknown field; accepts priority"}),
    ("/login", {"username": 1, "password": 12345678}, {"username": "given 1", "password": "which is not shown"}),
]


@pytest.mark.parametrize(("path", "body", "said"), REFUSED)
async def test_what_does_not_fit_is_refused_by_its_path(
    rest: Rest, path: str, body: dict[str, Any], said: dict[str, str]
) -> None:
    answer = await rest.ask("POST", path, body)
    assert (answer.status, answer.error["status"], answer.error["reason"]) == (400, "INVALID_ARGUMENT", "INVALID_FIELD")
    assert answer.fields.keys() == said.keys()
    for field, text in said.items():
        assert text in answer.fields[field]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?state=executing", "state"),
        ("?page_size=0", "page_size"),
        ("?page_size=1&page_size=2", "page_size"),
        ("?limit=3", "limit"),
        ("?page_token=x", "page_token"),
        ("?tags=a,b", "tags[0]"),
        ("?name=%00", "name"),
        ("?name=%ff", "query"),
        ("?" + "&".join(f"a{i}" for i in range(1500)), "query"),
    ],
)
async def test_queries_that_do_not_fit_are_refused(rest: Rest, query: str, field: str) -> None:
    async with rest.session.get(f"/suites{query}") as response:
        document = await response.json()
    assert response.status == 400
    assert [item["field"] for item in document["error"]["fields"]] == [field]


async def test_fields_are_given_in_one_place(rest: Rest) -> None:
    suite = f"/suites/{(await rest.post('/suites', SUITE))['uuid']}"
    assert (await rest.ask("POST", "/suites?name=x", SUITE)).fields.keys() == {"name"}
    assert (await rest.ask("POST", f"{suite}/cancel", {"uuid": "x"})).fields.keys() == {"uuid"}
    assert (await rest.ask("GET", f"{suite}?uuid=x")).fields.keys() == {"uuid"}


async def test_a_repeated_creation_is_one_and_another_under_its_id_is_refused(rest: Rest) -> None:
    first = await rest.post("/suites", {**SUITE, "request_id": "one"})
    assert (await rest.post("/suites", {**SUITE, "request_id": "one"}))["uuid"] == first["uuid"]
    other = await rest.ask("POST", "/suites", {**SUITE, "name": "other", "request_id": "one"})
    assert (other.status, other.error["status"], other.error["reason"]) == (409, "ABORTED", "REQUEST_ID_REUSED")


async def test_ids_go_through_and_are_made_where_they_are_missing_or_unfit(rest: Rest) -> None:
    for path in ("/suites", "/nowhere", "/health"):
        given = await rest.ask("GET", path, headers={"X-Request-Id": "abc-1"})
        assert given.headers["X-Request-Id"] == "abc-1"
        made = await rest.ask("GET", path, headers={"X-Request-Id": "not fit for a log"})
        assert len(made.headers["X-Request-Id"]) == 36


async def test_paths_and_methods_that_are_not_served(rest: Rest) -> None:
    nowhere = await rest.ask("GET", "/suites/")
    assert (nowhere.status, nowhere.error["reason"]) == (404, "NOT_FOUND")
    wrong = await rest.ask("PUT", "/suites")
    assert (wrong.status, wrong.headers["Allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert wrong.error["reason"] == "METHOD_NOT_ALLOWED"
    literal = await rest.ask("GET", "/managers/heartbeat")
    assert (literal.status, literal.headers["Allow"]) == (405, "OPTIONS, POST")
    options = await rest.ask("OPTIONS", "/tasks/batch")
    assert (options.status, options.headers["Allow"]) == (204, "OPTIONS, POST")
    head = await rest.ask("HEAD", "/suites")
    assert (head.status, head.document) == (200, None)
    assert int(head.headers["Content-Length"]) > 0


async def test_long_answers_are_compressed_where_that_is_accepted(rest: Rest) -> None:
    await rest.post("/suites", {**SUITE, "description": "x" * 4000})
    for accepted, encoding in (("gzip", "gzip"), ("br, gzip;q=0.5", "gzip"), ("gzip;q=0", None), ("identity", None)):
        answer = await rest.ask("GET", "/suites", headers={"Accept-Encoding": accepted})
        assert answer.headers.get("Content-Encoding") == encoding
        assert "x" * 4000 in answer.document["suites"][0]["description"]


async def test_other_origins_are_told_nothing_by_default(rest: Rest) -> None:
    answer = await rest.ask("GET", "/suites", headers={"Origin": "https://elsewhere.example"})
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


async def test_configured_origins_may_call(database_url: str, tmp_path: Path) -> None:
    config = coordinator_config(database_url, tmp_path, http={"cors_origins": ["https://ui.example"]})
    async with running(config) as coordinator, rest_of(coordinator) as rest:
        asked = {"Origin": "https://ui.example", "Access-Control-Request-Method": "POST"}
        preflight = await rest.ask("OPTIONS", "/suites", headers=asked)
        assert preflight.status == 204
        assert preflight.headers["Access-Control-Allow-Origin"] == "https://ui.example"
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
        refused = await rest.ask("GET", "/nowhere", headers=asked)
        assert refused.headers["Access-Control-Allow-Origin"] == "https://ui.example"
        assert refused.headers["Vary"] == "Origin"
        other = await rest.ask("GET", "/suites", headers={"Origin": "https://elsewhere.example"})
        assert "Access-Control-Allow-Origin" not in other.headers


async def test_a_database_that_is_away_is_told_with_when_to_come_back(
    rest: Rest, coordinator: RunningCoordinator
) -> None:
    await rest.get("/suites")
    await coordinator.inner.components.database.close()
    answer = await rest.ask("GET", "/suites")
    assert (answer.status, answer.error["reason"]) == (503, "STORAGE_UNAVAILABLE")
    assert int(answer.headers["Retry-After"]) >= 1


async def test_an_unforeseen_error_shows_an_incident_and_never_its_text(
    rest: Rest, coordinator: RunningCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the secret is 12345")

    await rest.get("/suites")
    (servicer,) = [
        service.servicer
        for service in coordinator.inner.components.services
        if service.descriptor.name == "SuiteService"
    ]
    monkeypatch.setattr(servicer._service, "listed", broken)
    answer = await rest.ask("GET", "/suites")
    assert (answer.status, answer.error["reason"]) == (500, "INTERNAL")
    assert answer.error["metadata"]["incident_id"] in answer.error["message"]
    assert "12345" not in json.dumps(answer.document)


async def test_a_token_is_asked_for_before_the_body_is_read(coordinator: RunningCoordinator) -> None:
    async with (
        aiohttp.ClientSession(coordinator.http_url) as session,
        session.post("/suites", data=b"no json") as response,
    ):
        assert response.status == 401
