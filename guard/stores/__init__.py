"""Where limits live, one file each."""
