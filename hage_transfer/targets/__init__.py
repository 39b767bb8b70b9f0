"""What a classifier learns beyond classes: numbers, survival, grades, several labels; one file a kind."""
