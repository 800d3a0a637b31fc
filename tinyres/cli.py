"""The command line: `tinyres demo`, `experiment`, `play`, `run`, `guide`, `bench`, `info`; or `python -m tinyres`."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import io
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tinyres.errors import ArgumentError, FileError, MissingExtraError, TinyresError
from tinyres.store import text
from tinyres.store.replacing import replacing

# What an encoding that has no such sign is given instead.
_PLAIN = str.maketrans(
    {"×": "x", "±": "+-", "∂": "d", "·": "*", "…": "...", "→": "->", "µ": "u", "√": "sqrt ", "²": "^2"}
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 if it worked, 2 with one clear line on standard error for bad options, files or outputs."""
    try:
        with _readable_anywhere():
            return _run(argv)
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


class _Parser(argparse.ArgumentParser):
    """A parser whose help does not get lost silently where nothing can be written."""

    def _print_message(self, message: str, file: Any = None) -> None:
        (file or sys.stderr).write(message)


def _run(argv: Sequence[str] | None) -> int:
    """Run a command, or show help, until all of the output is written."""
    parser = _parser()
    try:
        options = parser.parse_args(argv)
        if options.command is None:
            parser.print_help()
            return 0
        return int(options.command(options))
    finally:
        sys.stdout.flush()


def _print_pairs(pairs: Iterable[tuple[str, str]], indent: int) -> None:
    """Names and what is said of them, within the width of the terminal."""
    width = max(shutil.get_terminal_size().columns, indent + 20)
    for name, said in pairs:
        print(textwrap.fill(f"{name:<{indent - 1}} {said}", width, subsequent_indent=" " * indent))


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

    parser = _Parser(prog="tinyres", description="Train small residual nets and see the gradient at every node.")
    parser.add_argument("--version", action="version", version=f"tinyres {tinyres.__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_demo(commands)
    _add_experiment(commands)
    script = commands.add_parser(
        "run",
        help="run a training script; after mpirun -n 4, an error in one process ends all",
        description="Run a Python script as python does. `mpirun -n 4 tinyres run train.py` runs it in four processes, "
        "which train together by model.fit(..., distributed=tr.distributed.world()), and end together on an error.",
    )
    script.add_argument("script", metavar="SCRIPT", help="a Python file")
    script.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="what the script gets as sys.argv")
    script.set_defaults(command=_script)
    bench = commands.add_parser(
        "bench",
        help="time kernels and a train step on this machine, native beside NumPy",
        description="Time kernels and a train step, native beside reference (NumPy); paste the table where it helps.",
    )
    bench.set_defaults(command=_bench)
    _add_play(commands)
    manual = commands.add_parser(
        "guide",
        help="show a page of the manual, or list its topics",
        description="Show a page of the manual, in a terminal by a pager, else as Markdown; or list all topics.",
    )
    manual.add_argument("topic", nargs="?", metavar="TOPIC", help="of the list; none: list them")
    manual.add_argument("--list", action="store_true", help="list all topics")
    manual.set_defaults(command=_guide)
    info = commands.add_parser("info", help="show the backend, instruction set and threads, and why")
    info.set_defaults(command=_info)
    return parser


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="train plain and residual nets on digits or images, a Transformer on text, a U-Net that makes digits",
        description="Train nets of one depth that differ in one thing and compare what their gradients do. "
        "`tinyres demo images`: ResNets of convolutions, on clothes or images of your own, in a minute. "
        "`tinyres demo text`: a Transformer that goes on with plays, or a text of your own, in two minutes. "
        "`tinyres demo diffusion`: a U-Net that makes new digits, in minutes.",
    )
    demo.add_argument("on", nargs="?", default="digits", choices=tuple(_DEMOS), help="default: digits")
    numbers = {
        "--blocks": "digits: blocks of two Dense (default 16)",
        "--depth": "images: layers, 20, 32, 44, 56 or 110 (default 32); text: layers (default 4)",
        "--width": "units per Dense (default 64); images, diffusion: first filters (default 8, 32); text: default 128",
        "--epochs": "digits: passes over the data (default 5)",
        "--steps": "images, text, diffusion: of each training (default 200; others: 2000)",
        "--seed": "first seed of weights and order (default 0)",
        "--seeds": "digits, text: how many seeds to train (default 3; text: 1)",
        "--context": "text: characters of a window (default 64)",
        "--size": "images of your own: pixels of a side, to which all are resized",
    }
    for option, told in numbers.items():
        demo.add_argument(option, type=int, default=None, metavar="N", help=told)
    demo.add_argument("--norm", default=None, metavar="NAME", help="text: how a block normalises (default pre)")
    demo.add_argument("--optimizer", default=None, choices=("sgd", "adam", "adamw"), help="digits: default adam")
    demo.add_argument("--lr", type=float, default=None, metavar="X", help="digits: learning rate (default: its own)")
    demo.add_argument("--nets", default=None, metavar="A,B", help="digits: which nets, by name, separated by commas")
    demo.add_argument(
        "--data",
        default=None,
        metavar="FILE",
        help=".npz with x and y, or .csv with a label column; images: a folder with a folder for each class, or a "
        ".npz; text: a text file in UTF-8",
    )
    demo.add_argument("--label", default=None, metavar="COLUMN", help="the label column, by name or as 'column 3'")
    demo.add_argument(
        "--regression", action="store_true", default=None, help="the label is a number to predict, not a class"
    )
    demo.add_argument("--json", default=None, metavar="FILE", help="digits: also write the results to this file")
    out = "images, diffusion: where to put the picture (default: here)"
    demo.add_argument("--out", default=None, metavar="DIR", help=out)
    demo.set_defaults(command=_demo)


def _add_experiment(commands: Any) -> None:
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


def _script(options: argparse.Namespace) -> int:
    from tinyres.distributed.running import run

    return run(options.script, options.arguments)


def _add_play(commands: Any) -> None:
    play = commands.add_parser(
        "play",
        help="a page in the browser: turn the knobs of a residual net and watch its gradient while it trains",
        description="Serve the page on this machine alone (127.0.0.1), until Ctrl-C. The page trains in the browser, "
        "by the same kernels as WebAssembly; Python only records the nets that it asks for.",
    )
    play.add_argument("--port", type=int, default=8470, metavar="N", help="default 8470; 0 takes a free one")
    site = "serve nothing; write the page and the nets of its tour as a static site"
    play.add_argument("--export", default=None, metavar="DIR", help=site)
    play.set_defaults(command=_play)


def _play(options: argparse.Namespace) -> int:
    from tinyres.play import export, server

    if options.export is None:
        server.run(options.port)
        return 0
    written = export.export(options.export)
    size = sum(os.path.getsize(path) for path in written)
    print(f"{len(written)} files, {size / 1e6:.1f} MB, written to {options.export}: any web server can serve them")
    return 0


def _info(options: argparse.Namespace) -> int:
    from tinyres.launch import info

    _print_pairs([(key, str(value)) for key, value in info().items()], 17)
    return 0


def _experiment(options: argparse.Namespace) -> int:
    from tinyres.study.experiment import require_matplotlib
    from tinyres.study.experiments import EXPERIMENTS, OF_IMAGES
    from tinyres.study.progress import watched

    known = EXPERIMENTS if options.net == "dense" else OF_IMAGES
    if options.name is None:
        also = {name: " (also --net resnet)" for name in OF_IMAGES if known is EXPERIMENTS}
        _print_pairs([(name, one.title + also.get(name, "")) for name, one in known.items()], 19)
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


def _guide(options: argparse.Namespace) -> int:
    from rich.console import Console

    import tinyres
    from tinyres import guide
    from tinyres.guide import rendering
    from tinyres.guide.reference import reference

    if options.topic is None or options.list:
        titles = guide.topics()
        _print_pairs(titles.items(), indent=2 + max(map(len, titles)))
        return 0
    page = guide.page(options.topic)
    if options.topic == "reference":
        page += reference(tinyres)
    console = Console()
    if not console.is_terminal:  # as it is written, so that code can be copied
        print(page, end="")
        return 0
    rendering.show(page, console)
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
    own = ("command", "on")
    given = {name: value for name, value in vars(options).items() if name not in own and value is not None}
    takes, run = _DEMOS[options.on]
    wrong = [f"--{name}" for name in given if name not in takes]
    if wrong:
        shown = ", ".join(f"--{name}" for name in takes)
        raise ArgumentError(f"[demo] the demo on {options.on} has the options {shown}; got {wrong[0]}; leave it out")
    return run(given)


def _demo_on_images(given: dict[str, Any]) -> int:
    from tinyres.study import demo_images

    demo_images.run(demo_images.ImageOptions(**given))
    return 0


def _demo_on_text(given: dict[str, Any]) -> int:
    from tinyres.study import demo_writing

    demo_writing.run(demo_writing.TextOptions(**given))
    return 0


def _demo_on_diffusion(given: dict[str, Any]) -> int:
    from tinyres.study import demo_diffusion

    demo_diffusion.run(demo_diffusion.DiffusionOptions(**given))
    return 0


def _demo_on_digits(given: dict[str, Any]) -> int:
    from tinyres.study import demo, demo_text

    json = given.pop("json", None)
    if "nets" in given:
        given["nets"] = tuple(n for n in given["nets"].split(",") if n)
    chosen = demo.DemoOptions(**given)
    demo.check(chosen)
    data = demo.split_data(chosen)
    with contextlib.nullcontext() if json is None else replacing(json) as file:
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
    if json is not None:
        print(f"\nwritten to {json}")
    return 0


# What a demo is on -> (its options, what runs it).
_DEMOS: dict[str, tuple[tuple[str, ...], Callable[[dict[str, Any]], int]]] = {
    "digits": (
        tuple("blocks width epochs seed seeds optimizer lr nets data label regression json".split()),
        _demo_on_digits,
    ),
    "images": (tuple("depth width steps seed data size out".split()), _demo_on_images),
    "diffusion": (tuple("width steps seed out".split()), _demo_on_diffusion),
    "text": (tuple("depth width norm context steps seed seeds data".split()), _demo_on_text),
}
