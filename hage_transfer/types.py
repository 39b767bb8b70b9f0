"""The one legend of axis names in array and tensor annotations (jaxtyping).

=========  ==================================================================================
axis       meaning
=========  ==================================================================================
spot       spots of a section, of several sections, or of a batch of them
gene       genes of the panel, in the panel's order
feature    what the frozen encoder puts out (UNI: 1024, embedded default: 352)
embed      what the gene-informed encoder puts out (``embed_dim``, the paper's d = 1024)
gene_dim   width of one gene embedding (Gene2Vec: 200)
head       attention heads
batch      rows of a batch of any kind
patch      labelled patches
bag, tile  slides (bags) and their tiles (instances)
class      classes of a classifier, in sorted order of their names
train      rows that a fold trains on; ``validation`` and ``test`` those of its other sides
chosen     some of the rows or genes that stand beside it
_          any number, another one at each place
=========  ==================================================================================

Coordinates are (x, y) in pixels of level 0 unless the name says otherwise; image arrays are (height, width, channel)
uint8 RGB; True in a mask means keep. **feature** is what a frozen encoder puts out, **embedding** is what the
gene-informed encoder puts out.
"""
