"""The API shapes guard reads, one file each."""
