"""Finds the learning rate of each net of the demo, as it stands in `tinyres.study.demo.LEARNING_RATES`.

A sweep in powers of √10 for Adam: mean error over 3 seeds on a fifth of the training digits that is held back, after
the demo's 5 epochs on the rest, with settled BatchNorm statistics.

    python3 bench/demo_rates.py        half a minute
"""

from __future__ import annotations

import numpy as np

from tinyres.errors import NonFiniteError
from tinyres.ops.random import manual_seed
from tinyres.optim import Adam
from tinyres.study.demo import DemoData, DemoOptions, split_data
from tinyres.study.nets import NETS, stack

RATES = [float(f"{10 ** (e / 2):.0e}") for e in range(-8, -2)]  # 1e-4, 3e-4, ... 3e-2
SEEDS = 3
HELD_BACK = 5  # one example in so many


def error(net: str, rate: float, seed: int, data: DemoData) -> float:
    """The share of wrong answers on what is held back; 1 if the loss diverges."""
    options = DemoOptions()
    held = np.arange(len(data.x_train)) % HELD_BACK == 0
    manual_seed(seed)
    model = stack(NETS[net][0], options.blocks, options.width, data.x_train.shape[1], data.outputs)
    model.compile(Adam(lr=rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    try:
        model.fit(data.x_train[~held], data.y_train[~held], epochs=options.epochs, verbose=0)
        model.recalibrate_batchnorm(data.x_train[~held])
        return 1 - model.evaluate(data.x_train[held], data.y_train[held])[1]
    except NonFiniteError:
        return 1.0


def main() -> None:
    """Print the mean errors, a row per net, and the table of the best rates."""
    data = split_data(DemoOptions())
    print(f"{'net':<10}" + "".join(f"{rate:>9g}" for rate in RATES))
    best = {}
    for net in NETS:
        errors = [np.mean([error(net, rate, seed, data) for seed in range(SEEDS)]) for rate in RATES]
        best[net] = RATES[int(np.argmin(errors))]
        print(f"{net:<10}" + "".join(f"{e:>9.1%}" for e in errors), flush=True)
    print(best)


if __name__ == "__main__":
    main()
