"""The widgets of a notebook: anywidget classes, with their scripts in `static/`."""
