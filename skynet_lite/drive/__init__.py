"""What moves a node: one loop, or N workers (skynet_start.c)."""
