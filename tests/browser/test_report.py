import re

import pytest

from hage_transfer.report.page import write_report

pytestmark = pytest.mark.slow  # a browser takes more than all other pages and their tests


@pytest.fixture(scope="module")
def written(chromium, tmp_path_factory, make_runs):
    """The folder of a report of three small runs, one of synthetic data, with its pdf and figures."""
    folder = tmp_path_factory.mktemp("report")
    runs = make_runs(folder)
    environment = runs["mil"] / "environment.json"
    environment.write_text(environment.read_text().replace("{", '{"synthetic": true, ', 1))
    write_report(list(runs.values()), folder / "out", pdf=True, figures=folder / "figures")
    return folder


@pytest.fixture
def report(open_page, written):
    """The report, open in a browser; no error and no request but for itself, at the end."""
    address = (written / "out" / "report.html").as_uri()
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


def test_on_a_phone_auc_is_seen_without_scrolling_and_words_in_pictures_are_legible(report):
    report.set_viewport_size({"width": 390, "height": 844})
    tables = report.locator("table", has=report.locator("thead th", has_text=re.compile(r"^AUC$")))
    assert tables.count()
    for table in tables.all():
        box = table.locator("thead th", has_text=re.compile(r"^AUC$")).first.bounding_box()
        assert box["x"] + box["width"] <= 390
    for picture in report.locator(".plots img").all():
        points, width = picture.evaluate("image => [image.naturalWidth, image.clientWidth]")
        assert 7.5 * 96 / 72 * width / points >= 8.5  # px, of the smallest letters drawn


def test_a_word_has_its_meaning_at_a_tap_at_hover_and_by_key(report):
    meaning = report.locator("#meaning")
    for word, part in (("PCC", "Pearson"), ("AUC", "ROC"), ("HEG", "50 highly"), ("calibrated", "scaled and shifted")):
        term = report.locator(".term", has_text=re.compile(f"^{word}$")).first
        term.hover()
        assert part in meaning.inner_text()
    report.keyboard.press("Escape")
    assert not meaning.is_visible()
    term = report.locator(".term[tabindex]").first
    term.focus()
    assert meaning.is_visible()
    report.locator("h1").click()
    assert not meaning.is_visible()
    report.locator(".term[tabindex]").first.click()
    assert meaning.is_visible()


def test_synthetic_data_is_named_in_title_tables_and_pictures(report):
    assert report.inner_text("h1").endswith("(in part synthetic data)")
    section = report.locator("section", has=report.locator("h2", has_text="mil, synthetic data: in detail"))
    assert section.locator(".plots figure").count() > 2
    for title in [*section.locator("h3").all_inner_texts(), *section.locator("figcaption").all_inner_texts()]:
        assert "synthetic data" in title
    assert "synthetic data" in section.locator("img").first.evaluate("i => atob(i.src.split(',')[1])")


def test_report_has_no_serious_fault_of_access(report, axe_faults):
    assert axe_faults(report) == []


def test_the_pdf_is_one_page_and_figures_have_their_numbers(written):
    pdf = (written / "out" / "report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 1
    figures = written / "figures"
    assert (figures / "comparison-auc.svg").read_text().startswith("<?xml")
    assert (figures / "comparison-auc.csv").read_text().startswith("run,source,fold,auc\nprobe,frozen,0,0.8")
    for path in figures.glob("*.svg"):
        assert path.with_suffix(".csv").is_file()
