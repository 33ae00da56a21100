"""The way back to YAML: plain data to text that the reader's door reads as the same data."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable


class _Dumper(yaml.SafeDumper):
    """Exact decimals are written as numbers, lists are indented under their key, nothing is an alias."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the same value twice is written twice
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)


def _decimal(dumper: yaml.SafeDumper, value: Decimal) -> yaml.Node:
    text = f"{value:f}"
    return dumper.represent_scalar("tag:yaml.org,2002:float", text if "." in text else f"{text}.0")


_Dumper.add_representer(Decimal, _decimal)


def write(documents: Iterable[object]) -> str:
    """Write documents of mappings, lists, text, booleans, whole numbers and exact decimals; keys stay in their order."""
    written = list(documents)
    return yaml.dump_all(
        written, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, explicit_start=len(written) > 1
    )
