"""Topics: what `reconciler explain` says beside the kinds. Plain text, 76 columns at most."""

from __future__ import annotations

from reconciler.cli import exit_codes
from reconciler.formats.resolver import FALLBACK, FALLBACK_IPV6
from reconciler.manifest.document import DEPTH_MAX
from reconciler.manifest.source_text import FILE_BYTES_MAX
from reconciler.objects.address import PROTOCOL

SUMMARIES = {
    "exit-codes": "What a pipeline can rely on.",
    "sets": "Several sets of manifests on one host, and what is pruned.",
    "ownership": "How we know what is ours, and what becomes of the rest.",
    "addresses": "Where automatic addresses and MACs come from.",
    "names": "hostname, hosts and resolv.conf of a container.",
    "sysctls": "Kernel parameters that are set along with the network.",
    "yaml": "How manifests are read.",
    "loop": "What run watches, what drift is, and what is done about it.",
}

_SERVERS = ", ".join(map(str, FALLBACK))
_SERVERS_IPV6 = ", ".join(map(str, FALLBACK_IPV6))

_EXIT_CODES = (
    (exit_codes.OK, "All is well: valid, in sync, converged."),
    (exit_codes.ERROR, 'An error. Never "changes": that is also how a program dies.'),
    (exit_codes.ERROR, "status: no loop answers."),
    (exit_codes.CHANGES, "diff: there are changes. status: not in sync. drift: some."),
    (exit_codes.FAILED, "apply, teardown, run --once: not converged; the report says why."),
    (exit_codes.LOCKED, "Another instance works on this host."),
    (exit_codes.USAGE, "A wrong command line."),
    (exit_codes.PRIVILEGE, "A missing privilege."),
    (exit_codes.INTERRUPTED, "Interrupted."),
    (exit_codes.PIPE, "Whoever read our output has gone."),
)

TOPICS = {
    "exit-codes": "\n".join(
        (
            *(f"{code:>3}  {meaning}" for code, meaning in _EXIT_CODES),
            "exec and sandbox exit with the command's code.",
        )
    ),
    "sets": """\
A host can serve several sets of manifests, by --set NAME; what is ours
carries its set. A directory is the whole truth of its set: what the set owns
and the directory no longer declares is deleted (--no-prune keeps it). A
single file or standard input adds and changes, and deletes with --prune only.
Manifests that declare nothing are an error, unless --allow-empty says that
this is meant. What another set owns is in the way like any stranger's thing.
teardown removes one set, teardown --all-sets all.""",
    "ownership": f"""\
Ours is what carries our mark in the kernel; there is no state file to lose.
Devices carry it in their alias (`reconciler SET Kind/name`) and their group,
namespaces in the alias of their lo, addresses and routes on our devices in
their protocol number ({PROTOCOL}). Beside the folder of a container's names in
/etc/netns lies a file with the mark.
What is not ours is neither changed nor shown. Where it is in the way of what
is declared, that is blocked and the diff says by what; --adopt takes it over.
A resource with the annotation reconciler/suspend: "true" is left as it is.""",
    "addresses": """\
An interface gets an automatic address in every family of its bridge that
`addresses` says nothing of: the lowest free one of ipRange, or of the subnet,
containers in the order of their names. Never handed out are the gateway's
address, `reserved`, what other manifests name, what anything else on this
host has in that subnet, the network's and the broadcast address. An
interface keeps the address that it has while it is valid, so a new container
renumbers no other. After a reboot nothing is there to be kept: what has to
last is written down.
A MAC that is not written is 02:42 and the four bytes of the IPv4 address, as
Docker's; without one it is a hash of set, kind, name and interface.""",
    "names": f"""\
They lie in /etc/netns/NAME, from where `ip netns exec` and `reconciler exec`
put them in place: hostname, hosts, resolv.conf.
resolv.conf: servers, search list and options come each from the container,
else from its bridge, else from the host's file, whose loopback servers are
left out; where no server is left, {_SERVERS} and with IPv6
{_SERVERS_IPV6}.
hosts: localhost, the container itself, extraHosts, the names and aliases of
its links, and the others of its bridges (not with icc: false).""",
    "sysctls": """\
A Bridge with an IPv4 address switches net.ipv4.ip_forward on, one with an
IPv6 address the forwarding of IPv6, unless it is internal, external or says
ipForward: false. A namespace that we made and where nothing has an IPv6
address gets net.ipv6.conf.all.disable_ipv6 = 1, as Docker does it; `sysctls`
can say otherwise. A kernel parameter carries no mark: it is set where it is
wanted, and stays as it is when nothing wants it any more.""",
    "yaml": f"""\
One or more documents a file (*.yaml, *.yml, *.json), in any number of files
and folders; hidden ones are left out. UTF-8, {FILE_BYTES_MAX >> 20} MiB a file at most, nested
{DEPTH_MAX} levels at most. YAML 1.2: yes, no, on and off are text, and 22:22 is
no number. A field that wants text takes 80, 1.10 or true as they are written.
A field that is written but empty counts as not written. Duplicate keys,
anchors, aliases, merge keys and tags are errors. Symbolic links are followed
inside the directory only.""",
    "loop": """\
`reconciler run` applies when a manifest changes: as a whole and valid, or not
at all. What is not declared any more goes when that has been so for a third
of a second. It hears of devices, addresses, routes and queues in every
namespace and of rules of nf_tables at once, of names by inotify; rules of
iptables-legacy and the host's parameters are looked at every --poll seconds,
everything every --full-look seconds, in slices.
Drift is what differs although no manifest changed. --drift, or the annotation
reconciler/drift of a resource, says what is done: heal it, report it until
the manifests change, or suspend. An object that drifts five times in ten
minutes is fought over: the program is named where the kernel tells, and the
object is left alone, ten seconds at first, ten minutes at most. What fails is
tried again after 50 ms at first, a minute at most, each object for itself.
Changes of devices, and of what is not nf_tables, addresses or routes, carry
no name: the kernel does not say who made them.
SIGTERM ends it and leaves the network as it is, SIGHUP looks at everything
and tries what waits, SIGUSR1 writes what it knows to the log.""",
}
