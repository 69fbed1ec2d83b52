"""Many runs: a study's plan, its queue, its statistics and tables."""
