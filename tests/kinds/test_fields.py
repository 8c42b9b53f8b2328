"""Single values: numbers, booleans, names, MACs, addresses, rates, and the traps among them."""

from ipaddress import ip_address, ip_interface, ip_network

import pytest

from tests.manifest.reading import catalog_of, heads_of, manifest

SUBNET = "addresses: [10.0.0.1/24]"


def bridge(fields):
    return (
        catalog_of(manifest("Bridge", "web", f"{{{SUBNET}, {fields}}}"))
        .resources["Bridge/web"]
        .spec
    )


def bridge_head(fields):
    (head,) = heads_of(manifest("Bridge", "web", f"{{{SUBNET}, {fields}}}"))
    return head.removeprefix("Bridge/web: spec.")


def address_head(address):
    (head,) = heads_of(manifest("Bridge", "web", f"{{addresses: ['{address}']}}"))
    return head.removeprefix("Bridge/web: spec.addresses[0]: ")


@pytest.mark.parametrize(
    ("written", "number"),
    [("68", 68), ("0x5dc", 1500), ("0o2734", 1500), ("+1500", 1500), ("65535", 65535)],
)
def test_whole_numbers(written, number):
    assert bridge(f"mtu: {written}").mtu == number


WANTED = "a whole number from 68 to 65535"


@pytest.mark.parametrize(
    ("written", "head"),
    [
        ('"1400"', f'must be {WANTED}, and is the text "1400"; write 1400'),
        ("1_500", f'must be {WANTED}, and is the text "1_500"; write 1500'),
        ("01500", "01500 has a leading zero; write 1500, or 0o17 for octal 17"),
        ("1500.0", f'"1500.0" is not {WANTED}'),
        ("1.5e3", f'"1.5e3" is not {WANTED}'),
        (".inf", f'".inf" is not {WANTED}'),
        ("9" * 5000, f'"{"9" * 57}…" is not {WANTED}'),
        ("true", f'must be {WANTED}, and is the text "true"'),
        ("big", f'must be {WANTED}, and is the text "big"'),
        ("[1]", f"must be {WANTED}, and is a list"),
        ("67", f"67 is not {WANTED}"),
        ("65536", f"65536 is not {WANTED}"),
        ("-1500", f"-1500 is not {WANTED}"),
    ],
)
def test_what_is_no_whole_number(written, head):
    assert bridge_head(f"mtu: {written}") == f"mtu: {head}"


@pytest.mark.parametrize("written", ["yes", "no", "on", "off", "y", '"true"', "tRue", "1", "0"])
def test_yes_and_on_are_not_booleans(written):
    assert bridge_head(f"icc: {written}").endswith("is not a boolean; write true or false")


@pytest.mark.parametrize(("written", "value"), [("true", True), ("False", False), ("TRUE", True)])
def test_booleans(written, value):
    assert bridge(f"icc: {written}").icc is value


def test_a_list_is_not_a_boolean():
    assert bridge_head("icc: []") == "icc: must be true or false, and is a list"


@pytest.mark.parametrize(
    ("field", "written", "head"),
    [
        ("forwardDelay", "31", "31 is not a number of seconds from 0 to 30"),
        ("forwardDelay", "-1", "-1 is not a number of seconds from 0 to 30"),
        ("forwardDelay", ".nan", ".nan is not a number of seconds from 0 to 30"),
        ("forwardDelay", "4s", 'must be a number of seconds from 0 to 30, and is "4s"'),
        ("forwardDelay", "{}", "must be a number of seconds from 0 to 30, and is a mapping"),
        ("ageingTime", "1e9", "1e9 is not a number of seconds from 0 to 1e+06"),
    ],
)
def test_what_is_no_number_of_seconds(field, written, head):
    assert bridge_head(f"{field}: {written}") == f"{field}: {head}"


def test_seconds():
    spec = bridge("forwardDelay: 2.5, ageingTime: 300")

    assert (spec.forward_delay, spec.ageing_time) == (2.5, 300.0)


@pytest.mark.parametrize(
    "name", ["eth0", "x" * 15, "ä" * 7, "br-web", "a.b", "10", "1.10", "on", "..."]
)
def test_device_names(name):
    assert bridge(f"device: {name}").device == name


DEVICE_RULE = "a device name has no /, no : and no blank, and is not . or .."


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("x" * 16, f'"{"x" * 16}" has 16 bytes; it can have 15'),
        ("ä" * 8, f'"{"ä" * 8}" has 16 bytes; it can have 15'),
        ("a/b", f'"a/b" is not a device name; {DEVICE_RULE}'),
        ("a:b", f'"a:b" is not a device name; {DEVICE_RULE}'),
        ("'a b'", f'"a b" is not a device name; {DEVICE_RULE}'),
        (".", f'"." is not a device name; {DEVICE_RULE}'),
        ("..", f'".." is not a device name; {DEVICE_RULE}'),
        ('""', f'"" is not a device name; {DEVICE_RULE}'),
        ('"\\e[2J"', f'"\\u001b[2J" is not a device name; {DEVICE_RULE}'),
        ("[]", "must be text, and is a list"),
    ],
)
def test_what_is_no_device_name(name, head):
    assert bridge_head(f"device: {name}") == f"device: {head}"


@pytest.mark.parametrize(
    "address", ["10.0.0.1/24", "10.0.0.0/31", "10.0.0.1/31", "10.0.0.1/32", "10.0.0.255/23"]
)
def test_gateway_addresses(address):
    spec = (
        catalog_of(manifest("Bridge", "web", f"{{addresses: [{address}]}}"))
        .resources["Bridge/web"]
        .spec
    )

    assert spec.addresses == (ip_interface(address),)
    assert spec.subnets == (ip_interface(address).network,)
    assert spec.gateways == (ip_interface(address).ip,)


@pytest.mark.parametrize(
    "address", ["fd00::1/64", "fd00::/127", "fd00::1/128", "fe80::1/64", "fd00::ffff/112"]
)
def test_ipv6_gateway_addresses(address):
    assert catalog_of(manifest("Bridge", "web", f"{{addresses: ['{address}']}}"))


FORM = "write one as 10.0.0.1/24 or fd00::1/64"


@pytest.mark.parametrize(
    ("address", "head"),
    [
        (
            "10.0.0.4/30",
            "10.0.0.4/30 is the address of the network itself; write one inside, as 10.0.0.5/30",
        ),
        (
            "10.0.0.7/30",
            "10.0.0.7/30 is the broadcast address of its network; write one inside, as 10.0.0.5/30",
        ),
        (
            "10.0.0.0/24",
            "10.0.0.0/24 is the address of the network itself; write one inside, as 10.0.0.1/24",
        ),
        (
            "10.0.0.255/24",
            "10.0.0.255/24 is the broadcast address of its network; write one inside, as 10.0.0.1/24",
        ),
        (
            "fd00::/64",
            "fd00::/64 is the address of the network itself; write one inside, as fd00::1/64",
        ),
        ("224.0.0.1/24", "224.0.0.1/24 is a multicast address"),
        ("127.0.0.2/8", "127.0.0.2/8 is a loopback address"),
        ("240.0.0.1/24", "240.0.0.1/24 is not a unicast address"),
        ("0.0.0.1/8", "0.0.0.1/8 is not a unicast address"),
        ("::/128", "::/128 is the unspecified address"),
        (
            "10.0.0.1",
            '"10.0.0.1" is not an address with prefix length; write 10.0.0.1/24, or the prefix length you mean',
        ),
        (
            "fd00::1",
            '"fd00::1" is not an address with prefix length; write fd00::1/64, or the prefix length you mean',
        ),
        ("10.0.0.1/33", f'"10.0.0.1/33" is not an address with prefix length; {FORM}'),
        (
            "10.0.0.1/255.255.255.0",
            f'"10.0.0.1/255.255.255.0" is not an address with prefix length; {FORM}',
        ),
        ("010.0.0.1/24", f'"010.0.0.1/24" is not an address with prefix length; {FORM}'),
        ("fe80::1%eth0/64", f'"fe80::1%eth0/64" is not an address with prefix length; {FORM}'),
        ("web", f'"web" is not an address with prefix length; {FORM}'),
    ],
)
def test_what_is_no_gateway_address(address, head):
    assert address_head(address) == head


def test_subnets_have_no_host_bits():
    assert bridge_head("ipRange: 10.0.0.5/25") == (
        'ipRange[0]: "10.0.0.5/25" has host bits set; write 10.0.0.0/25'
    )
    assert (
        bridge_head("ipRange: [x]") == 'ipRange[0]: "x" is not a subnet; write one as 10.0.0.128/25'
    )
    assert bridge("ipRange: 10.0.0.128/25").ip_range == (ip_network("10.0.0.128/25"),)


def test_addresses_without_prefix():
    assert bridge_head("reserved: [10.0.0.5/24]") == (
        'reserved[0]: "10.0.0.5/24" is not an address; write 10.0.0.5'
    )
    assert bridge("reserved: [10.0.0.5]").reserved == (ip_address("10.0.0.5"),)


def test_one_address_stands_for_a_list_of_one():
    assert bridge("bindAddress: 192.0.2.1").bind_address == (ip_address("192.0.2.1"),)
    assert bridge("bindAddress: [192.0.2.1, '::1']").bind_address == (
        ip_address("192.0.2.1"), ip_address("::1"),
    )  # fmt: skip


def test_text_where_a_list_is_wanted():
    assert bridge_head("dns: 9.9.9.9") == 'dns: must be a list, and is text; write ["9.9.9.9"]'


@pytest.mark.parametrize(
    ("written", "mac"),
    [("02:42:0A:00:00:05", "02:42:0a:00:00:05"), ("02-42-0a-00-00-05", "02:42:0a:00:00:05")],
)
def test_macs_have_one_form(written, mac):
    assert container(f"mac: {written}").mac == mac


def container(fields):
    documents = (
        manifest("Bridge", "web", f"{{{SUBNET}}}"),
        manifest("Container", "c", f"{{bridge: web, {fields}}}"),
    )
    return catalog_of(*documents).resources["Container/c"].spec


def container_head(fields):
    documents = (
        manifest("Bridge", "web", f"{{{SUBNET}}}"),
        manifest("Container", "c", f"{{bridge: web, {fields}}}"),
    )
    (head,) = heads_of(*documents)
    return head.removeprefix("Container/c: spec.")


@pytest.mark.parametrize(
    ("fields", "head"),
    [
        ("mac: 03:00:00:00:00:01", "mac: 03:00:00:00:00:01 is a group address; the first byte must be even, as 02:00:00:00:00:01"),
        ("mac: 00:00:00:00:00:00", "mac: the MAC address is all zeros; write one as 02:42:0a:00:00:05"),
        ("mac: 02:42", 'mac: "02:42" is not a MAC address; write six pairs as 02:42:0a:00:00:05'),
        ("hostname: a b", 'hostname: "a b" is not a host name; use letters, digits, - and .'),
        ("hostname: " + "a" * 65, f'hostname: "{"a" * 57}…" has 65 characters; 64 at most'),
        ("dnsSearch: ['a..b']", 'dnsSearch[0]: "a..b" is not a domain name; write one as example.com'),
        ("dnsOptions: ['a b']", 'dnsOptions[0]: "a b" is not one word; leave out blanks'),
        ("extraHosts: [db]", 'extraHosts[0]: "db" has no address; write NAME:ADDRESS'),
        ("extraHosts: ['db:x']", 'extraHosts[0]: "x" is not an address; write one as 10.0.0.5'),
        ("extraHosts: {db: [1]}", "extraHosts: must be text, and is a list"),
        ("sysctls: {kernel.pid_max: 1}", 'sysctls: "kernel.pid_max" is not a sysctl of a network namespace; only net.* belongs to a network namespace, as net.ipv4.ip_forward'),
        ("sysctls: {net.ipv4.conf/../../kernel/x: 1}", 'sysctls: "net.ipv4.conf/../../kernel/x" is not a sysctl of a network namespace; only net.* belongs to a network namespace, as net.ipv4.ip_forward'),
        ("sysctls: {net..x: 1}", 'sysctls: "net..x" is not a sysctl of a network namespace; only net.* belongs to a network namespace, as net.ipv4.ip_forward'),
        ("sysctls: {net.x: true}", "sysctls: net.x cannot be a boolean; write a number or text"),
        ('sysctls: {net.x: "1\\n2"}', 'sysctls: net.x cannot be "1\\n2"; write one line of text'),
        ("sysctls: [net.x]", "sysctls: must be a mapping, and is a list; as {net.ipv4.ip_forward: 1}"),
        ("links: ['a b']", 'links[0]: "a b" is not a link; write NAME or NAME:ALIAS'),
        ("routes: [{to: 10.1.0.1/16, via: 10.0.0.2}]", 'routes[0].to: "10.1.0.1/16" has host bits set; write 10.1.0.0/16'),
        ("routes: [{to: home, via: 10.0.0.2}]", 'routes[0].to: "home" is not an address; write one as 10.0.0.5'),
        ("routes: [{via: 10.0.0.2}]", "routes[0].to: is required; for example to: 10.1.0.0/16"),
        ("routes: [{to: default, via: 10.0.0.2, mettric: 1}]", 'routes[0].mettric: unknown field; did you mean "metric"?'),
        ("addresses: [auto4]", 'addresses[0]: "auto4" is not an address; write one as 10.0.0.5, or auto'),
        ("network: hots", 'network: "hots" is not known; did you mean "host"?'),
        ("runtime: dockr", 'runtime: "dockr" is not known; did you mean "docker"?'),
        ("runtime: xyz", 'runtime: "xyz" is not known; write netns, path, pid, docker or podman'),
        ("runtime: [a]", "runtime: must be netns, path, pid, docker or podman, and is a list"),
    ],
)  # fmt: skip
def test_what_a_container_refuses(fields, head):
    assert container_head(fields) == head


def test_plain_numbers_are_text_where_text_is_wanted():
    spec = container(
        "hostname: 123, domainname: 1.10, dnsOptions: [1], runtime: docker, image: 1.27, user: 1000, "
        "command: [sleep, 3600, true], env: {DEBUG: true, N: 1_000}, sysctls: {net.ipv4.ip_forward: 1}"
    )

    assert (spec.hostname, spec.domainname, spec.dns_options) == ("123", "1.10", ("1",))
    assert (spec.image, spec.user) == ("1.27", "1000")
    assert spec.command == ("sleep", "3600", "true")
    assert spec.env == {"DEBUG": "true", "N": "1_000"}
    assert spec.sysctls == {"net.ipv4.ip_forward": "1"}


def test_the_forms_of_hosts_commands_and_environments():
    listed = container("extraHosts: ['db:10.0.0.9', 'six:fd00::9', 'up:host-gateway']")
    mapped = container("extraHosts: {db: 10.0.0.9, six: '[fd00::9]', up: host-gateway}")
    engine = "runtime: podman, image: x"

    assert listed.extra_hosts == mapped.extra_hosts
    assert [str(host) for host in listed.extra_hosts] == [
        "db:10.0.0.9",
        "six:fd00::9",
        "up:host-gateway",
    ]
    assert container(f"{engine}, command: \"sh -c 'a b'\"").command == ("sh", "-c", "a b")
    assert container(f"{engine}, env: [A=b=c, D=]").env == {"A": "b=c", "D": ""}


@pytest.mark.parametrize(
    ("fields", "head"),
    [
        ("env: [A]", 'env: "A" has no value; write A=value'),
        ("env: A", "env: must be a mapping or a list, and is text; write {NAME: value} or [NAME=value]"),
        ("env: {A: [b]}", "env: A must be text, and is a list"),
        ("env: {A-B!: c}", 'env: "A-B!" is not a name of a variable; use letters, digits and _'),
        ("command: \"'\"", 'command: "\'" cannot be split: No closing quotation; write a list of words'),
        ("volumes: [a]", 'volumes[0]: "a" is not a volume; write HOST:CONTAINER, as /srv/www:/www:ro'),
        ("restart: yes", 'restart: "yes" is not a restart policy; write no, always, unless-stopped, on-failure or on-failure:RETRIES'),
    ],
)  # fmt: skip
def test_what_an_engines_container_refuses(fields, head):
    assert container_head(f"runtime: docker, image: x, {fields}") == head


def test_restart_no_is_not_a_boolean():
    assert container("runtime: docker, image: x, restart: no").restart == "no"


def rate(text):
    ends = "[{container: a, interface: x}, {host: true}]"
    documents = (
        manifest("Container", "a", "{network: none}"),
        manifest("Link", "l", f"{{endpoints: {ends}, rate: {text}}}"),
    )
    return catalog_of(*documents).resources["Link/l"].spec.rate


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("10mbit", 10_000_000), ("1.5gbit", 1_500_000_000), ("64000", 64_000), ("100kbps", 800_000),
        ("8Kibit", 8192), ("1mibps", 8 * 2**20), ("0.03t", 3 * 10**10), ("8000", 8000), ("1kbps", 8000), ("10MBIT", 10_000_000),
    ],
)  # fmt: skip
def test_rates_in_the_notation_of_tc(text, bits):
    assert rate(text) == bits


@pytest.mark.parametrize(
    "text",
    [
        "fast",
        "10 mbit",
        "-1mbit",
        "0",
        "7",
        "1e3mbit",
        "[]",
        "99999999tbit",
        "''",
        "7999",
        "35gbit",
    ],
)
def test_what_is_no_rate(text):
    ends = "[{container: a, interface: x}, {host: true}]"
    (head,) = heads_of(
        manifest("Container", "a", "{network: none}"),
        manifest("Link", "l", f"{{endpoints: {ends}, rate: {text}}}"),
    )

    assert head.startswith("Link/l: spec.rate: ")
