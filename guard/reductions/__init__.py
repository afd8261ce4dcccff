"""How requests and answers of each dialect are reduced, one file each."""
