"""Scripts that ``armillary bench`` runs by path; what runs in the peer's environment imports nothing of armillary."""
