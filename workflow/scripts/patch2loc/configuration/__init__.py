"""Planning without torch: checks of the configuration, methods and their settings, combinations."""
