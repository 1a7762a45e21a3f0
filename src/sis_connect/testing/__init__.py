"""For tests, demos and plugin authors: a synthetic district and the kit that vendors' sandboxes are built with."""
