"""The books over HTTP: sums that add up, whose they are, budgets that hold, the balance; engines scripted."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from scripted import Step, serving, until

from clearseek.errors import UsageError
from clearseek.hub.store import Store
from clearseek.inference.budget import Caps, midnight
from clearseek.inference.engine import Delta, Description, Finished, Progress, Request, Usage
from clearseek.inference.machine_share import Metered
from clearseek.inference.pool import Pool, _Desk
from clearseek.inference.scheduler import Scheduler
from clearseek.ledger.book import Book
from clearseek.ledger.entry import Draft
from clearseek.ledger.quantity import declared, measured, unknown
from clearseek.server import keys
from clearseek.server.budgets import open_books
from clearseek.server.keys import KeyRing, keys_file
from clearseek.settings import Settings

ASK = {"messages": [{"role": "user", "content": "hi"}], "model": "tiny"}


class ScriptedEngine:
    """An engine elsewhere that says what it is told; the pool around it, its queue and its books are the real ones."""

    restarts = 0

    async def generate(self, request: Request, *, request_id: str = "") -> Any:
        steps: Sequence[Step] = [
            Progress(10, 4, 10),
            *(Delta("answer", f"{n} ") for n in range(min(10, request.limit or 10))),
            Finished(
                "length" if (request.limit or 99) <= 10 else "stop", Usage(10, 4, min(10, request.limit or 10), 0)
            ),
        ]
        for step in steps:
            yield step

    async def describe(self) -> Description:
        return Description("tiny", "remote", None, 2048, 4, "prompted", False)

    async def cancel(self, request_id: str) -> None: ...

    async def close(self) -> None: ...


class TinyPool(Pool):
    async def models(self) -> list[Description]:
        return [await ScriptedEngine().describe()]

    async def resolve(self, name: str | None) -> str:
        return "tiny"

    async def _open(self, name: str) -> _Desk:
        return _Desk(ScriptedEngine(), Scheduler(4, 8), False, Metered("tiny", None))


@contextmanager
def running(home: Path, **settings: Any) -> Iterator[httpx.Client]:
    """A server with real books around a scripted engine."""
    the_settings = Settings(**settings)
    pool = TinyPool(the_settings, Store(home / "models"), open_books(the_settings, KeyRing(keys_file())))
    with serving(pool, home, **settings) as url, httpx.Client(base_url=url, timeout=120) as http:
        yield http


def ask(http: httpx.Client, secret: str | None = None, **more: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    return http.post("/chat/completions", json={**ASK, **more}, headers=headers)


def books(http: httpx.Client, by: str = "day", secret: str | None = None) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    return dict(http.get(f"/api/books?by={by}", headers=headers).raise_for_status().json())


def old_entry(home: Path, days_ago: float, money: float | None, owner: str = "local", model: str = "old") -> None:
    Book(home / "ledger.jsonl").append(
        Draft(
            "answer",
            midnight() - days_ago * 86_400 + 3600,
            {"model": model, "owner": owner, "source": "api", "status": "complete"},
            {
                "wall": measured(2, "s"),
                "money": unknown("USD", "?") if money is None else declared(money, "USD", "?"),
                "prompt_tokens": measured(1000, "token"),
                "cached_tokens": measured(400, "token"),
                "completion_tokens": measured(500, "token"),
                "reasoning_tokens": measured(100, "token"),
            },
        )
    )


def test_an_answer_carries_what_it_took_and_is_in_the_books(home: Path) -> None:
    with running(home) as http:
        told = ask(http).json()["clearseek"]["spent"]
        assert told["wall"]["basis"] == "measured"
        assert told["money"]["value"] is None
        assert told["entry"]["seq"] == 0
        last = ask(http, stream=True).text.split("data: ")[-2]
        assert json.loads(last)["clearseek"]["spent"]["entry"]["seq"] == 1
        entry = json.loads((home / "ledger.jsonl").read_text().splitlines()[0])
        assert entry["hash"] == told["entry"]["hash"]
        assert entry["labels"]["source"] == "api"
        found = books(http)
        assert len(found["rows"]) == 1
        total = found["total"]
        assert (total["answers"], total["prompt_tokens"], total["cached_tokens"]) == (2, 20, 8)
        assert (total["completion_tokens"], total["unknown_money"]) == (20, 2)
        assert total["money"]["basis"] == "unknown"
        assert found["chain"]["state"] == "intact"
        assert found["chain"]["entries"] == 2
        assert "machine_usd_per_hour" in found["rates"]["how_to_declare"]
        assert str(home / "config.toml") in found["rates"]["how_to_declare"]
        assert found["budget"] == {"day": None, "key": None}
        assert http.get("/health").json()["ledger"] == "ok"
        assert "clearseek_booked_entries_total 2.0" in http.get("/metrics").text


def test_the_page_keeps_what_its_answers_took(home: Path) -> None:
    with running(home) as http:
        chat = http.post("/api/conversations", json={}).json()["id"]
        body = {"content": "What is it?", "parent_id": None}
        answer = http.post(f"/api/conversations/{chat}/messages", json=body).json()["assistant"]
        assert answer["spent"] is None
        until(lambda: http.get(f"/api/conversations/{chat}").json()["messages"][-1]["status"] == "complete")
        message = http.get(f"/api/conversations/{chat}").json()["messages"][-1]
        assert set(message["spent"]) == {"wall", "cpu", "energy", "money", "flops", "entry"}
        assert message["spent"]["entry"]["seq"] == 0
        ask(http)
        rows = {row["key"]: row for row in books(http, "conversation")["rows"]}
        assert rows[chat]["label"] == "What is it?"
        assert rows[""]["label"] == "outside of any chat"
        http.delete(f"/api/conversations/{chat}")
        assert {row["label"] for row in books(http, "conversation")["rows"]} == {
            "a chat that was deleted",
            "outside of any chat",
        }


def test_sums_by_day_model_and_kind_and_the_downloads(home: Path) -> None:
    old_entry(home, 40, 1.0)
    old_entry(home, 2, 0.25, model="=cmd()")
    old_entry(home, 1, None)
    with running(home) as http:
        ask(http)
        found = books(http)
        assert [row["answers"] for row in found["rows"]] == [1, 1, 1]
        assert [row["key"] for row in found["rows"]] == sorted(row["key"] for row in found["rows"])
        assert found["total"]["money"]["value"] == 0.25, "what is known"
        assert found["total"]["unknown_money"] == 2
        models = {row["key"]: row for row in books(http, "model")["rows"]}
        assert set(models) == {"=cmd()", "old", "tiny"}
        assert models["=cmd()"]["reasoning_tokens"] == 100
        assert [row["key"] for row in books(http, "kind")["rows"]] == ["answer"]
        file = http.get("/api/books.csv?by=model")
        assert "attachment" in file.headers["content-disposition"]
        table = {row["model"]: row for row in csv.DictReader(io.StringIO(file.text))}
        assert set(table) == {"'=cmd()", "old", "tiny"}, "no spreadsheet takes a name for a formula"
        assert (table["old"]["money (USD)"], table["old"]["money rests on"]) == ("", "unknown")
        assert http.get("/api/books.json").json()["rows"] == books(http)["rows"]
        assert http.get("/api/books?by=owner").status_code == 422
        assert http.get("/api/books?days=0").status_code == 422


def test_hosted_prices_are_those_of_the_hour_and_name_their_source(home: Path) -> None:
    old_entry(home, 1, None)
    with running(home) as http:
        offers = books(http)["hosted"]
        assert offers
        for offer in offers:
            assert offer["provider"]
            assert offer["source"]
            assert offer["as_of"]
            assert offer["money"]["unit"] == "USD"
            assert offer["money"]["value"] is None or 0 < offer["money"]["value"] < 1


def test_a_chain_that_was_changed_is_told(home: Path) -> None:
    old_entry(home, 2, 0.25)
    old_entry(home, 1, 0.25)
    with running(home) as http:
        assert books(http)["chain"]["state"] == "intact"
        path = home / "ledger.jsonl"
        path.write_bytes(path.read_bytes().replace(b'"value":0.25', b'"value":0.24', 1))
        chain = books(http)["chain"]
        assert chain["state"] == "broken"
        assert chain["problem"].startswith("Line 1 (entry 0): ")


def test_two_keys_do_not_see_each_others_books(home: Path) -> None:
    ann, ben = keys.create("ann"), keys.create("ben", caps=Caps(tokens=1000))
    with running(home, budget={"tokens_per_day": 5000}) as http:
        ask(http, ann).raise_for_status()
        ask(http, ben).raise_for_status()
        ask(http, ben).raise_for_status()
        assert books(http, secret=ann)["total"]["answers"] == 1
        assert books(http, secret=ben)["total"]["answers"] == 2
        assert str(home) not in books(http, secret=ann)["rates"]["how_to_declare"]
        assert books(http, secret=ann)["budget"] == {"day": None, "key": None}
        budget = books(http, secret=ben)["budget"]
        assert budget["day"] is None, "it would say what others spend"
        assert budget["key"]["tokens"]["cap"]["value"] == 1000
        assert budget["key"]["tokens"]["spent"]["value"] == 40
        assert budget["key"]["resets_at"] == midnight(1)
        for path in ("/api/books", "/api/books.csv", "/api/books.json", "/user/balance"):
            assert http.get(path).status_code == 401


def test_at_the_cap_both_doors_say_so(home: Path) -> None:
    with running(home, budget={"tokens_per_day": 35}) as http:
        assert "budget" not in ask(http).json()["clearseek"]
        cut = ask(http).json()
        assert cut["usage"]["completion_tokens"] == 5
        assert cut["choices"][0]["finish_reason"] == "length"
        assert "35 tokens, is used up" in cut["clearseek"]["budget"]
        for stream in (False, True):
            refused = ask(http, stream=stream)
            assert refused.status_code == 402
            error = refused.json()["error"]
            assert (error["code"], error["type"], error["param"]) == ("budget", "insufficient_balance_error", None)
            assert "begins anew at midnight" in error["message"]
            assert int(refused.headers["retry-after"]) > 0
        chat = http.post("/api/conversations", json={}).json()["id"]
        refused = http.post(f"/api/conversations/{chat}/messages", json={"content": "?", "parent_id": None})
        assert (refused.status_code, refused.json()["error"]["code"]) == (402, "budget")
        assert http.get(f"/api/conversations/{chat}").json()["messages"] == [], "nothing was written"
        assert http.get("/user/balance").json()["is_available"] is False
    with running(home, budget={"tokens_per_day": 35}) as http:
        assert ask(http).status_code == 402, "a restart makes nothing anew"
    with running(home, budget={"tokens_per_day": 3500}) as http:
        assert ask(http).status_code == 200


def test_an_answer_on_the_page_that_a_budget_ended_says_so(home: Path) -> None:
    with running(home, budget={"tokens_per_day": 15}) as http:
        chat = http.post("/api/conversations", json={}).json()["id"]
        http.post(f"/api/conversations/{chat}/messages", json={"content": "?", "parent_id": None})
        until(lambda: http.get(f"/api/conversations/{chat}").json()["messages"][-1]["status"] != "generating")
        message = http.get(f"/api/conversations/{chat}").json()["messages"][-1]
        assert (message["status"], message["finish_reason"]) == ("interrupted", "length")
        assert message["error"]["code"] == "budget"
        assert message["content"] == "0 1 2 3 4 "
        assert message["spent"]["entry"]["seq"] == 0


@pytest.mark.parametrize("prefix", ["", "/v1", "/beta"])
def test_the_balance_without_a_budget_has_no_figure(home: Path, prefix: str) -> None:
    with running(home) as http:
        told = http.get(f"{prefix}/user/balance").json()
        assert told["is_available"] is True
        assert told["balance_infos"] == []


def test_the_balance_is_what_is_left_of_the_keys_dollars(home: Path) -> None:
    prices = {"prices": {"machine_usd_per_hour": 1.0}}
    secret = keys.create("ann", caps=Caps(usd=0.75))
    owner = keys.list_keys()[0].id
    old_entry(home, 0, 0.5, owner)
    old_entry(home, 0, 7, "key-other")
    with running(home, **prices) as http:
        told = http.get("/user/balance", headers={"x-api-key": secret}).json()
        assert told["is_available"] is True
        assert told["balance_infos"] == [
            {
                "currency": "USD",
                "total_balance": "0.250000",
                "granted_balance": "0.250000",
                "topped_up_balance": "0.000000",
            }
        ]
        money = told["clearseek"]["budget"]["key"]["money"]
        assert (money["cap"]["value"], money["spent"]["value"]) == (0.75, 0.5)
        refused = ask(http, secret)
        assert refused.status_code == 402
        assert "remote engine" in refused.json()["error"]["message"], "its price is not known"
    old_entry(home, 0, 0.5, owner)
    with running(home, **prices) as http:
        told = http.get("/user/balance", headers={"x-api-key": secret}).json()
        assert told["is_available"] is False
        assert told["balance_infos"][0]["total_balance"] == "0.000000"


def test_a_budget_that_cannot_be_held_is_refused_at_the_start(home: Path) -> None:
    with pytest.raises(UsageError, match="machine_usd_per_hour"):
        open_books(Settings(budget={"usd_per_day": 1.0}))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="metering"):
        open_books(Settings(metering=False, budget={"tokens_per_day": 1}))  # type: ignore[arg-type]
    priced = {"machine_usd_per_hour": 1.0}
    assert open_books(Settings(budget={"usd_per_day": 1.0}, prices=priced)) is not None  # type: ignore[arg-type]
    assert open_books(Settings(metering=False)) is None
    keys.create("ann", caps=Caps(usd=1.0))
    with pytest.raises(UsageError, match="the key ann"):
        open_books(Settings())


def test_with_metering_off_nothing_is_booked(home: Path) -> None:
    with running(home, metering=False) as http:
        assert ask(http).json()["clearseek"]["spent"] is None
        assert http.get("/health").json()["ledger"] == "off"
        assert books(http)["total"]["answers"] == 0
        assert not (home / "ledger.jsonl").exists()
        assert http.get("/user/balance").json()["is_available"] is True


@pytest.mark.slow
def test_a_ledger_that_cannot_be_written_is_told_and_answers_go_on(home: Path) -> None:
    (home / "ledger.jsonl").mkdir()
    with running(home) as http:
        told = ask(http)
        assert told.status_code == 200
        assert told.json()["clearseek"]["spent"]["entry"] is None
        assert http.get("/health").json()["ledger"] == "unwritten"
        assert "clearseek_unbooked_entries 1.0" in http.get("/metrics").text
        (home / "ledger.jsonl").rmdir()
        until(lambda: http.get("/health").json()["ledger"] == "ok")
        assert books(http)["total"]["answers"] == 1
