"""Draw the README's picture from a running farm: `python docs/pictures.py` runs the demo and draws its twentieth second."""

import io
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from scheduler.model import snapshot
from scheduler.show.live_view import LiveView, ShownAction

OUT = Path(__file__).parent / "pictures"
SECONDS = 20
LOCAL_FONTS = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def main():
    """Watch a demo from outside, as `ambienti status` does, and draw what its live view would show."""
    program = Path(sys.executable).with_name("ambienti")
    demo = subprocess.Popen([program, "demo", "--seconds", str(SECONDS + 5)], stdout=subprocess.PIPE, text=True)
    address = ""
    while not address:
        site = re.search(r"--site (\S+)", demo.stdout.readline())
        address = re.search(r'listen: "(.*?)"', Path(site[1]).read_text())[1] if site else ""
    view = LiveView(
        Console(record=True, force_terminal=True, color_system="truecolor", width=118, height=34, file=io.StringIO())
    )
    end, seen, last = time.monotonic() + SECONDS, set(), None
    while time.monotonic() < end:
        time.sleep(0.4)
        try:
            with urllib.request.urlopen(f"http://{address}/snapshot", timeout=5) as answer:
                last = snapshot.load(answer.read())
        except OSError:
            continue
        view._started_at = view._started_at or last.observation.now
        for action in last.plan.actions if last.plan and last.observation.now not in seen else ():
            view.recent.append(ShownAction(last.observation.now, action))
        seen.add(last.observation.now)
    demo.wait(60)
    view.console.print(view.picture(last.observation, last.policy, last.plan))
    view.console.save_svg(str(OUT / "demo.svg"), title="ambienti demo", code_format=LOCAL_FONTS)


if __name__ == "__main__":
    main()
