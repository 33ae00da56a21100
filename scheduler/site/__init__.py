"""The site as its files describe it: read, checked, kept fresh, and composed into a running farm."""
