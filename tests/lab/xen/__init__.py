"""A real Xen hypervisor in emulation: built from Debian's packages, started, crashed and stopped like a host of a farm."""
