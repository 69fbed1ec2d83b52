"""One run: its spec, its loop, its folder, its checkpoints."""
