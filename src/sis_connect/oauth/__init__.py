"""OAuth 2.0 as small pure flows: what a grant sends to the token URL, and what its answer means; around them a thin wire."""
