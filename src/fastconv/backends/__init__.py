"""fastconv for users of other libraries: one package or module a host, imported by name alone."""
