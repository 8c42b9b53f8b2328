"""LinuxHost: the running kernel, observed by dumps, changed by requests, namespace by namespace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from reconciler.core.execute import FIREWALL, Outcome, execute
from reconciler.core.object import HOST, Owner
from reconciler.core.plan import Operation, Plan
from reconciler.core.state import State
from reconciler.errors import HostError, PrivilegeError
from reconciler.formats.address import dump_addresses, parse_address
from reconciler.formats.link import dump_links, parse_link
from reconciler.formats.route import dump_routes, parse_route
from reconciler.host.announce import announce
from reconciler.host.base import Interest
from reconciler.host.conntrack import forget_flows
from reconciler.host.firewall.apply import HostFirewall
from reconciler.host.folders import read_folders, read_resolvers
from reconciler.host.kernel import Kernel, OperationError, list_sysctls, read_sysctl
from reconciler.host.listeners import read_listeners
from reconciler.host.named_namespaces import leftovers, list_namespaces
from reconciler.host.namespaces import inside
from reconciler.host.operations import Operations
from reconciler.host.traffic_control import read_qdiscs
from reconciler.objects.announcements import announcements
from reconciler.objects.flows import find_stale_flows
from reconciler.objects.marks import parse_mark
from reconciler.objects.observed import LOOPBACK, NamespaceDump, parse_state


class LinuxHost:
    """The kernel that the calling thread runs on, as its network namespace sees it."""

    def __init__(self, set_name: str = "default", counters: Counter[str] | None = None) -> None:
        """Open nothing yet.

        Args:
            set_name: The set whose things are "ours".
            counters: Where requests, dumps and written files are counted.
        """
        self.set_name = set_name
        self.counters: Counter[str] = Counter() if counters is None else counters
        self._kernel = Kernel(self.counters)
        self._firewall = HostFirewall(set_name, self.counters)
        self._seen = State()

    def observe(self, interest: Interest = Interest()) -> State:
        """Read the host's namespace, all that are ours, and those of *interest*.

        Of a stranger's namespace only the devices are read: one may be the peer of ours.

        Raises:
            HostError: The kernel refused.
            PrivilegeError: A namespace may not be entered.
        """
        self._kernel.forget()
        folders = [*read_folders(), *read_resolvers()]
        more = [*self._firewall.observe(needed=interest.firewall)]
        if interest.listeners or interest.everything:
            more += [(listener, None) for listener in read_listeners()]
        self._seen = parse_state(self._dumps(interest), self.set_name, folders, more)
        return self._seen

    def execute(self, plan: Plan) -> Iterator[Outcome]:
        """Carry out *plan*, and tell neighbours what has moved; a refusal is an outcome.

        What has moved follows from the plan and the last look, the one that the plan was made from.
        """
        operations = Operations(self._kernel, self._firewall, self.set_name, plan.desired)

        rest = [one for one in plan.operations if one.key.type not in FIREWALL]

        def perform(batch: Sequence[Operation]) -> Sequence[str | None]:
            errors = operations.perform(batch)
            if batch and batch[0].key.type in FIREWALL:
                # Before anybody else gets an address: a flow would lead there whatever the rules say.
                worked = (one for one, error in zip(batch, errors, strict=True) if error is None)
                self._forget_flows([*worked, *rest])
            return errors

        if len(rest) == len(plan.operations):
            self._forget_flows(rest)
        done = []
        for outcome in execute(plan, perform):
            if outcome.error is None:
                done.append(outcome.operation)
            yield outcome
        announce(self._kernel, announcements(Plan(tuple(done)), self._seen))
        self._forget_flows(done)

    def _forget_flows(self, operations: Sequence[Operation]) -> None:
        forget_flows(find_stale_flows(operations, self._seen), self.counters)

    @property
    def warnings(self) -> list[str]:
        """What the last look found and no change can put right."""
        return [
            f"our chains are also in the {backend} tables of IPv{family}, which this host does not "
            "use; apply --clean-backend removes them there"
            for family, backend in sorted(self._firewall.split.items())
        ]

    def clean_backends(self) -> list[str]:
        """Take our chains out of the packet filter that this host does not use; list refusals."""
        return self._firewall.clean()

    def owner_of(self, netns: str) -> Owner | None:
        """Tell whose a named namespace is, without looking at anything else; None if nobody's."""
        try:
            return parse_mark(self._kernel.find(netns, "lo").alias)
        except (HostError, OperationError):
            return None

    def close(self) -> None:
        """Let go of all namespaces."""
        self._kernel.close()

    def _dumps(self, interest: Interest) -> Iterator[NamespaceDump]:
        yield self._dump(HOST, interest, whole=True)
        named = list_namespaces()
        for space in named:
            if space.mounted:
                whole = interest.everything or space.name in interest.namespaces
                dump = self._try_dump(space.name, interest, whole)
                if dump is not None:
                    yield dump
        for left in leftovers() if any(not space.mounted for space in named) else ():
            yield NamespaceDump(left.name, leftover=left.mark)
        for path in sorted(interest.namespaces):
            if path.startswith("/"):
                dump = self._try_dump(path, interest, whole=True)
                if dump is not None:
                    yield dump

    def _try_dump(self, name: str, interest: Interest, whole: bool) -> NamespaceDump | None:
        """Dump a namespace that may vanish at any moment; None if it did."""
        try:
            return self._dump(name, interest, whole=whole)
        except PrivilegeError:
            raise
        except HostError:
            if any(space.name == name and space.mounted for space in list_namespaces()):
                raise
            return None

    def _dump(self, name: str, interest: Interest, *, whole: bool) -> NamespaceDump:
        space = self._kernel.at(name)
        links = space.socket.dump(dump_links(), parse_link)
        for link in links:
            self._kernel.note(name, link.name, link.ifindex)
        lo = next((link for link in links if link.ifindex == LOOPBACK), None)
        if not whole and (lo is None or parse_mark(lo.alias) is None):
            return NamespaceDump(name, links)
        return NamespaceDump(
            name,
            links,
            space.socket.dump(dump_addresses(), parse_address),
            space.socket.dump(dump_routes(), parse_route),
            self._sysctls(space.fd, name, interest),
            read_qdiscs(self._kernel, name, links),
        )

    def _sysctls(self, fd: int, netns: str, interest: Interest) -> dict[str, str]:
        wanted = interest.sysctls_of(netns)
        if not wanted and not interest.everything:
            return {}
        with inside(fd):
            if interest.everything:
                wanted = sorted({*wanted, *list_sysctls()})
            found = {name: read_sysctl(name) for name in wanted}
        return {name: value for name, value in found.items() if value is not None}
