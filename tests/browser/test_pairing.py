"""Pairing two sites in the browser (W1 to W6): windows, codes, refusals in words, what a pair may not do."""

from __future__ import annotations

import itertools
import re
from typing import Any, Final

import pytest
from playwright.async_api import Locator, Page, expect

from shared.names import make_code
from shared.rig.client import until
from tests.browser.house import House, Visits
from tests.e2e.stage import Site
from web import pairing_text

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

ENABLE: Final = "ENABLE REMOTE-SYNC"
_names = itertools.count(1)


async def open_window(house: House, visits: Visits, **options: Any) -> tuple[Page, pairing_text.PairingText]:
    """Make a connector at plant, press ENABLE on its page; return the page and what it shows to type elsewhere."""
    source_id = await house.stage.source(name=f"pump house {next(_names)}")
    page = await visits.open(house.plant, f"/connectors/{source_id}/settings", **options)
    await page.get_by_role("link", name="Remote-Sync", exact=True).click()
    await page.get_by_role("button", name=ENABLE).click()
    return page, await shown(page)


async def shown(page: Page) -> pairing_text.PairingText:
    """Return what the source shows."""
    await expect(page.locator(".secret.code")).to_be_visible()
    texts = [await text.inner_text() for text in await page.locator(".secret").all()]
    return pairing_text.PairingText(*texts)


def pasted(text: pairing_text.PairingText) -> str:
    return pairing_text.write(text.site_name, text.connector_id, text.code)


async def open_form(house: House, visits: Visits, **options: Any) -> Page:
    """Open office's form for a new target."""
    page = await visits.open(house.office, "/connectors", **options)
    await page.get_by_role("link", name="Create connector").first.click()
    await page.get_by_label("Remote-Sync Target").check()
    return page


async def submit(page: Page) -> None:
    await page.get_by_role("button", name="Create and pair").click()


async def paste(page: Page, text: str) -> None:
    await page.get_by_label("Paste all three at once").fill(text)


def error_of(page: Page, field: str) -> Locator:
    return page.locator(f"#field-{field}-error")


async def expect_paired(page: Page) -> str:
    """Wait until the page says that it is paired; return its fingerprint."""
    await expect(page.locator("#remote-sync .badge", has_text=re.compile(r"^paired$"))).to_be_visible()
    return await page.locator("#remote-sync .fingerprint").inner_text()


# --- the source's window ----------------------------------------------------------------------------------------------


async def test_w1_enable_shows_countdown_site_connector_and_code(house: House, visits: Visits) -> None:
    page, text = await open_window(house, visits, permissions=["clipboard-read", "clipboard-write"])
    assert text.site_name == "plant"
    assert text.connector_id in page.url
    assert re.fullmatch(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z*~$=]", text.code)
    timer = page.get_by_role("timer")
    before = await timer.inner_text()
    assert re.match(r"10 min|9 min \d+ s", before)
    await expect(timer).not_to_have_text(before, use_inner_text=True)  # it counts
    await expect(page.get_by_text("3 wrong codes will close it")).to_be_visible()
    await expect(page.get_by_alt_text("QR code with the site name, connector ID and code")).to_be_visible()
    for what, wanted in (
        ("site name", text.site_name),
        ("connector ID", text.connector_id),
        ("code", text.code),
    ):
        button = page.get_by_role("button", name=f"Copy {what}")
        await button.click()
        await expect(button).to_have_text("Copied")
        assert await page.evaluate("navigator.clipboard.readText()") == wanted
    await page.get_by_role("button", name="Copy all").click()
    await expect(page.get_by_role("button", name="Copied", exact=True)).to_be_visible()
    assert pairing_text.parse(await page.evaluate("navigator.clipboard.readText()")) == text


async def test_w1_closed_window_leaves_its_code_worthless(house: House, visits: Visits) -> None:
    source, text = await open_window(house, visits)
    await source.get_by_role("button", name="Close the window").click()
    await expect(source.get_by_text("its code is worthless now")).to_be_visible()
    await expect(source.get_by_role("button", name=ENABLE)).to_be_visible()
    visits.expect_complaint("status of 404")
    target = await open_form(house, visits)
    await paste(target, pasted(text))
    await submit(target)
    await expect(error_of(target, "peer_connector_id")).to_contain_text("No pairing window is open")


async def test_w2_window_expires_on_the_open_page_and_enable_begins_again(house: House, visits: Visits) -> None:
    source, text = await open_window(house, visits)
    target = await open_form(house, visits)
    house.stage.shift_clocks(11 * 60_000)
    await expect(source.get_by_text("The window expired with no claim.")).to_be_visible()
    await expect(source.locator(".secret.code")).to_have_count(0)
    visits.expect_complaint("status of 410")
    await paste(target, pasted(text))
    await submit(target)
    await expect(error_of(target, "code")).to_contain_text("The pairing window has expired.")
    await source.get_by_role("button", name=ENABLE).click()
    again = await shown(source)
    assert again.code != text.code
    await expect(source.get_by_role("timer")).to_contain_text(re.compile(r"9 min|10 min"))
    await source.get_by_role("button", name="Close the window").click()


# --- pairing ----------------------------------------------------------------------------------------------------------


async def test_w3_one_paste_pairs_and_w4_both_sides_show_role_and_the_same_fingerprint(
    house: House, visits: Visits
) -> None:
    source, text = await open_window(house, visits)
    target = await open_form(house, visits)
    await target.get_by_label("Name", exact=False).first.fill("pumps of plant")
    await paste(target, pasted(text))
    await expect(target.get_by_text("All three fields are filled.")).to_be_visible()
    await submit(target)
    await expect(target.locator("#toasts")).to_contain_text("“pumps of plant” is paired with plant.")
    # The source's page, which nobody touched, says so too.
    assert await expect_paired(source) == await expect_paired(target)
    await expect(source.locator("#remote-sync")).to_contain_text("Sends to office")
    await expect(target.locator("#remote-sync")).to_contain_text("Receives from plant")
    target_id = target.url.split("/")[-2]
    for site, connector_id, word, icon in (
        (house.plant, text.connector_id, "Source", "source"),
        (house.office, target_id, "Target", "target"),
    ):
        connectors = await visits.open(site, "/connectors")
        role = connectors.locator(f"#connector-{connector_id}").get_by_role("cell").nth(0)
        await expect(role).to_have_text(word)
        await expect(role.locator(f"use[href$='#{icon}']")).to_be_visible()


async def test_w3_pairing_needs_nothing_but_a_keyboard(house: House, visits: Visits) -> None:
    """Tab, Space, Enter and typing: from the source's tab to the end of the pairing."""
    source_id = await house.stage.source(name=f"pump house {next(_names)}")
    source = await visits.open(house.plant, f"/connectors/{source_id}/remote-sync")
    await tab_to(source, source.get_by_role("button", name=ENABLE))
    await source.keyboard.press("Enter")
    text = await shown(source)
    target = await visits.open(house.office, "/connectors")
    await tab_to(target, target.get_by_role("link", name="Create connector").first)
    await target.keyboard.press("Enter")
    await expect(target).to_have_url(re.compile("/connectors/new$"))
    await tab_to(target, target.locator("#field-name"))
    await target.keyboard.type(f"by keyboard {next(_names)}")
    await tab_to(target, target.get_by_label("Remote-Sync Target"))
    await target.keyboard.press("Space")
    for field, typed in (
        ("peer_site_name", text.site_name),
        ("peer_connector_id", text.connector_id.lower().replace("-", "")),
        ("code", text.code.lower().replace("-", " ")),
    ):
        await tab_to(target, target.locator(f"#field-{field}"))
        await target.keyboard.type(typed)
    await target.keyboard.press("Enter")
    assert await expect_paired(source) == await expect_paired(target)


async def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until the focus is there, and seen to be there."""
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await wanted.evaluate("element => element === document.activeElement && element.matches(':focus-visible')"):
            return
    raise AssertionError(f"the focus never came to {wanted}")


async def test_w3_two_sites_pair_without_scripts(house: House, visits: Visits) -> None:
    source, text = await open_window(house, visits, java_script_enabled=False)
    target = await open_form(house, visits, java_script_enabled=False)
    await paste(target, pasted(text))
    await submit(target)
    await expect(target.get_by_text("Compare the fingerprint with the other side.")).to_be_visible()
    for site, page in ((house.plant, source), (house.office, target)):
        connector_id = page.url.split("/")[-2]

        async def is_paired(site: Site = site, connector_id: str = connector_id) -> bool:
            return bool((await site.connector(connector_id))["pair"]["state"] == "paired")

        await until(is_paired, what="the pairing to be complete")
        await page.reload()
    await expect(target.locator("#remote-sync")).to_contain_text("Receives from plant")
    assert await expect_paired(source) == await expect_paired(target)


# --- refusals ---------------------------------------------------------------------------------------------------------


async def test_w3_each_refusal_stands_in_words_beside_its_field(house: House, visits: Visits) -> None:
    visits.expect_complaint(r"status of (4\d\d|503)")
    source, text = await open_window(house, visits)
    target = await open_form(house, visits)
    code = target.locator("#field-code")

    await submit(target)
    for field, words in (
        ("peer_site_name", "Type the site name that the source shows."),
        ("peer_connector_id", "Type the connector ID that the source shows."),
        ("code", "Type the code that the source shows."),
    ):
        await expect(error_of(target, field)).to_have_text(words)

    mistyped = text.code[:-1] + ("0" if text.code[-1] != "0" else "1")
    await paste(target, pasted(pairing_text.PairingText(text.site_name, text.connector_id, mistyped)))
    await submit(target)
    await expect(error_of(target, "code")).to_contain_text("typing error")
    await expect(error_of(target, "code")).to_contain_text("No attempt was used up.")
    await expect(code).to_have_value(mistyped)
    await expect(code).to_be_focused()

    await target.locator("#field-code").fill(text.code)
    await target.locator("#field-peer_site_name").fill("nowhere")
    await submit(target)
    await expect(error_of(target, "peer_connector_id")).to_contain_text("No pairing window is open for that site name")
    await target.locator("#field-peer_site_name").fill(text.site_name)

    await target.locator("#field-peer_connector_id").fill("pumps")
    await submit(target)
    await expect(error_of(target, "peer_connector_id")).to_contain_text("8 letters and digits")
    await target.locator("#field-peer_connector_id").fill(text.connector_id)

    guess = next(other for other in (make_code(b"12345"), make_code(b"54321")) if other != text.code)
    await code.fill(guess)
    for left in (2, 1):
        await submit(target)
        await expect(error_of(target, "code")).to_contain_text(f"{left} attempt")
        await expect(source.get_by_text(f"{left} wrong code")).to_be_visible()
    await submit(target)
    await expect(error_of(target, "code")).to_contain_text("closed after three wrong codes")
    await expect(source.get_by_text("Three wrong codes closed the window.")).to_be_visible()
    await expect(source.get_by_role("button", name=ENABLE)).to_be_visible()
    await target.goto(f"{house.office.daemon.url}/connectors")
    await expect(target.locator("#connector-table")).to_be_visible()
    await expect(target.get_by_text(text.connector_id)).to_have_count(0)  # nothing half-made is left


async def test_w5_paired_connectors_show_disable_and_delete_refused_with_the_reason(
    house: House, visits: Visits
) -> None:
    paired = await house.pair(f"pump house {next(_names)}", f"pumps {next(_names)}")
    for site, connector_id, peer in (
        (paired.source, paired.source_id, "office"),
        (paired.target, paired.target_id, "plant"),
    ):
        for tab in ("settings", "remote-sync"):
            page = await visits.open(site, f"/connectors/{connector_id}/{tab}")
            for name in ("Disable", "Delete"):
                button = page.get_by_role("button", name=name, exact=True)
                await expect(button).to_be_disabled()
                await expect(button).to_have_accessible_description(
                    f"Paired with {peer}, which depends on it. Parting needs both sides."
                )
    assert (await house.plant.connector(paired.source_id))["disabled"] is False


async def test_w6_second_claim_on_a_paired_source_is_refused_in_words(house: House, visits: Visits) -> None:
    source, text = await open_window(house, visits)
    first, second = await open_form(house, visits), await open_form(house, visits)
    await paste(first, pasted(text))
    await paste(second, pasted(text))
    await submit(first)
    await expect_paired(first)
    visits.expect_complaint("status of 4")
    await submit(second)
    await expect(error_of(second, "peer_connector_id")).to_contain_text("One source pairs with one target")
    await expect_paired(source)
