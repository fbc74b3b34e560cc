"""Scripts that ``armillary bench`` runs by path; what runs in a peer's environment imports nothing of armillary."""
