"""The command line: `tinyres demo`, `experiment`, `bench` and `info`; also as `python -m tinyres`."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import io
import os
import sys
from collections.abc import Iterator, Sequence

from tinyres.errors import ArgumentError, FileError, MissingExtraError, TinyresError
from tinyres.store import text
from tinyres.store.replacing import replacing

# What an encoding that has no such sign is given instead.
_PLAIN = str.maketrans(
    {"×": "x", "±": "+-", "∂": "d", "·": "*", "…": "...", "→": "->", "µ": "u", "√": "sqrt ", "²": "^2"}
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 if it worked, 2 with one clear line on standard error for bad options, files or outputs."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.command is None:
        parser.print_help()
        return 0
    try:
        with _readable_anywhere():
            code = int(options.command(options))
            sys.stdout.flush()
        return code
    except TinyresError as error:
        print(f"tinyres: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        _discard_output()
        return 0
    except OSError as error:
        _discard_output()
        print(f"tinyres: [output] the output cannot be written: {error.strerror}; free some space", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


@contextlib.contextmanager
def _readable_anywhere() -> Iterator[None]:
    """Outputs whose encoding lacks a sign get a plain one in its place."""
    streams = [s for s in (sys.stdout, sys.stderr) if isinstance(s, io.TextIOWrapper)]
    before = [stream.errors for stream in streams]
    try:
        for stream in streams:
            stream.reconfigure(errors="tinyres.plain")
        yield
    finally:
        for stream, errors in zip(streams, before):
            with contextlib.suppress(OSError):
                stream.reconfigure(errors=errors)


def _plain(error: UnicodeError) -> tuple[str, int]:
    """How a sign reads where the output's encoding lacks it."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "replace").decode(), error.end


codecs.register_error("tinyres.plain", _plain)


def _discard_output() -> None:
    """Nothing more can be written: what is left in buffers must not fail again at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    import tinyres

    parser = argparse.ArgumentParser(
        prog="tinyres", description="Train small residual nets and see the gradient at every node."
    )
    parser.add_argument("--version", action="version", version=f"tinyres {tinyres.__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="train plain and residual nets on handwritten digits and compare their gradients",
        description="Train nets of one depth that differ in one thing and compare what their gradients do.",
    )
    demo.add_argument("--blocks", type=int, default=16, metavar="N", help="blocks of two Dense (default 16)")
    demo.add_argument("--width", type=int, default=64, metavar="N", help="units per Dense (default 64)")
    demo.add_argument("--epochs", type=int, default=5, metavar="N", help="passes over the data (default 5)")
    demo.add_argument("--seed", type=int, default=0, metavar="N", help="first seed of weights and order (default 0)")
    demo.add_argument("--seeds", type=int, default=3, metavar="N", help="how many seeds to train (default 3)")
    demo.add_argument("--optimizer", default="adam", choices=("sgd", "adam", "adamw"), help="default adam")
    demo.add_argument("--lr", type=float, default=None, metavar="X", help="learning rate (default: each net's own)")
    demo.add_argument("--nets", default=None, metavar="A,B", help="which nets, by name, separated by commas")
    demo.add_argument("--data", default=None, metavar="FILE", help=".npz with x and y, or .csv with a label column")
    demo.add_argument("--label", default=None, metavar="COLUMN", help="the label column, by name or as 'column 3'")
    demo.add_argument("--regression", action="store_true", help="the label is a number to predict, not a class")
    demo.add_argument("--json", default=None, metavar="FILE", help="also write the results to this file")
    demo.set_defaults(command=_demo)
    experiment = commands.add_parser(
        "experiment",
        help="reproduce a published finding on gradients in residual nets, in ten seconds to three minutes",
        description="Reproduce a published finding; prints a table beside the published or theoretical numbers and "
        "saves it as NAME.json and NAME.png. Without NAME: list all experiments.",
    )
    experiment.add_argument("name", nargs="?", default=None, metavar="NAME", help="which; leave it out for a list")
    experiment.add_argument(
        "--set", action="append", default=[], metavar="OPTION=VALUE", help="change an option; lists like depths=8,16"
    )
    experiment.add_argument("--seeds", type=int, default=None, metavar="N", help="how many seeds, for the ±")
    experiment.add_argument(
        "--net",
        default="dense",
        choices=("dense", "resnet"),
        help="resnet: degradation and lesion with convolutions on images, in minutes (default dense)",
    )
    experiment.add_argument("--quick", action="store_true", help="a first look in seconds: smaller nets, fewer seeds")
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
    from tinyres.study.experiments import EXPERIMENTS, OF_IMAGES
    from tinyres.study.progress import watched

    known = EXPERIMENTS if options.net == "dense" else OF_IMAGES
    if options.name is None:
        for name, experiment in known.items():
            also = " (also --net resnet)" if known is EXPERIMENTS and name in OF_IMAGES else ""
            print(f"{name:<18} {experiment.title}{also}")
        return 0
    if options.name not in known:
        kind = "" if known is EXPERIMENTS else " with --net resnet"
        raise ArgumentError(
            f"[experiment] the experiments{kind} are {', '.join(known)}; got {options.name!r}; choose one of them"
        )
    experiment = known[options.name]
    settings = {**(experiment.quick if options.quick else {}), **experiment.parsed(options.set)}
    if options.seeds is not None:
        settings["seeds"] = options.seeds
    if not os.path.isdir(options.out):
        raise FileError(f"[experiment] --out must be a directory; got {options.out}; make it first")
    if not options.no_picture:
        try:
            require_matplotlib()
        except MissingExtraError as error:
            raise MissingExtraError(f"{error}, or do without the picture: --no-picture") from None
    result = watched(experiment, settings)
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
    from tinyres.study import demo, demo_text, nets

    chosen = demo.DemoOptions(
        blocks=options.blocks,
        width=options.width,
        epochs=options.epochs,
        seed=options.seed,
        seeds=options.seeds,
        optimizer=options.optimizer,
        lr=options.lr,
        nets=tuple(nets.NETS) if options.nets is None else tuple(n for n in options.nets.split(",") if n),
        data=options.data,
        label=options.label,
        regression=options.regression,
    )
    demo.check(chosen)
    data = demo.split_data(chosen)
    with contextlib.nullcontext() if options.json is None else replacing(options.json) as file:
        print(demo_text.equation(demo.scalar_equation()))
        for line in data.said:
            print("\n".join(demo_text.said(line)))
        results = demo_text.train(chosen, data)
        print(f"\n{demo_text.tables(chosen, results, data)}")
        sentences = demo.sentences(results)
        for sentence in sentences:
            print("\n".join(demo_text.said(sentence)))
        if file is not None:
            nets_ = [result.as_dict() for result in results.values()]
            written = {"options": vars(chosen), "data": data.said, "nets": nets_, "sentences": sentences}
            file.write(text.encoded(written, indent=1))
    if options.json is not None:
        print(f"\nwritten to {options.json}")
    return 0
