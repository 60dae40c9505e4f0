"""Charts really contain marks, and methods can be told apart by everybody."""

import itertools
import subprocess
import sys
import typing
import zlib

import fabricated
import numpy as np
import pandas as pd
import pytest
import vl_convert

from tfsparse.charts import style
from tfsparse.charts.accuracy import accuracy_chart, group_table
from tfsparse.charts.export import to_csv, to_html, to_png, to_spec, to_svg
from tfsparse.charts.logs import read_log
from tfsparse.charts.masks import (
    LARGEST_SIDE,
    histogram_table,
    kernel_matrix,
    mask_chart,
    masked_entries,
    neuron_table,
    weight_histogram,
)
from tfsparse.charts.picture import png
from tfsparse.charts.series import METRICS, Source
from tfsparse.charts.sparsity import (
    layer_gradient_chart,
    layer_sparsity_chart,
    layer_table,
    layers_chart,
)
from tfsparse.charts.tables import runs_table
from tfsparse.charts.training import training_chart
from tfsparse.config.run import Method
from tfsparse.runs import Run

# What one sees with a missing kind of cone: Machado, Oliveira & Fernandes 2009, severity 1,
# on linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
MAIN = ("dense", "pruned", "lottery", "scratch", "sparse_init", "set", "rigl", "snfs")


def lab(colour, kind):
    """CIE L*a*b* of "#rrggbb" as seen with a kind of colour blindness."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(BLINDNESS[kind]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = (xyz @ seen) / [0.9505, 1.0, 1.089]
    f = [v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", BLINDNESS)
def test_main_methods_differ_in_colour_or_shape(kind):
    for a, b in itertools.combinations(MAIN, 2):
        left, right = style.METHODS[a], style.METHODS[b]
        distance = np.linalg.norm(lab(left.colour, kind) - lab(right.colour, kind))
        assert distance > 12, (a, b, distance)
        assert distance > 20 or left.shape != right.shape, (a, b, distance)


def test_no_two_methods_look_the_same():
    looks = [(look.colour, look.dash, look.shape) for look in style.METHODS.values()]
    assert len(set(looks)) == len(looks)


def test_every_method_of_the_config_has_a_look():
    assert set(typing.get_args(Method)) <= set(style.METHODS)


def test_unknown_methods_are_stable_and_known_ones_borrowed():
    assert style.method_style("my idea") == style.method_style("my idea")
    assert style.method_style("scratch+") == style.METHODS["scratch_plus"]
    assert style.method_style("RigL-inverted") == style.METHODS["rigl_inverted"]
    assert style.method_style("topology_2x").colour == style.METHODS["topology"].colour


def test_groups_of_one_method_keep_its_hue_and_differ():
    looks = style.group_looks([(f"pruned_{i}", "pruned") for i in range(4)] + [("d", "dense")])
    assert looks["pruned_0"] == style.METHODS["pruned"] and looks["d"] == style.METHODS["dense"]
    assert len({(look.colour, look.dash) for look in looks.values()}) == 5
    assert style.shade("#000000", 0.5) == "#808080" and style.shade("#ffffff", -1) == "#000000"


def marks(chart, role="graphics-symbol"):
    """How many drawn marks the chart's SVG holds."""
    return to_svg(chart).count(f'role="{role}"')


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for method in ("dense", "pruned", "scratch"):
        for seed in range(2):
            fabricated.make_run(root, f"{method}_80", method=method, seed=seed, steps=600)
    return root


def source(root, name, method="pruned"):
    group = name.split("/")[0]
    return Source(name, group, method, read_log(root / name / "metrics.jsonl"))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("folded", [False, True])
def test_training_charts(runs, metric, folded):
    sources = [source(runs, f"{m}_80/seed_{s}", m) for m in ("pruned", "scratch") for s in (0, 1)]
    chart = training_chart(sources, metric, folded=folded, smoothing=0.5,
                           log_scale=METRICS[metric].log_scale)  # fmt: skip
    spec = to_spec(chart)
    assert METRICS[metric].label in str(spec) and spec["description"]
    lines = 2 if folded else 4
    assert marks(chart) >= lines
    text = to_svg(chart)
    assert style.METHODS["pruned"].colour in text and style.METHODS["scratch"].colour in text


@pytest.mark.parametrize("folded", [False, True])
def test_a_legend_can_be_left_to_the_page(runs, folded):
    one = [source(runs, "pruned_80/seed_0")]
    name = one[0].group if folded else one[0].run
    assert f">{name}<" in to_svg(training_chart(one, "loss", folded=folded))
    without = training_chart(one, "loss", folded=folded, legend=False)
    assert f">{name}<" not in to_svg(without) and marks(without) >= 1


def test_chart_of_nothing_says_so(runs):
    chart = training_chart([], "loss")
    assert "No training objective" in to_svg(chart)
    assert "No finished run" in to_svg(layers_chart({}, {}))
    assert "No finished run" in to_svg(accuracy_chart(runs_table("no such folder")))
    assert "No mask update" in to_svg(layer_sparsity_chart(read_log("no such file")))


def test_names_from_logs_are_text(runs):
    evil = Source('a"]; alert(1) //', "<b>g</b>", "x'y\\", source(runs, "pruned_80/seed_0").log)
    svg = to_svg(training_chart([evil], "loss"))
    assert "alert(1)" in svg
    assert marks(training_chart([evil], "loss", folded=True)) >= 1


def test_layers(runs):
    summary = Run(runs / "pruned_80" / "seed_0").summary()
    table = layer_table(summary)
    assert list(table["layer"]) == ["dense1", "dense2", "logits"]
    assert table["sparsity"].tolist() == pytest.approx([0.8, 0.784, 0.48], abs=1e-3)
    assert marks(layers_chart({"a": summary, "b": summary}, {"a": "pruned", "b": "set"})) >= 6
    log = source(runs, "pruned_80/seed_0").log
    assert marks(layer_sparsity_chart(log)) >= 3 and marks(layer_gradient_chart(log)) >= 3
    assert layer_table({"layers": {"a": 3, "b": {"size": 0, "nonzero": 0}}}).empty
    assert layer_table({"layers": 5}).empty


def test_accuracy(runs):
    table = runs_table(runs)
    groups = group_table(table).set_index("group")
    two = table[table["group"] == "pruned_80"]["accuracy"]
    assert groups.loc["pruned_80", "n"] == 2
    assert groups.loc["pruned_80", "mean"] == pytest.approx(two.mean())
    assert groups.loc["pruned_80", "std"] == pytest.approx(abs(two.diff().iloc[1]) / 2**0.5)
    assert marks(accuracy_chart(table)) >= 3 + 6  # means and runs


def test_accuracy_never_mixes_configs_nor_untrained_networks(runs):
    table = runs_table(runs).query("method == 'scratch'")
    one = table.assign(group="a", accuracy=[0.9, 0.8], sparsity=[0.80001, 0.79999])
    other = table.assign(group="b", accuracy=[0.5, 0.5], sparsity=0.8)
    untrained = table.assign(group="c", step=0.0)
    spec = to_spec(accuracy_chart(pd.concat([one, other, untrained])))
    line, _, faint, dots = (spec["datasets"][layer["data"]["name"]] for layer in spec["layer"])
    assert [(dot["group"], dot["sparsity"], dot["n"]) for dot in dots] == [
        ("a", 0.8, 2), ("b", 0.8, 2),
    ]  # fmt: skip
    assert [dot["mean"] for dot in dots] == pytest.approx([0.85, 0.5])
    assert [dot["std"] for dot in dots] == pytest.approx([0.05 * 2**0.5, 0])
    assert [point["mean"] for point in line] == pytest.approx([0.675])
    assert {run["group"] for run in faint} == {"a", "b"}


def test_methods_of_one_sparsity_stand_side_by_side(runs):
    table = runs_table(runs).query("method != 'dense'")
    spec = to_spec(accuracy_chart(table.assign(sparsity=0.8)))
    dots = spec["datasets"][spec["layer"][-1]["data"]["name"]]
    places = {dot["method"]: dot["place"] for dot in dots}
    assert places["pruned"] < 0.8 < places["scratch"]
    assert places["pruned"] + places["scratch"] == pytest.approx(1.6)
    axis = spec["layer"][-1]["encoding"]["x"]
    assert axis["axis"]["values"] == [0.8]
    assert axis["scale"]["domain"][0] < places["pruned"]
    # Alone at its sparsity a method stands at it.
    apart = table.assign(sparsity=table["method"].map({"pruned": 0.8, "scratch": 0.9}))
    spec = to_spec(accuracy_chart(apart))
    for layer in spec["layer"]:
        for row in spec["datasets"][layer["data"]["name"]]:
            assert row["place"] == {"pruned": 0.8, "scratch": 0.9}[row["method"]]


def test_png_by_hand():
    data = png(np.array([[0, 1, 1], [1, 0, 0]]), np.array([[255, 255, 255], [0, 0, 0]]))
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and data[16:24] == bytes([0, 0, 0, 3, 0, 0, 0, 2])
    start = data.index(b"IDAT") + 4
    length = int.from_bytes(data[start - 8 : start - 4], "big")
    # Each row: filter 0, then the bits from the left.
    assert zlib.decompress(data[start : start + length]) == bytes([0, 0b01100000, 0, 0b10000000])
    grey = png(np.array([[0, 2]]), np.zeros((3, 3)))
    assert grey[24] == 8  # three colours need a byte per pixel


def test_png_refuses():
    for indices in (np.zeros(3), np.zeros((0, 2)), np.array([[2]])):
        with pytest.raises(ValueError, match="expected"):
            png(indices, np.zeros((2, 3)))


def test_mask_is_one_picture_of_right_size():
    mask = np.random.default_rng(0).random((784, 300)) < 0.2
    chart = mask_chart(mask, name="dense1")
    spec = to_spec(chart)
    assert len(str(spec)) < 100_000  # an image; 235,200 marks would be megabytes
    assert spec["mark"]["type"] == "image" and spec["params"][0]["bind"] == "scales"
    assert "<image" in to_svg(chart)
    assert f"{1 - mask.mean():.2%} removed" in spec["title"]["text"]


def test_large_and_odd_masks():
    wide = np.zeros((1, LARGEST_SIDE * 2 + 1), bool)
    wide[0, 0] = True
    assert "<image" in to_svg(mask_chart(wide))
    assert "no weights" in to_svg(mask_chart(np.zeros((0, 3))))
    assert kernel_matrix(np.zeros((5, 5, 6, 16))).shape == (150, 16)


def test_histogram_counts_kept_weights_only():
    kernel = np.array([[0.0, 1.0], [2.0, 3.0]])
    table = histogram_table(kernel[kernel != 0], bins=2)
    assert table["count"].tolist() == [1, 2] and table["low"].tolist() == [1.0, 2.0]
    chart = weight_histogram(kernel, name="a")
    assert "3 kept of 4" in to_svg(chart)
    # A kept weight may be exactly 0: the mask decides.
    assert "4 kept of 4" in to_svg(weight_histogram(kernel, np.ones((2, 2))))
    assert "keeps no weight" in to_svg(weight_histogram(np.zeros((2, 2))))
    assert "1 not finite" in to_svg(weight_histogram(np.array([[np.nan, 1.0, 2.0]])))


def test_neurons_by_hand():
    dense = np.array([[1, 0, 0], [0, 0, 0]])  # output 1 and 2 get nothing, input 1 is unused
    conv = np.zeros((2, 2, 3, 2))  # channel in 0 used once, 1 and 2 never; output 1 gets nothing
    conv[0, 1, 0, 0] = 1
    table = neuron_table({"d": dense, "c": conv}).set_index("layer")
    assert table.loc["d"].tolist() == [2, 3, 2, 1, 6, 1, pytest.approx(5 / 6)]
    assert table.loc["c"].tolist() == [3, 2, 1, 2, 24, 1, pytest.approx(23 / 24)]


def test_masks_come_from_the_file_or_from_zeros():
    weights = {"a/kernel": np.array([[0.0, 2.0]]), "a/bias": np.zeros(2), "b/kernel": np.eye(2)}
    kept = masked_entries(weights, {"a": np.array([[1, 1]]), "b": np.ones((3, 3))})
    assert kept["a"].tolist() == [[True, True]]
    assert kept["b"].tolist() == [[True, False], [False, True]]  # a mask that does not fit


def test_exports(runs, tmp_path):
    chart = training_chart([source(runs, "pruned_80/seed_0")], "loss")
    assert to_png(chart)[:4] == b"\x89PNG"
    page = to_html(chart, title="<loss>")
    assert "&lt;loss&gt;" in page and "http-equiv" in page
    assert vl_convert.vegalite_to_vega(to_spec(chart))["marks"]
    table = pd.DataFrame({"a": ["=1+1", "x"], "b": [-1.0, 2.0]})
    assert to_csv(table) == "a,b\n'=1+1,-1.0\nx,2.0\n"


def test_charts_never_import_tensorflow():
    code = (
        "import sys, pkgutil, importlib, tfsparse.charts as c\n"
        "[importlib.import_module(f'tfsparse.charts.{m.name}')"
        " for m in pkgutil.iter_modules(c.__path__)]\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('tensorflow', 'keras', 'tf_keras')]\n"
        "print(bad)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == "[]", found.stdout + found.stderr
