"""The limits of the deployment check."""

import pytest

from tfsparse.deploy.limits import Limits, parse_drop, parse_latency, parse_size
from tfsparse.errors import UserError


def row(**changes):
    accepted = {"accepted": True, "error": None}
    found = {
        "default_delegate": accepted,
        "without_delegate": accepted,
        "finite": True,
        "bytes": 1000,
        "size_ratio": 0.25,
        "accuracy_drop": 0.0,
        "latency": {"median_ms": 2.0},
    }
    return {**found, **changes}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1000", (1000.0, None)),
        ("120kB", (120_000.0, None)),
        ("2 KiB", (2048.0, None)),
        ("1.5MB", (1.5e6, None)),
        ("0.35x", (None, 0.35)),
    ],
)
def test_sizes(text, expected):
    assert parse_size(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("3", 3.0), ("500us", 0.5), ("0.1s", 100.0)])
def test_latencies(text, expected):
    assert parse_latency(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_size, "big"), (parse_size, "-1kB"), (parse_size, "1..2kB"), (parse_size, "1..2x"),
        (parse_size, ""), (parse_latency, "2 hours"), (parse_drop, "nan"), (parse_drop, "1%"),
        (parse_drop, "2"),
    ],
)  # fmt: skip
def test_unreadable_limits_name_the_option(parse, text):
    with pytest.raises(UserError, match="--max-"):
        parse(text)


def test_a_row_within_its_limits_has_no_violations():
    limits = Limits(max_bytes=1000, max_size_ratio=0.25, max_latency_ms=2.0)
    assert limits.violations(row()) == []


@pytest.mark.parametrize(
    ("limits", "changes", "words"),
    [
        (Limits(max_bytes=999), {}, "size 1000 bytes is above the limit 999"),
        (Limits(max_size_ratio=0.2), {}, "size 0.25 x of dense"),
        (Limits(), {"accuracy_drop": 0.02}, "accuracy drop 0.02"),
        (Limits(max_latency_ms=1.5), {}, "median latency 2 ms"),
        (Limits(), {"finite": False}, "not finite"),
        (
            Limits(),
            {"default_delegate": {"accepted": False, "error": "no"}},
            "default delegate refuses it: no",
        ),
    ],
)
def test_each_violation_says_which_limit(limits, changes, words):
    (reason,) = limits.violations(row(**changes))
    assert words in reason


def test_without_delegate_forgives_only_the_delegate():
    refused = {"accepted": False, "error": "no"}
    limits = Limits(without_delegate=True)
    assert limits.violations(row(default_delegate=refused)) == []
    (reason,) = limits.violations(row(default_delegate=refused, without_delegate=refused))
    assert reason == "LiteRT refuses it: no"


def test_an_unknown_accuracy_breaks_no_limit():
    assert Limits(max_accuracy_drop=0.0).violations(row(accuracy_drop=None)) == []
