"""Netlink sockets: each request gets its own answer, and a dump is whole or made again."""

import errno
import os
import socket
import struct
from collections import Counter
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from reconciler.errors import HostError, PrivilegeError
from reconciler.formats.address import add_address, dump_addresses, parse_address
from reconciler.formats.link import dump_links, get_link, parse_link
from reconciler.formats.link_request import (
    LinkSettings,
    create_bridge,
    create_veth,
    delete_link,
    set_link,
)
from reconciler.formats.netlink import NetlinkFormatError, Request, render_text
from reconciler.formats.route import RouteSpec, add_route, dump_routes, parse_route
from reconciler.host import link_removal
from reconciler.host.link_removal import DOOMED_GROUPS, delete_links
from reconciler.host.named_namespaces import make_namespace
from reconciler.host.namespaces import open_namespace, open_socket_in
from reconciler.host.netlink_socket import BATCH_BYTES, DUMP_ATTEMPTS, NetlinkSocket
from reconciler.host.refusal import KernelRefusal, explain

PORT = 4711


def answer(kind, body=b"", flags=0, sequence=0, port=PORT):
    """One message; `sequence` counts from the request it answers."""

    def render(first):
        header = struct.pack("=IHHII", 16 + len(body), kind, flags, first + sequence, port)
        return header + body

    return render


DONE = answer(3, struct.pack("=i", 0))
INTERRUPTED = answer(3, struct.pack("=i", 0), flags=0x10)
ITEM = answer(16, b"item")
LOST = OSError(errno.ENOBUFS, "No buffer space available")
CUT = "cut"


def verdict(number, sequence=0):
    return answer(2, struct.pack("=i", -number) + bytes(16), 0x100, sequence)


class FakeKernel:
    """A socket with a script: for each send a list of datagrams and of errors to read."""

    def __init__(self, *rounds):
        self.rounds = list(rounds)
        self.queue = []
        self.read_bytes = []
        self.sender = 0
        self.options = {}

    def setsockopt(self, level, option, value):
        if option == 33:  # SO_RCVBUFFORCE
            raise PermissionError
        self.options[level, option] = value

    def bind(self, _):
        pass

    def close(self):
        pass

    def getsockname(self):
        return PORT, 0

    def send(self, data):
        first = struct.unpack_from("=I", data, 8)[0]
        self.queue += [self.render(step, first) for step in self.rounds.pop(0)]

    def render(self, step, first):
        if isinstance(step, list):
            return b"".join(message(first) for message in step)
        return step(first) if callable(step) else step

    def recvmsg(self, size, ancillary, flags):
        assert flags == socket.MSG_DONTWAIT
        self.read_bytes.append(size)
        if not self.queue:
            raise BlockingIOError
        step = self.queue.pop(0)
        if isinstance(step, OSError):
            raise step
        if step == CUT:
            return b"\xff\xff\xff\xff", [], socket.MSG_TRUNC, (0, 0)
        return step, [], 0, (self.sender, 0)


DUMP = Request(18, 0x300, b"")
CHANGE = Request(16, 0, b"")


def body(data, start, end):
    return data[start:end]


def test_a_dump_is_collected_until_it_is_done():
    nl = NetlinkSocket(FakeKernel([[ITEM, ITEM], [ITEM, DONE]]))

    assert nl.dump(DUMP, body) == [b"item"] * 3
    assert nl.counters == {"requests": 1, "changes": 0, "dumps": 1, "RTM_GETLINK": 1}


def test_what_the_parser_has_no_value_for_is_left_out():
    nl = NetlinkSocket(FakeKernel([[ITEM, answer(16, b"otherone"), DONE]]))

    assert nl.dump(DUMP, lambda d, s, e: d[s:e] if e - s == 4 else None) == [b"item"]


@pytest.mark.parametrize(
    "broken",
    [
        [[ITEM], INTERRUPTED],
        [[answer(16, b"x", flags=0x10)], DONE],
        [ITEM, LOST, DONE],
        [LOST],
        [ITEM],
        [verdict(errno.EBUSY), ITEM, ITEM],
        [answer(3, struct.pack("=i", -errno.EINTR))],
        [CUT, DONE],
        [],
    ],
    ids=[
        "interrupted",
        "marked early",
        "overrun",
        "all lost",
        "cut off",
        "busy",
        "EINTR",
        "long",
        "silent",
    ],
)
def test_a_dump_that_is_not_whole_is_made_again(broken):
    nl = NetlinkSocket(FakeKernel(broken, [ITEM, DONE]))

    assert nl.dump(DUMP, body) == [b"item"]
    assert (nl.counters["dumps"], nl.counters["retries"]) == (2, 1)


def test_what_is_left_of_a_broken_dump_is_not_taken_for_the_next():
    """The queue is emptied, which also ends a dump the kernel still works on."""
    kernel = FakeKernel([verdict(errno.EBUSY), ITEM, ITEM], [ITEM, DONE])

    NetlinkSocket(kernel).dump(DUMP, body)

    assert kernel.queue == []


def test_a_message_too_long_for_the_buffer_makes_it_larger():
    kernel = FakeKernel([CUT, DONE], [CUT, DONE], [ITEM, DONE])

    assert NetlinkSocket(kernel).dump(DUMP, body) == [b"item"]
    assert kernel.read_bytes[-1] == 4 * kernel.read_bytes[0]


def test_a_dump_that_never_gets_whole_is_an_error():
    """It ends, and gives no half of the truth."""
    nl = NetlinkSocket(FakeKernel(*[[ITEM, INTERRUPTED]] * DUMP_ATTEMPTS))

    with pytest.raises(HostError, match="RTM_GETLINK: no consistent answer in 8 attempts"):
        nl.dump(DUMP, body)


def test_a_dump_that_is_refused_is_an_error_with_the_kernels_words():
    words = struct.pack("=i", -errno.ENOENT) + render_text(1, "FIB table does not exist")
    nl = NetlinkSocket(FakeKernel([answer(3, words, flags=0x200)]))

    with pytest.raises(HostError, match=r"RTM_GETLINK: FIB table does not exist \(ENOENT\)"):
        nl.dump(DUMP, body)


def test_a_dump_that_needs_a_privilege_says_so():
    nl = NetlinkSocket(FakeKernel([verdict(errno.EPERM)]))

    with pytest.raises(PrivilegeError, match="CAP_NET_ADMIN"):
        nl.dump(DUMP, body)


def test_stale_answers_and_those_to_others_are_passed_over():
    """A stale one is left where an exception cut the reading short."""
    stale, others = answer(16, b"stale...", sequence=-1), answer(16, b"others..", port=PORT + 1)
    nl = NetlinkSocket(FakeKernel([[stale, others, ITEM], DONE]))

    assert nl.dump(DUMP, body) == [b"item"]


def test_answers_that_are_not_from_the_kernel_are_passed_over():
    """Any process with CAP_NET_ADMIN can send to our port."""
    kernel = FakeKernel([verdict(0)])
    kernel.sender = 4711

    assert NetlinkSocket(kernel).request([CHANGE])[0].refusal is not None


def test_each_request_of_a_batch_has_its_own_answer():
    """Whatever order the answers come in."""
    echo = answer(16, b"echo", sequence=2)
    kernel = FakeKernel([[verdict(17, 1), echo], verdict(0, 2), [verdict(0, 0)]])

    replies = NetlinkSocket(kernel).request([CHANGE] * 3)

    assert [reply.refusal and reply.refusal.name for reply in replies] == [None, "EEXIST", None]
    assert [reply.payloads for reply in replies] == [(), (), (b"echo",)]


def test_a_request_whose_answer_was_lost_does_not_count_as_done():
    nl = NetlinkSocket(FakeKernel([verdict(0, 0), LOST, verdict(0, 2)]))

    refusals = [reply.refusal for reply in nl.request([CHANGE] * 3)]

    assert [refusal and str(refusal) for refusal in refusals] == [
        None,
        "the kernel's answer was lost (ENOBUFS)",
        None,
    ]


def test_a_socket_is_strict_talkative_and_large():
    """Without the right to a larger buffer it takes what the system allows."""
    kernel = FakeKernel()

    NetlinkSocket(kernel)

    netlink = {(270, option): 1 for option in (10, 11, 12)}
    assert kernel.options == netlink | {(socket.SOL_SOCKET, socket.SO_RCVBUF): 4 << 20}


def test_large_requests_are_spread_over_several_sends():
    """One send must not be longer than the send buffer (EMSGSIZE)."""
    large = Request(16, 0, bytes(BATCH_BYTES // 2))
    kernel = FakeKernel([verdict(0)], [verdict(0)], [verdict(0)])

    assert [r.refusal for r in NetlinkSocket(kernel).request([large] * 3)] == [None] * 3


def test_sequence_numbers_start_over_before_they_run_out():
    nl = NetlinkSocket(FakeKernel([verdict(0, 0), verdict(0, 1)]))
    nl._sequence = 0xFFFFFFFE

    assert [reply.refusal for reply in nl.request([CHANGE] * 2)] == [None, None]


def test_an_answer_of_another_shape_is_our_error():
    with pytest.raises(NetlinkFormatError):
        NetlinkSocket(FakeKernel([answer(2, b"")])).request([CHANGE])


def test_a_socket_that_broke_is_our_error():
    with pytest.raises(HostError, match="netlink: Bad file"):
        NetlinkSocket(FakeKernel([OSError(errno.EBADF, "Bad file descriptor")])).request([CHANGE])


@pytest.mark.parametrize(
    ("number", "message", "words"),
    [
        (errno.EINVAL, "mtu less than device minimum", "mtu less than device minimum (EINVAL)"),
        (errno.EEXIST, "", "it exists already (EEXIST)"),
        (errno.EOPNOTSUPP, "", "this kernel, or this kind of device, cannot do that (EOPNOTSUPP)"),
        (errno.EXFULL, "", "the bridge is full: it takes 1,023 ports (EXFULL)"),
        (errno.EIO, "", "Input/output error (EIO)"),
        (9999, "", "Unknown error 9999 (errno 9999)"),
    ],
)
def test_a_refusal_is_explained(number, message, words):
    assert explain(number, message) == words


def test_the_same_number_means_other_things_for_other_requests():
    mac = KernelRefusal(errno.EADDRNOTAVAIL, "", "RTM_NEWLINK")
    address = KernelRefusal(errno.EADDRNOTAVAIL, "", "RTM_DELADDR")

    assert str(mac) == "a device cannot have this MAC address (EADDRNOTAVAIL)"
    assert str(address) == "no such address on the device (EADDRNOTAVAIL)"


def names(nl):
    return {link.name for link in nl.dump(dump_links(), parse_link)}


def done(replies):
    assert [str(reply.refusal) for reply in replies if reply.refusal] == []


def test_the_third_of_five_fails_and_the_others_are_done(host):
    with NetlinkSocket() as nl:
        replies = nl.request(
            [create_bridge(LinkSettings(name=name)) for name in ("a", "b", "a", "c", "d")]
        )

        assert [reply.refusal for reply in replies] == [
            None,
            None,
            KernelRefusal(errno.EEXIST, replies[2].refusal.message, "RTM_NEWLINK"),
            None,
            None,
        ]
        assert names(nl) == {"lo", "a", "b", "c", "d"}


def test_more_requests_than_one_batch_are_answered_in_order(host):
    wanted = [f"b{n}" for n in range(150)]
    with NetlinkSocket() as nl:
        replies = nl.request([create_bridge(LinkSettings(name=name)) for name in wanted])

        echoed = [parse_link(r.payloads[0], 0, len(r.payloads[0])).name for r in replies]
        assert echoed == wanted


def test_the_kernels_own_words_reach_the_refusal(host):
    with NetlinkSocket() as nl:
        (reply,) = nl.request([create_bridge(LinkSettings(name="a", mtu=100_000))])

    assert str(reply.refusal) == "mtu greater than device maximum (EINVAL)"


def test_only_requests_that_change_are_counted_as_changes(host):
    counters = Counter()
    with NetlinkSocket(counters=counters) as nl:
        nl.dump(dump_links(), parse_link)
        nl.dump(dump_addresses(), parse_address)
        nl.dump(dump_routes(), parse_route)
        nl.request([get_link("lo")])
        assert counters["changes"] == 0

        nl.request([create_bridge(LinkSettings(name="a")), delete_link(9999)])

    assert counters["changes"] == 2
    assert counters["RTM_NEWLINK"] == counters["RTM_DELLINK"] == 1


def many_bridges(nl, count=150):
    """More than fit into one datagram of a dump."""
    done(nl.request([create_bridge(LinkSettings(name=f"b{n}")) for n in range(count)]))


def test_a_change_in_the_middle_of_a_dump_is_noticed(host):
    """The kernel sets NLM_F_DUMP_INTR; the second attempt is left in peace."""
    with NetlinkSocket() as nl, NetlinkSocket() as other:
        many_bridges(nl)
        added = []

        def parse(data, start, end):
            if not added:
                added.append("x")
                done(other.request([create_bridge(LinkSettings(name="x"))]))
            return parse_link(data, start, end)

        found = [link.name for link in nl.dump(dump_links(), parse)]

        assert nl.counters["retries"] == 1
        assert len(found) == len(set(found)) == 152


def test_a_dump_under_endless_change_is_given_up(host):
    with NetlinkSocket() as nl, NetlinkSocket() as other:
        many_bridges(nl)
        changes = [create_bridge(LinkSettings(name="x", ifindex=9000)), delete_link(9000)]

        def parse(data, start, end):
            link = parse_link(data, start, end)
            if link.name == "lo":
                done(other.request(changes))
            return link

        with pytest.raises(HostError, match="no consistent answer"):
            nl.dump(dump_links(), parse)

        assert len(names(nl)) == 151


def test_a_dump_left_in_the_middle_does_not_block_the_next(host):
    """The kernel has one dump for each socket: EBUSY until the first is read to its end."""

    class GivenUpError(Exception):
        pass

    def give_up(data, start, end):
        raise GivenUpError

    with NetlinkSocket() as nl:
        many_bridges(nl)
        with pytest.raises(GivenUpError):
            nl.dump(dump_links(), give_up)

        assert len(names(nl)) == 151
        assert nl.counters["retries"] == 1


def test_an_overrun_is_survived(host):
    """A socket so small that the events it is made to listen to overrun it (ENOBUFS)."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    with NetlinkSocket(sock) as nl, NetlinkSocket() as other:
        many_bridges(nl)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.setsockopt(270, 1, 1)  # NETLINK_ADD_MEMBERSHIP, RTNLGRP_LINK
        done(other.request([set_link(f"b{n}", LinkSettings(mtu=1400)) for n in range(100)]))

        assert len(names(nl)) == 151
        assert nl.counters["retries"] >= 1

        done(other.request([set_link(f"b{n}", LinkSettings(mtu=1500)) for n in range(100)]))
        lost = nl.request([set_link("b0", LinkSettings(mtu=1300))])[0].refusal
        assert lost is None or lost.name == "ENOBUFS"
        assert len(names(nl)) == 151


def test_a_message_longer_than_the_buffer_is_read_in_the_end(host):
    with NetlinkSocket() as nl:
        many_bridges(nl)
        nl._read_bytes = 256

        assert len(names(nl)) == 151


def make_pairs(nl, count, fd):
    pairs = [
        create_veth(LinkSettings(name=f"v{n}"), LinkSettings(name=f"p{n}", netns_fd=fd))
        for n in range(count)
    ]
    replies = nl.request(pairs)
    done(replies)
    return [parse_link(r.payloads[0], 0, len(r.payloads[0])).ifindex for r in replies]


def test_many_links_are_deleted_at_once_with_their_peers(host, monkeypatch):
    monkeypatch.setattr(link_removal, "LINKS_AT_ONCE", 50)
    make_namespace("blue", lambda: None, mark="test")
    fd = open_namespace("blue")
    with NetlinkSocket() as nl, NetlinkSocket(open_socket_in(fd)) as blue:
        indexes = make_pairs(nl, 120, fd)
        make_pairs(nl, 0, fd)
        done(nl.request([create_bridge(LinkSettings(name="stays"))]))

        outcomes = delete_links(nl, [*indexes, 99999])

        assert [str(o) for o in outcomes] == ["None"] * 120 + ["no such device (ENODEV)"]
        assert names(nl) == {"lo", "stays"}
        assert names(blue) == {"lo"}
        assert nl.counters["RTM_DELLINK"] == 3
    os.close(fd)


def test_a_device_that_cannot_go_does_not_save_the_others(host):
    """The kernel refuses the group as a whole because of the loopback device."""
    fd = open_namespace("")
    with NetlinkSocket() as nl:
        first, second = make_pairs(nl, 2, fd)

        outcomes = delete_links(nl, [first, 1, second])

        assert [o and o.name for o in outcomes] == [None, "EOPNOTSUPP", None]
        assert names(nl) == {"lo"}
    os.close(fd)


def test_one_link_is_deleted_without_a_group(host):
    with NetlinkSocket() as nl:
        done(nl.request([create_bridge(LinkSettings(name="a", ifindex=50))]))
        nl.counters.clear()

        assert delete_links(nl, [50]) == [None]
        assert nl.counters["requests"] == 1


def test_a_device_left_doomed_by_a_killed_program_is_not_deleted_with_others(host):
    """Its owner may be wanted again by now."""
    with NetlinkSocket() as nl:
        bridges = [
            LinkSettings(name=f"b{n}", ifindex=50 + n, group=DOOMED_GROUPS.start + n)
            for n in range(3)
        ]
        done(nl.request([create_bridge(settings) for settings in bridges]))

        assert delete_links(nl, [50, 51]) == [None, None]
        assert names(nl) == {"lo", "b2"}


def test_a_socket_stays_in_its_namespace(host):
    make_namespace("blue", lambda: None, mark="test")
    fd = open_namespace("blue")
    with NetlinkSocket(open_socket_in(fd)) as blue, NetlinkSocket() as nl:
        os.close(fd)
        done(blue.request([create_bridge(LinkSettings(name="inside", ifindex=7))]))
        done(blue.request([add_address(7, ip_interface("10.0.0.1/24"))]))
        done(blue.request([set_link(7, LinkSettings(up=True))]))
        route = RouteSpec(ip_network("10.9.0.0/16"), ip_address("10.0.0.2"))
        done(blue.request([add_route(route)]))

        assert names(blue) == {"lo", "inside"}
        assert names(nl) == {"lo"}
