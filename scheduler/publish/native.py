"""The child in which native libraries draw and lay out: one task from standard input, its result to standard output.

Run as `python -m scheduler.publish.native` by `apart`. It may crash: that is why it is a process of its own.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
from collections.abc import Callable
from typing import Any

MOST_MEMORY_BYTES = 2 * 2**30
MOST_OUTPUT_BYTES = 2**30


def svg(spec: dict[str, Any]) -> bytes:
    """Draw a Vega-Lite specification."""
    import vl_convert

    return vl_convert.vegalite_to_svg(spec).encode()


def library(_given: None) -> bytes:
    """Return the library that draws charts on a page."""
    import vl_convert

    return vl_convert.javascript_bundle().encode()  # type: ignore[call-arg]  # the stub does not know the snippet's default


def pdf(html: str) -> bytes:
    """Lay a page out."""
    import weasyprint

    # It warns of every rule of the page that is for screens alone.
    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    written: bytes = weasyprint.HTML(string=html).write_pdf()
    return written


TASKS: dict[str, Callable[[Any], bytes]] = {"svg": svg, "library": library, "pdf": pdf}


def main() -> None:
    """Do what standard input asks for."""
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_OUTPUT_BYTES, MOST_OUTPUT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    task = json.load(sys.stdin)
    sys.stdout.buffer.write(TASKS[task["task"]](task["given"]))


if __name__ == "__main__":
    main()
