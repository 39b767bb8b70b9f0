"""What a run says of itself: differences with intervals, quoted numbers, retrieval, use of the attention."""
