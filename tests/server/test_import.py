"""Files of other programs brought to the import: which they are is said, and which is wanted."""

from __future__ import annotations

import gzip
import io
import zipfile
from typing import Any

import httpx
import orjson
import pytest

CHATGPT = {"title": "Trip", "mapping": {"a": {"id": "a", "message": None, "children": []}}, "current_node": "a"}
OPEN_WEBUI = {"id": "x", "title": "Trip", "chat": {"title": "Trip", "history": {"messages": {}, "currentId": "b"}}}
CLAUDE = {"uuid": "x", "name": "Trip", "chat_messages": [{"sender": "human", "text": "Hi"}]}
LIBRECHAT = {"conversationId": "x", "title": "Trip", "messages": [{"text": "Hi"}], "recursive": True}
LM_STUDIO = {"name": "Trip", "messages": [{"versions": []}], "lastUsedModel": {}}
LLAMA_CPP = {"conv": {"id": "x"}, "messages": [{"role": "user", "content": "Hi"}]}
MESSAGES = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
OWN = {"format": "clearseek-conversation", "version": 1, "title": "T", "messages": []}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([CHATGPT], "ChatGPT"),
        (CHATGPT, "ChatGPT"),
        ([OPEN_WEBUI], "Open WebUI"),
        (OPEN_WEBUI, "Open WebUI"),
        ([CLAUDE], "Claude"),
        (LIBRECHAT, "LibreChat"),
        (LM_STUDIO, "LM Studio"),
        (LLAMA_CPP, "llama.cpp"),
        (MESSAGES, "list of messages"),
        ({"messages": MESSAGES}, "messages without a chat"),
        ({"model": "llama3", "messages": MESSAGES}, "request of a chat API"),
        ({"choices": []}, "answer of a chat API"),
        ({"conversations": [{"from": "human", "value": "Hi"}]}, "ShareGPT"),
        ([OWN, OWN], "list of 2 chats"),
        ([], "empty list"),
        ({}, "no export of ClearSeek's"),
        ("text", "no chat"),
        (None, "no chat"),
        (7, "no chat"),
        ([1, 2], "no chat"),
    ],
)
def test_a_foreign_export_is_named(http: httpx.Client, body: Any, words: str) -> None:
    answer = http.post("/api/conversations/import", content=orjson.dumps(body), headers=JSON)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert words in error["message"]
    assert '"format": "clearseek-conversation"' in error["message"]
    assert error["code"] == "unknown_format"
    assert http.get("/api/conversations").json()["conversations"] == []


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"<!doctype html><title>ChatGPT</title>", "HTML"),
        (b'{"role": "user"}\n{"role": "assistant"}\n', "JSONL"),
        (b"# Trip\n\n## You\n\nHi\n", "Markdown"),
        (b"{not json", "no valid JSON"),
    ],
)
def test_what_is_no_json_is_named(http: httpx.Client, body: bytes, words: str) -> None:
    answer = http.post("/api/conversations/import", content=body, headers=JSON)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert "clearseek-conversation" in answer.json()["error"]["message"]


def test_archives_are_named(http: httpx.Client) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("conversations.json", orjson.dumps([CHATGPT]) * 500)
    for body, words in ((packed.getvalue(), "zip archive"), (gzip.compress(b"{}" * 5000), "gzip")):
        answer = http.post("/api/conversations/import", content=body, headers=JSON)
        assert answer.status_code == 415
        assert words in answer.json()["error"]["message"]


def test_ours_comes_in_and_what_is_wrong_in_it_is_said(http: httpx.Client) -> None:
    assert http.post("/api/conversations/import", json=OWN).status_code == 201
    wrong = http.post("/api/conversations/import", json=OWN | {"messages": [{"id": "a", "role": "assistant"}]})
    assert wrong.status_code == 422
    assert "do not alternate" in wrong.json()["error"]["message"]
    newer = http.post("/api/conversations/import", json=OWN | {"version": 2})
    assert newer.status_code == 422
    assert "`version` is wrong" in newer.json()["error"]["message"]
