"""Callbacks that tell TensorBoard, MLflow and Weights & Biases of a training, and of its ledger as one chart.

A chart per block would be thousands in a deep net. So |g| at all blocks goes into one picture, that grows by a column
with each look, and into two numbers: how much of it reaches the first block, and how much came over the skips.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinyres.errors import ArgumentError, FileError, need_extra
from tinyres.store.opening import checked_path
from tinyres.trace.flow import flow_of
from tinyres.training.callback import Callback, Logs, count_of
from tinyres.training.gradients import GradientNorms
from tinyres.training.history import History

CHART = "ledger"


class Logger(Callback):
    """Base of the three: what is told, and when. A subclass opens, writes numbers and a chart, and closes.

    ledger: (x, y) to trace after an epoch, as for `model.graph`; None for no ledger. every: how many epochs lie between
    two traces. What is open is closed where a training fails, too: the next one has a run of its own.
    """

    writes = True

    def __init__(self, ledger: Any = None, every: int = 1) -> None:
        owner = type(self).__name__
        if ledger is not None and (not isinstance(ledger, (tuple, list)) or len(ledger) != 2):
            raise ArgumentError(f"[{owner}] the ledger is of a batch; got {type(ledger).__name__}; give ledger=(x, y)")
        self.ledger: Any = ledger
        self.every = count_of(owner, "every", every)
        if not self.every:
            raise ArgumentError(f"[{owner}] every is a number of epochs >= 1; got {every!r}; leave it out for each")
        self.norms = GradientNorms()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.norms = GradientNorms()
        self.open()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        told = History()
        told.append(epoch, logs or {})
        numbers = {name: values[0] for name, values in told.history.items()}
        numbers.setdefault("learning_rate", float(self.model.optimizer.lr))  # type: ignore[union-attr]
        looked = self.ledger is not None and epoch % self.every == 0
        if looked:
            numbers |= self._look(epoch)
        if looked and len(self.norms.names) > 1:
            self.chart(epoch)
        self.numbers(epoch, numbers)

    def on_train_end(self, logs: Logs | None = None) -> None:
        self.close()

    def on_train_failed(self) -> None:
        self.close(failed=True)

    def _look(self, epoch: int) -> dict[str, float]:
        """Trace the batch, keep |g| at every block, and give what two numbers say of it."""
        model: Any = self.model
        flow = flow_of("", model.graph(self.ledger[0], self.ledger[1]).trace(audit=False))
        self.norms.append(epoch, flow.names, np.array(flow.grad_norms, np.float64))
        skips = [share for share in flow.skips if share is not None]
        found = {"first_over_last": flow.first_over_last, "over_skips": sum(skips) / len(skips) if skips else None}
        return {f"{CHART}/{name}": value for name, value in found.items() if value is not None}

    def figure(self) -> Any:
        """|g| by block and epoch, as a matplotlib Figure. Raises MissingExtraError without matplotlib."""
        from tinyres.view.plots import heat_map, require_matplotlib

        require_matplotlib()
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, min(12, 2.5 + len(self.norms.names) / 5)), layout="constrained")
        ax = heat_map(self.norms.steps, self.norms.names, self.norms.norms, figure.subplots())
        ax.set_xlabel("epoch")
        ax.set_ylabel("block, from input to loss")
        return figure

    def open(self) -> None:
        """Before the first epoch."""

    def numbers(self, epoch: int, values: Mapping[str, float]) -> None:
        """Write the numbers of an epoch."""

    def chart(self, epoch: int) -> None:
        """Write the one chart of the ledger, as it is after this epoch."""

    def close(self, failed: bool = False) -> None:
        """After the last epoch, or where an error has stopped the training."""


class TensorBoard(Logger):
    """Write a training for TensorBoard: loss, metrics and learning rate per epoch, and the ledger as one picture.

    log_dir: the folder of the event files. ledger, every: a batch (x, y) to trace after every so many epochs; its |g|
    by block and epoch is the image "ledger", how much reaches the first block and comes over the skips two scalars.
    Raises MissingExtraError without tensorboardX (`pip install 'tinyres[tensorboard]'`).

    >>> board = tr.callbacks.TensorBoard("logs", ledger=(np.zeros((4, 8)), np.zeros(4)), every=5)
    """

    def __init__(self, log_dir: str | os.PathLike[str] = "logs", ledger: Any = None, every: int = 1) -> None:
        super().__init__(ledger, every)
        with need_extra("TensorBoard", "event files are written by tensorboardX", "tensorboard"):
            import tensorboardX  # noqa: F401
        self.log_dir = checked_path("TensorBoard", log_dir)
        self._writer: Any = None

    def open(self) -> None:
        from tensorboardX import SummaryWriter

        try:
            self._writer = SummaryWriter(self.log_dir)
        except OSError as error:
            raise FileError(
                f"[TensorBoard] log_dir is a folder; {self.log_dir!r} is none ({error.strerror}); name one"
            ) from None

    def numbers(self, epoch: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def chart(self, epoch: int) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas: Any = FigureCanvasAgg(self.figure())
        canvas.draw()
        self._writer.add_image(CHART, np.asarray(canvas.buffer_rgba())[..., :3], epoch, dataformats="HWC")
        self._writer.flush()

    def close(self, failed: bool = False) -> None:
        self._writer.close()
        self._writer = None


class MLflow(Logger):
    """Write a training as a run of MLflow: the run that is active, or one of its own.

    run_name: of a run of its own. ledger, every: as TensorBoard's; the chart is the artifact "ledger.png", written anew
    each time. Where runs go is MLflow's to say: `mlflow.set_tracking_uri`, `mlflow.set_experiment`.
    Raises MissingExtraError without mlflow (`pip install 'tinyres[mlflow]'` brings mlflow-skinny, which is enough).

    >>> import tinyres as tr
    >>> tr.callbacks.MLflow("first run", every=5).every
    5
    """

    def __init__(self, run_name: str | None = None, ledger: Any = None, every: int = 1) -> None:
        super().__init__(ledger, every)
        with need_extra("MLflow", "runs are kept by mlflow, of which mlflow-skinny is enough", "mlflow"):
            import mlflow  # noqa: F401
        self.run_name = run_name
        self._own = False

    def open(self) -> None:
        import mlflow

        self._own = mlflow.active_run() is None
        if self._own:
            mlflow.start_run(run_name=self.run_name)
        optimizer = type(self.model.optimizer).__name__
        mlflow.log_params({"optimizer": optimizer, "epochs": self.params.get("epochs")})

    def numbers(self, epoch: int, values: Mapping[str, float]) -> None:
        import mlflow

        mlflow.log_metrics({name: value for name, value in values.items() if math.isfinite(value)}, step=epoch)

    def chart(self, epoch: int) -> None:
        import mlflow

        mlflow.log_figure(self.figure(), f"{CHART}.png")

    def close(self, failed: bool = False) -> None:
        import mlflow

        if self._own:
            mlflow.end_run("FAILED" if failed else "FINISHED")


class WandB(Logger):
    """Write a training as a run of Weights & Biases: the run that is active, or one of its own.

    project, name, options: of a run of its own, as `wandb.init` takes them (mode="offline" needs no account).
    ledger, every: as TensorBoard's; the chart "ledger" has a line per block.
    Raises MissingExtraError without wandb (`pip install 'tinyres[wandb]'`).

    >>> import tinyres as tr
    >>> tr.callbacks.WandB("digits", options={"mode": "offline"}).project
    'digits'
    """

    def __init__(
        self,
        project: str | None = None,
        name: str | None = None,
        ledger: Any = None,
        every: int = 1,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(ledger, every)
        with need_extra("WandB", "runs are kept by wandb", "wandb"):
            import wandb  # noqa: F401
        self.project = project
        self.name = name
        self.options = dict(options or {})
        self._run: Any = None
        self._own = False

    def open(self) -> None:
        import wandb

        self._own = wandb.run is None
        self._run = wandb.run
        if self._own:
            self._run = wandb.init(project=self.project, name=self.name, **self.options)

    def numbers(self, epoch: int, values: Mapping[str, float]) -> None:
        self._run.log({"epoch": epoch, **values})

    def chart(self, epoch: int) -> None:
        import wandb

        lines = self.norms.norms.T.tolist()
        series = wandb.plot.line_series(
            xs=self.norms.steps.tolist(), ys=lines, keys=self.norms.names, title="|g| by block", xname="epoch"
        )
        self._run.log({CHART: series}, commit=False)  # with the numbers of the same epoch

    def close(self, failed: bool = False) -> None:
        if self._own:
            self._run.finish(exit_code=int(failed))
        self._run = None
