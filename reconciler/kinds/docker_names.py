"""Docker names: what Docker calls the fields, for those who look for its options.

Options of `docker run` (Container), of `docker network create` and of dockerd (Bridge); brctl(8)
for what Docker has no option for.
"""

from __future__ import annotations

DOCKER_NAMES = {
    "Bridge.device": "-b, com.docker.network.bridge.name",
    "Bridge.external": "-b BRIDGE",
    "Bridge.addresses": "--bip",
    "Bridge.ipRange": "--fixed-cidr, --ip-range",
    "Bridge.reserved": "--aux-address",
    "Bridge.mtu": "--mtu",
    "Bridge.icc": "--icc",
    "Bridge.masquerade": "--ip-masq",
    "Bridge.internal": "--internal",
    "Bridge.mode": "-o com.docker.network.bridge.gateway_mode_ipv4=…, …_ipv6=…",
    "Bridge.iptables": "--iptables, --ip6tables",
    "Bridge.ipForward": "--ip-forward",
    "Bridge.bindAddress": "--ip, daemon.json `ip`",
    "Bridge.dns": "--dns",
    "Bridge.dnsSearch": "--dns-search",
    "Bridge.dnsOptions": "--dns-opt",
    "Bridge.ports": "brctl addif",
    "Bridge.stp": "brctl stp",
    "Bridge.forwardDelay": "brctl setfd",
    "Bridge.ageingTime": "brctl setageing",
    "Bridge.hairpin": "brctl hairpin",
    "Container.network": "--network",
    "Container.bridge": "--network NAME",
    "Container.addresses": "--ip, --ip6",
    "Container.mac": "--mac-address",
    "Container.hostname": "-h, --hostname",
    "Container.domainname": "--domainname",
    "Container.dns": "--dns",
    "Container.dnsSearch": "--dns-search",
    "Container.dnsOptions": "--dns-option",
    "Container.extraHosts": "--add-host",
    "Container.expose": "--expose",
    "Container.publish": "-p, --publish",
    "Container.publishAll": "-P, --publish-all",
    "Container.links": "--link NAME:ALIAS",
    "Container.sysctls": "--sysctl",
    "Container.image": "docker run IMAGE",
    "Container.command": "docker run IMAGE COMMAND",
    "Container.env": "-e, --env",
    "Container.volumes": "-v, --volume",
    "Container.restart": "--restart",
    "Container.user": "-u, --user",
}
"""By kind and field, as users write them."""
