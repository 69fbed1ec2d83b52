"""Attacks on what the server sees, each beside a control in which it must succeed: arrays in, numbers out."""
