"""Sources that name hypervisor hosts: DNS service records, and inventory files of the site's own tools."""
