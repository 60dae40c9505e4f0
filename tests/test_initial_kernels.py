"""Sparse initial kernels: variances by hand, axes, noise, and the spread of layer outputs."""

import numpy as np
import pytest
import tf_keras as keras
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsparse.errors import UserError
from tfsparse.sparsity import initial_kernels as k
from tfsparse.sparsity import initializers as ini
from tfsparse.sparsity.masks import random_mask


def draws(mask, n, **options):
    return np.stack([k.sparse_initial_kernel(mask, seed=seed, **options) for seed in range(n)])


def uneven_mask():
    """100 inputs, 2 outputs: the first keeps one input, the second all."""
    mask = np.zeros((100, 2), np.uint8)
    mask[17, 0] = 1
    mask[:, 1] = 1
    return mask


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_fan_ins_of_1_and_100_give_variances_of_2_and_a_fiftieth(distribution):
    kernels = draws(uneven_mask(), 20_000, distribution=distribution)
    assert np.var(kernels[:, 17, 0]) == pytest.approx(2.0, rel=0.05)
    assert np.var(kernels[:, :, 1]) == pytest.approx(0.02, rel=0.05)
    assert np.abs(np.delete(kernels[:, :, 0], 17, axis=1)).max() == 0.0
    assert abs(kernels[:, 17, 0].mean()) < 0.05


def test_the_other_kinds_do_not_see_single_neurons():
    mask = uneven_mask()  # dense fan-in 100, density 101 / 200
    for kind, variance in (("dense", 0.02), ("per_layer", 0.02 / 0.505)):
        kernels = draws(mask, 20_000, kind=kind)
        assert np.var(kernels[:, 17, 0]) == pytest.approx(variance, rel=0.05)
        assert np.var(kernels[:, :, 1]) == pytest.approx(variance, rel=0.05)


def test_fans_by_hand():
    # 2 outputs, 3 inputs, kernel 1 x 2. Output 0 has four ones, output 1 has one.
    mask = np.zeros((1, 2, 3, 2), int)
    mask[0, :, 0, 0] = mask[0, :, 1, 0] = 1
    mask[0, 1, 1, 1] = 1
    fan_in, fan_out = k.fans(mask)
    np.testing.assert_array_equal(fan_in, [4, 1])
    np.testing.assert_array_equal(fan_out, [2, 3, 0])


@pytest.mark.parametrize(
    ("mode", "variances"),
    [
        # For (input 0, output 0), (input 1, output 0), (input 1, output 1) of the mask above.
        ("fan_in", [2 / 4, 2 / 4, 2 / 1]),
        ("fan_out", [2 / 2, 2 / 3, 2 / 3]),
        ("fan_avg", [2 / 3, 2 / 3.5, 2 / 2]),
    ],
)
def test_convolution_axes(mode, variances):
    mask = np.zeros((1, 2, 3, 2), int)
    mask[0, :, 0, 0] = mask[0, :, 1, 0] = 1
    mask[0, 1, 1, 1] = 1
    kernels = draws(mask, 20_000, mode=mode)
    found = [np.var(kernels[:, 0, 1, i, o]) for i, o in ((0, 0), (1, 0), (1, 1))]
    assert found == pytest.approx(variances, rel=0.05)


@pytest.mark.parametrize("kind", ["dense", "per_layer", "per_neuron"])
@pytest.mark.parametrize(
    ("mode", "fan"), [("fan_in", 3 * 3 * 8), ("fan_out", 3 * 3 * 32), ("fan_avg", 3 * 3 * 20)]
)
def test_every_kind_of_a_full_mask_is_the_dense_one(kind, mode, fan):
    kernels = draws(np.ones((3, 3, 8, 32)), 40, kind=kind, mode=mode, scale=1.0)
    assert np.var(kernels) == pytest.approx(1.0 / fan, rel=0.02)


def test_the_normal_is_not_truncated():
    kernel = k.sparse_initial_kernel(np.ones((500, 500)), seed=0)
    deviation = np.sqrt(2 / 500)
    # A truncated normal ends at 2 deviations; a whole one has 4.55% beyond.
    assert np.mean(np.abs(kernel) > 2 * deviation) == pytest.approx(0.0455, rel=0.05)
    assert np.abs(kernel).max() > 4 * deviation


def test_the_uniform_fills_its_interval():
    kernel = k.sparse_initial_kernel(np.ones((500, 500)), seed=0, distribution="uniform")
    limit = np.sqrt(3 * 2 / 500)
    assert limit * 0.999 < np.abs(kernel).max() <= limit


@pytest.mark.parametrize("kind", k.KINDS)
@pytest.mark.parametrize("mode", k.MODES)
@pytest.mark.parametrize("distribution", k.NOISES)
def test_neurons_without_inputs_are_zero_and_nothing_is_nan(kind, mode, distribution):
    options = {"kind": kind, "mode": mode, "distribution": distribution}
    mask = np.zeros((3, 3, 4, 5))
    mask[0, 0, 0, 0] = 1
    with np.errstate(all="raise"):
        one = k.sparse_initial_kernel(mask, seed=0, **options)
        none = k.sparse_initial_kernel(np.zeros((4, 5)), seed=0, **options)
    assert np.isfinite(one).all() and np.count_nonzero(one) == 1
    assert not none.any() and none.dtype == one.dtype == np.float32


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([(40, 30), (3, 3, 8, 12), (1, 1, 64, 16), (5, 5, 1, 6), (7, 1)]),
    st.floats(0.0, 0.99), st.sampled_from(k.KINDS), st.sampled_from(k.MODES),
    st.sampled_from(k.NOISES), st.integers(0, 2**31 - 1),
)  # fmt: skip
def test_zeros_lie_where_the_mask_is_zero_and_the_seed_decides(s, sparsity, kind, mode, noise, x):
    mask = random_mask(s, sparsity, x, exact=False)
    options = {"kind": kind, "mode": mode, "distribution": noise}
    kernel = k.sparse_initial_kernel(mask, seed=x, **options)
    assert kernel.shape == s and np.isfinite(kernel).all()
    assert not kernel[mask == 0].any()
    np.testing.assert_array_equal(kernel, k.sparse_initial_kernel(mask, seed=x, **options))
    if mask.sum() > 1:
        assert (kernel != k.sparse_initial_kernel(mask, seed=x + 1, **options)).any()


def test_masks_of_one_seed_share_their_noise():
    mask = random_mask((50, 40), 0.8, 0)
    dense = k.sparse_initial_kernel(np.ones((50, 40)), seed=5, kind="dense")
    masked = k.sparse_initial_kernel(mask, seed=5, kind="dense")
    np.testing.assert_array_equal(masked, dense * mask)
    sparse = k.sparse_initial_kernel(mask, seed=5)
    np.testing.assert_array_equal(np.sign(sparse), np.sign(masked))


def output_deviation(sparsity, kind, seed):
    """The spread of the last of four ReLU layers of 200 under masks of uneven fan-in."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((500, 200))
    for depth in range(4):
        # Half of the neurons keep eight times as many inputs as the other half.
        density = np.tile([16 / 9, 2 / 9], 100) * (1 - sparsity)
        mask = rng.random((200, 200)) < density
        if not mask.all():
            mask[rng.integers(200, size=200), np.arange(200)] = True  # no neuron dies
        kernel = k.sparse_initial_kernel(mask, seed=seed * 10 + depth, kind=kind)
        signal = np.maximum(signal, 0) @ kernel if depth else signal @ kernel
    return signal.std()


def test_the_spread_of_layer_outputs_is_flat_over_sparsity_per_neuron_only():
    sparsities = (0.5, 0.8, 0.9, 0.95)
    spread = {
        kind: [np.mean([output_deviation(s, kind, seed) for seed in range(4)]) for s in sparsities]
        for kind in k.KINDS
    }
    assert max(spread["per_neuron"]) < 1.25 * min(spread["per_neuron"])
    assert spread["dense"][0] > 20 * spread["dense"][-1]


def test_only_masked_kernels_are_drawn_anew():
    rng = np.random.default_rng(0)
    weights = {
        "a/kernel": rng.normal(size=(6, 5)), "a/bias": rng.normal(size=5),
        "b/kernel": rng.normal(size=(5, 4)), "bn/gamma": rng.normal(size=4),
    }  # fmt: skip
    mask = random_mask((6, 5), 0.5, 0)
    drawn = k.sparse_initial_weights(weights, {"a": mask}, seed=3)
    assert list(drawn) == list(weights)
    assert not drawn["a/kernel"][mask == 0].any() and drawn["a/kernel"].any()
    for name in ("a/bias", "b/kernel", "bn/gamma"):
        assert drawn[name] is weights[name]
    both = k.sparse_initial_weights(weights, {"b": np.ones((5, 4)), "a": mask}, seed=3)
    np.testing.assert_array_equal(both["a/kernel"], drawn["a/kernel"])
    for masks, message in (({"c": mask}, "c/kernel"), ({"b": mask}, r"\(5, 4\).*\(6, 5\)")):
        with pytest.raises(UserError, match=message):
            k.sparse_initial_weights(weights, masks, seed=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "he"}, "kind.*per_neuron.*'he'"), ({"mode": "fan"}, "mode.*'fan'"),
        ({"distribution": "cauchy"}, "distribution.*'cauchy'"), ({"scale": 0.0}, "scale.*0.0"),
        ({"scale": float("nan")}, "scale"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        k.sparse_initial_kernel(np.ones((2, 2)), seed=0, **options)
    with pytest.raises(UserError, match="two axes"):
        k.sparse_initial_kernel(np.ones(3), seed=0)


# ---- as Keras initializers

CLASSES = {
    "per_neuron": ini.PerNeuronInitializer, "per_layer": ini.PerLayerInitializer,
    "dense": ini.MaskedDenseInitializer,
}  # fmt: skip


@pytest.mark.parametrize("kind", CLASSES)
def test_initializers_give_the_kernel_and_survive_their_config(kind):
    mask = random_mask((3, 3, 4, 5), 0.7, 0)
    options = {"mode": "fan_avg", "distribution": "uniform", "scale": 1.5}
    initializer = CLASSES[kind](mask, seed=11, **options)
    expected = k.sparse_initial_kernel(mask, seed=11, kind=kind, **options)
    np.testing.assert_array_equal(initializer(mask.shape), expected)
    copy = CLASSES[kind].from_config(initializer.get_config())
    np.testing.assert_array_equal(copy(mask.shape, dtype="float32"), expected)
    assert initializer(mask.shape, dtype="float16").dtype == "float16"


def test_initializers_are_saved_with_their_layer(tmp_path):
    mask = random_mask((9, 4), 0.6, 0)
    layer = keras.layers.Dense(4, kernel_initializer=ini.PerNeuronInitializer(mask, seed=2))
    model = keras.Sequential([keras.Input((9,)), layer])
    expected = k.sparse_initial_kernel(mask, seed=2)
    np.testing.assert_array_equal(model.layers[0].kernel, expected)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.layers[0].kernel, expected)
    clone = keras.models.clone_model(loaded)  # draws anew from the config
    np.testing.assert_array_equal(clone.layers[0].kernel, expected)


def test_initializers_refuse_what_does_not_fit():
    with pytest.raises(UserError, match=r"expected the mask's shape \(2, 3\), received \(3, 2\)"):
        ini.PerNeuronInitializer(np.ones((2, 3)), seed=0)((3, 2))
    with pytest.raises(UserError, match="only 0 and 1"):
        ini.PerNeuronInitializer(np.full((2, 3), 2), seed=0)
    with pytest.raises(UserError, match="mode"):
        ini.PerLayerInitializer(np.ones((2, 3)), seed=0, mode="fan")
    for packed in ({}, {"shape": [9, 9], "bits": "AA=="}, {"shape": [1], "bits": "!"}):
        with pytest.raises(UserError, match="cannot be unpacked"):
            ini.PerLayerInitializer(packed, seed=0)
