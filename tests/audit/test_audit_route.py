"""`/api/audit`, through the server's own error handlers."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from clearseek.audit import examine, library, load_claim
from clearseek.server.errors import install_handlers
from clearseek.server.routes import audit


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    app = FastAPI()
    app.include_router(audit.router)
    install_handlers(app)
    with TestClient(app) as client:
        yield client


def test_the_claims(http: httpx.Client) -> None:
    claims = http.get("/api/audit/claims").json()
    assert {claim["name"] for claim in claims} == set(library.names())
    assert {"title", "date", "scope", "status", "headline", "goodput", "warnings"} <= set(claims[0])


def test_the_same_answer_as_on_the_command_line(http: httpx.Client) -> None:
    for name in ("deepseek-v3-pretraining", "gpt-oss-120b", "fifty-thousand-hoppers", "deepseek-serving-day"):
        assert http.post("/api/audit", json={"claim": name}).json() == examine(load_claim(name)).as_json()


@pytest.mark.parametrize("name", library.names())
def test_every_input_can_be_set_to_what_it_is(name: str, http: httpx.Client) -> None:
    first = http.post("/api/audit", json={"claim": name, "draws": 0}).json()
    for item in first["inputs"]:
        quantity = item["quantity"]
        assert item["low"] <= quantity["value"] <= item["high"], item["path"]
        for value in (quantity["value"], item["low"], item["high"]):
            body = {"claim": name, "draws": 0, "set": {item["path"]: {"value": value, "unit": quantity["unit"]}}}
            answer = http.post("/api/audit", json=body)
            assert answer.status_code == 200, (item["path"], value, answer.json())


def test_a_moved_input_moves_the_verdict(http: httpx.Client) -> None:
    moved = {"run.gpu_hours": {"value": 1e6, "unit": "chip*h"}}
    said = http.post("/api/audit", json={"claim": "deepseek-v3-pretraining", "set": moved}).json()
    assert said["verdict"]["status"] == "impossible"
    assert next(i for i in said["inputs"] if i["path"] == "run.gpu_hours")["quantity"]["value"] == 1e6


def test_it_is_quick_without_draws(http: httpx.Client) -> None:
    body = {"claim": "deepseek-v3-pretraining", "draws": 0}
    http.post("/api/audit", json=body)
    began = time.process_time()
    for _ in range(5):
        http.post("/api/audit", json=body)
    assert (time.process_time() - began) / 5 < 0.1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"claim": "nothing"}, 404),
        ({"claim": "../../etc/passwd"}, 404),
        ({"claim": "deepseek-v3-pretraining.toml"}, 404),
        ({}, 422),
        ({"claim": "gpt-4", "more": 1}, 422),
        ({"claim": "gpt-4", "draws": 10**9}, 422),
        ({"claim": "gpt-4", "set": {"run.gpu_hours": {"value": -1, "unit": "h"}}}, 422),
        ({"claim": "gpt-4", "set": {"run.gpu_hours": 3}}, 422),
        ({"claim": "gpt-4", "set": {"run.gpu_hours": {"value": 1, "unit": "x" * 99}}}, 422),
        ({"claim": "gpt-4", "set": {"model.config": "/etc/passwd"}}, 422),
        ({"claim": "gpt-4", "set": {"model.architecture": "/etc/passwd.toml"}}, 422),
        ({"claim": "gpt-4", "set": {f"run.x{i}": 1 for i in range(50)}}, 422),
    ],
)
def test_what_cannot_be_is_refused(body: dict[str, object], status: int, http: httpx.Client) -> None:
    answer = http.post("/api/audit", json=body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["message"]
    assert "\n" not in error["message"]
