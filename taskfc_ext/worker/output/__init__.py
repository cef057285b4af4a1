"""Output of attempts: text, displays, figures and progress."""
