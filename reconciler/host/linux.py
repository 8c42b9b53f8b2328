"""LinuxHost: the running kernel, observed by dumps, changed by requests, namespace by namespace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from reconciler.core.execute import FIREWALL, Outcome, execute
from reconciler.core.object import Owner
from reconciler.core.plan import Operation, Plan
from reconciler.core.state import State
from reconciler.errors import HostError
from reconciler.host.announce import announce
from reconciler.host.base import EVERYTHING, Interest, Scope
from reconciler.host.conntrack import forget_flows
from reconciler.host.firewall.apply import HostFirewall
from reconciler.host.firewall.programs import Family
from reconciler.host.kernel import Kernel, OperationError
from reconciler.host.look import Look
from reconciler.host.monitor import RECEIVE_BUFFER, Monitor
from reconciler.host.operations import Operations
from reconciler.objects.announcements import announcements
from reconciler.objects.flows import find_stale_flows
from reconciler.objects.marks import parse_mark


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
        self.look = Look(self._kernel, self._firewall, set_name, self.counters)
        self._seen = State()

    def observe(self, interest: Interest = Interest(), scope: Scope = EVERYTHING) -> State:
        """Read the host's namespace, all that are ours, and those of *interest*, or a scope of it.

        Raises:
            HostError: The kernel refused.
            PrivilegeError: A namespace may not be entered.
        """
        self._kernel.forget()
        self.look.look(interest, scope)
        self._seen = self.look.state
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

    def watch(self, receive_buffer: int = RECEIVE_BUFFER) -> Monitor:
        """Subscribe to what others change; the look that follows misses nothing.

        Raises:
            HostError: The kernel refused.
        """
        self.look.number_namespaces()
        return Monitor(
            self.look.name_of,
            self._kernel.ports.__contains__,
            self._firewall.started,
            receive_buffer,
        )

    def watched(self, family: Family) -> bool:
        """Tell whether the kernel says when rules of a family change."""
        return self._firewall.watched(family)

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

    def rest(self) -> None:
        """Let go of all namespaces until they are needed again: a descriptor keeps one alive."""
        self._kernel.forget()

    def close(self) -> None:
        """Let go of all namespaces, for good."""
        self._kernel.close()
