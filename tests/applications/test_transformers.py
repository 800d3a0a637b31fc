"""Transformers: parameters as published, blocks in the trace, step for step as in PyTorch, files, errors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers
from tinyres.errors import ArgumentError

NORMS = ("pre", "post", "deepnorm", "rezero")
RNG = np.random.default_rng(0)
IDS = RNG.integers(0, 11, (4, 9))
NEXT = RNG.integers(0, 11, (4, 9))


def small(norm: str = "pre", **options: Any) -> tr.Model:
    tr.manual_seed(0)
    model = tr.applications.gpt(11, 9, layers=2, heads=2, width=8, norm=norm, **options)
    model.compile(tr.optim.AdamW(lr=0.01, clip_norm=1.0), "sparse_categorical_crossentropy")
    return model


@pytest.mark.slow
def test_gpt_2_has_the_published_parameters() -> None:
    assert tr.applications.gpt(50257, 1024, 12, 12, 768).count_params() == 124_439_808


def test_untied_without_biases_and_with_sines_the_parameters_are_these() -> None:
    tied = small().count_params()
    assert tied == 11 * 8 + 9 * 8 + 2 * (4 * 8 * 8 + 4 * 8 + 2 * 16 + 8 * 32 + 32 + 32 * 8 + 8) + 16
    assert small(tied=False).count_params() == tied + 8 * 11
    assert small(use_bias=False).count_params() == tied - 2 * (4 * 8 + 2 * 8 + 32 + 8) - 8
    assert small(positions="sine").count_params() == tied - 9 * 8
    assert small("rezero").count_params() == tied - 2 * 2 * 16 - 16 + 2 * 2


def test_gpt_begins_as_gpt_2_does() -> None:
    model = tr.applications.gpt(300, 64, layers=8, heads=4, width=64)
    deviations = {name: w.numpy().std() for name, w in model.named_parameters().items()}
    for name in (
        "tokens/embeddings",
        "positions/embeddings",
        "block7/attention/value_kernel",
        "block0/mlp_hidden/kernel",
    ):
        assert deviations[name] == pytest.approx(0.02, rel=0.05), name
    for name in ("block0/attention/output_kernel", "block7/mlp_output/kernel"):
        assert deviations[name] == pytest.approx(0.02 / 4, rel=0.05), name


def test_deepnorm_draws_and_scales_as_published() -> None:
    model = tr.applications.gpt(300, 64, layers=8, heads=4, width=64, norm="deepnorm")
    deviations = {name: w.numpy().std() for name, w in model.named_parameters().items()}
    beta = 64**-0.25
    glorot, wide = np.sqrt(2 / 128), np.sqrt(2 / 320)
    assert deviations["block0/attention/query_kernel"] == pytest.approx(glorot, rel=0.05)
    assert deviations["block0/attention/value_kernel"] == pytest.approx(beta * glorot, rel=0.05)
    assert deviations["block0/attention/output_kernel"] == pytest.approx(beta * glorot, rel=0.05)
    assert deviations["block0/mlp_hidden/kernel"] == pytest.approx(beta * wide, rel=0.05)
    scales = [layer.constants for layer in model.layers if type(layer).__name__ == "OpLayer"]
    assert [float(next(iter(c.values()))) for c in scales] == [pytest.approx(16**0.25)] * 16


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_learns_is_traced_kept_and_copied(norm: str, tmp_path: Any) -> None:
    model = small(norm, dropout=0.1)
    losses = model.fit(IDS, NEXT, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    trace = model.graph(IDS, NEXT).trace(audit="full")
    assert trace.audit().ok
    assert {"block0/attention", "block1/mlp_hidden"} <= {node.name for node in trace.nodes}
    skips = [edge.dst for edge in trace.edges if edge.kind == "skip"]
    assert len(skips) == 4, skips
    model.save(tmp_path / "m.npz")
    for twin in (tr.load(tmp_path / "m.npz"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin.predict(IDS), model.predict(IDS))
    np.testing.assert_allclose(model.astype("float64").predict(IDS), model.predict(IDS), rtol=1e-3, atol=1e-5)


def test_a_token_sees_no_later_one() -> None:
    model = small()
    model.fit(IDS, NEXT, epochs=5, verbose=0)
    other = IDS.copy()
    other[:, 5:] = (other[:, 5:] + 1) % 11
    np.testing.assert_allclose(model.predict(IDS)[:, :5], model.predict(other)[:, :5], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict(IDS)[:, :5], model.predict(IDS[:, :5]), rtol=1e-5, atol=1e-6)
    assert np.abs(model.predict(IDS)[:, 5:] - model.predict(other)[:, 5:]).max() > 1e-3


def test_turned_queries_and_keys_know_how_far_apart_tokens_are_and_not_where() -> None:
    model = small(positions="rotary")
    table = small().get_layer("positions").embeddings
    assert model.count_params() == small().count_params() - table.size
    model.fit(IDS, NEXT, epochs=5, verbose=0)
    layer = model.get_layer("block0/attention")
    x = tr.tensor(np.random.default_rng(0).normal(size=(1, 6, layer.query_kernel.shape[0])), dtype="float32")
    near, far = (layer.projected(x, x, x, start=start) for start in (0, 40))
    assert np.abs(near.query.numpy() - far.query.numpy()).max() > 1e-3
    scores = [tr.einsum("bqhd,bkhd->bhqk", h.query, h.key).numpy() for h in (near, far)]
    np.testing.assert_allclose(*scores, atol=1e-5)
    swapped = IDS[:, [1, 0, *range(2, IDS.shape[1])]]
    assert np.abs(model.predict(IDS)[:, -1] - model.predict(swapped)[:, -1]).max() > 1e-6


def test_the_positions_are_no_branch_of_a_skip() -> None:
    model = small()
    twin = model.without_skips()
    kept = [layer.name for layer in twin.layers if type(layer).__name__ == "Add"]
    assert kept == ["embedded"]


def test_captured_and_eager_training_are_the_same_bit_for_bit() -> None:
    captured, eager = small(dropout=0.1), small(dropout=0.1)
    for model, capture in ((captured, True), (eager, False)):
        tr.manual_seed(1)
        model.fit(IDS, NEXT, batch_size=2, epochs=3, verbose=0, capture=capture)
    for a, b in zip(captured.get_weights(), eager.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_an_encoder_learns_classes_of_ids_and_of_features() -> None:
    labels = IDS[:, 0] % 3
    of_ids = tr.applications.transformer_encoder(3, 9, 1, 2, 8, vocabulary=11, norm="post")
    of_features = tr.applications.transformer_encoder(3, 9, 1, 2, 8, features=5, positions="sine", norm="deepnorm")
    for model, x in ((of_ids, IDS), (of_features, RNG.normal(size=(4, 9, 5)))):
        model.compile(tr.optim.Adam(lr=0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(x, labels, epochs=60, verbose=0)
        assert model.evaluate(x, labels)[1] == 1.0


@pytest.mark.parametrize("norm", NORMS)
def test_an_encoder_leaves_padding_out(norm: str, tmp_path: Any) -> None:
    model = tr.applications.transformer_encoder(3, 9, 2, 2, 8, vocabulary=11, padding=0, norm=norm)
    model.compile("adam", "sparse_categorical_crossentropy")
    short = RNG.integers(1, 11, (4, 6))
    model.fit(short, short[:, 0] % 3, epochs=3, verbose=0)
    filled = np.concatenate([short, np.zeros((4, 3), int)], axis=1)
    np.testing.assert_allclose(model.predict(filled), model.predict(short), rtol=1e-4, atol=1e-5)
    assert np.abs(model.predict(np.where(filled == 0, 5, filled)) - model.predict(short)).max() > 1e-6
    model.save(tmp_path / "m.npz")
    np.testing.assert_array_equal(tr.load(tmp_path / "m.npz").predict(filled), model.predict(filled))
    assert np.isfinite(model.predict(np.zeros((1, 4), int))).all()


class TorchGPT:
    """The pre-norm net in PyTorch's functions, from the weights of ours by name."""

    def __init__(self, torch: Any, weights: dict[str, np.ndarray], layers: int, heads: int) -> None:
        self.torch, self.layers, self.heads = torch, layers, heads
        self.weights = {name: torch.tensor(w.copy(), requires_grad=True) for name, w in weights.items()}

    def __call__(self, ids: Any) -> Any:
        functional, w = self.torch.nn.functional, self.weights

        def normalised(x: Any, name: str) -> Any:
            return functional.layer_norm(x, x.shape[-1:], w[f"{name}/gamma"], w[f"{name}/beta"], 1e-5)

        def heads(x: Any, name: str) -> Any:
            projected = self.torch.einsum("btd,dhk->bhtk", x, w[f"{name}_kernel"])
            return projected + w[f"{name}_bias"][:, None]

        x = w["tokens/embeddings"][ids] + w["positions/embeddings"][: ids.shape[1]]
        for i in range(self.layers):
            at = f"block{i}/attention"
            y = normalised(x, f"{at}_norm")
            q, k, v = (heads(y, f"{at}/{part}") for part in ("query", "key", "value"))
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.torch.einsum("bhtv,hvo->bto", y, w[f"{at}/output_kernel"]) + w[f"{at}/output_bias"]
            y = normalised(x, f"block{i}/mlp_norm")
            y = functional.gelu(y @ w[f"block{i}/mlp_hidden/kernel"] + w[f"block{i}/mlp_hidden/bias"])
            x = x + y @ w[f"block{i}/mlp_output/kernel"] + w[f"block{i}/mlp_output/bias"]
        return normalised(x, "final_norm") @ w["tokens/embeddings"].T


@pytest.mark.slow
def test_the_character_model_trains_step_for_step_as_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    tr.manual_seed(0)
    plays = tr.data.load_plays(context=64, batch_size=12)
    model = tr.applications.gpt(66, 64, layers=4, heads=4, width=128, activation=None)
    peer = TorchGPT(torch, {name: p.numpy() for name, p in model.named_parameters().items()}, 4, 4)
    ours = tr.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1, clip_norm=1.0)
    theirs = torch.optim.AdamW(peer.weights.values(), lr=1e-3, weight_decay=0.1, eps=ours.epsilon)
    calls = []

    @tr.capture
    def step(x: tr.Tensor, y: tr.Tensor) -> tr.Tensor:
        calls.append(1)
        ours.zero_grad()
        loss = tr.losses.softmax_cross_entropy(model(x, training=True), y)
        loss.backward()
        ours.step()
        return loss

    for (x, y), _ in zip(plays.train, range(20)):
        theirs.zero_grad()
        loss = torch.nn.functional.cross_entropy(peer(torch.tensor(x)).flatten(0, 1), torch.tensor(y).flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(peer.weights.values(), 1.0)
        theirs.step()
        assert float(step(x, y)) == pytest.approx(loss.item(), abs=1e-4)
    assert calls == [1]  # recorded once; every further step is a replay in C


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: tr.applications.gpt(11, 9, norm="none"),
            "[gpt] norm is one of pre, post, deepnorm, rezero; got 'none'; choose one of them",
        ),
        (
            lambda: tr.applications.gpt(11, 9, positions="sinus"),
            "[gpt] positions is one of learned, sine, rotary; got 'sinus'; choose one of them",
        ),
        (
            lambda: tr.applications.gpt(11, 9, heads=3, width=8),
            "[transformer_pre] heads share out the width, 8; got 3 heads; choose a divisor of it",
        ),
        (
            lambda: tr.applications.transformer_encoder(3, 9),
            "[transformer_encoder] sequences are ids below vocabulary, or have features; got vocabulary=None and "
            "features=None; give one of them",
        ),
        (
            lambda: tr.applications.transformer_encoder(3, 9, features=5, padding=0),
            "[transformer_encoder] padding is an id below vocabulary; got 0 among features; leave it out",
        ),
        (
            lambda: layers.blocks.transformer_pre(tr.Input(shape=(4, 8)), 2, hiden=4),
            "[transformer_pre] tinyres has no option hiden; got 4; it takes heads, hidden, causal, mask, rotary, "
            "dropout, activation, use_bias, epsilon, kernel_initializer, value_initializer, output_initializer",
        ),
    ],
)
def test_message(call: Any, message: str) -> None:
    with pytest.raises(ArgumentError) as raised:
        call()
    assert str(raised.value) == message
