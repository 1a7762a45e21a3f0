"""The conformance suites: checks as data, a bench to run them on, and a report. See `sis_connect.testing.ProviderSuite`."""
