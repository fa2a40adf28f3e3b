"""What a person sees and does in the console, in a real Chromium.

check.py http://127.0.0.1:6568

Runs against a `tiderace run` of the example project and the view of pages that the test adds. It feeds the
server itself, so that it knows what is to be seen.
"""

import datetime
import json
import os
import re
import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

BASE = sys.argv[1]
PICTURES = os.environ.get("TIDERACE_SCREENSHOTS")
PLANTED = '<img src=x onerror="window.planted = true">'
# No double is this number.
LARGE = 9007199254740993
CUSTOMER = 596

expect.set_options(timeout=10_000)


def call(path: str, body: object | str | None = None) -> object:
    """Asks the server without the browser."""
    data = None if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
    with urllib.request.urlopen(urllib.request.Request(BASE + path, data=data), timeout=10) as answer:
        return json.loads(answer.read())


def now(minutes: int = 0) -> str:
    at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=minutes)
    return at.isoformat().replace("+00:00", "Z")


def payment(number: int, minutes: int = 0, **more: object) -> dict:
    one = {"tx_id": number, "tx_time": now(minutes), "customer_id": CUSTOMER, "terminal_id": 3156, "amount": 50.0 + number, "is_fraud": 0}
    return one | more


def feed() -> None:
    """Gives the server what is looked for later, and waits until it is answered."""
    payments = [payment(n, 30 - n) for n in range(1, 13)]
    payments.append(payment(13, 1, terminal_id=LARGE, amount=5000.0))
    refused = [payment(14) | {"amount": -1.0}, payment(15) | {"amount": PLANTED}]
    lines = "\n".join(json.dumps(one) for one in payments + payments[:2] + refused)
    call("/v1/push/card_payments", lines)
    visits = [{"at": now(n), "page": PLANTED, "referrer": f"{PLANTED}{n % 2}"} for n in range(1, 5)]
    call("/v1/push/visits", "\n".join(json.dumps(one) for one in visits))


def row(service: str, keys: dict, more: dict | None = None) -> dict:
    return call("/v1/features", {"service": service, "entities": {k: [v] for k, v in keys.items()},
                                 "request_data": {k: [v] for k, v in (more or {}).items()}})["rows"][0]


class Watched:
    """A page, and everything about it that must not be."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.wrong: list[str] = []
        self.expected: set[str] = set()
        page.on("console", self.said)
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("request", self.asked)

    def said(self, message) -> None:
        if message.type in ("error", "warning") and not any(part in message.text for part in self.expected):
            self.wrong.append(f"{message.type}: {message.text}")

    def asked(self, request) -> None:
        if not request.url.startswith(BASE + "/"):
            self.wrong.append(f"a request elsewhere: {request.url}")

    def picture(self, name: str) -> None:
        if PICTURES:
            self.page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def overview(watched: Watched) -> None:
    page = watched.page
    page.goto(BASE + "/")
    expect(page).to_have_url(BASE + "/console/")
    expect(page.locator("h1")).to_have_text("Overview")
    expect(page.locator("#project")).to_have_text("card_risk")
    expect(page.locator("#pulse")).to_have_text("live")
    expect(page.locator("#tile-read small")).to_have_text("21 records in all")
    expect(page.locator("#tile-letters b")).to_have_text("2")
    # It goes on by itself.
    call("/v1/push/card_payments", json.dumps(payment(16)))
    expect(page.locator("#tile-read small")).to_have_text("22 records in all")
    expect(page.locator("section[aria-label=Sources]")).to_contain_text("card_payments")
    # Everything that was pushed is taken in.
    source = page.locator("section[aria-label=Sources] tr", has_text="card_payments")
    expect(source.locator("td").nth(6)).to_have_text("0")
    expect(page.locator("section[aria-label='Feature views'], section[aria-label=Views]")).to_contain_text("risk-features")
    for chart in ("Records read", "Lookups", "Latency of lookups", "Freshness", "Lag", "Lag in records", "Age of the newest event"):
        expect(page.locator(f".chart svg[aria-label^='{chart}:']")).to_be_visible()
    expect(page.locator(".chart svg[aria-label^='Freshness: p50'] path").first).to_be_attached()


def search(watched: Watched) -> None:
    page = watched.page
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("amount_avg")
    expect(page.locator("h1")).to_have_text("Catalogue")
    expect(page.locator(".list .item")).to_have_count(4)
    expect(page.locator(".list .item b").first).to_have_text("customer_spend:amount_avg_1d")
    expect(page.locator(".list .item .what").first).to_contain_text("avg of amount over 1d")
    watched.picture("catalogue-search")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".list .item").nth(0)).to_be_focused()
    page.keyboard.press("j")
    expect(page.locator(".list .item").nth(1)).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("customer_spend")
    page.keyboard.press("g")
    page.keyboard.press("c")
    expect(page.locator("h1")).to_have_text("Catalogue")
    expect(page.locator("#found")).not_to_have_text("4 found")
    expect(page.locator(".lineage .edge")).to_have_count(6)
    page.keyboard.press("?")
    expect(page.locator("dialog#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog#keys")).to_be_hidden()
    page.keyboard.press("/")
    page.keyboard.type("no such thing")
    expect(page.locator("main")).to_contain_text("Nothing has")
    page.keyboard.press("Escape")


def definitions(watched: Watched) -> None:
    page = watched.page
    for _ in range(40):
        row("fraud_v1", {"customer_id": CUSTOMER, "terminal_id": 3156}, {"amount": 60.0})
    page.goto(BASE + "/console/#/view/customer_spend?feature=amount_sum_7d")
    expect(page.locator("h1")).to_have_text("customer_spend")
    expect(page.locator(".facts").first).to_contain_text("risk-features")
    expect(page.locator(".facts").first).to_contain_text("customer.yaml:6")
    expect(page.locator("#definition")).to_contain_text("# How many places, and the three that got the most money.")
    nodes = page.locator(".lineage .node")
    expect(nodes).to_have_count(3)
    # It is in no service: nobody has asked for it.
    expect(page.locator(".distribution, tr.more")).to_contain_text("No lookup has asked for it")
    page.locator("#f-amount_avg_7d").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#f-amount_avg_7d")).to_have_attribute("aria-expanded", "true")
    expect(page.locator(".distribution")).to_contain_text("answers sampled in the last two minutes")
    expect(page.locator(".distribution")).to_contain_text("present 100 %")
    watched.picture("view")
    page.locator(".lineage a.service").click()
    expect(page.locator("h1")).to_have_text("fraud_v1")
    expect(page.locator("main")).to_contain_text("amount_ratio")
    expect(page.locator("main")).to_contain_text("ok ")
    watched.picture("service")
    page.goto(BASE + "/console/#/source/visits")
    expect(page.locator(".lead")).to_contain_text("Visits, <b>not bold</b>.")
    expect(page.locator("#definition")).to_contain_text("# Visits of pages: <b>never</b> a tag.")
    expect(page.locator("main b", has_text="not bold")).to_have_count(0)


def entities(watched: Watched) -> None:
    page = watched.page
    page.keyboard.press("g")
    page.keyboard.press("e")
    expect(page.locator("h1")).to_have_text("Entity")
    expect(page.locator("#in-0")).to_be_focused()
    page.keyboard.type(str(CUSTOMER))
    page.keyboard.press("Tab")
    page.keyboard.type("3156")
    page.keyboard.press("Tab")
    page.keyboard.type("60")
    page.keyboard.press("Enter")
    line = lambda name: page.locator("#answer tr", has=page.locator("td:first-child", has_text=name)).first
    expect(line("tx_count_1d")).to_contain_text("14")
    expect(line("tx_count_1d")).to_contain_text("present")
    expect(line("amount_avg_1d")).to_contain_text("warming")
    expect(line("top_terminals_30d")).to_contain_text(str(LARGE))
    expect(line("risk_7d_delay_7d")).to_contain_text("null")
    asked = row("fraud_v1", {"customer_id": CUSTOMER, "terminal_id": 3156}, {"amount": 60.0})
    told = page.locator("#answer td.value").all_inner_texts()
    wanted = [one for one in asked["values"] if isinstance(one, int)]
    assert [int(one) for one in told if one.isdigit()] == wanted, f"{told}, expected {wanted}"
    line("tx_count_1d").locator("button.why").click()
    expect(page.locator("#evidence")).to_contain_text("14 of the 14 events")
    expect(page.locator("#events tbody tr")).to_have_count(14)
    line("night_count_7d").locator("button.why").click()
    expect(page.locator("#evidence h2")).to_have_text("customer_spend:night_count_7d")
    line("top_terminals_30d").locator("button.why").click()
    expect(page.locator("#events tbody tr", has_text=str(LARGE))).to_have_count(1)
    watched.picture("entity")
    # What was asked is in the address.
    page.reload()
    expect(line("tx_count_1d")).to_contain_text("14")
    # Mistakes are told.
    page.locator("#in-0").fill("many")
    page.keyboard.press("Enter")
    expect(page.locator("main [role=alert]")).to_have_text('"many" is not a whole number')
    # A key that would be a tag is a key.
    page.locator("#service").select_option("pages")
    page.locator("#in-0").fill(PLANTED)
    page.keyboard.press("Enter")
    expect(line("visits_1d")).to_contain_text("4")
    expect(line("referrers_1d")).to_contain_text(PLANTED)
    line("referrers_1d").locator("button.why").click()
    expect(page.locator("#events tbody tr")).to_have_count(4)
    expect(page.locator("#events")).to_contain_text(PLANTED)
    page.goto(BASE + "/console/#/view/page_visits?feature=referrers_1d")
    expect(page.locator(".distribution")).to_contain_text(PLANTED[:30])
    expect(page.locator(".facts").first).to_contain_text("<i>web</i>")


def letters(watched: Watched) -> None:
    page = watched.page
    page.keyboard.press("g")
    page.keyboard.press("d")
    expect(page.locator("h1")).to_have_text("Dead letters")
    expect(page.locator("#letters tbody tr")).to_have_count(2)
    expect(page.locator("#reasons")).to_contain_text("rejected 1")
    expect(page.locator("#reasons")).to_contain_text("wrong type 1")
    expect(page.locator("#letters tbody tr").first).to_contain_text("wrong type")
    page.locator("#letters summary").first.focus()
    page.keyboard.press("Enter")
    payload = page.locator("#letters pre").first
    expect(payload).to_be_visible()
    assert json.loads(payload.inner_text())["amount"] == PLANTED, payload.inner_text()
    # A new one comes by itself.
    call("/v1/push/card_payments", json.dumps(payment(17) | {"amount": -2.0}))
    expect(page.locator("#letters tbody tr")).to_have_count(3)
    watched.picture("letters")


def plan(watched: Watched) -> None:
    page = watched.page
    page.keyboard.press("g")
    page.keyboard.press("p")
    expect(page.locator("h1")).to_have_text("Plan")
    expect(page.locator("main table").first).to_contain_text("terminal_risk")
    expect(page.locator("main table").first.locator("progress")).to_have_count(3)
    # The view that the test has added is in no lock file; the others mean what it says.
    changes = page.locator("#changes")
    line = lambda name: changes.locator("tr", has=page.locator("td:nth-child(2)", has_text=re.compile(f"^{name}$")))
    expect(line("page_visits")).to_contain_text("new")
    expect(line("page_visits:visits_1d")).to_contain_text("int64, count over 1d")
    expect(changes).not_to_contain_text("customer_spend")
    changes.get_by_role("button", name="Look again").click()
    expect(line("page_visits")).to_contain_text("new")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        watched.picture(f"plan-{scheme}")


def looks(watched: Watched) -> None:
    page = watched.page
    ground = lambda: page.evaluate("getComputedStyle(document.body).backgroundColor")
    ink = lambda: page.evaluate("getComputedStyle(document.body).color")
    page.goto(BASE + "/console/#/")
    expect(page.locator("#tile-read")).to_be_visible()
    seen = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        seen[scheme] = (ground(), ink())
        watched.picture(f"overview-{scheme}")
    assert seen["light"] != seen["dark"], seen
    page.keyboard.press("t")
    assert (ground(), ink()) == seen["light"], "t turns it"
    page.reload()
    assert (ground(), ink()) == seen["light"], "and it stays so"
    page.set_viewport_size({"width": 400, "height": 800})
    expect(page.locator("#tile-read")).to_be_visible()
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 400, f"it is {wide} wide on a small screen"
    watched.picture("overview-small")


def tokens(watched: Watched) -> None:
    """Where calls want a token, the page asks for it, keeps it for the tab, and sends it."""
    page = watched.page

    def guard(route, request) -> None:
        if request.headers.get("authorization") == "Bearer sesame":
            route.continue_()
        else:
            route.fulfill(status=401, json={"error": {"code": "UNAUTHENTICATED", "message": "a token is wanted"}})

    watched.expected.add("401 (Unauthorized)")
    page.route("**/v1/**", guard)
    page.goto(BASE + "/console/#/catalogue")
    dialog = page.locator("dialog#token")
    expect(dialog).to_be_visible()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(dialog.locator("[role=alert]")).to_be_visible()
    page.keyboard.type("sesame")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.locator("h1")).to_have_text("Catalogue")
    kept = page.evaluate("[sessionStorage.length, JSON.stringify(localStorage).includes('sesame'), document.cookie]")
    assert kept == [1, False, ""], kept


def policy() -> None:
    """What the server says of its page, and that nobody reads other files by it."""
    with urllib.request.urlopen(BASE + "/console/", timeout=10) as answer:
        said = answer.headers["content-security-policy"]
    assert "default-src 'none'" in said and "script-src 'self'" in said and "unsafe" not in said, said
    for path in ("/console/..%2f..%2fCargo.toml", "/console/nothing.js"):
        try:
            urllib.request.urlopen(BASE + path, timeout=10)
            raise AssertionError(path)
        except urllib.error.HTTPError as error:
            assert error.code == 404, (path, error.code)


def main() -> None:
    feed()
    policy()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium, "no chromium: run scripts/setup.sh test"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        watched = Watched(context.new_page())
        for part in (overview, search, definitions, entities, letters, plan, looks):
            try:
                part(watched)
            except BaseException:
                print(f"in {part.__name__}, at {watched.page.url}: {watched.wrong}")
                print(watched.page.locator("main").inner_text())
                raise
        assert watched.page.evaluate("window.planted") is None, "text was taken for HTML"
        assert watched.wrong == [], watched.wrong
        context.close()
        guarded = Watched(browser.new_context().new_page())
        tokens(guarded)
        assert guarded.wrong == [], guarded.wrong
        browser.close()
    print("all is well")


main()
