import pytest

from hage_transfer.report.page import write_report


@pytest.fixture
def report(open_page, runs, tmp_path):
    """The report of three small runs, open in a browser; no error and no request but for itself, at the end."""
    write_report(list(runs.values()), tmp_path / "out")
    address = (tmp_path / "out" / "report.html").as_uri()
    watched = open_page()
    watched.page.goto(address)
    yield watched.page
    assert watched.asked[0] == address
    assert not watched.faults
    assert not watched.outside(address)


def test_report_opens_without_an_error_or_a_request_and_fits_a_phone(report):
    assert report.locator("h1").count() == 1
    assert report.locator("table").count() > 0
    report.set_viewport_size({"width": 390, "height": 844})
    assert report.evaluate("document.documentElement.scrollWidth") <= 390


def test_report_pictures_have_a_text_and_are_drawn(report, until):
    pictures = report.locator("img").all()
    assert pictures
    for picture in pictures:
        assert (picture.get_attribute("alt") or "").strip()
        picture.scroll_into_view_if_needed()  # where they load when seen
        until(lambda picture=picture: picture.evaluate("image => image.complete && image.naturalWidth > 0"))


def test_report_tables_sort_by_a_click_on_a_heading(report):
    table = report.locator("table", has=report.locator("thead th")).filter(has=report.locator("tbody tr + tr")).first
    column = table.locator("thead th").count() - 1
    cells = "rows => rows.map(row => row.textContent)"
    before = table.locator("tbody tr").evaluate_all(cells)
    heading = table.locator("thead th").nth(column)
    target = heading.locator("button").first if heading.locator("button").count() else heading
    orders = []
    for _ in range(2):
        target.click()
        orders.append(table.locator("tbody tr").evaluate_all(cells))
    assert sorted(orders[0]) == sorted(before)
    assert orders[0] != orders[1]
    assert heading.get_attribute("aria-sort") in ("ascending", "descending")
