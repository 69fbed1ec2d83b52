"""One file per method, and the table name → constructor."""
