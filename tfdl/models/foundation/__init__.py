"""Networks of the first stage: fully connected, highway, and the topologies side by side."""
