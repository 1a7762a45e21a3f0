"""Access tokens: fetched once, kept sealed, renewed in time."""
