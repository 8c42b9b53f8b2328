"""Watcher: whatever changes is a kick, reading is none, and it survives the end of what it watches."""

import errno
import logging
import shutil
import threading
import time
from pathlib import Path

import pytest

from reconciler.agent import watch_places
from reconciler.agent import watcher as module
from reconciler.agent.file_systems import remote_type
from reconciler.agent.source import load
from reconciler.agent.watch_places import find_places
from reconciler.agent.watcher import Watcher
from tests.cli.calls import BRIDGE, container
from tests.world import wait_until


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


class Kicks:
    """Counts kicks."""

    def __init__(self):
        self.count = 0
        self._lock = threading.Lock()

    def __call__(self):
        with self._lock:
            self.count += 1

    def expect(self, change, deadline=5.0):
        """Make a change, and wait for a kick."""
        before = self.count
        change()
        wait_until(lambda: self.count > before, deadline)

    def quiet(self):
        """Wait until the kicks of a change have all come: a watcher's threads are idle."""
        count, since = self.count, time.monotonic()

        def idle():
            nonlocal count, since
            if self.count != count:
                count, since = self.count, time.monotonic()
            return time.monotonic() - since > 0.05

        wait_until(idle)


@pytest.fixture
def kicks():
    return Kicks()


@pytest.fixture
def watch(kicks):
    """Starts watchers, and stops them."""
    started = []

    def start(*paths, **options):
        watcher = Watcher(tuple(map(str, paths)), kicks, **options)
        started.append(watcher)
        watcher.start()
        return watcher

    yield start
    for watcher in started:
        watcher.stop()


@pytest.fixture
def root(manifests):
    manifests.write("web.yaml", BRIDGE)
    manifests.write("sub/web1.yaml", container("web1"))
    return manifests.folder


def test_a_local_directory_is_not_polled(root, watch):
    watcher = watch(root)

    assert (watcher.polling, watcher.why) == (False, "")
    assert not watcher.look_after()


def test_files_that_are_dropped_changed_renamed_over_and_removed_kick(
    root, watch, kicks, manifests
):
    watch(root)

    kicks.expect(lambda: (root / "web2.yaml").write_text(container("web2")))
    kicks.expect(lambda: (root / "web2.yaml").write_text(container("web3")))
    kicks.expect(lambda: manifests.write("web2.yaml", container("web4")))
    kicks.expect(lambda: (root / "sub/web1.yaml").write_text(container("web5")))
    kicks.expect((root / "web2.yaml").unlink)


def test_files_and_folders_that_move_out_and_in_kick(root, watch, kicks, tmp_path):
    watch(root)

    kicks.expect(lambda: (root / "web.yaml").rename(tmp_path / "web.yaml"))
    kicks.expect(lambda: (tmp_path / "web.yaml").rename(root / "web.yaml"))
    kicks.expect(lambda: (root / "sub").rename(tmp_path / "sub"))
    kicks.expect(lambda: (tmp_path / "sub").rename(root / "sub"))
    kicks.expect((root / "sub/web1.yaml").unlink)


def test_a_new_folder_is_watched(root, watch, kicks):
    watch(root)

    kicks.expect(lambda: (root / "new/deep").mkdir(parents=True))
    kicks.expect(lambda: (root / "new/deep/web2.yaml").write_text(container("web2")))
    kicks.quiet()
    kicks.expect(lambda: (root / "new/deep/web2.yaml").write_text(container("web3")))


def test_reading_does_not_kick(root, watch, kicks):
    """The marker is one event, and comes after all that reading could cause."""
    watch(root)

    for _ in range(20):
        load([str(root)])
    kicks.expect((root / "marker").mkdir)
    kicks.quiet()

    assert kicks.count == 1


def test_what_git_does_in_its_own_folder_does_not_kick(root, watch, kicks):
    (root / ".git").mkdir()
    watch(root)

    (root / ".git/index.lock").write_text("")
    (root / ".git/index.lock").rename(root / ".git/index")
    kicks.expect((root / "marker").mkdir)
    kicks.quiet()

    assert kicks.count == 1


def test_neighbours_of_the_directory_do_not_kick(root, watch, kicks):
    watch(root)

    (root.parent / "neighbour.yaml").write_text("")
    kicks.expect((root / "marker").mkdir)
    kicks.quiet()

    assert kicks.count == 1


def test_a_config_map_that_is_swapped_kicks(tmp_path, watch, kicks):
    folder = tmp_path / "config"
    for version in ("..1", "..2"):
        (folder / version).mkdir(parents=True)
        (folder / version / "web.yaml").write_text(BRIDGE)
    (folder / "..data").symlink_to("..1")
    (folder / "web.yaml").symlink_to("..data/web.yaml")
    watch(folder)

    kicks.expect(lambda: swap(folder / "..data", "..2"))


def swap(link, target):
    """Turn a link to another target, as Kubernetes and git-sync do it: by a rename."""
    fresh = link.with_name(link.name + "_tmp")
    fresh.symlink_to(target)
    fresh.rename(link)


def two_trees(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "manifests").mkdir(parents=True)
        (tmp_path / name / "manifests/web.yaml").write_text(BRIDGE)
    (tmp_path / "links").mkdir()
    return tmp_path / "links/current"


@pytest.mark.parametrize("below", [".", "manifests"])
def test_a_link_on_the_way_that_is_swapped_kicks_and_the_new_tree_is_watched(
    tmp_path, watch, kicks, below
):
    link = two_trees(tmp_path)
    link.symlink_to("../one")
    watcher = watch(link / below)

    kicks.expect(lambda: swap(link, "../two"))
    assert watcher.look_after()
    assert not watcher.look_after()

    kicks.expect(lambda: (tmp_path / "two/manifests/web.yaml").write_text(BRIDGE))


def test_a_file_given_by_its_path_is_watched_and_its_neighbours_are_not(
    root, watch, kicks, manifests
):
    watch(root / "web.yaml")

    (root / "other.yaml").write_text("")
    kicks.expect((root / "web.yaml").unlink)
    kicks.quiet()
    assert kicks.count == 1

    kicks.expect(lambda: (root / "web.yaml").write_text(BRIDGE))
    kicks.expect(lambda: (root / "web.yaml").write_text(BRIDGE))
    kicks.expect(lambda: manifests.write("web.yaml", BRIDGE))


@pytest.mark.parametrize("polled", [False, True], ids=["told", "polled"])
def test_a_root_that_is_deleted_and_made_again_is_watched_again(root, watch, kicks, polled):
    watcher = watch(root, force_polling=polled, interval=0.02)

    kicks.expect(lambda: shutil.rmtree(root))
    wait_until(watcher.look_after)
    assert not watcher.look_after()

    kicks.expect(root.mkdir)
    wait_until(watcher.look_after)
    kicks.expect(lambda: (root / "web.yaml").write_text(BRIDGE))
    assert not watcher.look_after()


def test_a_root_that_is_made_again_at_once_is_watched_again(root, watch, kicks):
    """Its inode's number may be that of the one before."""
    watcher = watch(root)

    shutil.rmtree(root)
    root.mkdir()
    wait_until(watcher.look_after)

    kicks.quiet()
    kicks.expect(lambda: (root / "web.yaml").write_text(BRIDGE))


def test_a_root_that_is_renamed_and_replaced_is_watched_again(root, watch, kicks):
    watcher = watch(root)

    kicks.expect(lambda: root.rename(root.with_name("old")))
    root.mkdir()
    assert watcher.look_after()

    kicks.expect(lambda: (root / "web.yaml").write_text(BRIDGE))


def test_a_root_that_is_not_there_yet_is_watched_as_it_comes(tmp_path, watch, kicks):
    root = tmp_path / "a/b/manifests"
    watcher = watch(root)
    assert not watcher.look_after()

    for folder in (tmp_path / "a", tmp_path / "a/b", root):
        kicks.expect(folder.mkdir)
        wait_until(watcher.look_after)
    kicks.expect(lambda: (root / "web.yaml").write_text(BRIDGE))


def test_a_mount_over_the_root_is_noticed_without_an_event(root, watch, monkeypatch):
    """No event tells of a mount; the device does."""
    watcher = watch(root)
    real = watch_places._identity
    monkeypatch.setattr(watch_places, "_identity", lambda f: (99, 1) if f == str(root) else real(f))

    assert watcher.look_after()


def test_an_emitter_that_has_died_is_replaced(root, watch, kicks):
    watcher = watch(root)
    before = threading.active_count(), open_files()
    next(iter(watcher._observer.emitters)).stop()

    assert watcher.look_after()
    wait_until(lambda: (threading.active_count(), open_files()) == before)
    kicks.expect(lambda: (root / "web.yaml").write_text(BRIDGE))


def test_lost_events_are_a_kick_and_everything_is_watched_anew(root, watch, kicks):
    watcher = watch(root)

    kicks.expect(
        lambda: logging.getLogger("watchdog.observers.inotify_c").warning(
            "Inotify queue overflowed; filesystem events were lost"
        )
    )

    assert watcher.look_after()
    assert not watcher.look_after()


def test_the_log_of_watchdog_says_overflow():
    """The only sign of one: if the words change, the watcher must too."""
    from watchdog.observers import inotify_c

    assert 'logger.warning("Inotify queue overflowed' in Path(inotify_c.__file__).read_text()


def test_a_thousand_files_kick_and_the_last_one_does_too(root, watch, kicks):
    watch(root)

    for number in range(1000):
        (root / f"{number}.yaml").write_text("")
    wait_until(lambda: kicks.count >= 1000, deadline=20)
    kicks.quiet()
    kicks.expect(lambda: (root / "last.yaml").write_text(""))


@pytest.mark.parametrize("limit", [errno.EMFILE, errno.ENOSPC])
def test_where_the_kernel_has_no_watches_left_it_is_polled(root, watch, kicks, monkeypatch, limit):
    def refuse(*_, **__):
        raise OSError(limit, "limit reached")

    monkeypatch.setattr(module, "InotifyObserver", refuse)
    watcher = watch(root, interval=0.02)

    assert watcher.polling
    assert watcher.why.startswith("limit reached (fs.inotify.max_user_")
    kicks.expect(lambda: (root / "web1.yaml").write_text(BRIDGE))
    assert not watcher.look_after()


def test_where_a_folder_cannot_be_watched_for_want_of_watches_it_is_polled(
    root, watch, monkeypatch
):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr("watchdog.observers.inotify_c.InotifyFD.add_callback", refuse)
    before = threading.active_count()
    watcher = watch(root, interval=0.02)

    assert watcher.why == "inotify watch limit reached (fs.inotify.max_user_watches)"
    watcher.stop()
    wait_until(lambda: threading.active_count() == before)


def test_a_network_file_system_is_polled(root, watch, monkeypatch):
    monkeypatch.setattr(module, "remote_type", lambda folder: "nfs4")
    watcher = watch(root)

    assert watcher.polling
    assert watcher.why == f"{root} is on nfs4, which does not tell of what others change"


def test_polling_sees_every_change_and_no_reading(root, watch, kicks, manifests):
    watch(root, force_polling=True, interval=0.02)

    for _ in range(5):
        load([str(root)])
    kicks.expect((root / "marker").mkdir)
    kicks.quiet()
    assert kicks.count == 1

    kicks.expect(lambda: (root / "web.yaml").write_text(BRIDGE + "# longer\n"))
    kicks.expect(lambda: manifests.write("web.yaml", BRIDGE))
    kicks.expect(lambda: manifests.write("new/web2.yaml", container("web2")))
    kicks.expect(lambda: shutil.rmtree(root / "new"))


def test_stopping_ends_every_thread_and_file_and_may_be_done_twice(root, watch):
    threads, files = threading.active_count(), open_files()
    watcher = watch(root)
    watcher.stop()
    watcher.stop()

    assert threading.active_count() == threads
    assert open_files() == files


def test_stopping_does_not_wait_for_a_thread_that_hangs(root, watch, monkeypatch):
    """As one that looks at a file server that is gone."""
    release = threading.Event()
    watcher = watch(root)
    stop = watcher._observer.stop
    monkeypatch.setattr(watcher._observer, "stop", lambda: (release.wait(20), stop()))
    monkeypatch.setattr(module, "PATIENCE", 0.05)

    began = time.monotonic()
    watcher.stop()
    took = time.monotonic() - began
    release.set()

    assert took < 5


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:20 / /srv rw - nfs4 server:/srv rw
24 23 0:21 / /srv/local\\040disk rw - xfs /dev/sdb rw
25 22 0:22 / /home rw - fuse.sshfs x rw
26 22 0:23 / /data rw - ext4 /dev/sdc rw
27 26 0:24 / /data rw - cifs //server/data rw
half a line
"""


@pytest.mark.parametrize(
    ("path", "type_"),
    [
        ("/", ""), ("/etc/manifests", ""), ("/srv", "nfs4"), ("/srv/x", "nfs4"), ("/srvx", ""),
        ("/srv/local disk/x", ""), ("/home/me", "fuse.sshfs"), ("/data/x", "cifs"),
    ],
)  # fmt: skip
def test_the_file_system_of_a_path_is_that_of_the_deepest_and_latest_mount(path, type_):
    assert remote_type(path, MOUNTS) == type_


def test_the_places_of_a_path_are_its_tree_and_the_folders_of_its_links(tmp_path):
    link = two_trees(tmp_path)
    link.symlink_to("../one")
    places = find_places([str(link / "manifests"), str(tmp_path / "one"), str(tmp_path / "x/y")])

    assert places.trees == (str(tmp_path / "one"),)
    assert places.names == {
        str(tmp_path / "links"): {"current"},
        str(tmp_path / "one"): {"manifests"},
        str(tmp_path): {"one", "x"},
        str(tmp_path.parent): {tmp_path.name},
    }


def test_a_link_to_itself_has_places_too(tmp_path):
    (tmp_path / "loop").symlink_to("loop")

    assert find_places([str(tmp_path / "loop/x")]).names[str(tmp_path)] == {"loop"}
