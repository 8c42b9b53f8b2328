"""What a running loop says over HTTP to those who may ask: events, metrics, health."""

from __future__ import annotations

import grp
import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from reconciler.agent.client import SOCKET
from tests.kernel import facts
from tests.kernel.daemon import Daemon, Record, running, start
from tests.kernel.manifests import bridge, container
from tests.world import Host, wait_until

GATEWAY = "10.1.0.1/24"
ADDRESS = f"address/br0/{GATEWAY}"


class UnixClient(HTTPConnection):
    """Plain HTTP over a unix socket, by the standard library alone."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(str(self._path))


def ask(client: HTTPConnection, target: str, method: str = "GET") -> tuple[int, str, str]:
    """Status code, content type and body of an answer."""
    try:
        client.request(method, target)
        answer = client.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        client.close()


def ask_loop(daemon: Daemon, target: str, method: str = "GET") -> tuple[int, str, str]:
    return ask(UnixClient(daemon.run_dir / SOCKET), target, method)


@contextmanager
def listening(daemon: Daemon) -> Iterator[list[Record]]:
    """What comes under /events while the block lasts; the status, which comes first, is there."""
    client = UnixClient(daemon.run_dir / SOCKET)
    client.request("GET", "/events", headers={"Accept": "text/event-stream"})
    answer = client.getresponse()
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    heard: list[Record] = []

    def read() -> None:
        kind = ""
        for line in answer:
            word, _, rest = line.decode().rstrip("\n").partition(": ")
            if word == "event":
                kind = rest
            elif word == "data":
                heard.append({"event": kind, **json.loads(rest)})

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        wait_until(lambda: heard)
        yield heard
    finally:
        # It ends with the loop's end, or with the connection's.
        if client.sock:
            client.sock.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        answer.close()
        client.close()


def break_and_heal(daemon: Daemon) -> None:
    assert facts.addresses("br0") == {GATEWAY}
    daemon.host.ip(f"addr del {GATEWAY} dev br0")
    daemon.wait(lambda: facts.addresses("br0") == {GATEWAY})
    daemon.wait_in_sync()


def declare(host: Host) -> None:
    host.manifests.write("br0.yaml", bridge())


def test_whoever_listens_hears_of_drift_of_what_is_done_and_of_its_end(host: Host, tmp_path: Path):
    declare(host)
    with running(host, tmp_path / "daemon") as daemon, listening(daemon) as heard:
        assert heard[0]["event"] == "status"
        assert (heard[0]["inSync"], heard[0]["ready"], heard[0]["drift"]) == (True, True, 0)

        break_and_heal(daemon)
        daemon.wait(lambda: any(one["event"] == "pass" for one in heard))

        about = [one for one in heard[1:] if one.get("object", ADDRESS) == ADDRESS]
        assert [one["event"] for one in about] == ["drift", "change", "drift", "pass"]
        seen, change, healed, ended = about
        assert (seen["fate"], seen["foundBy"], seen["mode"]) == ("open", "event", "heal")
        assert seen["by"]["program"] in {"ip", ""}
        assert (seen["owner"], change["owner"]) == ("Bridge/br0", "Bridge/br0")
        assert (change["action"], change["cause"]) == ("create", "drift")
        assert healed["fate"] == "healed"
        assert healed["seen"] == seen["seen"] <= healed["settled"]
        assert 0 < healed["seconds"] < 10
        assert (ended["cause"], ended["failures"]) == ("drift", 0)
        assert all(one["type"] == one["event"] for one in about)

        heard.clear()
        host.manifests.write("c1.yaml", container("network: none"))
        daemon.wait(lambda: any(one["event"] == "pass" for one in heard))
        kinds = [one["event"] for one in heard]
        assert kinds[0] == "manifests"
        assert kinds[-1] == "pass"
        assert set(kinds[1:-1]) == {"change"}
        assert {one["owner"] for one in heard[1:-1]} == {"Container/c1"}
        assert heard[-1]["cause"] == "manifests"

        heard.clear()
        host.manifests.write("c1.yaml", "kind: [\n")
        (problem,) = daemon.wait(lambda: [one for one in heard if one["event"] == "manifests"])
        assert problem["problems"][0]["path"].endswith("c1.yaml")
        # A stream that is open does not hold up the end.
        assert daemon.stop(5) == 0


def test_metrics_count_what_has_happened(host: Host, tmp_path: Path):
    declare(host)
    with running(host, tmp_path / "daemon") as daemon:
        code, content_type, text = ask_loop(daemon, "/metrics")
        assert code == 200
        assert content_type.startswith("text/plain; version=0.0.4")
        assert "# TYPE reconciler_drift_total counter" in text
        before = daemon.metrics()
        assert before["reconciler_in_sync"] == before["reconciler_ready"] == 1
        assert before['reconciler_owned_objects{type="address"}'] == 1
        assert before['reconciler_resources{state="Ready"}'] == 1

        break_and_heal(daemon)
        host.manifests.write("c1.yaml", container("network: none"))
        daemon.wait(lambda: daemon.metrics()['reconciler_resources{state="Ready"}'] == 2)

        after = daemon.metrics()

        def grown(name: str) -> float:
            return after.get(name, 0) - before.get(name, 0)

        assert grown('reconciler_drift_total{found_by="event",type="address"}') == 1
        assert grown("reconciler_heal_seconds_count") == 1
        assert 0 < grown("reconciler_heal_seconds_sum") < 10
        assert grown('reconciler_passes_total{cause="manifests"}') == 1
        assert grown('reconciler_operations_total{outcome="done",type="netns",verb="add"}') == 1
        assert grown("reconciler_missed_events_total") == 0

        host.manifests.write("c1.yaml", "kind: [\n")
        daemon.wait(lambda: daemon.metrics()["reconciler_manifest_problems"] == 1)
        assert daemon.metrics()["reconciler_in_sync"] == 0


def test_it_is_healthy_and_ready_once_good_manifests_are_in_force(host: Host, tmp_path: Path):
    host.manifests.write("br0.yaml", "kind: [\n")
    daemon = start(host, tmp_path / "daemon")
    try:
        daemon.wait((daemon.run_dir / SOCKET).exists)
        daemon.wait(lambda: [one for one in daemon.log if one["event"] == "pass"])
        assert ask_loop(daemon, "/healthz")[::2] == (200, "ok\n")
        code, _, why = ask_loop(daemon, "/readyz")
        assert code == 503
        assert "1 problem in the manifests" in why

        declare(host)
        daemon.wait(lambda: ask_loop(daemon, "/readyz")[0] == 200)
        # Once ready it stays so: what is wrong later does not take it out of service.
        host.manifests.write("br0.yaml", "kind: [\n")
        daemon.wait(lambda: daemon.status()["manifests"]["problems"])
        assert ask_loop(daemon, "/readyz")[::2] == (200, "ok\n")
    finally:
        daemon.process.kill()
        daemon.process.wait(10)


def test_nobody_can_change_anything_over_http(host: Host, tmp_path: Path):
    declare(host)
    with running(host, tmp_path / "daemon") as daemon:
        for method in ("POST", "PUT", "DELETE"):
            assert ask_loop(daemon, "/status", method)[0] == 405
        assert ask_loop(daemon, "/nothing")[0] == 404
        assert daemon.wait_in_sync()


def test_the_socket_is_for_root_and_for_the_group_that_is_named(host: Host, tmp_path: Path):
    declare(host)
    group = next(one for one in grp.getgrall() if one.gr_gid not in {0, os.getgid()})
    for options, gid in (((), os.getgid()), (("--socket-group", group.gr_name), group.gr_gid)):
        with running(host, tmp_path / f"daemon{len(options)}", *options) as daemon:
            found = (daemon.run_dir / SOCKET).stat()
            assert stat.S_ISSOCK(found.st_mode)
            assert stat.S_IMODE(found.st_mode) == 0o660
            assert (found.st_uid, found.st_gid) == (os.getuid(), gid)


def test_a_group_that_does_not_exist_is_an_error_at_the_start(host: Host, tmp_path: Path):
    declare(host)
    dirs = ("--run-dir", tmp_path / "run", "--state-dir", tmp_path / "state")
    done = host.reconciler(
        "run", host.manifests, *dirs, "--socket-group", "nobody-has-this", deadline=20
    )
    assert done.code == 1
    assert "nobody-has-this" in done.stderr
    assert facts.bridges() == set()


def tcp_listeners(host: Host) -> set[str]:
    return {line.split()[3] for line in host.run("ss", "-Hltn").stdout.splitlines()}


def test_it_listens_on_tcp_only_where_that_is_asked_for(host: Host, tmp_path: Path):
    declare(host)
    host.ip("link set lo up")
    with running(host, tmp_path / "silent") as daemon:
        assert ask_loop(daemon, "/healthz")[0] == 200
        assert tcp_listeners(host) == set()
    with running(host, tmp_path / "daemon", "--listen", "127.0.0.1:9092") as daemon:
        assert tcp_listeners(host) == {"127.0.0.1:9092"}
        assert ask(HTTPConnection("127.0.0.1", 9092, timeout=5), "/healthz")[::2] == (200, "ok\n")
        assert "reconciler_in_sync 1.0" in ask(HTTPConnection("127.0.0.1", 9092), "/metrics")[2]
        assert ask_loop(daemon, "/healthz")[0] == 200
        assert daemon.stop() == 0
    assert tcp_listeners(host) == set()


def test_a_tcp_port_that_is_taken_is_an_error_at_the_start(host: Host, tmp_path: Path):
    declare(host)
    host.ip("link set lo up")
    dirs = ("--run-dir", tmp_path / "run", "--state-dir", tmp_path / "state")
    with socket.create_server(("127.0.0.1", 9092)):
        done = host.reconciler(
            "run", host.manifests, *dirs, "--listen", "127.0.0.1:9092", deadline=20
        )
    assert done.code == 1
    assert "127.0.0.1:9092" in done.stderr
    assert facts.bridges() == set()
    assert not (tmp_path / "run" / SOCKET).exists()
