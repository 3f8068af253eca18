"""What was read is shared out: nothing is lost, nothing is counted twice, whoever is alone has all of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearseek.inference.proration import Shares


class Clock:
    now: float | None = 100.0

    def __call__(self) -> float | None:
        return self.now

    def move(self, by: float) -> None:
        assert self.now is not None
        self.now += by


def test_alone_has_exactly_what_was_read() -> None:
    clock = Clock()
    shares = Shares(clock)
    shares.join("a")
    clock.move(1.5)
    shares.work("a", 7)
    clock.move(0.5)
    assert shares.alone("a")
    assert shares.leave("a") == 2.0


def test_two_have_it_in_proportion_to_their_work_while_both_are_there() -> None:
    clock = Clock()
    shares = Shares(clock)
    shares.join("a")
    clock.move(10)  # a alone
    shares.join("b")
    shares.work("a", 1)
    shares.work("b", 3)
    clock.move(8)
    assert not shares.alone("a")
    assert shares.leave("b") == 6
    clock.move(5)  # a alone again
    assert shares.leave("a") == 10 + 2 + 5
    shares.join("c")
    assert shares.alone("c")


def test_without_work_to_count_all_have_the_same_and_idle_time_is_nobodys() -> None:
    clock = Clock()
    shares = Shares(clock)
    clock.move(1000)
    shares.join("a")
    shares.join("b")
    clock.move(4)
    assert shares.leave("a") == 2
    assert shares.leave("b") == 2
    assert shares.total == 4


def test_a_counter_that_is_gone_or_begins_again_takes_nothing_away() -> None:
    clock = Clock()
    shares = Shares(clock)
    shares.join("a")
    clock.move(3)
    shares.settle()
    clock.now = None  # the process died
    shares.settle()
    clock.now = 0.5  # and another began
    shares.settle()
    clock.move(1)
    assert shares.leave("a") == 4


moves = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.integers(0, 4)),
        st.tuples(st.just("leave"), st.integers(0, 4)),
        st.tuples(st.just("move"), st.floats(0, 100)),
        st.tuples(st.just("settle"), st.none()),
        st.tuples(st.sampled_from(["work0", "work1", "work2", "work3", "work4"]), st.floats(0, 1e12)),
    ),
    max_size=60,
)


@given(moves)
def test_whatever_happens_the_shares_add_up_to_what_was_read(moves: list[tuple[str, object]]) -> None:
    clock, there, given_out, read = Clock(), set[object](), 0.0, 0.0
    shares = Shares(clock)
    for what, value in moves:
        if what == "join" and value not in there:
            shares.join(value)
            there.add(value)
        elif what == "leave" and value in there:
            share = shares.leave(value)
            assert share >= 0
            given_out += share
            there.remove(value)
        elif what == "move":
            assert isinstance(value, float)
            before = clock.now or 0.0
            clock.move(value)
            read += ((clock.now or 0.0) - before) if there else 0
        elif what == "settle":
            shares.settle()
        elif what.startswith("work") and int(what[4]) in there:
            assert isinstance(value, float)
            shares.work(int(what[4]), value)
    given_out += sum(shares.leave(who) for who in list(there))
    assert given_out == pytest.approx(read)
    assert shares.total == pytest.approx(read)
