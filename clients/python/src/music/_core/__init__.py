"""What needs no network: requests as values, answers, and the rules of sections."""
