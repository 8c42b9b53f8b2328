"""Objects: what the kernel holds, one module each; this is the explicit list.

Every module says how the object is recognised as ours after a restart without memory, what it
requires and dies with, what the kernel sets by itself, and which fields cannot change in place.
"""

from reconciler.objects.address import Address
from reconciler.objects.bridge import BridgeDevice
from reconciler.objects.chain import FirewallChain
from reconciler.objects.device import OtherDevice
from reconciler.objects.directory import Directory
from reconciler.objects.file import File
from reconciler.objects.listener import Listener
from reconciler.objects.namespace import Namespace
from reconciler.objects.port import Port
from reconciler.objects.qdisc import Qdisc
from reconciler.objects.route import Route
from reconciler.objects.rule import FirewallJump, FirewallRule
from reconciler.objects.sysctl import Sysctl
from reconciler.objects.veth import Veth

OBJECTS = (
    *(Namespace, BridgeDevice, Veth, OtherDevice, Address, Route, Sysctl),
    *(Directory, File, Port, Qdisc),
    *(FirewallChain, FirewallRule, FirewallJump, Listener),
)

__all__ = [
    "OBJECTS",
    "Address",
    "BridgeDevice",
    "Directory",
    "File",
    "FirewallChain",
    "FirewallJump",
    "FirewallRule",
    "Listener",
    "Namespace",
    "OtherDevice",
    "Port",
    "Qdisc",
    "Route",
    "Sysctl",
    "Veth",
]
