"""The twenty systems, and for each that works the recipe that runs its paper's claim again."""

from __future__ import annotations

from armillary.recipes.catalogue import SYSTEMS, System

__all__ = ["SYSTEMS", "System"]
