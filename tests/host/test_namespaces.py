"""Namespaces: made, named, entered, left and taken away, as ip-netns(8) does it."""

import errno
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from reconciler.errors import HostError
from reconciler.formats.link import dump_links, parse_link
from reconciler.formats.link_request import LinkSettings, create_bridge, set_link
from reconciler.host import named_namespaces
from reconciler.host.named_namespaces import (
    Leftover,
    NamedNamespace,
    leftovers,
    list_namespaces,
    make_namespace,
    remove_namespace,
)
from reconciler.host.namespaces import (
    NETNS_DIR,
    cookie,
    inside,
    inside_new_namespace,
    open_namespace,
    open_socket_in,
)
from reconciler.host.netlink_socket import NetlinkSocket, open_socket

MARK = "reconciler default Container/web1"


def here():
    return Path("/proc/thread-self/ns/net").stat().st_ino


def make(name, prepare=lambda: None):
    make_namespace(name, prepare, mark=MARK)


def ip(*arguments):
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def identity(name):
    fd = open_namespace(name)
    try:
        return os.fstat(fd).st_ino
    finally:
        os.close(fd)


def test_ip_netns_sees_and_enters_what_we_made(host):
    make("web1")

    assert ip("netns", "list").split() == ["web1"]
    assert "lo:" in ip("netns", "exec", "web1", "ip", "link")
    entered = ip("netns", "exec", "web1", "readlink", "/proc/self/ns/net")
    assert entered.strip() == f"net:[{identity('web1')}]"


def test_ip_netns_deletes_what_we_made_and_we_what_it_made(host):
    make("ours")
    ip("netns", "add", "theirs")

    ip("netns", "delete", "ours")
    remove_namespace("theirs")

    assert list(NETNS_DIR.iterdir()) == []


def test_a_namespace_is_prepared_before_it_has_a_name(host):
    seen = []

    def prepare():
        seen.append((here(), list_namespaces()))
        with NetlinkSocket() as nl:
            nl.request([set_link("lo", LinkSettings(up=True, alias=MARK))])
        Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")

    make("web1", prepare)

    assert seen == [(identity("web1"), [])]
    assert MARK in ip("-n", "web1", "link", "show", "lo")
    assert ip("netns", "exec", "web1", "cat", "/proc/sys/net/ipv6/conf/all/disable_ipv6") == "1\n"


def test_we_are_home_again_after_making_one(host):
    home = here()

    make("web1")

    assert here() == home


def test_a_preparation_that_fails_leaves_nothing(host):
    home = here()

    def prepare():
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        make("web1", prepare)

    assert here() == home
    assert list_namespaces() == []


def test_a_mount_that_fails_leaves_nothing(host, monkeypatch):
    def refuse(source, target, flags):
        if source.endswith("ns/net"):
            raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(named_namespaces, "mount", refuse)

    with pytest.raises(HostError, match="cannot make network namespace web1: Cannot allocate"):
        make("web1")

    assert list(NETNS_DIR.iterdir()) == []


def test_a_name_that_is_taken_is_refused(host):
    make("web1")
    before = identity("web1")

    with pytest.raises(HostError, match="/run/netns/web1 exists already"):
        make("web1")

    assert identity("web1") == before


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd"])
def test_a_name_that_leads_elsewhere_is_refused(name):
    with pytest.raises(HostError, match="cannot be the name of a network namespace"):
        make(name)
    with pytest.raises(HostError, match="cannot be the name of a network namespace"):
        remove_namespace(name)


def test_a_leftover_says_whose_it_is(host, monkeypatch):
    """Killed between the file and the mount."""

    class KilledError(BaseException):
        pass

    def die(source, target, flags):
        if source.endswith("ns/net"):
            raise KilledError

    monkeypatch.setattr(named_namespaces, "mount", die)
    with pytest.raises(KilledError):
        make("web1")

    assert list_namespaces() == [NamedNamespace("web1", mounted=False)]
    assert leftovers() == [Leftover("web1", MARK)]
    with pytest.raises(HostError, match="/run/netns/web1 is not a network namespace"):
        open_namespace("web1")
    remove_namespace("web1")
    assert list_namespaces() == []


def test_the_mark_is_there_as_soon_as_the_name_is(host, monkeypatch):
    """It is written to a file without a name, so a kill cannot leave an empty one."""
    seen = []
    write = os.write

    def look(fd, data):
        seen.append(list(NETNS_DIR.iterdir()))
        return write(fd, data)

    monkeypatch.setattr(os, "write", look)
    make("web1")

    assert seen == [[]]


def test_a_file_system_without_nameless_files_will_do(host, monkeypatch):
    open_file = os.open

    def refuse(path, flags, mode=0o777, **options):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return open_file(path, flags, mode, **options)

    monkeypatch.setattr(os, "open", refuse)
    make("web1")
    with pytest.raises(HostError, match="exists already"):
        make("web1")

    assert list_namespaces() == [NamedNamespace("web1", mounted=True)]


def test_files_of_others_are_listed_as_what_they_are(host):
    make("web1")
    (NETNS_DIR / "note").write_text("hello\n")
    (NETNS_DIR / "folder").mkdir()

    assert [(n.name, n.mounted) for n in list_namespaces()] == [
        ("folder", False),
        ("note", False),
        ("web1", True),
    ]
    assert leftovers() == [Leftover("folder", ""), Leftover("note", "hello")]


def test_without_the_folder_there_are_no_names(monkeypatch, tmp_path):
    monkeypatch.setattr(named_namespaces, "NETNS_DIR", tmp_path / "none")

    assert list_namespaces() == []
    assert leftovers() == []


def test_removing_what_is_gone_is_no_error(host):
    remove_namespace("web1")


def test_a_name_mounted_twice_is_removed_whole(host):
    make("web1")
    make("web2")
    subprocess.run(["mount", "--bind", "/run/netns/web2", "/run/netns/web1"], check=True)

    remove_namespace("web1")

    assert [n.name for n in list_namespaces()] == ["web2"]


def test_the_folder_is_a_shared_mount_as_ip_netns_makes_it(host):
    """So that namespaces made here are seen, and can be deleted, in other mount namespaces."""
    make("web1")

    (mount,) = [
        line.split()
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if line.split()[4] == "/run/netns"
    ]
    assert mount[6].startswith("shared:")
    assert NETNS_DIR.stat().st_mode & 0o777 == 0o755


def test_other_mount_namespaces_see_new_names(host):
    make("first")
    script = "echo ready; read _; stat -f -c %T /run/netns/second"
    other = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "slave", "sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout.readline() == "ready\n"

    make("second")

    assert other.communicate("\n")[0] == "nsfs\n"


def test_two_hundred_come_and_go_and_nothing_stays(host):
    before = descriptors()
    mounts = Path("/proc/self/mountinfo").read_text().count("nsfs")

    for number in range(200):
        make(f"n{number}")
    assert len([n for n in list_namespaces() if n.mounted]) == 200
    for number in range(200):
        remove_namespace(f"n{number}")

    assert list(NETNS_DIR.iterdir()) == []
    assert descriptors() == before
    assert Path("/proc/self/mountinfo").read_text().count("nsfs") == mounts


def test_inside_is_inside_and_outside_again_is_home(host):
    make("web1")
    home, fd = here(), open_namespace("web1")

    with inside(fd):
        assert here() == os.fstat(fd).st_ino != home
    assert here() == home
    with pytest.raises(KeyError), inside(fd):
        raise KeyError
    assert here() == home
    os.close(fd)


def test_one_can_go_from_inside_one_into_another(host):
    make("web1")
    make("web2")
    first, second = open_namespace("web1"), open_namespace("web2")

    with inside(first):
        with inside(second):
            assert here() == identity("web2")
        assert here() == identity("web1")

    os.close(first)
    os.close(second)


def test_other_threads_stay_where_they_are(host):
    make("web1")
    home, fd = here(), open_namespace("web1")
    seen = []

    thread = threading.Thread(target=lambda: (go.wait(), seen.append(here())))
    go = threading.Event()
    thread.start()
    with inside(fd):
        go.set()
        thread.join()

    assert seen == [home]
    os.close(fd)


def test_what_is_no_namespace_cannot_be_entered(host, tmp_path):
    home = here()
    fd = os.open(tmp_path, os.O_RDONLY)

    with pytest.raises(HostError, match="cannot enter the network namespace"), inside(fd):
        pass

    assert here() == home
    os.close(fd)


def test_the_program_dies_rather_than_go_on_in_the_wrong_namespace():
    script = """
        from reconciler.host import namespaces
        calls = []

        def setns(fd):
            calls.append(fd)
            if len(calls) == 2:
                raise OSError(1, "Operation not permitted")

        namespaces.setns = setns
        try:
            with namespaces.inside(0):
                print("inside", flush=True)
        finally:
            print("wrong", flush=True)
    """

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )

    assert done.stdout == "inside\n"
    assert done.returncode == 70
    assert "cannot return to its own network namespace" in done.stderr


def test_a_namespace_nobody_named_dies_on_the_way_back(host):
    """A veth end inside takes its peer with it."""
    with inside_new_namespace():
        inner = here()
        with NetlinkSocket() as nl:
            nl.request([create_bridge(LinkSettings(name="a"))])
            assert {link.name for link in nl.dump(dump_links(), parse_link)} == {"lo", "a"}

    assert here() != inner
    with NetlinkSocket() as nl:
        assert {link.name for link in nl.dump(dump_links(), parse_link)} == {"lo"}


def test_a_reference_is_the_host_a_name_or_a_path(host):
    make("web1")
    process = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo; read _"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()

    assert identity("") == here()
    assert identity("web1") == (NETNS_DIR / "web1").stat().st_ino
    assert identity(f"/proc/{process.pid}/ns/net") not in {here(), identity("web1")}
    process.communicate(b"\n")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nope", "network namespace /run/netns/nope: No such file or directory"),
        ("/etc/hostname", "/etc/hostname is not a network namespace"),
        ("/proc/self/ns/mnt", "/proc/self/ns/mnt is not a network namespace"),
        ("/dev/null", "/dev/null is not a network namespace"),
    ],
)
def test_what_is_no_namespace_is_not_opened(host, reference, message):
    before = descriptors()

    with pytest.raises(HostError, match=f"^{message}$"):
        open_namespace(reference)

    assert descriptors() == before


def test_a_cookie_is_never_given_twice(host):
    """An inode number is."""
    cookies = set()
    for _ in range(20):
        make("web1")
        fd = open_namespace("web1")
        with open_socket_in(fd) as sock:
            cookies.add(cookie(sock))
        os.close(fd)
        remove_namespace("web1")

    with open_socket() as sock:
        assert len(cookies | {cookie(sock)}) == 21
