"""Names: hostname, hosts and resolv.conf where `ip netns exec` looks for them, on a real host."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.core.guard import Limit
from reconciler.objects.file import file_key
from tests.kernel import facts
from tests.kernel.manifests import DUAL, SUBNET, bridge, container, link
from tests.kernel.passes import apply, assert_settled, converge, describe
from tests.kernel.test_foreign import snapshot
from tests.witness import assert_same
from tests.world import Host, wait_until

NAMES = Path("/etc/netns")
FALLBACK = ["8.8.8.8", "8.8.4.4"]
FALLBACK6 = ["2001:4860:4860::8888", "2001:4860:4860::8844"]
LOCAL6 = {
    "::1": ["localhost", "ip6-localhost", "ip6-loopback"],
    "fe00::": ["ip6-localnet"],
    "ff00::": ["ip6-mcastprefix"],
    "ff02::1": ["ip6-allnodes"],
    "ff02::2": ["ip6-allrouters"],
}


def set_resolver(text: str, path: str = "/etc/resolv.conf") -> None:
    """Write the host's own file as most programs do: a new one in the place of the old one."""
    fresh = Path(f"{path}.fresh")
    fresh.parent.mkdir(parents=True, exist_ok=True)
    fresh.write_text(text)
    try:
        fresh.rename(path)
    except OSError:  # a container engine has mounted its own there: EBUSY
        subprocess.run(["mount", "--bind", str(fresh), path], check=True)


def resolver(name: str = "c1") -> dict[str, list[str]]:
    """What a container's resolv.conf says: servers, search list, options."""
    found: dict[str, list[str]] = {"nameserver": [], "search": [], "options": []}
    for line in (NAMES / name / "resolv.conf").read_text().splitlines():
        word, *values = line.split()
        if word != "#":
            found[word] += values if not line.startswith("#") else []
    return found


def said(servers: list[str], search: str = "", options: str = "") -> dict[str, list[str]]:
    return {"nameserver": servers, "search": search.split(), "options": options.split()}


def hosts(name: str = "c1") -> dict[str, list[str]]:
    """What a container's hosts file says, without localhost."""
    lines = (NAMES / name / "hosts").read_text().splitlines()
    found: dict[str, list[str]] = {}
    for line in lines:
        if not line.startswith("#"):
            address, *names = line.split()
            found.setdefault(address, []).extend(names)
    assert found.pop("127.0.0.1") == ["localhost"]
    return found


def inode(name: str, file: str) -> int:
    return (NAMES / name / file).stat().st_ino


def tree() -> dict[str, str]:
    """All that is under /etc/netns: folders, links and what the files say."""
    found = {}
    for path in sorted(NAMES.rglob("*")):
        kind = f"link to {path.readlink()}" if path.is_symlink() else path.is_dir() and "folder"
        found[str(path.relative_to(NAMES))] = kind or path.read_text()
    return found


# --------------------------------------------------------------------------- resolv.conf

HOSTS_OWN = "nameserver 192.0.2.53\nnameserver 127.0.0.1\nsearch host.example\noptions ndots:2\n"
OF_BRIDGE = "dns: [9.9.9.9], dnsSearch: [bridge.example], dnsOptions: ['ndots:3']"
OF_CONTAINER = "dns: [1.1.1.1, 1.0.0.1], dnsSearch: [c.example, d.example], dnsOptions: [rotate]"
BOTH = "nameserver 2001:db8::53\nnameserver 192.0.2.53\nnameserver ::1\n"

RESOLVERS = {
    "the host's, without its loopback": (
        HOSTS_OWN, SUBNET, "", said(["192.0.2.53"], "host.example", "ndots:2"),
    ),
    "the bridge's": (
        HOSTS_OWN, f"{SUBNET}, {OF_BRIDGE}", "", said(["9.9.9.9"], "bridge.example", "ndots:3"),
    ),
    "the container's": (
        HOSTS_OWN, f"{SUBNET}, {OF_BRIDGE}", OF_CONTAINER,
        said(["1.1.1.1", "1.0.0.1"], "c.example d.example", "rotate"),
    ),
    "each part by itself": (
        HOSTS_OWN, f"{SUBNET}, dnsSearch: [bridge.example]", "dns: [1.1.1.1]",
        said(["1.1.1.1"], "bridge.example", "ndots:2"),
    ),
    "a dot clears the search list": (
        HOSTS_OWN, f"{SUBNET}, dnsSearch: [bridge.example]", "dnsSearch: ['.']",
        said(["192.0.2.53"], "", "ndots:2"),
    ),
    "a dot on the bridge clears the host's": (
        HOSTS_OWN, f"{SUBNET}, dnsSearch: ['.']", "", said(["192.0.2.53"], "", "ndots:2"),
    ),
    "the fallback, where the host has loopback servers only": (
        "nameserver 127.0.0.1\nnameserver ::1\n", SUBNET, "", said(FALLBACK),
    ),
    "the fallback in both families": (
        "nameserver 127.0.0.1\n", DUAL, "", said(FALLBACK + FALLBACK6),
    ),
    "no server that only IPv6 reaches": (BOTH, SUBNET, "", said(["192.0.2.53"])),
    "IPv6 servers where there is IPv6": (BOTH, DUAL, "", said(["2001:db8::53", "192.0.2.53"])),
    "the fallback, where all of the host's need IPv6": (
        "nameserver 2001:db8::53\n", SUBNET, "", said(FALLBACK),
    ),
    "what is written stays, be it IPv6 or loopback": (
        HOSTS_OWN, SUBNET, "dns: ['2001:db8::1', 127.0.0.1]",
        said(["2001:db8::1", "127.0.0.1"], "host.example", "ndots:2"),
    ),
    "the last search line, and domain is one": (
        "search a.example\nnameserver 192.0.2.1\ndomain b.example\noptions a\noptions b\n",
        SUBNET, "", said(["192.0.2.1"], "b.example", "a b"),
    ),
    "a host without servers": ("", SUBNET, "", said(FALLBACK)),
}  # fmt: skip
"""The host's file, the bridge, what the container says beside its bridge, and what it gets."""


@pytest.mark.parametrize("case", RESOLVERS.values(), ids=RESOLVERS)
def test_servers_search_and_options_come_from_where_they_are_said_first(host: Host, case):
    own, of_bridge, of_container, expected = case
    set_resolver(own)
    spec = ", ".join(filter(None, ("bridge: br0", of_container)))
    host.manifests.write("all.yaml", bridge(of_bridge) + container(spec))

    converge(host)

    assert resolver() == expected


def test_of_several_bridges_the_first_that_says_something_counts(host: Host):
    set_resolver(HOSTS_OWN)
    host.manifests.write(
        "all.yaml",
        bridge()
        + bridge("addresses: [10.2.0.1/24], dns: [9.9.9.9]", "br1")
        + bridge("addresses: [10.3.0.1/24], dns: [8.8.8.8], dnsSearch: [x.example]", "br2")
        + container("interfaces: [{bridge: br0}, {bridge: br1}, {bridge: br2}]"),
    )
    converge(host)

    assert resolver() == said(["9.9.9.9"], "x.example", "ndots:2")


def test_without_a_bridge_there_are_the_hosts_servers(host: Host):
    set_resolver(HOSTS_OWN)
    host.manifests.write("all.yaml", container("network: none"))
    converge(host)

    assert resolver() == said(["192.0.2.53"], "host.example", "ndots:2")
    assert hosts() == {}


def test_behind_a_local_stub_are_the_servers_that_it_asks(host: Host):
    set_resolver("nameserver 127.0.0.53\noptions edns0\nsearch stub.example\n")
    behind = "/run/systemd/resolve/resolv.conf"
    set_resolver("nameserver 192.0.2.7\nsearch lan.example\n", behind)
    host.manifests.write("all.yaml", bridge() + container())
    converge(host)
    assert resolver() == said(["192.0.2.7"], "lan.example")

    set_resolver("nameserver 192.0.2.8\n", behind)
    converge(host)
    assert resolver() == said(["192.0.2.8"])

    set_resolver("nameserver 192.0.2.9\n")  # the host asks for itself now
    converge(host)
    assert resolver() == said(["192.0.2.9"])


def test_it_follows_the_hosts_file_and_the_manifests_in_place(host: Host):
    set_resolver(HOSTS_OWN)
    host.manifests.write("all.yaml", bridge() + container())
    converge(host)
    before = inode("c1", "resolv.conf")

    set_resolver("nameserver 192.0.2.99\n")
    converge(host)
    assert resolver() == said(["192.0.2.99"])

    host.manifests.write("all.yaml", bridge(f"{SUBNET}, {OF_BRIDGE}") + container())
    converge(host)
    assert resolver() == said(["9.9.9.9"], "bridge.example", "ndots:3")

    Path("/etc/resolv.conf").unlink(missing_ok=True)
    host.manifests.write("all.yaml", bridge() + container())
    converge(host)
    assert resolver() == said(FALLBACK)
    assert inode("c1", "resolv.conf") == before


# --------------------------------------------------------------------------- hosts


def test_hosts_has_its_own_names_and_the_others_of_its_bridge(host: Host):
    host.manifests.write(
        "all.yaml",
        bridge(DUAL)
        + container()
        + container("bridge: br0, hostname: db, domainname: prod.example", "c2")
        + container("bridge: br0, addresses: [10.1.0.9]", "c3")
        + container("network: none", "c4"),
    )
    converge(host)

    everybody = {
        "10.1.0.2": ["c1"], "fd00:1::2": ["c1"],
        "10.1.0.3": ["db.prod.example", "db", "c2"], "fd00:1::3": ["db.prod.example", "db", "c2"],
        "10.1.0.9": ["c3"],
    }  # fmt: skip
    assert hosts("c1") == hosts("c2") == hosts("c3") == LOCAL6 | everybody
    assert hosts("c4") == {}
    assert (NAMES / "c1/hostname").read_text() == "c1\n"
    assert (NAMES / "c2/hostname").read_text() == "db\n"


def test_extra_hosts_and_links_come_beside_the_neighbours(host: Host):
    host.manifests.write(
        "all.yaml",
        bridge(DUAL)
        + container(
            "bridge: br0, links: ['c2:db', c3],"
            " extraHosts: {gw: host-gateway, mail: 192.0.2.25, six: '2001:db8::6'}"
        )
        + container("bridge: br0, hostname: postgres", "c2")
        + container(name="c3"),
    )
    converge(host)

    assert hosts("c1") == LOCAL6 | {
        "10.1.0.2": ["c1"], "fd00:1::2": ["c1"],
        "10.1.0.1": ["gw"], "fd00:1::1": ["gw"],
        "192.0.2.25": ["mail"], "2001:db8::6": ["six"],
        "10.1.0.3": ["db", "postgres", "c2"], "fd00:1::3": ["db", "postgres", "c2"],
        "10.1.0.4": ["c3"], "fd00:1::4": ["c3"],
    }  # fmt: skip
    assert "db" not in str(hosts("c3"))
    assert "mail" not in str(hosts("c3"))


def test_where_containers_may_not_talk_only_linked_ones_are_named(host: Host):
    host.manifests.write(
        "all.yaml",
        bridge(f"{SUBNET}, icc: false")
        + container("bridge: br0, links: ['c2:db']")
        + container("bridge: br0, expose: [5432]", "c2")
        + container(name="c3"),
    )
    converge(host)

    assert hosts("c1") == {"10.1.0.2": ["c1"], "10.1.0.3": ["db", "c2"]}
    assert hosts("c2") == {"10.1.0.3": ["c2"]}
    assert hosts("c3") == {"10.1.0.4": ["c3"]}


def test_a_container_on_two_bridges_knows_both_and_they_only_themselves(host: Host):
    host.manifests.write(
        "all.yaml",
        bridge()
        + bridge("addresses: [10.2.0.1/24]", "br1")
        + container("interfaces: [{bridge: br0}, {bridge: br1}]")
        + container(name="c2")
        + container("bridge: br1", "c3"),
    )
    converge(host)

    assert hosts("c1") == {
        "10.1.0.2": ["c1"], "10.2.0.2": ["c1"], "10.1.0.3": ["c2"], "10.2.0.3": ["c3"],
    }  # fmt: skip
    assert hosts("c2") == {"10.1.0.2": ["c1"], "10.1.0.3": ["c2"]}
    assert hosts("c3") == {"10.2.0.2": ["c1"], "10.2.0.3": ["c3"]}


def test_a_container_with_links_only_is_known_by_their_addresses(host: Host):
    host.manifests.write(
        "all.yaml",
        container("network: none, hostname: left")
        + container("network: none", "c2")
        + link(
            "container: c1, interface: x0, addresses: [10.8.0.1/32, 'fd00:8::1/128']",
            "container: c2, interface: y0, addresses: [10.8.0.2/32, 'fd00:8::2/128']",
        ),
    )
    converge(host)

    assert hosts("c1") == LOCAL6 | {"10.8.0.1": ["left", "c1"], "fd00:8::1": ["left", "c1"]}


def test_who_says_nothing_special_shares_one_file(host: Host):
    host.manifests.write(
        "all.yaml",
        bridge() + container() + container(name="c2") + container("bridge: br0, links: [c1]", "c3"),
    )
    converge(host)
    shared = {(NAMES / name / "hosts").readlink() for name in ("c1", "c2")}
    assert shared == {Path("../.default-bridge-br0/hosts")}
    assert not (NAMES / "c3/hosts").is_symlink()
    assert {"10.1.0.2", "10.1.0.3", "10.1.0.4"} == hosts("c1").keys() == hosts("c3").keys()

    # From shared to one's own, and back.
    host.manifests.write(
        "all.yaml",
        bridge()
        + container("bridge: br0, extraHosts: {mail: 192.0.2.25}")
        + container(name="c2")
        + container(name="c3"),
    )
    converge(host)
    assert not (NAMES / "c1/hosts").is_symlink()
    assert (NAMES / "c3/hosts").is_symlink()
    assert "192.0.2.25" in hosts("c1")
    assert hosts("c2") == hosts("c3") == {
        "10.1.0.2": ["c1"], "10.1.0.3": ["c2"], "10.1.0.4": ["c3"],
    }  # fmt: skip

    host.manifests.write("all.yaml", bridge(f"{SUBNET}, icc: false") + container())
    converge(host)
    assert {path.name for path in NAMES.iterdir()} == {".c1.reconciler", "c1"}  # nobody shares


def test_hosts_follow_an_address_that_changes(host: Host):
    text = bridge() + container("bridge: br0, links: ['c2:db']") + container(name="c3")
    host.manifests.write("all.yaml", text)
    host.manifests.write("c2.yaml", container("bridge: br0, addresses: [10.1.0.7]", "c2"))
    converge(host)
    before = inode("c1", "hosts"), inode("c3", "hosts")

    host.manifests.write("c2.yaml", container("bridge: br0, addresses: [10.1.0.8]", "c2"))
    converge(host)

    assert hosts("c1")["10.1.0.8"] == ["db", "c2"]
    assert hosts("c3")["10.1.0.8"] == ["c2"]
    assert "10.1.0.7" not in hosts("c1").keys() | hosts("c3").keys()
    assert (inode("c1", "hosts"), inode("c3", "hosts")) == before

    host.manifests.write("all.yaml", text.replace("10.1.0.1/24", "10.5.0.1/24"))
    host.manifests.write("c2.yaml", container("bridge: br0", "c2"))
    converge(host)
    assert set(hosts("c3")) == {"10.5.0.2", "10.5.0.3", "10.5.0.4"}


# --------------------------------------------------------------------------- drift


def _edit(path: Path) -> None:
    path.write_text(path.read_text() + "10.99.0.1\tevil\n")


def _append_bytes(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\xff\xfe\x00")


def _truncate(path: Path) -> None:
    path.write_text("")


def _replace(path: Path) -> None:
    fresh = path.with_name("fresh")
    fresh.write_text("10.99.0.1\tevil\n")
    fresh.rename(path)


def _link_away(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _hard_link(path: Path) -> None:
    path.unlink()
    os.link("/etc/netns/theirs", path)


DRIFTS: tuple[Callable[[Path], None], ...] = (
    Path.unlink, _edit, _append_bytes, _truncate, _replace, _link_away, _dangling, _pipe, _hard_link,
)  # fmt: skip


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.__name__)
def test_one_apply_heals_what_somebody_did_to_the_files(host: Host, drift):
    """To each file of a container, and to the one that is shared; nothing is written elsewhere."""
    users = Path("/etc/passwd").read_text()
    theirs = NAMES / "theirs"
    theirs.write_text("theirs\n")
    host.manifests.write(
        "all.yaml",
        bridge() + container() + container("bridge: br0, extraHosts: {a: 10.7.0.1}", "c2"),
    )
    converge(host)
    before = tree()
    files = ("c1/hostname", "c1/resolv.conf", "c1/hosts", "c2/hosts", ".default-bridge-br0/hosts")

    for name in files:
        drift(NAMES / name)
    report = converge(host)

    changed = {change.key.name for change in report.preview.changes}
    # What is written through a link, or lacks only behind it, is one file.
    assert {f"/etc/netns/{name}" for name in files if name != "c1/hosts"} <= changed
    assert tree() == before
    assert Path("/etc/passwd").read_text() == users
    assert theirs.read_text() == "theirs\n"


def test_folders_that_somebody_deleted_are_made_again(host: Host):
    host.manifests.write("all.yaml", bridge() + container() + container(name="c2"))
    converge(host)
    before = tree()

    host.run("rm", "-r", "/etc/netns/c1", "/etc/netns/.default-bridge-br0")
    converge(host)
    assert tree() == before

    (NAMES / ".c1.reconciler").unlink()  # the mark alone: whose the folder is, says nothing now
    report = apply(host)
    blocked = {str(c.key) for c in report.after.changes}
    assert all("/c1" in key for key in blocked), describe(report.after)


def test_all_of_etc_netns_may_vanish(host: Host):
    host.manifests.write("all.yaml", bridge() + container() + container(name="c2"))
    converge(host)
    before = tree()

    host.run("find", "/etc/netns", "-mindepth", "1", "-delete")
    assert tree() == {}
    converge(host)

    assert tree() == before


# --------------------------------------------------------------------------- others


def test_files_of_others_are_in_the_way_and_survive(host: Host):
    (NAMES / "c1").mkdir()
    (NAMES / "c1/resolv.conf").write_text("nameserver 10.0.0.53\n")
    (NAMES / "c1/nsswitch.conf").write_text("hosts: dns\n")
    host.manifests.write("all.yaml", bridge() + container() + container(name="c2"))

    report = apply(host)

    (change,) = report.after.changes
    assert change.key == file_key("/etc/netns/c1/resolv.conf")
    assert "does not carry our mark; --adopt takes it over" in change.reason
    assert resolver() == said(["10.0.0.53"])
    assert hosts("c1") == hosts("c2") == {"10.1.0.2": ["c1"], "10.1.0.3": ["c2"]}
    assert (NAMES / "c1/hostname").read_text() == "c1\n"

    assert main.run(["teardown"]) == 0
    assert tree() == {
        "c1": "folder",
        "c1/nsswitch.conf": "hosts: dns\n",
        "c1/resolv.conf": "nameserver 10.0.0.53\n",
    }


def test_adopt_takes_files_over_and_leaves_the_rest_of_the_folder(host: Host):
    (NAMES / "c1").mkdir()
    (NAMES / "c1/resolv.conf").write_text("nameserver 10.0.0.53\n")
    (NAMES / "c1/nsswitch.conf").write_text("hosts: dns\n")
    host.manifests.write("all.yaml", bridge() + container())
    converge(host, adopt=True)

    assert resolver()["nameserver"] != ["10.0.0.53"]
    assert (NAMES / "c1/nsswitch.conf").read_text() == "hosts: dns\n"
    assert main.run(["teardown"]) == 0
    assert tree() == {"c1": "folder", "c1/nsswitch.conf": "hosts: dns\n"}


def test_other_files_beside_ours_stay_when_ours_go(host: Host):
    host.manifests.write("all.yaml", bridge() + container())
    converge(host)
    (NAMES / "c1/nsswitch.conf").write_text("hosts: dns\n")
    (NAMES / "c1/hosts.d").mkdir()
    (NAMES / "theirs").mkdir()
    (NAMES / "theirs/hosts").write_text("10.0.0.1 them\n")
    assert_settled(host)

    assert main.run(["teardown"]) == 0

    assert tree() == {
        "c1": "folder", "c1/hosts.d": "folder", "c1/nsswitch.conf": "hosts: dns\n",
        "theirs": "folder", "theirs/hosts": "10.0.0.1 them\n",
    }  # fmt: skip


def test_teardown_leaves_no_trace(host: Host):
    before = snapshot()
    host.manifests.write(
        "all.yaml",
        bridge(f"{DUAL}, ipForward: false")
        + container()
        + container("bridge: br0, links: [c1]", "c2")
        + container("network: none", "c3"),
    )
    converge(host)
    assert len(list(NAMES.iterdir())) == 8

    assert main.run(["teardown"]) == 0

    assert tree() == {}
    assert_same(before, snapshot())


def test_each_set_has_a_shared_file_of_its_own(host: Host):
    """Two sets with bridges of one name: none touches the other's folder."""
    host.manifests.write("a/all.yaml", bridge() + container())
    host.manifests.write(
        "b/all.yaml", bridge("addresses: [10.2.0.1/24], device: br9") + container(name="d1")
    )
    one, two = host.manifests.folder / "a", host.manifests.folder / "b"
    converge(host, one)
    converge(host, two, set_name="two")
    assert_settled(host, one)

    assert hosts("c1") == {"10.1.0.2": ["c1"]}
    assert hosts("d1") == {"10.2.0.2": ["d1"]}
    assert main.run(["teardown", "--set", "two"]) == 0
    assert_settled(host, one)
    assert hosts("c1") == {"10.1.0.2": ["c1"]}


# --------------------------------------------------------------------------- who reads them


def netns_exec(host: Host, name: str, *command: str) -> str:
    done = host.run("ip", "netns", "exec", name, *command)
    assert done.stderr == ""
    return done.stdout


def test_ip_netns_exec_shows_them_and_complains_of_nothing(host: Host):
    host.manifests.write(
        "all.yaml",
        bridge(f"{SUBNET}, {OF_BRIDGE}")
        + container()
        + container("bridge: br0, hostname: db, links: [c1]", "c2"),
    )
    converge(host)

    for name in ("c1", "c2"):
        for file in ("hosts", "resolv.conf", "hostname"):
            shown = netns_exec(host, name, "cat", f"/etc/{file}")
            assert shown == (NAMES / name / file).read_text()
    assert netns_exec(host, "c2", "getent", "hosts", "c1").split() == ["10.1.0.2", "c1"]
    assert netns_exec(host, "c1", "getent", "hosts", "db").split() == ["10.1.0.3", "db", "c2"]


@contextmanager
def reader(name: str) -> Iterator[Callable[[str], str]]:
    """A process in a container that has been there for long: it reads files when it is asked to."""
    argv = [
        "ip",
        "netns",
        "exec",
        name,
        "sh",
        "-c",
        "while read file; do cat $file; echo END; done",
    ]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def read(file: str) -> str:
            print(file, file=process.stdin, flush=True)
            return "".join(iter(process.stdout.readline, "END\n"))

        yield read
        process.stdin.close()


def test_who_runs_in_a_container_sees_the_change(host: Host):
    """The file is mounted where it reads it: only one that is written in place reaches it."""
    set_resolver(HOSTS_OWN)
    own = container("bridge: br0, links: ['c1:front']", "c2")
    host.manifests.write("all.yaml", bridge() + container() + own)
    converge(host)

    with reader("c1") as one, reader("c2") as two:
        assert "10.1.0.4" not in one("/etc/hosts")
        set_resolver("nameserver 192.0.2.99\n")
        host.manifests.write("all.yaml", bridge() + container() + own + container(name="c3"))
        converge(host)

        for read in (one, two):
            assert "10.1.0.4\tc3\n" in read("/etc/hosts")
            assert "nameserver 192.0.2.99\n" in read("/etc/resolv.conf")
            assert "192.0.2.53" not in read("/etc/resolv.conf")


def test_a_shorter_text_leaves_nothing_of_the_longer_one(host: Host):
    more = "".join(container(name=f"d{number}") for number in range(20))
    host.manifests.write("all.yaml", bridge() + container() + more)
    converge(host)

    with reader("c1") as read:
        assert len(read("/etc/hosts").splitlines()) == 23
        host.manifests.write("all.yaml", bridge() + container())
        converge(host, max_deletes=Limit(100, percent=True))
        assert read("/etc/hosts").splitlines()[1:] == ["127.0.0.1\tlocalhost", "10.1.0.2\tc1"]


# --------------------------------------------------------------------------- a part of a set


def test_a_single_file_keeps_the_names_of_those_that_it_does_not_speak_of(host: Host):
    """Names of their own included; what the file does say is new."""
    host.manifests.write("bridge.yaml", bridge())
    host.manifests.write("c1.yaml", container())
    host.manifests.write(
        "c2.yaml", container("bridge: br0, hostname: db, domainname: prod.example", "c2")
    )
    converge(host)
    everybody = {"10.1.0.2": ["c1"], "10.1.0.3": ["db.prod.example", "db", "c2"]}
    assert hosts() == everybody

    one = host.manifests.write("one/one.yaml", bridge() + container(name="c3"))
    converge(host, one)

    assert hosts("c1") == hosts("c2") == hosts("c3") == everybody | {"10.1.0.4": ["c3"]}

    one.write_text(bridge() + container("bridge: br0, links: [c3]") + container(name="c3"))
    converge(host, one)
    assert hosts("c1").keys() == hosts("c2").keys() == {"10.1.0.2", "10.1.0.3", "10.1.0.4"}
    assert hosts("c1")["10.1.0.3"] == hosts("c2")["10.1.0.3"] == everybody["10.1.0.3"]


def test_the_directory_is_the_whole_truth_again(host: Host):
    host.manifests.write("all.yaml", bridge() + container())
    converge(host)
    one = host.manifests.folder.parent / "one.yaml"
    one.write_text(bridge() + container(name="c2"))
    converge(host, one)
    assert set(hosts()) == {"10.1.0.2", "10.1.0.3"}

    converge(host)

    assert set(hosts()) == {"10.1.0.2"}
    assert facts.namespaces() == {"c1"}
    wait_until(lambda: not (NAMES / "c2").exists())
