"""Run every benchmark, one process each, and put the figures into `bench-results/` and docs/benchmarks.md.

`python -m tests.bench [NAME ...]`: only those. A benchmark that fails is said to have failed; the others go on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tests.bench import report

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "bench-results"
PAGE = HERE.parents[1] / "docs" / "benchmarks.md"
MARK = "<!-- figures: everything below is written by `make bench` -->\n"


def main() -> int:
    """Run them; the exit status is 1 when one of them failed to run."""
    known = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(known)}; all of them when none is named")
    names = parser.parse_args().names or known
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no benchmark {unknown[0]!r}: expected one of {', '.join(known)}")
    RESULTS.mkdir(exist_ok=True)
    failed = []
    for name in names:
        done = subprocess.run(
            [sys.executable, "-m", f"tests.bench.bench_{name}", "--json", RESULTS / f"{name}.json"], check=False
        )
        if done.returncode:
            failed.append(name)
            print(f"benchmark {name} failed with status {done.returncode}", file=sys.stderr)
    reports = [report.load(path) for path in sorted(RESULTS.glob("*.json"))]
    head = PAGE.read_text().split(MARK)[0] if PAGE.exists() else "# Benchmarks\n\n"
    PAGE.write_text(head + MARK + "\n" + report.markdown(reports))
    print(f"figures in {PAGE.name} and {RESULTS.name}/")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
