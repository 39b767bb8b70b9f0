"""Why a slide was called: attention, and the genes of the tiles that decided."""
