"""The report's page in a real browser without a network, and its PDFs."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.availability.history import Monitored, Result, Status
from scheduler.availability.timelines import windows
from scheduler.availability.timelines.prepared import prepare
from scheduler.publish import sheet
from scheduler.publish.page import MOST_DETAILS, page, pdf
from tests.pure.report_sample import DAY, HOUR, NAMES, NOW, history, sample

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not shutil.which("chromium"), reason="there is no Chromium"),
]
DARK, LIGHT = "0", "1"


MEASURED = """<script>
const waiting = setInterval(() => {
  const page = document.documentElement;
  if (!page.dataset.drawn) return;
  clearInterval(waiting);
  const boxes = [...document.querySelectorAll(".role-axis-label")].map(axis => [...axis.querySelectorAll("text")]
    .filter(text => text.textContent && getComputedStyle(text).opacity > 0).map(text => text.getBoundingClientRect()));
  const apart = (one, other) => one.right <= other.left || other.right <= one.left || one.bottom <= other.top || other.bottom <= one.top;
  const run = boxes.flatMap(axis => axis.flatMap((one, n) => axis.slice(n + 1).filter(other => !apart(one, other))));
  const widths = [...document.querySelectorAll(".chart svg")].map(chart => Math.round(chart.getBoundingClientRect().width));
  page.dataset.measured = [innerWidth, page.scrollWidth, Math.min(...widths), run.length, boxes.flat().length].join(" ");
}, 100);
</script>"""


def browse(file, home, *options, scheme=LIGHT, size="1200,1600"):
    """Open a page in a network namespace of its own, where nothing can be reached; return (what it wrote, its log)."""
    alone = ["unshare", "--net"] if os.getuid() == 0 else []
    always = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={home}"]
    scheme = [f"--blink-settings=preferredColorScheme={scheme}", f"--window-size={size}"]
    command = [*alone, "chromium", *always, *scheme, *options, file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    directory = tmp_path_factory.mktemp("page")
    file = directory / "report.html"
    file.write_text(page(sample()))
    return file, directory


def test_the_charts_are_drawn_without_a_network_or_an_error(opened):
    file, home = opened
    for budget in (5_000, 20_000, 60_000):  # milliseconds of the page's time; drawing takes some, and the machine may be busy
        dom, log = browse(file, home, "--dump-dom", f"--virtual-time-budget={budget}")
        assert not re.findall(r".*CONSOLE.*source: (?!chrome://).*", log), "what the browser says of its own pages is not ours"
        if "data-drawn" in dom:
            break
    assert 'data-drawn="3"' in dom
    for chart, bars in enumerate((8, 8, 3)):
        drawn = dom.split(f'id="chart-{chart}"')[1].split("</section>")[0]
        assert drawn.count('aria-roledescription="bar"') >= bars, f"chart {chart} has its bars"
    assert all(name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in dom for name in NAMES)


@pytest.mark.parametrize("width", [500, 1200, 2000])  # a headless browser's window has at least 500
def test_the_page_fits_narrow_and_wide_windows_and_no_two_labels_of_an_axis_run_together(opened, width, tmp_path):
    file, _ = opened
    (tmp_path / "page.html").write_text(file.read_text() + MEASURED)
    for budget in (5_000, 20_000, 60_000):
        options = ("--dump-dom", f"--virtual-time-budget={budget}")
        dom, _ = browse(tmp_path / "page.html", tmp_path / "home", *options, size=f"{width},1600")
        if found := re.search(r'data-measured="([^"]+)"', dom):
            break
    inside, needed, chart, run_together, labels = map(int, found[1].split())
    assert needed <= inside, "nothing but a table of its own is scrolled sideways"
    assert chart > 0.8 * inside, "charts use the width there is"
    assert labels > 20
    assert run_together == 0


def test_every_link_of_the_page_leads_somewhere_and_every_service_has_its_strip(opened):
    file, home = opened
    dom, _ = browse(file, home, "--dump-dom", "--virtual-time-budget=1000")
    links = set(re.findall(r'href="#([^"]+)"', dom))
    assert links > {"figures", "objectives", "services", "agreed"}
    assert [one for one in links if f'id="{one}"' not in dom] == []
    assert dom.count('class="strip"') == len(NAMES)


def test_light_and_dark_readers_get_their_own_colours(opened):
    file, home = opened
    shots = {}
    for scheme in (LIGHT, DARK):
        browse(file, home, "--virtual-time-budget=5000", f"--screenshot={home}/{scheme}.png", scheme=scheme)
        shots[scheme] = brightness(home / f"{scheme}.png")
    assert shots[LIGHT] > 200
    assert shots[DARK] < 60


def test_the_page_prints(opened):
    file, home = opened
    browse(file, home, f"--print-to-pdf={home}/printed.pdf", "--no-pdf-header-footer")
    assert "Availability of hill" in text_of(home / "printed.pdf")


def test_the_boards_pdf_holds_every_service_and_every_figure(tmp_path):
    report = sample()
    (tmp_path / "report.pdf").write_bytes(pdf(report))
    said = text_of(tmp_path / "report.pdf")
    assert all(name in said for name in NAMES)
    assert all(part in said for part in report.rows["gratia"][-1].figure.split("/"))
    assert "nobody yet" in said
    assert all(word in said for word in ("excuse", "kleene-1", "Europe/Rome", report.report.zone_data)), "what it rests on"
    assert "the board" in said


def test_a_pdf_details_those_that_lost_most_and_says_so(tmp_path):
    many = tuple(f"s{n:02}" for n in range(MOST_DETAILS + 3))
    results = [Result(NOW - 9 * DAY - n * HOUR, name, Status.CRITICAL) for n, name in enumerate(many)]
    results += [Result(NOW - 9 * DAY, name, Status.OK) for name in many]
    few = replace(history(), objects=tuple(map(Monitored, many)), groups=(), results=tuple(results), objectives=())
    past = windows.named("past-week", NOW, "Europe/Rome")
    month = windows.named("30d", NOW, "Europe/Rome")
    (tmp_path / "report.pdf").write_bytes(pdf(sheet.make(prepare(few), [past], "excuse", site="hill", detail=month)))
    said = text_of(tmp_path / "report.pdf")
    assert f"These {MOST_DETAILS} of {len(many)} lost most." in said
    assert [name for name in many if said.count(name) < 1 + (name > many[2])] == [], "all in the table, most in detail"
    assert [name for name in many[:3] if f"{name} (service)" in said] == []


def test_the_command_writes_both_or_says_why_not(tmp_path):
    history = tmp_path / "history.yaml"
    history.write_text(
        "now: 2026-03-10T12:00:00Z\nobjects: [{name: ce}]\nevents: [{at: 2026-03-02T00:00:00Z, object: ce, status: OK}]\n"
    )
    ambienti = [Path(sys.executable).with_name("ambienti"), "report", "--history", history]
    page_file, pdf_file = tmp_path / "r.html", tmp_path / "r.pdf"
    subprocess.run([*ambienti, "--html", page_file, "--pdf", pdf_file], check=True, timeout=240)
    assert page_file.read_text().startswith("<!DOCTYPE html>")
    assert "100.00 %" in text_of(pdf_file)
    refused = subprocess.run([*ambienti, "--html", tmp_path / "no" / "r.html"], capture_output=True, text=True, timeout=240)
    assert refused.returncode == 2
    assert "No such file or directory" in refused.stderr


def brightness(picture):
    """Return the brightness of a picture's corner, 0 to 255."""
    import struct
    import zlib

    data, at, packed = picture.read_bytes(), 8, b""
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            packed += data[at + 8 : at + 8 + length]
        at += 12 + length
    return sum(zlib.decompress(packed)[1:4]) / 3


def text_of(file):
    return subprocess.run(["pdftotext", "-layout", file, "-"], capture_output=True, text=True, timeout=240, check=True).stdout
