"""Charts of topologies: what is in them, that they render, and that no TensorFlow is needed."""

import base64
import subprocess
import sys

import numpy as np
import pytest

from tfsparse.charts.topology import adjacency_chart, radix_chart, topology_chart
from tfsparse.errors import UserError
from tfsparse.sparsity.topologies import radix_net


def pixels(chart):
    """The adjacency image of a chart as an array, decoded by an independent reader."""
    image = pytest.importorskip("PIL.Image")
    import io

    def urls(part):
        if isinstance(part, dict):
            if "url" in part and str(part["url"]).startswith("data:image/png"):
                yield part["url"]
            for value in part.values():
                yield from urls(value)
        elif isinstance(part, list):
            for value in part:
                yield from urls(value)

    url = next(urls(chart.to_dict()))
    return np.asarray(image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))))


def test_figure_5_shows_every_neuron_and_connection():
    chart = radix_chart([2, 2, 2])
    edges, nodes = (layer.data.values for layer in chart.vconcat[0].layer)
    assert len(edges) == 3 * 16 and len(nodes) == 4 * 8
    ends = {(edge["from"], edge["to"]) for edge in edges if edge["layer"] == 1}
    assert ends == {(q, (q + j) % 8) for q in range(8) for j in (0, 2)}
    assert len(chart.vconcat[1].hconcat) == 3
    assert chart.title.text == "RadiX-Net N = ((2,2,2))"
    assert "1 path joins any input to any output" in chart.title.subtitle[1]


def test_the_adjacency_image_is_the_mask():
    mask = radix_net([[3, 4]], [2, 1, 3]).layers[1].mask()
    shown = pixels(adjacency_chart(mask))
    factor = shown.shape[0] // mask.shape[0]
    np.testing.assert_array_equal(shown[::factor, ::factor] == 0, mask == 1)


def test_a_large_net_is_shown_by_its_adjacency_alone():
    chart = radix_chart([[10, 10]], [8, 30, 1])
    assert "vconcat" not in chart.to_dict() and len(chart.hconcat) == 2
    assert chart.title.subtitle[-1] == "270,000 connections are too many to draw as lines"
    shown = pixels(chart)
    assert shown.shape == (267, 1000)  # averaged over 3 x 3 places
    assert chart.to_json().count("layer") < 100  # no list of edges


def test_charts_render(tmp_path):
    for i, chart in enumerate([radix_chart([2, 2]), topology_chart([np.eye(3), np.ones((3, 2))])]):
        chart.save(tmp_path / f"{i}.png")
        assert (tmp_path / f"{i}.png").stat().st_size > 5000


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(UserError, match="at least 1 mask"):
        topology_chart([])
    with pytest.raises(UserError, match=r"masks \[inputs, outputs\], received \(3,\)"):
        topology_chart([np.ones(3)])
    with pytest.raises(UserError, match=r"expected 3 inputs .* received 2"):
        topology_chart([np.ones((2, 3)), np.ones((2, 3))])
    with pytest.raises(UserError, match="whole number >= 2, received 1"):
        radix_chart([2, 1])


def test_drawing_needs_no_tensorflow():
    code = (
        "import sys; from tfsparse.charts.topology import radix_chart; radix_chart([2, 2]);"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
