"""The face in the notebook: magics, cards, completion. It decides nothing about tasks."""
