"""The loop's end, of whatever kind, and its start are never felt by traffic."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from random import Random

from tests.kernel.daemon import is_ready, start
from tests.kernel.manifests import bridge, container
from tests.kernel.passes import assert_settled, converge
from tests.kernel.streams import Echoes
from tests.world import Host, wait_until

RESTARTS = 50


def test_fifty_stops_kills_and_starts_lose_no_packet(host: Host, tmp_path: Path):
    host.manifests.write("site.yaml", bridge() + container() + container(name="c2"))
    converge(host)
    choose = Random(50)
    written = 0
    with Echoes(host.netns("c1"), host.netns("c2"), "10.1.0.3") as echoes:
        for number in range(RESTARTS):
            daemon = start(host, tmp_path / "d")
            try:
                if number % 2:  # killed at any moment of its start
                    begin, life = time.monotonic(), choose.uniform(0.1, 0.8)
                    wait_until(lambda b=begin, n=life: time.monotonic() - b > n)
                    daemon.signal(signal.SIGKILL)
                    assert daemon.process.wait(5) == -signal.SIGKILL
                else:
                    daemon.wait(lambda d=daemon: is_ready(d), 20)
                    assert daemon.stop() == 0
            finally:
                if daemon.process.poll() is None:
                    daemon.process.kill()
                daemon.process.wait(5)
            written += sum(line["event"] == "changed" for line in daemon.log)
        counted = echoes.count
        wait_until(lambda: echoes.count > counted or echoes.lost)
        assert echoes.lost == []
        assert echoes.retransmissions() == 0
    assert written == 0
    assert_settled(host)
