"""hooks"""

from __future__ import annotations


def hooks(options: object, environments: object, vos: object) -> str:
    """X"""
    return ""
