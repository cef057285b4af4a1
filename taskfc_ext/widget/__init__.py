"""What people click on in a notebook: anywidget classes, with their scripts in `static/`."""
