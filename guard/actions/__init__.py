"""What can be done with an exchange, one file each."""
