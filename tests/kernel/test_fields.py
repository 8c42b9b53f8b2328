"""Every field of the manifests, from absent to set to changed to absent again, on a real kernel.

The fields are read out of the models, so that a new one needs either a case here or a line that
says why the kernel shows nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest

from reconciler.kinds import KINDS
from reconciler.kinds.inert import CHECKS, ENGINES, INERT
from reconciler.manifest.model import Model
from tests.kernel.bridge_fields import BRIDGE_CASES
from tests.kernel.case import Case
from tests.kernel.container_fields import CONTAINER_CASES
from tests.kernel.link_fields import LINK_CASES
from tests.kernel.passes import converge
from tests.world import Host

CASES = (*BRIDGE_CASES, *CONTAINER_CASES, *LINK_CASES)

FIREWALL = "goes into the firewall"
NAMES = "goes into the files of /etc/netns"
PART = "of a field that has a line of its own"

# Fields of which the kernel's links, addresses, routes and sysctls show nothing, and why. For what
# has no effect at all it is the program's own reason, with which it warns of the field.
UNSEEN = {
    "Bridge.icc": FIREWALL,
    "Bridge.masquerade": FIREWALL,
    "Bridge.mode": FIREWALL,
    "Bridge.mode.ipv4": PART,
    "Bridge.mode.ipv6": PART,
    "Bridge.iptables": FIREWALL,
    "Bridge.bindAddress": FIREWALL,
    "Bridge.hairpin": FIREWALL,
    "Bridge.dns": NAMES,
    "Bridge.dnsSearch": NAMES,
    "Bridge.dnsOptions": NAMES,
    "Container.hostname": NAMES,
    "Container.domainname": NAMES,
    "Container.dns": NAMES,
    "Container.dnsSearch": NAMES,
    "Container.dnsOptions": NAMES,
    "Container.extraHosts": NAMES,
    "Container.expose": FIREWALL,
    "Container.publish": FIREWALL,
    "Container.publishAll": FIREWALL,
    "Container.links": FIREWALL,
    "Container.image": ENGINES,
    "Container.command": ENGINES,
    "Container.env": ENGINES,
    "Container.volumes": ENGINES,
    "Container.restart": ENGINES,
    "Container.user": ENGINES,
    "Check.from": PART,
    "Check.to": CHECKS,
    "Check.expect": PART,
    "Check.timeout": PART,
}

# Of these a part acts, and has a case; the program warns of the rest.
PARTLY = {"Container.runtime"}
WARNED = {CHECKS, ENGINES}


def fields_of(model: type[Model], path: str) -> Iterator[str]:
    """The fields of a model and of the models in them, as users write them."""
    for field in model.model_fields.values():
        place = f"{path}.{field.alias}"
        yield place
        for inner in models_in(field.annotation):
            yield from fields_of(inner, place)


def models_in(annotation: object) -> Iterator[type[Model]]:
    """The models that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


ALL_FIELDS = {path for kind in KINDS for path in fields_of(kind.model, kind.name)}


def test_every_field_has_a_case_or_a_reason_why_it_has_none():
    covered = {field for one in CASES for field in one.fields}

    assert {"Container.interfaces.mac", "Link.endpoints.routes.via"} <= ALL_FIELDS
    assert covered | UNSEEN.keys() == ALL_FIELDS
    assert covered & UNSEEN.keys() == set()


def test_the_program_warns_of_exactly_the_fields_that_have_no_effect():
    models = {kind.name: kind.model for kind in KINDS}
    warned = {f"{i.kind}.{models[i.kind].model_fields[i.field].alias}": i.reason for i in INERT}
    partly = {field: warned.pop(field) for field in PARTLY}

    assert warned == {field: reason for field, reason in UNSEEN.items() if reason in WARNED}
    assert partly.keys() <= {field for one in CASES for field in one.fields}


@pytest.mark.parametrize("one", CASES, ids=str)
def test_a_field_acts_when_it_is_set_changed_and_removed(host: Host, one: Case):
    with one.prepare(host) as words:
        for manifests, fact in one.steps:
            text = manifests
            for word, value in words.items():
                text = text.replace(word, value)
            host.manifests.write("all.yaml", text)

            converge(host)

            assert one.look(host) == fact, text


@pytest.mark.parametrize("one", CASES, ids=str)
def test_what_a_field_becomes_does_not_depend_on_what_was_there_before(host: Host, one: Case):
    """Every step alone on a fresh host converges, so that no value only works as a change."""
    with one.prepare(host) as words:
        text = one.steps[1].manifests
        for word, value in words.items():
            text = text.replace(word, value)
        host.manifests.write("all.yaml", text)

        converge(host)

        assert one.look(host) == one.steps[1].fact
