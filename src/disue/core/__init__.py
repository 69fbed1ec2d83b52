"""Words and doors that every room shares: numpy only, a closed list of modules."""
