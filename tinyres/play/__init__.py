"""The page: recorded nets, what replays them in a browser, and the server; and its views in a notebook, `widget`."""

from tinyres.play.notebook import widget

__all__ = ["widget"]
