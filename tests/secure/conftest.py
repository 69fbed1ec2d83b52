"""Puts this folder on the path: secure_bed.py is shared by the tests of both sides."""
