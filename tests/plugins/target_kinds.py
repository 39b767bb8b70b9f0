"""Settings of every target beyond classes, for one table of made-up columns."""

GRADES = ["low", "middle", "high"]
KINDS = {
    "cox": {"kind": "survival"},
    "hazards": {"kind": "survival", "loss": "hazards", "bins": 3},
    "regression": {"kind": "regression", "column": "amount"},
    "ordinal": {"kind": "ordinal", "column": "grade", "order": GRADES},
    "multilabel": {"kind": "multilabel", "columns": ["er", "pr"], "missing": "allow"},
}
