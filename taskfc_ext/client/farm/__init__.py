"""Farms as clients see them: starting their processes, and finding out how they are."""
