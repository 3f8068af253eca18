"""Search finds what was said, wherever it was said, and nothing a person types breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearseek.conversations.errors import NotFound
from clearseek.conversations.records import Attachment
from clearseek.conversations.store import ChatStore


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatStore]:
    made = ChatStore(tmp_path_factory.mktemp("search") / "chat.sqlite")
    yield made
    made.close()


@pytest.fixture(scope="module")
def sky(chats: ChatStore) -> str:
    id = chats.create("me", "Colours of the air").id
    files = [Attachment("notes.txt", "The spectrometer was borrowed from Ångström.")]
    _, answer = chats.ask("me", id, 'Why is the sky blue; and 100% of it "so"?', None, files, model="m", effort="low")
    chats.save(
        [
            replace(
                answer,
                content="Because of Rayleigh scattering. 天空是蓝色的，因为瑞利散射。",
                thinking="Perhaps ozone matters",
                status="complete",
                generation_id=None,
            )
        ]
    )
    return id


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("sky", "\ue000sky\ue001"),
        ("SKY", "\ue000sky\ue001"),
        ("scatter", "\ue000scattering\ue001"),
        ("scattered", "\ue000scattering\ue001"),
        ("rayl", "\ue000Rayleigh\ue001"),
        ("ozone", "\ue000ozone\ue001"),
        ("spectrometer", "\ue000spectrometer\ue001"),
        ("angstrom", "\ue000Ångström\ue001"),
        ("colours", "\ue000Colours\ue001"),
        ("colour ozone borrow", "\ue000"),
        ("瑞利", "因为\ue000瑞利\ue001散射"),
        ("sky 瑞利", "\ue000"),
        ('"so"', "\ue000so\ue001"),
        ("100%", "\ue000100\ue001"),
        ("sky -", "\ue000sky\ue001"),
    ],
)
def test_it_is_found_and_shown(chats: ChatStore, sky: str, query: str, shown: str) -> None:
    found = chats.page("me", query).items
    assert [line.id for line in found] == [sky]
    assert shown in found[0].snippet


@pytest.mark.parametrize(
    "query", ["purple", "sky purple", "ray sky", "瑞利x", "%", "_", "天_", "***", "''", "( )", "-"]
)
def test_it_is_not_found(chats: ChatStore, sky: str, query: str) -> None:
    assert chats.page("me", query).items == ()


@pytest.mark.parametrize(
    "query",
    [
        '"',
        '""',
        '"sky',
        'sky"',
        "NEAR(sky, 3)",
        "sky AND",
        "OR",
        "NOT sky",
        "content:sky",
        "{content title}: sky",
        "^sky",
        "sky*",
        "*sky",
        "sky) OR (1=1",
        "'; DROP TABLE messages; --",
        ":term0 :limit",
        "\0",
        "sky\0",
        "a" * 500,
        "a " * 250,
        "\u202e\ufeff",
        "\\",
        "天\\",
        "天%'",
    ],
)
def test_hostile_queries_are_words(chats: ChatStore, sky: str, query: str) -> None:
    chats.page("me", query)
    assert chats.conversation("me", sky).messages


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_no_query_breaks_it(chats: ChatStore, query: str) -> None:
    chats.page("me", query)


def test_what_is_changed_or_gone_is_found_no_more(chats: ChatStore) -> None:
    id = chats.create("me", "Walrus").id
    _, answer = chats.ask(
        "me", id, "About the platypus?", None, [Attachment("okapi.txt", "narwhal")], model="m", effort=None
    )
    chats.save([replace(answer, content="half of the quokka")])
    assert chats.page("me", "quokka").items == (), "an answer being written is not searched yet"
    chats.save([replace(answer, content="all of the quokka", status="stopped", generation_id=None)])
    for word in ("walrus", "platypus", "quokka", "okapi", "narwhal"):
        assert [line.id for line in chats.page("me", word).items] == [id], word
    chats.rename("me", id, "Dugong")
    assert chats.page("me", "walrus").items == ()
    reopened = chats.resume("me", answer.id, effort=None)
    chats.save([replace(reopened, content="all of the axolotl", status="complete", generation_id=None)])
    assert chats.page("me", "quokka").items == ()
    assert chats.page("me", "axolotl").items
    chats.delete("me", id)
    for word in ("dugong", "platypus", "axolotl", "okapi", "narwhal"):
        assert chats.page("me", word).items == (), word
    with chats._engine.begin() as db:
        for index in ("title_search", "message_search", "attachment_search"):
            db.exec_driver_sql(f"INSERT INTO {index}({index}, rank) VALUES ('integrity-check', 0)")


def test_the_messages_that_answer_a_query(chats: ChatStore, sky: str) -> None:
    def found(query: str) -> list[tuple[str, tuple[str, ...]]]:
        return [(hit.where, hit.words) for hit in chats.find("me", sky, query)]

    assert found("rayleigh scatter") == [("content", ("Rayleigh", "scattering"))]  # as they are written
    assert found("blue rayleigh") == [("content", ("blue",)), ("content", ("Rayleigh",))]  # no message holds both
    assert found("ozone") == [("thinking", ("ozone",))]
    assert found("angstrom") == [("attachment", ("Ångström",))]
    assert found("瑞利") == [("content", ("瑞利",))]
    assert found("colours") == []  # that is the title
    assert found("") == found('"') == found("nowhere") == []
    question, answer = (message.id for message in chats.conversation("me", sky).messages)
    assert [hit.message for hit in chats.find("me", sky, "sky rayleigh")] == [question, answer]
    with pytest.raises(NotFound):
        chats.find("other", sky, "sky")


def test_a_line_of_the_list_says_in_which_message(chats: ChatStore, sky: str) -> None:
    question, answer = (message.id for message in chats.conversation("me", sky).messages)
    for query, message in (("rayleigh", answer), ("ozone", answer), ("angstrom", question), ("瑞利", answer)):
        [row] = chats.page("me", query).items
        assert row.message == message, query
    [row] = chats.page("me", "colours").items
    assert row.message is None
