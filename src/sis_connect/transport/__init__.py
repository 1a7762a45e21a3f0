"""The way to an SIS and back: retry( breaker( auth( limiter( http ))))."""
