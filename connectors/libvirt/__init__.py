"""libvirt: Xen, QEMU/KVM, LXC and libvirt's own test driver through one connector."""

from connectors.libvirt.host import connect as connect
