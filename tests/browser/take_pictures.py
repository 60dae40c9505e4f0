"""Pictures of the dashboard over real runs, for docs/:

python tests/browser/take_pictures.py http://localhost:8501 docs runs run landscape
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

WIDTH, MOST = 1280, 1400


def main(address: str, folder: str, *pages: str) -> None:
    """Save `folder/dashboard_<page>.png` of each page; `run?fold=1` is a page, too."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--headless", "--no-sandbox", "--disable-gpu"],
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": 900})
        for name in pages or ("runs", "run", "landscape"):
            page.goto(f"{address}/{'' if name == 'runs' else name}")
            page.locator("h1").wait_for()
            page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')")
            page.wait_for_timeout(6000)
            tall = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
            page.set_viewport_size({"width": WIDTH, "height": min(MOST, tall)})
            page.wait_for_timeout(1500)
            path = out / f"dashboard_{name.partition('?')[0]}.png"
            page.screenshot(path=path)
            page.set_viewport_size({"width": WIDTH, "height": 900})
            print(path)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
