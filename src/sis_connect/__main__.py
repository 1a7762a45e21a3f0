"""`python -m sis_connect` is `sis-connect`."""

from sis_connect.cli import main

main()
