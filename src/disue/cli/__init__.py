"""The command line: words to calls of `disue.api` and its neighbours, nothing else."""
