"""Trainings as they run: their curves so far, and how long they will take."""
