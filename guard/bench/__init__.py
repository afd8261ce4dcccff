"""An open-loop load test of the user's own endpoint, with and without guard."""
