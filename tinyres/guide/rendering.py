"""Pages in a terminal, as wide as it is: what a column is too narrow for goes on in the next line."""

from __future__ import annotations

from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown, MarkdownElement, TableElement
from rich.table import Table


class _Folded(TableElement):
    """A table whose long words, such as names of methods, are folded."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for part in super().__rich_console__(console, options):
            for column in part.columns if isinstance(part, Table) else ():
                column.overflow = "fold"
            yield part


class _Page(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {**Markdown.elements, "table_open": _Folded}


def show(page: str, console: Console) -> None:
    """Render Markdown through the pager of the environment."""
    with console.pager(styles=True):
        console.print(_Page(page, code_theme="ansi_dark"))
