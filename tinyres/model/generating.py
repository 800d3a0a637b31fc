"""generate: a text goes on, token by token, each drawn by the scores that a model gives after those before it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinyres.errors import ArgumentError, DTypeError, ShapeError
from tinyres.nn.decoding import Decoder
from tinyres.nn.functional import Functional
from tinyres.ops.random import default_generator


def generate(
    model: Functional,
    prompt: Any,
    max_new_tokens: int,
    temperature: float,
    top_k: int | None,
    seed: int | None,
    text: Any,
    cache: bool,
) -> Any:
    """See Model.generate."""
    _check_options(max_new_tokens, temperature, top_k, seed)
    decoder, classes = _decoder(model, cache)
    ids, said = _read_prompt(prompt, text, decoder, classes)
    random = default_generator().numpy() if seed is None else np.random.default_rng(seed)
    for _ in range(max_new_tokens):
        window = ids if decoder.places is None else ids[:, -decoder.places :]
        slides = window.shape[1] < ids.shape[1]  # then every token stands at another place than before
        if slides or not decoder.keeps:
            decoder.forget()
        scores = decoder.scores(window[:, decoder.seen :])
        ids = np.concatenate([ids, _drawn(scores, temperature, top_k, random)[:, None]], axis=1)
    return text.decode(ids[0]) if said else ids if np.ndim(prompt) == 2 else ids[0]


def _decoder(model: Functional, cache: bool) -> tuple[Decoder, int]:
    """What runs the model, and how many tokens there are. Raises ArgumentError for a model of anything else."""
    inputs, outputs = (model.inputs, model.outputs) if model.steps else ([], [])
    shapes = [s.shape for s in (*inputs, *outputs)]
    if len(inputs) != 1 or len(outputs) != 1 or len(shapes[0]) != 2 or len(shapes[1]) != 3 or shapes[1][-1] is None:
        raise ArgumentError(
            "[generate] a model that generates takes ids (batch, tokens) and gives scores (batch, tokens, vocabulary); "
            f"got one of {' and '.join(map(str, shapes)) or 'unknown shapes'}; see tr.applications.gpt"
        )
    return Decoder(model, model.final_activation == "softmax", cache), shapes[1][-1]


def _read_prompt(prompt: Any, text: Any, decoder: Decoder, classes: int) -> tuple[np.ndarray, bool]:
    """(ids (batch, tokens), whether they were a string)."""
    said = isinstance(prompt, str)
    if said and text is None:
        raise ArgumentError(
            f"[generate] a prompt is ids, or a string of a text that is given too; got {prompt[:20]!r} alone; add "
            "text=, what tr.data.text gave"
        )
    ids = np.asarray(text.encode(prompt) if said else prompt)
    if ids.ndim not in (1, 2) or not ids.size:
        raise ShapeError(
            f"[generate] a prompt has at least one token, (tokens,) or (batch, tokens); got shape {ids.shape}; begin "
            "with one, such as that of a new line"
        )
    if ids.dtype.kind not in "iu":
        raise DTypeError(f"[generate] a prompt is whole numbers; got {ids.dtype} of shape {ids.shape}; encode it first")
    if ids.min() < 0 or ids.max() >= classes:
        raise ArgumentError(
            f"[generate] ids lie in 0..{classes - 1}; got {ids.min()}..{ids.max()}; encode the prompt by the text that "
            "the model was trained on"
        )
    ids = np.atleast_2d(ids).astype(np.int64)
    tokens = ids.shape[1]
    if decoder.places is not None and tokens > decoder.places:
        raise ShapeError(
            f"[generate] this model looks at {decoder.places} tokens at once; got a prompt of {tokens}; give the end "
            f"of it, prompt[-{decoder.places}:]"
        )
    if decoder.fixed is not None and tokens < decoder.fixed:
        raise ShapeError(
            f"[generate] this model takes windows of {decoder.fixed} tokens; got a prompt of {tokens}; give as many, "
            "or build it on tr.Input(shape=(None,))"
        )
    return ids, said


def _drawn(scores: np.ndarray, temperature: float, top_k: int | None, random: np.random.Generator) -> np.ndarray:
    """One token for each row of scores."""
    if temperature == 0:
        return scores.argmax(axis=1)
    if top_k is not None and top_k < scores.shape[1]:
        least = np.partition(scores, -top_k, axis=1)[:, -top_k, None]
        scores = np.where(scores >= least, scores, -math.inf)
    weights = np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature).cumsum(axis=1)
    chosen = random.random((len(scores), 1)) * weights[:, -1:]
    return (weights <= chosen).sum(axis=1)


def _check_options(max_new_tokens: Any, temperature: Any, top_k: Any, seed: Any) -> None:
    for what, value, least in (("max_new_tokens", max_new_tokens, 0), ("top_k", top_k, 1), ("seed", seed, 0)):
        optional = what != "max_new_tokens"
        if optional and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ArgumentError(f"[generate] {what} is an integer >= {least}; got {value!r}; choose another")
    number = isinstance(temperature, (int, float, np.number)) and not isinstance(temperature, bool)
    if not number or not 0 <= temperature < math.inf:
        raise ArgumentError(
            f"[generate] temperature is a number from 0, the likeliest token, on; got {temperature!r}; choose another"
        )
