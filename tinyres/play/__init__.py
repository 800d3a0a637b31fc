"""The page: recorded nets, the module that replays them in a browser, and the server that shows them."""
