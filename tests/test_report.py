"""The report: one file that opens without network, whatever the runs look like."""

import json
import re
from html.parser import HTMLParser

import fabricated
import pytest

from tfsparse.charts.document import html_report, markdown_report
from tfsparse.charts.export import chart_block
from tfsparse.errors import UserError
from tfsparse.report import main


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.scripts = [], [], []
        self._inside = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        (self.scripts if self._inside == "script" else self.words).append(data)


def specs(page):
    count = sum(tag == "script" and "data-chart" in attrs for tag, attrs in page.tags)
    return [json.loads(text) for text in page.scripts[:count]]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    root = tmp_path_factory.mktemp("good")
    for method, accuracy in (("dense", 0.98), ("pruned", 0.97)):
        for seed in (0, 1):
            fabricated.make_run(root, f"{method}_80", method=method, seed=seed, steps=600,
                                weights=False, accuracy=accuracy + 0.002 * seed)  # fmt: skip
    fabricated.make_study(root)
    fabricated.make_interpolation(root, "between/curve", kind="curve")
    fabricated.make_deploy(root)
    return root


def test_report_holds_charts_and_numbers(good):
    page = Page(html_report(good))
    drawn = specs(page)
    text = json.dumps(drawn)
    for words in ("test accuracy", "training objective", "sparsity of each layer", "The gap",
                  "0 = scratch, 1 = pruned", "size (kB)"):  # fmt: skip
        assert words.lower() in text.lower(), words
    words = " ".join(page.words)
    assert "97.10%" in words and "0.14%" in words  # mean and std of 97.0 and 97.2
    assert "4 runs: 4 finished." in words
    assert "does not hold" in words and "a barrier lies between" in words


def test_report_opens_without_network(good):
    text = html_report(good)
    page = Page(text)
    assert not [attrs for _, attrs in page.tags if "src" in attrs or "href" in attrs]
    assert not [tag for tag, _ in page.tags if tag in ("link", "iframe", "img", "object")]
    (policy,) = [attrs["content"] for _, attrs in page.tags if "http-equiv" in attrs]
    assert policy.startswith("default-src 'none'")
    assert "vegaEmbed" in text and len(text) > 500_000  # Vega itself is inside
    assert not re.search(r"@import|url\(\s*['\"]?http", text[: text.index("<body>")])


def test_report_of_broken_runs(tmp_path):
    fabricated.make_broken(tmp_path)
    study = fabricated.make_study(tmp_path)
    (study / "table.csv").write_bytes(b"\xff")
    (tmp_path / "deploy.json").write_text('{"variants": [{"name": []}, 3]}')
    page = Page(html_report(tmp_path))
    words = " ".join(page.words)
    assert "malformed JSON" in words and "<script>alert(1)</script> loss" in words
    assert "table.csv" in words and "deploy.json" in words
    assert ("script", {}) in page.tags and page.tags.count(("script", {})) == 2  # ours alone
    assert "alert(1)" not in "".join(page.scripts[-2:])


def test_report_of_nothing(tmp_path):
    assert "No runs yet" in html_report(tmp_path)
    assert "0 runs" in markdown_report(tmp_path)


def test_text_inside_a_chart_cannot_end_its_script():
    spec = {"description": '"><img src=x>', "title": "</script><script>alert(1)</script>"}
    page = Page(chart_block(spec, 0))
    assert [tag for tag, _ in page.tags] == ["figure", "script"]
    assert json.loads(page.scripts[0]) == spec


def test_markdown(good):
    text = markdown_report(good)
    row = next(line for line in text.splitlines() if line.startswith("| pruned_80 |"))
    assert row == "| pruned_80 | pruned | lenet_300_100 | digits | 79.70% | 2 | 97.10% | 0.14% |  |"
    assert "| claim_1 | &lt;b>Sentence" in text and "\\| of the paper" in text
    for table in text.split("\n\n"):
        lines = [line for line in table.splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in lines}) <= 1


def test_command(good, tmp_path, capsys):
    out = tmp_path / "deep" / "report.html"
    assert main(["--runs", str(good), "--out", str(out)]) == 0
    assert out.is_file() and out.with_suffix(".md").is_file()
    assert str(out) in capsys.readouterr().out
    assert main(["--runs", str(good), "--out", str(tmp_path / "only.md")]) == 0
    assert not (tmp_path / "only.html").exists()


def test_topology(tmp_path, capsys):
    out = tmp_path / "topology.html"
    assert main(["--topology", "2,2,2", "--out", str(out)]) == 0
    assert "(2,2,2)" in json.dumps(specs(Page(out.read_text())))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--runs", "no such folder", "--out", "x.html"], "no such folder"),
        (["--runs", ".", "--out", "x.pdf"], "ending in .html or .md"),
        (["--runs", "."], "--out"),
        (["--topology", "two", "--out", "x.html"], "radices such as 2,2,2"),
        (["--topology", "2,2", "--runs", ".", "--out", "x.html"], "either"),
    ],
)
def test_unusable_arguments(arguments, words):
    with pytest.raises(UserError, match=words.replace(".", r"\.")):
        main(arguments)
