"""What a person sees and types: the live table, the log, the prompt."""
