"""The public functions of the library, one module each: plain values in, an object that shows itself out.

Each turns what it is given into a typed config, calls the stage, and names what came of it; logic is below.
"""
