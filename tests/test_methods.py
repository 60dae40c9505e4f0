"""Each method starts from the right weights under the right mask, and refuses false tickets."""

import numpy as np
import pytest
from small import PRUNED, small_config, trained

from tfsparse import files
from tfsparse.errors import UserError
from tfsparse.methods import METHODS
from tfsparse.runs import Run
from tfsparse.sparsity.masks import magnitude_mask, mask_hash

MASK = {"sparsity": 0.8, "rules": []}


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    """A pruned run that kept its weights of step 10, and its folder's parent."""
    root = tmp_path_factory.mktemp("runs")
    run, _ = trained(root, "pruned", **PRUNED, train={"save_weights_at": [10]})
    return root, run


def source(root, **more):
    return {"source": {"run": str(root / "pruned" / "seed_{seed}"), **more}}


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


def masked_weights(weights, masks):
    return {
        name: value * masks[name.split("/")[0]] if name.endswith("/kernel") else value
        for name, value in weights.items()
    }


def test_lottery_starts_from_the_same_runs_step_0(pruned, tmp_path):
    root, parent = pruned
    run, summary = trained(tmp_path, method="lottery", **source(root))
    assert mask_hash(run.masks()) == mask_hash(parent.masks())
    assert same(run.initial_weights(), masked_weights(parent.initial_weights(), parent.masks()))
    assert summary["sources"]["initial_hash"] == parent.summary()["weights_hash"]["initial"]
    final = run.final_weights()
    for name, mask in run.masks().items():
        assert np.all(final[f"{name}/kernel"][mask == 0] == 0)


def test_late_rewinding_starts_from_a_kept_step(pruned, tmp_path):
    root, parent = pruned
    run, _ = trained(tmp_path, method="lottery", **source(root, rewind_step=10))
    assert same(run.initial_weights(), masked_weights(parent.weights_at(10), parent.masks()))
    with pytest.raises(UserError, match=r"kept no weights of step 11, only of 0, 10"):
        trained(tmp_path, "other", method="lottery", **source(root, rewind_step=11))


@pytest.mark.parametrize("method", ["scratch", "retrain"])
def test_scratch_takes_the_mask_and_another_initialisation(pruned, tmp_path, method):
    root, parent = pruned
    run, _ = trained(tmp_path, method=method, **source(root))
    again, _ = trained(tmp_path, "again", method=method, seed=1, source={"run": str(parent.path)})
    assert mask_hash(run.masks()) == mask_hash(again.masks()) == mask_hash(parent.masks())
    starts = [parent.initial_weights(), run.initial_weights(), again.initial_weights()]
    kernels = [masked_weights(start, parent.masks())["dense1/kernel"] for start in starts]
    for i in range(3):
        for j in range(i):
            assert not np.any((kernels[i] == kernels[j]) & (kernels[i] != 0))


def test_sparse_init_zeroes_the_start_and_trains_densely(pruned, tmp_path):
    root, parent = pruned
    run, summary = trained(tmp_path, method="sparse_init", **source(root))
    assert same(run.initial_weights(), masked_weights(parent.initial_weights(), parent.masks()))
    assert run.masks() == {}
    assert summary["sparsity"] == 0.0
    assert np.mean(run.final_weights()["logits/kernel"] == 0) < 0.1


def test_random_sparse_init_zeroes_an_exact_part(tmp_path):
    run, _ = trained(tmp_path, method="random_sparse_init", mask=MASK)
    kernel = run.initial_weights()["dense1/kernel"]
    assert np.count_nonzero(kernel) == round(0.2 * kernel.size)
    assert run.masks() == {}


def test_one_shot_is_one_cut_of_the_trained_weights(tmp_path):
    dense, _ = trained(tmp_path, "dense")
    cut = {"source": {"run": str(dense.path)}, "mask": {"kind": "magnitude", **MASK}}
    run, summary = trained(tmp_path, "cut", method="one_shot", **cut, train={"steps": 0})
    final = dense.final_weights()
    for name, mask in run.masks().items():
        np.testing.assert_array_equal(mask, magnitude_mask(final[f"{name}/kernel"], 0.8))
    assert same(run.final_weights(), masked_weights(final, run.masks()))
    assert summary["steps"] == 0
    assert not [line for line in run.metrics() if line["kind"] == "mask_update"]


def test_runs_of_one_seed_share_their_start_and_seeds_differ(tmp_path, pruned):
    _, parent = pruned
    dense, _ = trained(tmp_path, "dense", train={"steps": 1})
    other, _ = trained(tmp_path, "dense", seed=1, train={"steps": 1})
    assert same(dense.initial_weights(), parent.initial_weights())
    assert not same(dense.initial_weights(), other.initial_weights())


def test_small_dense_has_as_many_weights_as_the_sparse_net_keeps(tmp_path):
    _, summary = trained(tmp_path, method="small_dense", mask=MASK, train={"steps": 1})
    _, full = trained(tmp_path, "full", train={"steps": 1})
    size = {s["name"]: sum(x["size"] for x in s["layers"].values()) for s in (summary, full)}
    assert 0.9 * 0.2 * size["full"] < size["run"] <= 0.2 * size["full"] + 1


def test_imp_cuts_in_rounds_and_returns_to_its_start(tmp_path):
    imp = {"rounds": 2, "final_sparsity": 0.75, "rewind_step": 5, "rules": []}
    run, summary = trained(tmp_path, method="imp", imp=imp)
    first, second, third = (Run(run.path / "rounds" / f"round_{k}") for k in range(3))
    assert [round(r["sparsity"], 2) for r in summary["rounds"]] == [0.0, 0.5, 0.75]
    for before, after in ((first, second), (second, third)):
        final = before.final_weights()
        for name, mask in after.masks().items():
            target = {second.path: 0.5, third.path: 0.75}[after.path]
            np.testing.assert_array_equal(mask, magnitude_mask(final[f"{name}/kernel"], target))
        assert same(after.initial_weights(), masked_weights(first.weights_at(5), after.masks()))
    assert all(np.all(third.masks()[n] <= second.masks()[n]) for n in third.masks())
    assert same(run.final_weights(), third.final_weights())
    assert run.saved_model.is_dir()


@pytest.mark.parametrize("method", ["set", "rigl", "rigl_inverted", "snfs"])
def test_dynamic_methods_move_connections_and_keep_their_number(tmp_path, method):
    growth = {"frequency": 10, "end_step": 50}
    run, summary = trained(tmp_path, method=method, mask=MASK, growth=growth)
    updates = [line for line in run.metrics() if line["kind"] == "mask_update"]
    assert [line["step"] for line in updates] == [0, 10, 20, 30, 40, 50]
    assert all(line["layers"] == updates[0]["layers"] for line in updates)
    assert sum(line["dropped"] for line in updates) > 0
    assert summary["sparsity"] == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize("method", ["snip", "grasp"])
def test_pruning_at_initialisation_cuts_globally(tmp_path, method):
    _, summary = trained(tmp_path, method=method, mask=MASK)
    assert summary["sparsity"] == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize("kind", ["per_neuron", "per_layer", "dense"])
def test_init_scales_the_start_to_the_mask(tmp_path, kind):
    init = {"kind": kind}
    run, _ = trained(tmp_path, method="random", mask=MASK, init=init, train={"steps": 0})
    kernel, mask = run.initial_weights()["dense1/kernel"], run.masks()["dense1"]
    fan_in = {"per_neuron": 0.2, "per_layer": 0.2, "dense": 1.0}[kind] * kernel.shape[0]
    assert np.std(kernel[mask == 1]) == pytest.approx(np.sqrt(2 / fan_in), rel=0.05)


@pytest.mark.parametrize("method", ["set", "rigl"])
def test_growth_from_a_runs_own_mask_does_not_start_from_its_ticket(pruned, tmp_path, method):
    root, parent = pruned
    growth = {"end_step": 40, "frequency": 20}
    run, _ = trained(
        tmp_path, method=method, mask={"kind": "source"}, growth=growth, **source(root)
    )
    start, ticket = run.initial_weights(), parent.initial_weights()
    for layer, mask in parent.masks().items():
        kernel = start[f"{layer}/kernel"]
        assert np.array_equal(kernel != 0, mask == 1)
        assert not np.any(kernel[mask == 1] == ticket[f"{layer}/kernel"][mask == 1])
    moved = [np.any(mask != parent.masks()[layer]) for layer, mask in run.masks().items()]
    assert any(moved)


def test_a_ticket_that_is_not_its_runs_is_refused(tmp_path):
    run, _ = trained(tmp_path, "pruned", **PRUNED)
    weights = run.initial_weights()
    weights["dense1/kernel"] = weights["dense1/kernel"] + 1
    files.write_npz(run.path / "initial.npz", weights)
    with pytest.raises(UserError, match=r"initial\.npz: does not belong to this run"):
        trained(tmp_path, "lottery", method="lottery", **source(tmp_path))
    masks = run.masks()
    masks["dense1"] = masks["dense1"][::-1]
    files.write_npz(run.path / "masks.npz", masks)
    with pytest.raises(UserError, match=r"masks\.npz: does not belong to this run"):
        trained(tmp_path, "scratch", method="scratch", **source(tmp_path))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"method": "lottery"}, "expected a section 'source'"),
        ({"method": "dense", "mask": MASK}, "section 'mask' has no effect"),
        ({"method": "lottery", "source": {"run": "nowhere"}}, "no such run folder"),
        (
            {"method": "pruned", "pruning": {"final_sparsity": 0.5, "end_step": 61}},
            r"pruning\.end_step: expected a step of the run's 60 .* received 61",
        ),
        (
            {"method": "rigl", "mask": MASK, "growth": {"end_step": 100}},
            "growth.end_step: expected a step of the run's 60",
        ),
        ({"method": "random", "mask": {"kind": "shuffled"}}, "needs a source run"),
        ({"method": "set", "mask": {"kind": "source"}, "growth": {}}, "needs a source run"),
    ],
)
def test_what_cannot_work_is_said_at_once(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        trained(tmp_path, **changes)


def test_sources_must_be_finished_and_of_the_same_model(pruned, tmp_path):
    root, parent = pruned
    with pytest.raises(UserError, match="expected a run of model"):
        trained(tmp_path, method="lottery", model={"width": 0.2}, **source(root))
    with pytest.raises(UserError, match=r"source\.mask_hash: expected abc"):
        trained(tmp_path, "b", method="lottery", **source(root, mask_hash="abc"))
    (tmp_path / "half").mkdir()
    files.write_json(tmp_path / "half" / "config.json", parent.config_json())
    half = {"source": {"run": str(tmp_path / "half")}}
    with pytest.raises(UserError, match="expected a finished run, this one is stopped"):
        trained(tmp_path, "c", method="lottery", **half)


def test_every_method_of_the_config_has_a_row():
    from typing import get_args

    from tfsparse.config.run import Method

    assert set(get_args(Method)) == set(METHODS)
    assert small_config("x").method == "dense"
