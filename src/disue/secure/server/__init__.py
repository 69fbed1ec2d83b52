"""The server's side: it sees messages, never a seed, and never imports the client's package."""
