"""Where things rest: tables, migrations, the built-in roster, tokens, leases and the limiter's window."""
