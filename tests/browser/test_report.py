"""A report as a person writes it: what is typed stays, and what is handed in needs nobody."""

from playwright.sync_api import expect

from tests.browser.driver import DEFAULT


def test_what_is_written_survives_a_reload_and_the_file_of_it_needs_no_host(
    visitor, answer, tmp_path, browser
):
    visit = visitor(locale="en-GB")  # a browser of its own, with its own cookies
    page = visit.open().shows(answer(DEFAULT).values).page
    page.get_by_role("button", name="Add to the report").click()
    expect(page.get_by_text("which has 1 finding now")).to_be_visible()
    visit.follow("Report (1)")
    page.wait_for_url("**/report*")
    page.get_by_role("textbox", name="Introduction").click()
    page.keyboard.type("Where is\nit?")  # the field is not left, and Enter is a new line
    page.reload()  # before a pause has told what was typed
    expect(page.get_by_role("textbox", name="Introduction")).to_have_value("Where is\nit?")
    expect(page.get_by_text("3 words of your own")).to_be_visible()
    page.reload()
    expect(page.get_by_role("textbox", name="Introduction")).to_have_value("Where is\nit?")
    page.wait_for_function("document.querySelector('.js-plotly-plot')?._fullData?.length")
    page.get_by_role("textbox", name="Conclusion").click()
    page.keyboard.type("Typed last.")
    with page.expect_download() as downloaded:
        page.get_by_role("button", name="HTML, for PDF").click()
    downloaded.value.save_as(tmp_path / "report.html")

    offline = browser.new_context(offline=True).new_page()
    asked, complaints = [], []
    offline.on("request", lambda request: asked.append(request.url))
    offline.on("pageerror", lambda error: complaints.append(str(error)))
    offline.goto(f"file://{tmp_path}/report.html")
    expect(offline.get_by_text("Where is it?")).to_be_visible()
    expect(offline.get_by_text("Typed last.")).to_be_visible()
    offline.locator(".nsewdrag").first.hover()  # of the map
    expect(offline.locator(".hoverlayer .hovertext").first).to_contain_text("logit")
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert complaints == []
    offline.context.close()
