"""A new plugin, written from templates: what `sis-connect plugin new` puts into a folder."""
