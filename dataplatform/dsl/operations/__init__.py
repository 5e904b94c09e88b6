"""Operations: the questions and orders of the language, and the base classes that implement each of them once."""
