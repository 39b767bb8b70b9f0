"""The slide viewer: a local page that pans and zooms slides and lays attention, tissue and predicted genes over them.

``contents`` says what a run holds, ``deep_zoom`` and ``slide_pool`` give pixels, ``tile_table`` gives values, ``app``
answers requests, ``server`` runs it; ``assets/`` is the page, plain modules without a build step.
"""
