"""Topologies by config: which masks a model's layers get, and what is refused."""

import numpy as np
import pytest
from pydantic import ValidationError

from tfsparse import files
from tfsparse.config.topology import TopologyConfig
from tfsparse.errors import UserError
from tfsparse.sparsity.topologies import StarvedNeurons, radix_net
from tfsparse.sparsity.topology_masks import topology_masks, topology_radix_layers

LENET = {"dense1": (784, 300), "dense2": (300, 100), "logits": (100, 10)}
CAFFE = {"conv1": (5, 5, 1, 20), "conv2": (5, 5, 20, 50), "dense1": (2450, 384)}
SMALL = {"layers": ["dense1", "dense2"], "kind": "radix", "N": [[10, 10]], "B": [8, 3, 1]}


def config(*parts):
    return TopologyConfig.model_validate({"parts": parts})


def test_a_radix_net_is_trimmed_to_the_model():
    masks = topology_masks(LENET, config(SMALL), seed=0)
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {
        "dense1": 23_520,
        "dense2": 3_000,
    }
    whole = radix_net([[10, 10]], [8, 3, 1]).masks()
    np.testing.assert_array_equal(masks["dense1"], whole[0][16:])
    np.testing.assert_array_equal(masks["dense2"], whole[1])
    layers = topology_radix_layers(LENET, config(SMALL))
    assert layers["dense1"].trimmed == 16 and layers["dense2"].trimmed == 0
    for name, layer in layers.items():
        np.testing.assert_array_equal(layer.mask(), masks[name])


def test_random_topologies_for_dense_layers_and_convolutions():
    parts = config(
        {"layers": ["conv2"], "kind": "bernoulli", "sparsity": 0.5},
        {"layers": ["dense1"], "kind": "random", "sparsity": 0.5},
    )
    masks = topology_masks(CAFFE, parts, seed=1)
    assert masks["dense1"].sum() == 2450 * 384 // 2
    assert masks["conv2"].shape == (5, 5, 20, 50) and abs(masks["conv2"].mean() - 0.5) < 0.02
    other = topology_masks(CAFFE, parts, seed=2)
    assert all((masks[name] != other[name]).any() for name in masks)
    again = topology_masks(CAFFE, parts, seed=1)
    assert all((masks[name] == again[name]).all() for name in masks)
    # A layer's draw does not depend on its neighbours.
    alone = topology_masks(CAFFE, config(parts.parts[1].model_dump(exclude_none=True)), seed=1)
    np.testing.assert_array_equal(alone["dense1"], masks["dense1"])


def test_a_radix_net_on_a_convolution_joins_channels():
    part = {"layers": ["conv2"], "N": [[2, 5]], "B": [2, 5, 1]}
    with pytest.raises(UserError, match=r"expected 2 layers for 2 radices, received 1 \(conv2\)"):
        topology_masks(CAFFE, config(part), seed=0)
    part = {"layers": ["conv2"], "N": [[10]], "B": [2, 5]}
    mask = topology_masks(CAFFE, config(part), seed=0)["conv2"]
    assert mask.shape == (5, 5, 20, 50) and (mask == mask[0, 0]).all()


def test_a_file_of_masks(tmp_path):
    path = str(tmp_path / "mine.npz")
    mask = np.ones((300, 100), np.uint8)
    files.write_npz(path, {"dense2": mask})
    part = {"layers": ["dense2"], "kind": "file", "file": path}
    np.testing.assert_array_equal(topology_masks(LENET, config(part), 0)["dense2"], mask)
    with pytest.raises(UserError, match=r"expected a mask for layer 'dense1', received .* dense2"):
        topology_masks(LENET, config({**part, "layers": ["dense1"]}), 0)
    mask[:, 7] = 0
    files.write_npz(path, {"dense2": mask})
    with pytest.raises(UserError, match=r"at least 1 input .* 0 for 1 of them .* neuron 7"):
        topology_masks(LENET, config(part), 0)
    files.write_npz(path, {"dense2": mask[:5]})
    with pytest.raises(UserError, match=r"expected shape \(300, 100\), received \(5, 100\)"):
        topology_masks(LENET, config(part), 0)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([{**SMALL, "layers": ["dense1", "dense3"]}], "no layer 'dense3' .* mean 'dense"),
        ([SMALL, {**SMALL, "layers": ["dense1"]}], "'dense1', received two"),
        ([{**SMALL, "B": [8, 30, 1]}], "'dense1': expected 3000 outputs .*800-3000-100.* has 300"),
        ([{**SMALL, "B": [7, 3, 1]}], "'dense1': expected at most 700 inputs .* has 784"),
        ([{**SMALL, "B": [8, 3]}], "B: expected 3 widths"),
        ([{**SMALL, "layers": ["dense1", "logits"]}], "'logits': expected 300 inputs .* has 100"),
        ([{**SMALL, "N": [[10, 1]]}], "expected a whole number >= 2, received 1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(parts, message):
    with pytest.raises(UserError, match=message):
        topology_masks(LENET, config(*parts), 0)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"layers": ["a"], "kind": "radix"}, "expected topology.N for kind 'radix'"),
        ({"layers": ["a"], "kind": "random"}, "expected topology.sparsity"),
        ({"layers": ["a"], "kind": "file"}, "expected topology.file"),
        ({"layers": ["a"], "N": [[2, 2]], "sparsity": 0.5}, "'radix' takes no sparsity"),
        ({"layers": ["a"], "kind": "random", "sparsity": 1.0}, "less than 1"),
        ({"layers": ["a"], "kind": "random", "sparsity": -0.1}, "greater than or equal to 0"),
        ({"layers": ["a"], "N": [[2, 2.0]]}, "N.0.1"),
        ({"layers": [], "N": [[2, 2]]}, "layers"),
        ({"layers": ["a"], "radices": [[2, 2]]}, "unknown key 'radices'"),
    ],
)
def test_a_config_is_strict(part, message):
    with pytest.raises(ValidationError, match=message):
        config(part)


def test_random_layers_with_lonely_neurons_warn_by_name():
    parts = config({"layers": ["dense2"], "kind": "bernoulli", "sparsity": 0.99})
    with pytest.warns(StarvedNeurons, match="layer 'dense2'"):
        topology_masks(LENET, parts, 0)
