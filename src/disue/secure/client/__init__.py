"""What only a client may run: it holds the sketch seed, so the server's process never imports it."""
