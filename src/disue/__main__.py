"""`python -m disue` is `disue`."""

from disue.cli.main import entry

if __name__ == "__main__":
    entry()
