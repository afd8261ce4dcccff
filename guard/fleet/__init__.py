"""What replicas tell each other: exchanges, verdicts, the operator's words."""
