"""The status server: what it answers, over real sockets, and how it starts and ends."""

import grp
import json
import os
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reconciler.agent import events as events_module
from reconciler.agent import http as http_module
from reconciler.agent import listen as listen_module
from reconciler.agent.client import NoLoopError, complaint, get
from reconciler.agent.http import StatusServer
from reconciler.agent.journal import Journal
from reconciler.agent.metrics import Metrics
from reconciler.agent.status import ManifestsStatus, drift_to_dict
from reconciler.errors import HostError
from tests.agent.boards import MTU, PROBLEM, board, status
from tests.world import wait_until


class Served:
    """A board with a server over it, as a loop has them."""

    def __init__(self, folder, **options):
        self.board = board()
        self.board.heartbeat = time.monotonic()
        self.metrics = Metrics(self.board)
        self.journal = Journal(folder / "drift.jsonl")
        self.path = folder / "reconciler.sock"
        self.server = StatusServer(
            self.board, self.metrics, self.journal, socket=self.path, **options
        )

    def ask(self, target, method="GET"):
        """One request over a plain socket: the status, the headers and the body."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(5)
            line.connect(str(self.path))
            line.sendall(f"{method} {target} HTTP/1.0\r\n\r\n".encode())
            answer = b"".join(iter(lambda: line.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return int(first.split()[1]), headers, body.decode()

    def listeners(self):
        return len(self.board._listeners)


@pytest.fixture
def serve(tmp_path):
    """Start servers, and see to it that no thread of theirs is left."""
    started = []

    def start(**options):
        served = Served(tmp_path, **options)
        started.append(served)
        served.server.start()
        return served

    yield start
    for served in started:
        served.server.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "http"]


class Reader:
    """A client of /events."""

    def __init__(self, served):
        self.line = socket.socket(socket.AF_UNIX)
        self.line.settimeout(5)
        self.line.connect(str(served.path))
        self.line.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        self.text = self.line.makefile("r", encoding="utf-8", newline="\n")
        self.head = "".join(iter(self.text.readline, "\r\n")).lower()

    def lines(self):
        """The lines of the stream, without the framing of HTTP's chunks."""
        for line in self.text:
            if not line.endswith("\r\n"):
                yield line.rstrip("\n")

    def events(self):
        """Events, as pairs of a type and its data."""
        kind = ""
        for line in self.lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield kind, json.loads(line.removeprefix("data: "))

    def close(self):
        self.text.close()
        self.line.close()


@pytest.fixture
def read():
    readers = []

    def start(served):
        readers.append(Reader(served))
        return readers[-1]

    yield start
    for reader in readers:
        reader.close()


# --- pages


def test_a_loop_that_comes_round_is_healthy_and_one_that_hangs_is_not(serve):
    served = serve(heartbeat_max=60)

    assert served.ask("/healthz")[::2] == (200, "ok\n")
    served.server._pages._began = served.board.heartbeat = time.monotonic() - 61
    assert served.ask("/healthz")[::2] == (503, "the loop has not come round for 61 s\n")


def test_a_loop_that_has_just_started_is_healthy_before_it_came_round(serve):
    served = serve()
    served.board.heartbeat = 0.0

    assert complaint(served.path, "/healthz") == ""


def test_it_is_ready_after_the_first_pass(serve):
    served = serve()
    ready = served.ask("/readyz")
    served.board.publish(status(ready=False, manifests=ManifestsStatus(problems=(PROBLEM,))))
    not_ready = served.ask("/readyz")

    assert ready[::2] == (200, "ok\n")
    assert not_ready[0] == 503
    assert not_ready[2] == "no pass has ended yet; 1 problem in the manifests\n"


def test_the_status_is_what_lies_on_the_board_at_that_moment(serve):
    served = serve()
    before = get(served.path, "/status")
    served.board.publish(status(in_sync=False, drift=(MTU,)))
    code, headers, body = served.ask("/status")

    assert before == status().to_dict()
    assert (code, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == status(in_sync=False, drift=(MTU,)).to_dict()


def test_drift_is_what_is_open_and_history_on_request(serve):
    served = serve()
    served.board.publish(status(drift=(MTU,)))
    for n in range(3):
        served.journal.append({"n": n})

    alone = get(served.path, "/drift")
    both = get(served.path, "/drift?history=2")

    shown = json.loads(json.dumps(drift_to_dict(MTU, lambda _: "")))
    assert alone == {"version": 1, "set": "default", "drift": [shown], "history": []}
    assert both["history"] == [{"n": 1}, {"n": 2}]
    assert served.ask("/drift?history=all")[0] == 400
    assert served.ask("/drift?history=99999999999999999999")[0] == 200


def test_names_that_are_not_utf_8_can_be_asked_for(serve):
    served = serve()
    served.board.publish(status(warnings=("a file \udcff",)))

    assert get(served.path, "/status")["warnings"] == ["a file \udcff"]


def test_metrics_are_read_by_prometheus(serve):
    served = serve()
    served.metrics.pass_done("start", {"observe": 0.1})
    code, headers, body = served.ask("/metrics")

    names = {family.name for family in text_string_to_metric_families(body)}
    assert (code, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert {"reconciler_passes", "reconciler_pass_seconds", "reconciler_in_sync"} <= names


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_written(serve, method):
    assert serve().ask("/status", method)[0] == 405


def test_what_is_not_there_is_not_found(serve):
    assert serve().ask("/etc/passwd")[0] == 404


# --- events


def test_a_stream_begins_with_the_status_and_goes_on_with_every_event(serve, read):
    served = serve()
    reader = read(served)
    stream = reader.events()
    kind, first = next(stream)

    served.board.tell({"type": "drift", "time": 1.5, "object": "device/web\n"})
    served.board.tell({"type": "pass", "time": 2})

    assert "200 ok" in reader.head
    assert "content-type: text/event-stream" in reader.head
    assert kind == "status"
    assert (first["inSync"], first["revision"], first["drift"]) == (True, "0123456789abcdef", 0)
    assert first["states"] == {"Ready": 2}
    assert next(stream) == ("drift", {"type": "drift", "time": 1.5, "object": "device/web\n"})
    assert next(stream) == ("pass", {"type": "pass", "time": 2})


def test_two_clients_hear_the_same(serve, read):
    served = serve()
    streams = [read(served).events() for _ in range(2)]
    for stream in streams:
        next(stream)

    served.board.tell({"type": "pass", "time": 1})

    assert [next(stream)[1] for stream in streams] == [{"type": "pass", "time": 1}] * 2


def test_a_client_that_has_left_is_forgotten(serve, read):
    served = serve()
    staying, leaving = read(served), read(served)
    stream = staying.events()
    next(stream)
    next(leaving.events())
    assert served.listeners() == 2

    leaving.close()
    wait_until(lambda: served.listeners() == 1)
    served.board.tell({"type": "pass", "time": 1})

    assert next(stream)[0] == "pass"


def test_a_client_that_leaves_before_it_has_read_anything_is_forgotten(serve):
    served = serve()
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(served.path))
        line.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: served.listeners() == 1)

    wait_until(lambda: served.listeners() == 0)


def test_a_slow_client_is_told_how_much_it_missed_and_holds_nobody_up(serve, read):
    served = serve()
    slow = read(served)
    stream = slow.events()
    next(stream)

    began = time.monotonic()
    for n in range(5_000):
        served.board.tell({"type": "change", "n": n, "text": "x" * 1_000})
    taken = time.monotonic() - began
    heard, missed = [], 0
    for kind, data in stream:
        if kind == "missed":
            missed += data["missed"]
        else:
            heard.append(data["n"])
        if len(heard) + missed == 5_000:
            break

    assert taken < 2
    assert missed > 0
    assert len(heard) >= 1_000
    assert heard == sorted(set(heard))


def test_in_silence_a_comment_keeps_the_connection(serve, read, monkeypatch):
    monkeypatch.setattr(events_module, "KEEP_ALIVE", 0.01)
    reader = read(serve())

    assert next(line for line in reader.lines() if line.startswith(":")) == ": keep-alive"


def test_stopping_ends_every_stream_at_once(serve, read, monkeypatch):
    monkeypatch.setattr(http_module, "_PATIENCE", 60)
    served = serve()
    readers = [read(served) for _ in range(2)]
    streams = [reader.events() for reader in readers]
    for stream in streams:
        next(stream)

    began = time.monotonic()
    served.server.stop()

    assert time.monotonic() - began < 2
    assert [list(stream) for stream in streams] == [[], []]
    assert served.listeners() == 0


def test_a_client_that_takes_nothing_does_not_hold_up_the_end(serve, read, caplog):
    served = serve()
    stuck = read(served)
    next(stuck.events())
    for _ in range(2):
        for n in range(1_000):
            served.board.tell({"type": "change", "n": n, "text": "x" * 2_000})
        wait_until(lambda: served.ask("/healthz")[0] == 200)

    began = time.monotonic()
    served.server.stop()

    assert time.monotonic() - began < 2.5
    assert served.listeners() == 0
    assert caplog.records == []


# --- sockets


def test_the_socket_is_for_its_owner_and_group_only(serve):
    served = serve()
    found = served.path.stat()

    assert found.st_mode & 0o777 == 0o660
    assert found.st_gid == os.getegid()


@pytest.mark.parametrize("as_text", [False, True])
def test_the_socket_is_of_the_group_that_was_named(serve, as_text):
    group = grp.getgrgid(os.getegid())

    served = serve(group=group.gr_name if as_text else group.gr_gid)

    assert served.path.stat().st_gid == group.gr_gid


def test_nobody_gets_in_before_the_group_is_right(serve, tmp_path, monkeypatch):
    seen = []

    def chown(path, user, group):
        seen.append((path.stat().st_mode & 0o777, user, group))

    monkeypatch.setattr(listen_module.os, "chown", chown)
    before = os.umask(0)
    try:
        serve(group=4321)
    finally:
        os.umask(before)

    assert seen == [(0o600, -1, 4321)]


def test_a_group_that_is_not_there_is_an_error(serve, tmp_path):
    with pytest.raises(HostError, match="no group 'nonesuch' on this host"):
        serve(group="nonesuch")

    assert list(tmp_path.iterdir()) == []


def test_a_socket_that_nobody_listens_on_is_replaced(serve, tmp_path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "reconciler.sock"))

    assert complaint(serve().path, "/healthz") == ""


def test_a_socket_that_somebody_answers_on_is_an_error_and_stays(serve):
    first = serve()

    with pytest.raises(HostError, match=r"reconciler\.sock: another process answers there"):
        serve()

    assert complaint(first.path, "/healthz") == ""


def test_something_else_under_the_name_is_an_error_and_stays(serve, tmp_path):
    (tmp_path / "reconciler.sock").write_text("precious")

    with pytest.raises(HostError, match="something else under this name"):
        serve()

    assert (tmp_path / "reconciler.sock").read_text() == "precious"


def test_a_path_that_is_too_long_for_a_socket_is_an_error(tmp_path):
    served = Served(tmp_path / ("x" * 120))

    with pytest.raises(HostError, match=r"reconciler\.sock: AF_UNIX path too long"):
        served.server.start()


def test_the_directory_of_the_socket_is_made(tmp_path):
    served = Served(tmp_path / "a" / "b")
    try:
        served.server.start()
        assert complaint(served.path, "/healthz") == ""
    finally:
        served.server.stop()


def test_the_socket_is_gone_after_the_end(serve):
    served = serve()
    served.server.stop()
    served.server.stop()

    assert not served.path.exists()
    with pytest.raises(NoLoopError, match=r"no loop answers at .*: No such file or directory"):
        get(served.path, "/status")


def test_the_end_leaves_a_socket_that_is_another_ones_by_now(serve):
    served = serve()
    served.path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(served.path))
        served.server.stop()

    assert served.path.exists()


def test_stopping_what_was_never_started_is_harmless(tmp_path):
    Served(tmp_path).server.stop()


def test_tcp_only_when_asked(serve):
    assert serve().server.addresses == ()


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "localhost:0"])
def test_tcp_where_asked(serve, address):
    served = serve(listen=address)
    host, port = served.server.addresses[0][:2]

    place = f"[{host}]" if ":" in host else host
    with urlopen(f"http://{place}:{port}/healthz", timeout=5) as answer:
        assert answer.read() == b"ok\n"


def test_a_port_that_is_taken_is_an_error_and_nothing_is_left(serve, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(HostError, match=f"{address}: Address already in use"):
            serve(listen=address)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["9092", ":9092", "127.0.0.1", "127.0.0.1:x", "h:70000"])
def test_what_is_no_address_is_an_error_that_says_what_one_is(serve, address):
    with pytest.raises(HostError, match=r"is not HOST:PORT, such as 127\.0\.0\.1:9092"):
        serve(listen=address)


# --- the thread


def test_while_nobody_asks_the_thread_sleeps(serve):
    served = serve()
    complaint(served.path, "/healthz")
    wait_until(lambda: not served.server._server.server_state.connections)
    thread = served.server._thread

    def switches():
        text = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
        return int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])

    before = switches()
    threading.Event().wait(0.5)  # for nothing to happen there is no fact to wait for

    assert switches() - before <= 1


def test_asking_shows_a_broken_board_as_an_error_and_goes_on(serve, capfd):
    served = serve()
    served.board.publish(replace(status(), drift=(None,)))

    with pytest.raises(HostError, match=r"not understood \(HTTP 500\)"):
        get(served.path, "/status")
    assert complaint(served.path, "/healthz") == ""
