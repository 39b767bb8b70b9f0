"""One page over runs: tables, plots, markdown and html."""
