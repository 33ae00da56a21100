"""Scenario directories: README.md, scenario.yaml, log.expect."""
