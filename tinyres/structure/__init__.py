"""What a net of nodes and edges is: forks, kinds of edges, blocks. Pure functions on numbers; imports nothing."""
