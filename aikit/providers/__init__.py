"""The providers: one adapter a file, none knows another."""
