"""Debian's Chromium for tests: how it is started, what its console complains about, what axe finds."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Page, ViewportSize, async_playwright

FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--in-process-gpu",  # a process that draws for the page would spend a tenth of the time on talking with it
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP: Final = ViewportSize(width=1280, height=820)
PHONE: Final = ViewportSize(width=390, height=820)

# A theme changes nothing but colours, so the second one is checked for those.
_AXE_RULES: Final = {"light": "", "dark": "runOnly: ['color-contrast'], "}
_SETTLE: Final = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def browser_path() -> str:
    """Return where Chromium is, preferably without the windows of a desktop: half the processor time, the same pages."""
    found = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    assert found, "there is no Chromium; ./run test installs it"
    return found


@asynccontextmanager
async def running_chromium() -> AsyncIterator[Browser]:
    """Run the browser for the time of a block."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=browser_path(), args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


def listen(page: Page, complaints: list[str]) -> None:
    """Add to `complaints` whatever the page's console reports: failed requests, broken policies, errors of scripts.

    Each says on which page, what, and of which address: a page may have gone on when its complaint arrives.
    """

    def heard(said: ConsoleMessage) -> None:
        if said.type in {"error", "warning"}:
            complaints.append(f"{page.url}: {said.text} ({said.type} about {said.location.get('url') or 'no address'})")

    page.on("console", heard)
    page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error.name}: {error.message} (not caught)"))


Look = tuple[Literal["light", "dark"], ViewportSize]
EVERY_LOOK: Final[tuple[Look, ...]] = (("light", DESKTOP), ("light", PHONE), ("dark", DESKTOP), ("dark", PHONE))


async def bring_axe(page: Page) -> None:
    """Let axe be there on whatever this page opens: to send its half a megabyte to each page costs a third of its work."""
    await page.add_init_script(Axe().axe_script)


async def inspect(
    page: Page, where: str, looks: tuple[Look, ...] = EVERY_LOOK, *, widths: tuple[ViewportSize, ...] = ()
) -> list[str]:
    """Return what is wrong with the page as it stands: in each look axe's findings and sideways scrolling.

    At `widths` it is looked at for sideways scrolling alone, which costs a hundredth of axe.
    """
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(Axe().axe_script)
    problems: list[str] = []
    for theme, viewport in looks:
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        await _resize(page, viewport)
        name = f"{where}, {theme}, {viewport['width']} px"
        problems += await _too_wide(page, name) + await _violations(page, name, theme)
    for viewport in widths:
        await _resize(page, viewport)
        problems += await _too_wide(page, f"{where}, {viewport['width']} px")
    await _resize(page, DESKTOP)
    return problems


async def _resize(page: Page, viewport: ViewportSize) -> None:
    """Give the page a size, where it has another: laying it out anew costs a tenth of what axe does."""
    if page.viewport_size != viewport:
        await page.set_viewport_size(viewport)


async def _too_wide(page: Page, where: str) -> list[str]:
    await page.evaluate(_SETTLE)
    is_wide = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
    return [f"{where}: wider than the window"] if is_wide else []


async def _violations(page: Page, where: str, theme: str) -> list[str]:
    problems = []
    # Fetching every style sheet and sound once more serves two rules only: on by default is the one about sounds.
    options = f"{{{_AXE_RULES[theme]}preload: false, resultTypes: ['violations']}}"
    run_axe = f"async () => (await axe.run({options})).violations"
    violations: list[dict[str, Any]] = await page.evaluate(run_axe)
    for violation in violations:
        nodes = [node["html"][:200] + node["failureSummary"][-160:] for node in violation["nodes"][:3]]
        problems.append(f"{where}: {violation['id']}: {violation['help']}: {nodes}")
    return problems
