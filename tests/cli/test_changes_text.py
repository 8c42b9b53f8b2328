"""A diff as text: what each line says, and what it leaves out."""

from ipaddress import ip_interface

import click
import pytest

from reconciler.agent.changes_json import differences, in_order, plain
from reconciler.agent.reconcile import Preview
from reconciler.cli.changes_text import closing_line, render_change, render_text, render_withheld
from reconciler.core.diff import Action, Change, Difference
from reconciler.core.object import Key, Owner
from reconciler.core.policy import Decision
from reconciler.core.state import State
from reconciler.objects import Address, BridgeDevice, File, Namespace, Sysctl, Veth

WEB = Owner("default", "Bridge/web")
BRIDGE = BridgeDevice("", "web", mtu=1500, up=True, stp=False, forward_delay=1500)
PAIR = Veth("", "rcweb1", "web1", "eth0", mtu=1500, peer_mtu=1500, up=True, peer_up=True,
            peer_mac="02:42:0a:01:00:02", master="web")  # fmt: skip
CABLE = Veth("a", "c0", "b", "c1", mtu=1500, peer_mtu=9000)
ADDRESS = Address("web1", "eth0", ip_interface("10.1.0.2/24"))
HOSTS = File("/etc/netns/web1", "hosts", "127.0.0.1 localhost\n10.1.0.2 web1\n")


def created(item):
    return Change(Action.CREATE, item.key, None, item, WEB, reason="not on the host")


def deleted(item, reason="no longer declared"):
    return Change(Action.DELETE, item.key, item, None, WEB, reason=reason)


def updated(item, *fields, reason=None, action=Action.UPDATE):
    found = tuple(Difference(*field) for field in fields)
    said = reason or f"{', '.join(d.field for d in found)} not as declared"
    return Change(action, item.key, item, item, WEB, found, reason=said)


def lines(change):
    return [click.unstyle(line) for line in render_change(change)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (created(BRIDGE), "  + device/web  mtu 1500, up, forward delay 15 s"),
        (created(PAIR), "  + device/rcweb1 ↔ web1:eth0  mtu 1500, up, peer mac 02:42:0a:01:00:02, master web"),
        (created(CABLE), "  + device/a:c0 ↔ b:c1  mtu 1500, peer mtu 9000"),
        (created(ADDRESS), "  + address/web1:eth0/10.1.0.2/24"),
        (created(Namespace("web1", loopback=True)), "  + netns/web1"),
        (created(Sysctl("", "net.ipv4.ip_forward", "1")), "  + sysctl/net.ipv4.ip_forward  1"),
        (created(HOSTS), "  + file/etc/netns/web1/hosts  2 lines"),
        (deleted(PAIR), "  - device/rcweb1 ↔ web1:eth0"),
        (deleted(BRIDGE, "in the way of device/x"), "  - device/web  (in the way of device/x)"),
        (updated(BRIDGE, ("mtu", 1400, 1500)), "  ~ device/web  mtu 1400 → 1500"),
        (updated(BRIDGE, ("up", False, True)), "  ~ device/web  up no → yes"),
        (updated(PAIR, ("master", "", "web")),
         "  ~ device/rcweb1 ↔ web1:eth0  master (none) → web"),
        (updated(BRIDGE, ("ageing_time", 30000, 50)), "  ~ device/web  ageing time 300 s → 0.5 s"),
        (updated(Sysctl("", "net.x", "1"), ("value", "0", "1")), "  ~ sysctl/net.x  0 → 1"),
    ],
)  # fmt: skip
def test_a_change_that_needs_one_line(change, said):
    assert lines(change) == [said]


def test_several_fields_stand_below():
    assert lines(updated(BRIDGE, ("mtu", 1400, 1500), ("up", False, True))) == [
        "  ~ device/web",
        "      mtu 1400 → 1500",
        "      up no → yes",
    ]


def test_a_reason_that_is_news_is_said():
    adopted = updated(BRIDGE, ("owner", None, "Bridge/web"), reason="adopted")
    replaced = updated(PAIR, ("peer_netns", "x", "web1"), action=Action.REPLACE,
                       reason="peer_netns cannot change in place")  # fmt: skip

    assert lines(adopted) == ["  ~ device/web  (adopted)", "      owner (unset) → Bridge/web"]
    assert lines(replaced) == [
        "  ± device/rcweb1 ↔ web1:eth0  (peer_netns cannot change in place)",
        "      peer netns x → web1",
    ]


def test_a_blocked_change_says_why_without_saying_its_name_twice():
    reason = "device/web is there and does not carry our mark; --adopt takes it over"
    change = Change(Action.BLOCKED, BRIDGE.key, BRIDGE, BRIDGE, WEB, reason=reason)

    assert lines(change) == [
        "  ! device/web: is there and does not carry our mark; --adopt takes it over"
    ]


def test_of_a_text_only_the_lines_that_differ_are_shown():
    after = HOSTS.content.replace("10.1.0.2", "10.1.0.3")

    assert lines(updated(HOSTS, ("content", HOSTS.content, after))) == [
        "  ~ file/etc/netns/web1/hosts",
        "      - 10.1.0.2 web1",
        "      + 10.1.0.3 web1",
    ]


def test_one_line_less_stands_below_too():
    change = updated(HOSTS, ("content", HOSTS.content, "127.0.0.1 localhost\n"))

    assert lines(change)[1:] == ["      - 10.1.0.2 web1"]


def test_nothing_that_was_observed_steers_the_terminal():
    bad = "\x1b]0;owned\x07"
    changes = [
        updated(BRIDGE, ("owner", bad, "Bridge/web")),
        updated(HOSTS, ("content", f"a\n{bad}\n", "a\nb\n")),
        updated(BRIDGE, ("mtu", 1, 2), reason=f"{bad} is in the way"),
    ]

    assert not any("\x1b]" in line or "\x07" in line for c in changes for line in render_change(c))


def test_a_resource_is_read_from_the_outside_in():
    items = [
        Sysctl("web1", "net.x", "1"),
        ADDRESS,
        HOSTS,
        Address("web1", "eth0", ip_interface("10.1.0.10/24")),
        PAIR,
        Namespace("web1"),
    ]

    assert [change.key.type for change in in_order(map(created, items))] == [
        "netns", "device", "address", "address", "sysctl", "file",
    ]  # fmt: skip
    assert [c.key.name for c in in_order(map(created, items))][2:4] == [
        "eth0/10.1.0.2/24",
        "eth0/10.1.0.10/24",
    ]


def test_the_order_does_not_depend_on_that_of_the_changes():
    changes = [created(item) for item in (PAIR, ADDRESS, BRIDGE, HOSTS)]

    assert in_order(changes) == in_order(reversed(changes))


def test_an_object_of_another_type_comes_last():
    strange = Change(Action.CREATE, Key("zebra", "", "a"), None, BRIDGE, WEB)

    assert in_order([strange, created(HOSTS)])[-1] == strange


def test_headings_where_there_is_no_resource():
    changes = [
        Change(Action.DELETE, BRIDGE.key, BRIDGE, None, Owner("default", "?"), reason="x"),
        Change(Action.DELETE, PAIR.key, PAIR, None, Owner("", "nobody"), reason="in the way"),
    ]

    headings = [line for line in render_text(changes, lambda _: "", "") if line[:1].strip()]

    assert list(map(click.unstyle, headings)) == [
        "Unfinished, by a run that was killed",
        "Not ours",
    ]


def test_counts():
    desired = State.of([(BRIDGE, WEB), (ADDRESS, WEB)])
    one = Preview(desired, State(), Decision((created(BRIDGE),)))
    none = Preview(State.of([(BRIDGE, WEB)]), State(), Decision(()))

    assert closing_line(one) == "Plan: 1 to create; 1 unchanged."
    assert closing_line(none) == "In sync: 1 object is as declared."


def test_what_is_withheld_is_counted_and_named():
    suspended = updated(BRIDGE, ("mtu", 1400, 1500))
    found = Preview(State(), State(), Decision((), (deleted(PAIR), suspended)))

    assert list(render_withheld(found)) == [
        "Left alone: 1 object of this set that nothing here declares (see --prune, and the annotation reconciler/prune).",
        "Left alone: Bridge/web, suspended by an annotation.",
    ]


def test_json_has_the_fields_of_what_is_made_and_of_what_goes():
    made, gone = differences(created(BRIDGE)), differences(deleted(BRIDGE))

    assert [(d.field, d.before, plain(d.after)) for d in made] == [
        ("mtu", None, 1500),
        ("up", None, True),
        ("stp", None, False),
        ("forward_delay", None, 15),
    ]
    assert [(d.field, d.after) for d in gone] == [(d.field, None) for d in made]
