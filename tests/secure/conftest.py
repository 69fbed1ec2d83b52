"""Puts this folder on the path: federation.py is shared by the tests of both sides."""
