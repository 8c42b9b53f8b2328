"""The watch over names: whatever is done under /run/netns and /etc/netns is told, by its folder."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconciler.host import names_watch
from reconciler.host.names_watch import NamesWatch
from tests.world import NAMED, Host, wait_until

ETC = Path("/etc/netns")


@dataclass
class Listener:
    """A watch, and all that it has told since the last `forget`."""

    kicks: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.watch = NamesWatch(lambda: self.kicks.append(threading.current_thread().name))

    def listen(self) -> bool:
        names, folders = self.watch.take()
        self.names |= names
        self.folders |= folders
        return bool(names or folders)

    def forget(self) -> None:
        """Let what is on its way arrive: a mark that was made last comes last."""
        (ETC / "last").mkdir()
        self.hears(folder="/etc/netns/last")
        (ETC / "last").rmdir()
        wait_until(lambda: not self.listen())
        self.kicks.clear()
        self.names.clear()
        self.folders.clear()

    def hears(self, name: str | None = None, folder: str | None = None) -> None:
        """Wait until a namespace's name, or a folder, was told."""

        def told() -> bool:
            self.listen()
            return name in self.names or folder in self.folders

        wait_until(told)


@pytest.fixture
def listener(host: Host) -> Iterator[Listener]:
    found = Listener()
    found.watch.arm()
    yield found
    found.watch.close()


@pytest.fixture
def c1(host: Host) -> Path:
    """A folder of names that is there before anybody listens."""
    folder = ETC / "c1"
    folder.mkdir()
    (folder / "hosts").write_text("127.0.0.1 localhost\n")
    return folder


# --------------------------------------------------------------------------- namespaces


def test_a_namespace_that_is_made_is_told_by_its_name(host: Host, listener: Listener):
    host.add_netns("c9")

    listener.hears(name="c9")


def test_a_namespace_that_is_deleted_is_told_by_its_name(host: Host, listener: Listener):
    host.add_netns("c9")
    listener.hears(name="c9")
    listener.forget()

    host.delete_netns("c9")

    listener.hears(name="c9")


# --------------------------------------------------------------------------- files


def test_a_file_that_is_written_is_told_by_its_folder(c1: Path, listener: Listener):
    (c1 / "hosts").write_text("10.1.0.2 c1\n")

    listener.hears(folder=str(c1))
    assert listener.names == set()


def test_a_file_that_comes_or_goes_is_told_by_its_folder(c1: Path, listener: Listener):
    (c1 / "resolv.conf").touch()
    listener.hears(folder=str(c1))
    listener.forget()

    (c1 / "resolv.conf").unlink()

    listener.hears(folder=str(c1))


def test_a_file_that_is_replaced_in_the_way_of_editors_is_told(c1: Path, listener: Listener):
    (c1 / ".hosts.new").write_text("10.1.0.2 c1\n")
    (c1 / ".hosts.new").rename(c1 / "hosts")

    listener.hears(folder=str(c1))


def test_a_link_is_told_too(c1: Path, listener: Listener):
    (c1 / "resolv.conf").symlink_to("/etc/resolv.conf")

    listener.hears(folder=str(c1))


def test_a_folder_is_told_when_it_comes_moves_and_goes(host: Host, listener: Listener):
    ETC.mkdir(exist_ok=True)
    (ETC / "c5").mkdir()
    listener.hears(folder="/etc/netns/c5")

    (ETC / "c5").rename(ETC / "c6")
    listener.hears(folder="/etc/netns/c6")

    (ETC / "c6").rmdir()
    listener.hears(folder="/etc/netns/c6")


def test_a_file_in_a_folder_that_came_later_is_told(host: Host, listener: Listener):
    (ETC / "c5").mkdir()
    listener.hears(folder="/etc/netns/c5")
    listener.forget()

    (ETC / "c5" / "hosts").write_text("127.0.0.1 localhost\n")

    listener.hears(folder="/etc/netns/c5")


@pytest.mark.parametrize("mark", [".c1.reconciler", ".c1.reconciler.new"])
def test_a_mark_is_told_as_the_folder_that_it_is_of(listener: Listener, mark: str):
    listener.watch.note(f"/etc/netns/{mark}")

    assert "/etc/netns/c1" in listener.watch.take()[1]


def test_reading_is_no_news(c1: Path, listener: Listener):
    """Else a look would be heard, and lead to the next."""
    listener.forget()
    for path in c1.iterdir():
        path.read_text()
    os.scandir(c1).close()

    listener.forget()
    assert str(c1) not in listener.folders


# --------------------------------------------------------------------------- telling


def test_what_was_taken_is_not_told_again(listener: Listener):
    listener.watch.note("/run/netns/c1")
    listener.watch.note("/etc/netns/c2/hosts")

    assert listener.watch.take() == ({"c1"}, {"/etc/netns/c2"})
    assert listener.watch.take() == (frozenset(), frozenset())


def test_who_listens_is_kicked_by_another_thread(c1: Path, listener: Listener):
    (c1 / "hosts").write_text("10.1.0.2 c1\n")

    wait_until(lambda: listener.kicks)
    assert threading.current_thread().name not in listener.kicks


def test_what_lies_elsewhere_or_is_the_folder_itself_is_nobodys(listener: Listener):
    for path in ("/etc/netns", "/etc/hosts", "/run/netns", "/run/netns/c1/deeper"):
        listener.watch.note(path)

    assert listener.watch.take() == (frozenset(), frozenset())


def test_arming_again_is_for_what_was_not_there_before(host: Host):
    listener = Listener()
    NAMED.mkdir(parents=True, exist_ok=True)
    for _ in range(3):
        listener.watch.arm()
    try:
        host.add_netns("c9")
        listener.hears(name="c9")
        assert listener.watch.problem == ""
    finally:
        listener.watch.close()


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of /etc/netns, which can itself be deleted: a sandbox's is mounted."""
    monkeypatch.setattr(names_watch, "NETNS_NAMES", str(tmp_path / "netns"))
    return tmp_path / "netns"


@pytest.fixture
def armed(elsewhere: Path) -> Iterator[Listener]:
    found = Listener()
    found.watch.arm()
    yield found
    found.watch.close()


def test_a_folder_that_was_not_there_is_watched_once_it_is(elsewhere: Path, armed: Listener):
    elsewhere.mkdir()
    armed.watch.arm()

    (elsewhere / "c1").mkdir()

    armed.hears(folder=str(elsewhere / "c1"))


def test_a_folder_that_was_replaced_by_another_is_watched_again(elsewhere: Path, armed: Listener):
    elsewhere.mkdir()
    armed.watch.arm()
    (elsewhere / "c1").mkdir()
    armed.hears(folder=str(elsewhere / "c1"))

    elsewhere.rename(elsewhere.with_name("old"))
    elsewhere.mkdir()
    armed.watch.arm()
    (elsewhere / "c2").mkdir()

    armed.hears(folder=str(elsewhere / "c2"))


def test_a_folder_that_was_deleted_and_made_again_is_watched_again(
    elsewhere: Path, armed: Listener, monkeypatch: pytest.MonkeyPatch
):
    """Also where the new one has the number of the old one, as filesystems like to give it."""
    monkeypatch.setattr(names_watch, "_inode", lambda path: 1 if Path(path).exists() else None)
    elsewhere.mkdir()
    armed.watch.arm()
    (elsewhere / "c1").mkdir()
    armed.hears(folder=str(elsewhere / "c1"))

    (elsewhere / "c1").rmdir()
    elsewhere.rmdir()
    elsewhere.mkdir()
    wait_until(lambda: _makes_itself_heard(elsewhere, armed))


def _makes_itself_heard(folder: Path, listener: Listener) -> bool:
    """That the old folder is gone may be heard a moment later: the loop arms again and again."""
    listener.watch.arm()
    name = f"c{len(list(folder.iterdir()))}"
    (folder / name).mkdir()
    listener.listen()
    return any(one != str(folder / "c1") for one in listener.folders)


def test_a_watch_that_never_watched_can_be_closed():
    NamesWatch(lambda: None).close()
