"""Widgets of the notebook: anywidget classes, with their scripts in `static/`."""
