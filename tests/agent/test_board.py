"""The board: the latest status for whoever asks, every event for whoever listens."""

from __future__ import annotations

import threading

from reconciler.agent.board import Board
from reconciler.agent.status import Status


def test_who_asks_gets_the_latest_status():
    board = Board(Status(pid=1))
    board.publish(Status(pid=2))

    assert board.status.pid == 2


def test_a_status_that_somebody_holds_does_not_change():
    board = Board(Status(pid=1))
    held = board.status
    board.publish(Status(pid=2))

    assert held.pid == 1


def test_everybody_who_listens_hears_every_event_in_order():
    board, one, other = Board(Status()), [], []
    board.listen(one.append)
    board.listen(other.append)

    board.tell({"type": "drift"})
    board.tell({"type": "pass"})

    assert one == other == [{"type": "drift"}, {"type": "pass"}]


def test_who_stops_listening_hears_nothing_more_and_the_others_do():
    board, one, other = Board(Status()), [], []
    stop = board.listen(one.append)
    board.listen(other.append)
    stop()
    stop()

    board.tell({"type": "drift"})

    assert (one, other) == ([], [{"type": "drift"}])


def test_what_was_told_before_anybody_listened_is_not_told_again():
    board, heard = Board(Status()), []
    board.tell({"type": "drift"})
    board.listen(heard.append)

    assert heard == []


def test_a_listener_may_stop_itself_while_it_is_told():
    board, heard = Board(Status()), []

    def once(event):
        heard.append(event)
        stop()

    stop = board.listen(once)
    board.tell({"type": "drift"})
    board.tell({"type": "pass"})

    assert heard == [{"type": "drift"}]


def test_listeners_that_come_and_go_on_other_threads_disturb_nobody():
    board, heard = Board(Status()), []
    board.listen(heard.append)
    done = threading.Event()

    def come_and_go() -> None:
        while not done.is_set():
            board.listen(lambda _: None)()

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(2000):
        board.tell({"type": "pass", "number": number})
    done.set()
    for thread in threads:
        thread.join(5)

    assert [event["number"] for event in heard] == list(range(2000))
    assert len(board._listeners) == 1
