"""The command line: `tinyres demo`, `tinyres experiment`, `tinyres bench` and `tinyres info`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from tinyres.errors import ArgumentError, FileError, TinyresError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 if it worked, 2 with one clear line on standard error for bad options or files."""
    options = _parser().parse_args(argv)
    try:
        return int(options.command(options))
    except TinyresError as error:
        print(f"tinyres: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tinyres", description="Train small residual nets and see the gradient at every node."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="train plain and residual nets on handwritten digits and compare their gradients",
        description="Train nets of one depth that differ in one thing and compare what their gradients do.",
    )
    demo.add_argument("--blocks", type=int, default=16, metavar="N", help="blocks of two Dense (default 16)")
    demo.add_argument("--width", type=int, default=64, metavar="N", help="units per Dense (default 64)")
    demo.add_argument("--epochs", type=int, default=5, metavar="N", help="passes over the data (default 5)")
    demo.add_argument("--seed", type=int, default=0, metavar="N", help="seed of weights and shuffling (default 0)")
    demo.add_argument("--optimizer", default="adam", choices=("sgd", "adam", "adamw"), help="default adam")
    demo.add_argument("--lr", type=float, default=None, metavar="X", help="learning rate (default: the optimizer's)")
    demo.add_argument("--nets", default=None, metavar="A,B", help="which nets, by name, separated by commas")
    demo.add_argument("--data", default=None, metavar="FILE", help=".npz with x and y, or .csv with a label column")
    demo.add_argument("--json", default=None, metavar="FILE", help="also write the results to this file")
    demo.set_defaults(command=_demo)
    experiment = commands.add_parser(
        "experiment",
        help="reproduce a published finding on gradients in residual nets, in under two minutes",
        description="Reproduce a published finding; prints a table beside the published or theoretical numbers and "
        "saves it as NAME.json and NAME.png. Without NAME: list all experiments.",
    )
    experiment.add_argument("name", nargs="?", default=None, metavar="NAME", help="which; leave it out for a list")
    experiment.add_argument(
        "--set", action="append", default=[], metavar="OPTION=VALUE", help="change an option; lists like depths=8,16"
    )
    experiment.add_argument("--out", default=".", metavar="DIR", help="where to save (default: here)")
    experiment.add_argument("--no-picture", action="store_true", help="do not draw; then matplotlib is not needed")
    experiment.set_defaults(command=_experiment)
    bench = commands.add_parser(
        "bench",
        help="time kernels and a train step on this machine, native beside NumPy",
        description="Time kernels and a train step, native beside reference (NumPy); paste the table where it helps.",
    )
    bench.set_defaults(command=_bench)
    info = commands.add_parser("info", help="show the backend, instruction set and threads, and why")
    info.set_defaults(command=_info)
    return parser


def _info(options: argparse.Namespace) -> int:
    from tinyres.launch import info

    for key, value in info().items():
        print(f"{key:<16} {value}")
    return 0


def _experiment(options: argparse.Namespace) -> int:
    from tinyres.study.experiment import require_matplotlib
    from tinyres.study.experiments import EXPERIMENTS

    if options.name is None:
        for name, experiment in EXPERIMENTS.items():
            print(f"{name:<18} {experiment.title}")
        return 0
    if options.name not in EXPERIMENTS:
        known = ", ".join(EXPERIMENTS)
        raise ArgumentError(f"[experiment] the experiments are {known}; got {options.name!r}; choose one of them")
    experiment = EXPERIMENTS[options.name]
    settings = experiment.parsed(options.set)
    if not os.path.isdir(options.out):
        raise FileError(f"[experiment] --out must be a directory; got {options.out}; make it first")
    if not options.no_picture:
        require_matplotlib()
    if sys.stderr.isatty():
        print(f"{experiment.name} runs for up to two minutes ...", file=sys.stderr)
    result = experiment(**settings)
    print(result)
    suffixes = [".json"] if options.no_picture else [".json", ".png"]
    paths = [os.path.join(options.out, experiment.name + suffix) for suffix in suffixes]
    print()
    for path in paths:
        result.save(path)
        print(f"written to {path}")
    return 0


def _bench(options: argparse.Namespace) -> int:
    import tinyres
    from tinyres.study import bench

    print(f"tinyres {tinyres.__version__}", *bench.machine(), sep="\n")
    waiting = sys.stderr.isatty()
    measured = bench.results(lambda name: print(f"  {name[:70]:<70}", end="\r", file=sys.stderr) if waiting else None)
    print(bench.table(measured))
    return 0


def _demo(options: argparse.Namespace) -> int:
    from tinyres.study import demo, nets

    chosen = demo.DemoOptions(
        blocks=options.blocks,
        width=options.width,
        epochs=options.epochs,
        seed=options.seed,
        optimizer=options.optimizer,
        lr=options.lr,
        nets=tuple(nets.NETS) if options.nets is None else tuple(n for n in options.nets.split(",") if n),
        data=options.data,
    )
    demo.check(chosen)
    data = demo.split_data(chosen)
    target = _opened(options.json)
    _print_equation(demo.scalar_equation())
    results = _train(demo, chosen, data)
    _print_results(chosen, results, data)
    said = demo.sentences(results)
    for sentence in said:
        print(textwrap.fill(sentence, 80, subsequent_indent="  "))
    if target is not None:
        with target:
            json.dump(
                {
                    "options": vars(chosen),
                    "nets": [r.as_dict() for r in results.values()],
                    "sentences": said,
                },
                target,
                indent=1,
            )
        print(f"\nwritten to {options.json}")
    return 0


def _print_equation(parts: dict[str, float]) -> None:
    print("The equation on scalars: L = (wx + x)^2 at w = 0.1, x = 3.")
    print("At the fork x feeds the branch wx and the skip:")
    print(
        f"  dL/dx {parts['gradient']:.2f} = skip {parts['skip']:.2f} ({parts['skip_share']:.3f})"
        f" + branch {parts['branch']:.2f} ({parts['branch_share']:.3f})\n"
    )


def _train(demo: Any, options: Any, data: Any) -> dict[str, Any]:
    batches = -(-len(data[0][0]) // 32) * options.epochs
    results = {}
    if not sys.stdout.isatty():
        for name in options.nets:
            print(f"training {name}: {options.blocks} blocks of 2 Dense, width {options.width} ...", flush=True)
            results[name] = demo.run_net(name, options, data, lambda: None)
        return results
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, transient=True) as progress:
        for name in options.nets:
            task = progress.add_task(name, total=batches)
            results[name] = demo.run_net(name, options, data, lambda task=task: progress.advance(task))
    return results


def _print_results(options: Any, results: dict[str, Any], data: Any) -> None:
    n_train, n_test = len(data[0][0]), len(data[1][0])
    epochs = "1 epoch" if options.epochs == 1 else f"{options.epochs} epochs"
    print(f"\n{n_train} training and {n_test} test examples, {epochs} of {options.optimizer}, batch 32")
    print("gradients before training; |g| = L2 norm of dL/d(block input), and its shares\n")
    print(f"{'net':<10} {'train':>6} {'test':>6} {'ms per':>7}   {'block':<8} {'|g|':>9} {'skip':>7} {'branch':>7}")
    print(f"{'':<10} {'error':>6} {'error':>6} {'step':>7}")
    for result in results.values():
        lead = f"{result.name:<10} {result.train_error:>6.1%} {result.test_error:>6.1%} {result.step_ms:>7.2f}"
        for row in result.rows:
            print(
                f"{lead:<32}   {row['block']:<8} {row['grad_norm']:>9.3g} {_share(row['skip'])} {_share(row['branch'])}"
            )
            lead = ""
    print()


def _share(value: float | None) -> str:
    return f"{'-':>7}" if value is None else f"{value:>7.3f}"


def _opened(path: str | None) -> Any:
    """The file for the results, opened before any work is done for it; None if none is wanted."""
    if path is None:
        return None
    try:
        return open(path, "w", encoding="utf-8")
    except OSError as error:
        raise FileError(f"[demo] the results cannot be written: {path}: {error.strerror}; check the path") from error
