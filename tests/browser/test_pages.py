"""A person's way through the dashboard and the report, in a real browser."""

import socket

import fabricated
import pytest

from tfsparse.charts.document import html_report

# Page -> how many charts it shows.
PAGES = {"Runs": 1, "Run": 6, "Model": 2, "Landscape": 4, "Figures and claims": 1, "Deploy": 1}


class Watch:
    """What a page complained about and whom it talked to."""

    def __init__(self, page):
        self.errors, self.strangers = [], []
        page.on("console", lambda line: line.type == "error" and self.errors.append(line.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._note)

    def _note(self, request):
        if not request.url.startswith(("http://localhost:", "ws://localhost:", "data:", "blob:",
                                       "file:")):  # fmt: skip
            self.strangers.append(request.url)


@pytest.fixture
def page(browser):
    page = browser.new_page()
    page.watch = Watch(page)
    yield page
    page.close()


def settled(page, title):
    """Wait until the page with that title is drawn whole."""
    page.get_by_role("heading", name=title, exact=True, level=1).wait_for()
    page.wait_for_function(f"!document.querySelector('{UNSETTLED}')")


UNSETTLED = "[data-testid=stStatusWidget], [data-testid=stSkeleton], [data-stale=true]"
CHART = "[data-testid=stVegaLiteChart]"


def wait_for_charts(page, count):
    """Wait until `count` charts hold drawn marks: shapes or pictures with an extent."""
    page.wait_for_function(
        """([chart, count]) => {
          const drawn = [...document.querySelectorAll(chart)].filter((place) =>
            [...place.querySelectorAll('svg .role-mark path, svg .role-mark image')].some(
              (mark) => { const box = mark.getBoundingClientRect();
                          return box.width + box.height > 3; }));
          return drawn.length >= count;
        }""",
        arg=[CHART, count],
    )


def test_click_through_every_page(page, server, pictures):
    page.goto(server)
    for title, charts in PAGES.items():
        page.get_by_role("link", name=title, exact=True).click()
        settled(page, title)
        wait_for_charts(page, charts)
        if title == "Runs":
            page.locator("[data-testid=stDataFrame] canvas").first.wait_for()
        settled(page, title)
        assert page.locator("[data-testid=stException]").count() == 0, title
        page.screenshot(path=pictures / f"{title.split()[0].lower()}.png", full_page=True)
    assert page.watch.errors == []
    assert page.watch.strangers == []


def test_the_chart_of_all_runs_follows_its_table(page, server):
    page.goto(server)
    settled(page, "Runs")
    page.locator("[data-testid=stDataFrame] canvas").first.wait_for()
    wait_for_charts(page, 1)  # without a click
    page.get_by_role("heading", name="Accuracy against sparsity: lenet_300_100").wait_for()
    assert page.watch.errors == []


def test_only_this_machine_is_served(server):
    port = int(server.rsplit(":", 1)[1])
    socket.create_connection(("localhost", port), timeout=5).close()
    others = {facts[4][0] for facts in socket.getaddrinfo(socket.gethostname(), port)}
    others = {address for address in others if not address.startswith("127.") and address != "::1"}
    if not others:
        pytest.skip("this machine has no address but the local one")
    for address in others:
        with pytest.raises(OSError):
            socket.create_connection((address, port), timeout=5)


def test_state_is_in_the_link(page, server):
    page.goto(f"{server}/run?run=pruned_80/seed_1&run=scratch_80/seed_0&x=epoch&fold=1")
    settled(page, "Run")
    wait_for_charts(page, 6)
    page.locator("[data-testid=stMultiSelect]").get_by_text("scratch_80/seed_0").first.wait_for()
    page.get_by_text("Fold replicates").click()
    page.wait_for_url("**fold=0**")
    assert "x=epoch" in page.url and "pruned_80" in page.url


def test_rows_are_opened_from_the_table(page, server):
    page.goto(f"{server}/?method=scratch")
    settled(page, "Runs")
    table = page.locator("[data-testid=stDataFrame] canvas").first
    table.wait_for()
    page.wait_for_timeout(500)
    box = table.bounding_box()
    page.mouse.click(box["x"] + 18, box["y"] + 53)  # the boxes of the first two rows
    page.mouse.click(box["x"] + 18, box["y"] + 88)
    page.get_by_role("button", name="Open selected").click()
    settled(page, "Run")
    wait_for_charts(page, 6)
    assert page.url.count("run=scratch_80") == 2


def test_mask_moves_smoothly(page, server, pictures):
    page.goto(f"{server}/model?run=pruned_80/seed_0&layer=dense1")
    settled(page, "Model")
    wait_for_charts(page, 2)
    mask = page.locator(f"{CHART} svg").first
    before = mask.screenshot()
    box = mask.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.evaluate(
        """() => { window.frames_seen = []; let last = performance.now();
          const step = (now) => { window.frames_seen.push(now - last); last = now;
            if (window.frames_seen.length < 200) requestAnimationFrame(step); };
          requestAnimationFrame(step); }"""
    )
    for _ in range(8):
        page.mouse.wheel(0, -240)
    page.mouse.down()
    for i in range(20):
        page.mouse.move(box["x"] + box["width"] / 2 + 3 * i, box["y"] + box["height"] / 2 + 4 * i)
    page.mouse.up()
    frames = sorted(page.evaluate("window.frames_seen"))
    assert mask.screenshot() != before
    mask.screenshot(path=pictures / "mask_zoomed.png")
    # Half of the frames within 100 ms even on a busy machine; a mark per weight takes seconds.
    assert len(frames) > 3 and frames[len(frames) // 2] < 100, frames


def test_exact_numbers_are_under_the_cursor(page, server):
    page.goto(f"{server}/landscape?result=between/curve")
    settled(page, "Landscape")
    wait_for_charts(page, 3)
    chart = page.locator(f"{CHART} svg").first
    box = chart.bounding_box()
    for part in (0.5, 0.52, 0.54):
        page.mouse.move(box["x"] + part * box["width"], box["y"] + box["height"] / 3)
        page.wait_for_timeout(150)
    tip = page.locator("#vg-tooltip-element")
    tip.wait_for(state="visible")
    words = tip.inner_text()
    assert all(name in words for name in ("t", "line", "curve")), words


def test_a_running_run_moves_without_reload(page, browser, tmp_path, server, runs):
    folder = fabricated.make_run(runs, "moving", steps=2000, state="stopped", method="rigl")
    try:
        with fabricated.held(folder):
            page.goto(f"{server}/?method=rigl")
            settled(page, "Runs")
            page.get_by_text("step 1,000 of 2,000").wait_for()
            with open(folder / "metrics.jsonl", "a") as log:
                log.write('{"kind": "train", "step": 1500, "loss": 0.5, "seconds": 4.5, '
                          '"images_per_second": 9.0, "epoch": 3}\n')  # fmt: skip
            page.get_by_text("step 1,500 of 2,000").wait_for(timeout=20_000)
            wait_for_charts(page, 1)
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def test_report_opens_from_a_file(page, runs, tmp_path, pictures):
    path = tmp_path / "report.html"
    path.write_text(html_report(runs))
    page.goto(path.as_uri())
    page.wait_for_function(
        "document.querySelectorAll('[data-drawn]').length"
        " === document.querySelectorAll('figure').length"
    )
    shapes = "figure svg [role=graphics-symbol], figure svg [role=graphics-object]"
    assert page.locator(shapes).count() > 20
    page.screenshot(path=pictures / "report.png", full_page=True)
    assert page.watch.errors == [] and page.watch.strangers == []
